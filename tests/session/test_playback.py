"""`playback`: the audio in order, what of it was heard, and waiting until all was."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import ConfigError, ConnectionLost, Playback, PlaybackChunk, RealtimeSession, ServerError
from trio_realtime.testing import fails, says
from trio_realtime.transport import Closed

from .scripted_server import ScriptedServer, leaving_raises, opened
from .talking import MS, play, push_audio, push_created, push_done, push_item, sent_after, talking


async def taken(playback: Playback, count: int) -> list[PlaybackChunk]:
    return [await playback.receive() for _ in range(count)]


# --- the audio ------------------------------------------------------------------------------------------------------


async def test_what_is_played_is_what_the_conversation_has(autojump_clock: MockClock) -> None:
    async with talking(says("One."), says("And two."), pace=0.1) as (session, _), session.playback() as playback:
        for words in ("a", "b"):
            async with session.respond(words) as turn:
                await turn.done()
        spoken = [item for item in session.conversation if item.role == "assistant"]
        chunks = await taken(playback, 5)  # 240 ms and 480 ms in deltas of 200 ms
        for item in spoken:
            mine = [chunk for chunk in chunks if chunk.item_id == item.id]
            assert b"".join([chunk.audio for chunk in mine]) == item.audio
            assert [chunk.position_ms for chunk in mine] == [200 * number for number in range(len(mine))]
        assert [chunk.item_id for chunk in chunks] == [spoken[0].id] * 2 + [spoken[1].id] * 3
        assert playback.statistics().received_bytes == sum(len(item.audio) for item in spoken)


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
async def test_g711_is_counted_in_its_own_bytes(name: str, autojump_clock: MockClock) -> None:
    async with (
        talking(says("Hello.", audio=1.0), pace=0, output_format=name) as (session, connection),
        session.playback() as playback,
    ):
        async with session.respond("x") as turn:
            await turn.done()
        chunk = await playback.receive()
        assert (chunk.encoding.name, len(chunk.audio), chunk.position_ms) == (name, 1600, 0)
        playback.played(bytes=1001)
        await session.interrupt()
        assert playback.heard_ms(chunk.item_id) == 125
        await trio.sleep(1)
        assert connection.received[-1]["audio_end_ms"] == 125
        assert len(session.conversation[chunk.item_id].audio) == 1000


async def test_a_playback_that_begins_in_mid_item_counts_what_came_before_as_heard(autojump_clock: MockClock) -> None:
    async with opened() as (session, server):
        await session.create_response()
        push_item(server, "resp_1", "item_1")
        push_audio(server, "resp_1", "item_1", bytes(500 * MS))
        await wait_all_tasks_blocked()
        async with session.playback() as playback:
            push_audio(server, "resp_1", "item_1", bytes(200 * MS))
            chunk = await playback.receive()
            assert chunk.position_ms == 500
            playback.played(ms=100)
            await session.interrupt()
            await wait_all_tasks_blocked()
        (truncate,) = sent_after(server, "conversation.item.truncate")
        assert truncate["audio_end_ms"] == 600


# --- what was heard -------------------------------------------------------------------------------------------------


async def received(session: RealtimeSession, server: ScriptedServer, *lengths_ms: int, done: bool = False) -> None:
    """A response says items of these lengths, in deltas of 100 ms."""
    await session.create_response()
    number = len(sent_after(server, "response.create"))
    for index, length in enumerate(lengths_ms):
        item_id = f"item_{number}{index}"
        push_item(server, f"resp_{number}", item_id)
        for _ in range(length // 100):
            push_audio(server, f"resp_{number}", item_id, bytes(100 * MS))
    if done:
        push_done(server, f"resp_{number}")
    await wait_all_tasks_blocked()


@pytest.mark.parametrize("unit", ["bytes", "ms", "mark"])
async def test_heard_is_what_was_acknowledged(unit: str) -> None:
    async with opened() as (session, server), session.playback() as playback:
        await received(session, server, 300, 300)
        chunks = await taken(playback, 4)
        heard = {
            "bytes": {"bytes": 4 * 100 * MS - 4},
            "ms": {"ms": 399.99},
            "mark": {"mark": chunks[2].mark},
        }[unit]
        playback.played(**heard)  # type: ignore[arg-type]
        expected = 0 if unit == "mark" else 99
        assert (playback.heard_ms("item_10"), playback.heard_ms("item_11")) == (300, expected)
        assert playback.heard_ms("item_12") is None
        playback.played(bytes=0)  # less than before changes nothing
        assert playback.heard_ms("item_10") == 300


async def test_without_acknowledgements_a_chunk_is_heard_when_the_next_is_asked_for() -> None:
    async with opened() as (session, server), session.playback() as playback:
        await received(session, server, 300)
        await taken(playback, 2)
        assert playback.heard_ms("item_10") == 100
        with trio.move_on_after(0):
            await playback.receive()  # cancelled before it asked
        assert playback.heard_ms("item_10") == 100
        await playback.receive()
        playback.played(bytes=0)
        assert playback.heard_ms("item_10") == 200
        assert not playback.statistics().automatic


async def test_more_than_was_handed_out_cannot_have_been_heard() -> None:
    async with opened() as (session, server), session.playback() as playback:
        await received(session, server, 300)
        (chunk,) = await taken(playback, 1)
        for wrong in ({"bytes": 100 * MS + 1}, {"ms": 100.1}, {"mark": chunk.mark + 1}, {"bytes": -1}, {}):
            with pytest.raises(ConfigError):
                playback.played(**wrong)
        assert playback.statistics().automatic


async def test_an_acknowledgement_of_an_earlier_generation_changes_nothing() -> None:
    async with opened() as (session, server), session.playback() as playback:
        await received(session, server, 300)
        (old,) = await taken(playback, 1)
        assert (old.generation, playback.generation) == (0, 0)
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert playback.generation == 1
        await received(session, server, 300)
        (new,) = await taken(playback, 1)
        assert new.generation == 1
        playback.played(mark=old.mark)
        playback.played(ms=100, generation=0)
        assert playback.heard_ms("item_20") == 0
        playback.played(ms=50, generation=1)
        assert playback.heard_ms("item_20") == 50


# --- whose it is ----------------------------------------------------------------------------------------------------


async def test_a_session_has_one_playback_at_a_time() -> None:
    async with opened() as (session, server):
        async with session.playback() as first:
            with pytest.raises(trio.BusyResourceError, match="a playback already"):
                async with session.playback():
                    raise AssertionError
            await received(session, server, 100)
            assert (await first.receive()).item_id == "item_10"  # the first goes on
        async with session.playback():
            pass
        with pytest.raises(trio.ClosedResourceError, match="was left"):
            async with first:
                raise AssertionError


async def test_one_task_receives() -> None:
    async with opened() as (session, _), session.playback() as playback, trio.open_nursery() as nursery:
        nursery.start_soon(playback.receive)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await playback.receive()
        nursery.cancel_scope.cancel()


async def test_a_playback_is_used_inside_its_scope() -> None:
    async with opened() as (session, server):
        playback = session.playback()
        with pytest.raises(trio.ClosedResourceError):
            await playback.receive()
        with pytest.raises(trio.ClosedResourceError):
            playback.played(bytes=0)
        async with playback:
            await received(session, server, 300)
            await playback.receive()
            await playback.aclose()
            with pytest.raises(trio.ClosedResourceError):
                await playback.receive()
        for use in (playback.statistics, lambda: playback.generation, lambda: playback.heard_ms("item_10")):
            with pytest.raises(trio.ClosedResourceError):
                use()
        await wait_all_tasks_blocked()
        assert not sent_after(server, "response.cancel", "conversation.item.truncate")
    with pytest.raises(trio.ClosedResourceError):
        await playback.receive()
    with pytest.raises(trio.ClosedResourceError):
        async with session.playback():
            raise AssertionError


async def test_a_receiver_is_woken_when_the_playback_is_left() -> None:
    async with opened() as (session, _), trio.open_nursery() as nursery:

        async def receive(playback: Playback) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await playback.receive()

        async with session.playback() as playback:
            nursery.start_soon(receive, playback)
            await wait_all_tasks_blocked()


async def test_what_was_received_is_played_before_the_session_is_over() -> None:
    async def read(playback: Playback) -> None:
        with pytest.raises(trio.EndOfChannel):
            await playback.receive()

    async with trio.open_nursery() as nursery:
        async with opened() as (session, server):
            playback = await session.playback().__aenter__()
            await received(session, server, 200)
        chunks = await taken(playback, 2)
        assert sum(len(chunk.audio) for chunk in chunks) == 200 * MS
        nursery.start_soon(read, playback)
    await playback.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await playback.receive()


async def test_what_was_received_is_played_before_the_failure(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost):
        async with opened(server) as (session, _), session.playback() as playback:
            await received(session, server, 200)
            server.end(Closed(1011, "broken"))
            await wait_all_tasks_blocked()
            assert len(await taken(playback, 2)) == 2
            with pytest.raises(ConnectionLost) as first:
                await playback.receive()
            with pytest.raises(ConnectionLost) as second:
                await session.wait_for_playback()
            assert first.value is not second.value
            raise first.value  # the connection is gone: leaving tries nothing on it
    assert not sent_after(server, "response.cancel", "conversation.item.truncate")


# --- waiting --------------------------------------------------------------------------------------------------------


async def test_waiting_for_playback_waits_for_the_ear(autojump_clock: MockClock) -> None:
    async with (
        talking(says("Hello.", audio=5.0), says("And.", audio=2.0), pace=0.1) as (session, _),
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback)
        began = trio.current_time()
        await session.wait_for_playback()  # nothing to wait for
        async with session.respond("a") as turn:
            await turn.done()
        await session.send_message("b")
        assert trio.current_time() - began < 1
        await session.wait_for_playback()
        assert 7 <= trio.current_time() - began < 7.2
        nursery.cancel_scope.cancel()


async def test_waiting_for_playback_ends_with_the_failure_of_the_session(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost) as left:
        async with opened(server) as (session, _), session.playback():
            await received(session, server, 200)

            async def wait() -> None:
                with pytest.raises(ConnectionLost, match="broken") as caught:
                    await session.wait_for_playback()
                waited.append(caught.value)

            waited: list[ConnectionLost] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await wait_all_tasks_blocked()
                server.end(Closed(1011, "broken"))
            assert len(waited) == 1
    assert waited[0] is not left.value


async def test_waiting_for_playback_ends_when_the_last_acknowledgement_comes() -> None:
    async with opened() as (session, server), session.playback() as playback:
        await received(session, server, 200, done=True)
        await taken(playback, 2)
        async with trio.open_nursery() as nursery:
            heard = trio.Event()

            async def wait() -> None:
                await session.wait_for_playback()
                heard.set()

            nursery.start_soon(wait)
            playback.played(ms=199)
            await wait_all_tasks_blocked()
            assert not heard.is_set()
            playback.played(ms=200)


async def test_waiting_for_playback_ends_with_an_interruption(autojump_clock: MockClock) -> None:
    async with (
        talking(says("Hello.", audio=5.0)) as (session, _),
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback)
        await session.send_message("a")
        nursery.start_soon(session.wait_for_playback)
        await trio.sleep(1)
        await session.interrupt()
        await session.wait_for_playback()
        assert trio.current_time() < 1.5
        nursery.cancel_scope.cancel()


async def test_waiting_for_playback_ends_when_the_last_request_is_refused() -> None:
    server = ScriptedServer()
    server.ignore("response.create")
    async with opened(server) as (session, _), session.playback(), trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(ServerError):
                await session.create_response()

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        nursery.start_soon(session.wait_for_playback)
        await wait_all_tasks_blocked()
        server.push_error("no", event_id=sent_after(server, "response.create")[0]["event_id"])


async def test_waiting_for_playback_outlives_a_response_that_failed(autojump_clock: MockClock) -> None:
    async with (
        talking([says("So far", audio=1.0), fails()], pace=0.1) as (session, _),
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback)
        await session.send_message("a")
        await session.wait_for_playback()
        assert trio.current_time() >= 1
        nursery.cancel_scope.cancel()


async def test_a_response_that_stalls_does_not_stop_what_is_said_after_it(autojump_clock: MockClock) -> None:
    async with opened(stall_timeout=5.0) as (session, server), session.playback() as playback:
        await received(session, server, 100)
        await trio.sleep(6)
        await received(session, server, 100, done=True)
        chunks = await taken(playback, 2)
        assert [chunk.item_id for chunk in chunks] == ["item_10", "item_20"]
        with trio.move_on_after(1):
            await playback.receive()
        await session.wait_for_playback()


async def test_a_malformed_done_ends_the_items_for_the_ear() -> None:
    async with opened() as (session, server), session.playback() as playback:
        await received(session, server, 100)
        server.push("response.done", response=None)
        await playback.receive()
        playback.played(ms=100)
        await session.wait_for_playback()


async def test_waiting_for_playback_without_one_is_refused(autojump_clock: MockClock) -> None:
    async with talking() as (session, _):
        with pytest.raises(ConfigError, match="playback"):
            await session.wait_for_playback()
    with pytest.raises(trio.ClosedResourceError):
        await session.wait_for_playback()


@pytest.mark.parametrize("by", ["leaving the playback", "leaving the session"])
async def test_waiting_for_playback_ends_when_there_is_nothing_more_to_wait_for(by: str) -> None:
    async with trio.open_nursery() as nursery:

        async def wait(session: RealtimeSession) -> None:
            with pytest.raises(trio.ClosedResourceError, match="before everything was heard"):
                await session.wait_for_playback()

        async with opened() as (session, server):
            playback = await session.playback().__aenter__()
            await received(session, server, 200)
            nursery.start_soon(wait, session)
            await wait_all_tasks_blocked()
            if by == "leaving the playback":
                await playback.__aexit__(None, None, None)


async def test_speech_beside_the_conversation_is_played_but_never_cut_there() -> None:
    async with opened() as (session, server), session.playback() as playback:
        server.ignore("response.create", "response.cancel")
        async with session.respond(conversation="none"):
            await wait_all_tasks_blocked()
            (create,) = sent_after(server, "response.create")
            push_created(server, "resp_b", conversation_id=None, metadata=create["response"]["metadata"])
            push_item(server, "resp_b", "item_b")
            push_audio(server, "resp_b", "item_b", bytes(500 * MS))
            chunk = await playback.receive()
            assert chunk.item_id == "item_b"
            playback.played(ms=100)
        await wait_all_tasks_blocked()
        assert [event["response_id"] for event in sent_after(server, "response.cancel")] == ["resp_b"]
        assert not sent_after(server, "conversation.item.truncate", "conversation.item.delete")
        assert playback.generation == 1
