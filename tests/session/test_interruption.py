"""The program interrupts the assistant, or leaves it: what goes out, at once and together."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ConfigError,
    ErrorReported,
    Interrupted,
    ItemTruncated,
    ItemUpdated,
    Playback,
    RealtimeSession,
    ResponseCancelled,
)

from .scripted_server import Event, ScriptedServer, leaving_raises, message, opened
from .talking import (
    MS,
    arrived,
    push_audio,
    push_done,
    push_item,
    push_words,
)

# --- the program interrupts -----------------------------------------------------------------------------------------


async def speaking(session: RealtimeSession, server: ScriptedServer, ms: int = 1000, *, done: bool = False) -> None:
    """The assistant says an item, `item_1`, of so many milliseconds."""
    await session.create_response()
    push_item(server, "resp_1", "item_1")
    push_audio(server, "resp_1", "item_1", bytes(ms * MS))
    push_words(server, "resp_1", "item_1", "words")
    if done:
        server.push("response.output_item.done", response_id="resp_1", item=message("item_1", "assistant"))
        push_done(server, "resp_1")
    await wait_all_tasks_blocked()


def after_create(server: ScriptedServer) -> list[Event]:
    """What a server received since the response was asked for, without ids of events."""
    start = server.types().index("response.create") + 1
    return [{key: value for key, value in event.items() if key != "event_id"} for event in server.received[start:]]


CANCEL = {"type": "response.cancel", "response_id": "resp_1"}


def truncate(audio_end_ms: int) -> Event:
    return {
        "type": "conversation.item.truncate",
        "item_id": "item_1",
        "content_index": 0,
        "audio_end_ms": audio_end_ms,
    }


DELETE = {"type": "conversation.item.delete", "item_id": "item_1"}


@pytest.mark.parametrize("plays", [True, False])
@pytest.mark.parametrize("done", [True, False])
async def test_interrupting_cancels_and_cuts_what_playback_knows(plays: bool, done: bool) -> None:
    async with opened() as (session, server):
        with session.updates(Interrupted, ItemTruncated) as updates:
            if not plays:
                await speaking(session, server, done=done)
                await session.interrupt()
                await wait_all_tasks_blocked()
                assert after_create(server) == ([] if done else [CANCEL])
                assert arrived(updates) == [Interrupted(item_id="item_1")]
                return
            async with session.playback() as playback:
                await speaking(session, server, done=done)
                await playback.receive()
                playback.played(bytes=333 * MS + 1)
                await session.interrupt()
                await wait_all_tasks_blocked()
                assert after_create(server) == [*([] if done else [CANCEL]), truncate(333)]
                interrupted, truncated = arrived(updates)
                assert interrupted == Interrupted(item_id="item_1", heard_ms=333)
                assert truncated.audio_end_ms == 333


async def test_interrupting_when_nothing_is_under_way_sends_nothing() -> None:
    async with opened() as (session, server):
        sent = len(server.received)
        async with session.playback() as playback:
            with session.updates(Interrupted) as updates:
                await session.interrupt()
                await session.interrupt()
                assert arrived(updates) == []
            assert playback.generation == 2
        await wait_all_tasks_blocked()
        assert len(server.received) == sent


async def test_cancels_are_not_repeated_until_the_response_is_done() -> None:
    server = ScriptedServer()
    server.ignore("response.cancel")
    async with opened(server) as (session, _):
        await speaking(session, server)
        await session.interrupt()
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert after_create(server) == [CANCEL]
        push_done(server, "resp_1", "cancelled")
        await wait_all_tasks_blocked()
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert after_create(server) == [CANCEL]


async def test_interrupting_a_request_that_is_not_answered_cancels_it_when_it_is() -> None:
    server = ScriptedServer()
    create = server.answers["response.create"]
    server.ignore("response.create")
    async with opened(server) as (session, _):
        with leaving_raises(ResponseCancelled):
            async with session.respond() as turn:
                await wait_all_tasks_blocked()
                await session.interrupt()
                await wait_all_tasks_blocked()
                assert after_create(server) == []
                for answer in create(server.received[-1]):
                    server.push(answer["type"], response=answer["response"])
                await wait_all_tasks_blocked()
                assert after_create(server) == [CANCEL]
                assert turn.is_done


@pytest.mark.parametrize(
    ("played_ms", "sent"),
    [
        (0, [CANCEL, DELETE]),
        (0.5, [CANCEL, DELETE]),
        (1, [CANCEL, truncate(1)]),
        (514.99, [CANCEL, truncate(514)]),
        (1000, [CANCEL, truncate(1000)]),
        (5000, [CANCEL, truncate(1000)]),  # never more than was received
    ],
)
@pytest.mark.parametrize("plays", [True, False])
async def test_interrupting_by_the_programs_own_clock(played_ms: float, sent: list[Event], plays: bool) -> None:
    async with opened() as (session, server):
        playback = await session.playback().__aenter__() if plays else None
        await speaking(session, server)
        with session.updates(Interrupted) as updates:
            await session.interrupt("item_1", played_samples=int(played_ms * 24))
            (interrupted,) = arrived(updates)
        assert interrupted == Interrupted(item_id="item_1", heard_ms=min(1000, int(played_ms)))
        await wait_all_tasks_blocked()
        assert after_create(server) == sent
        if playback is not None:
            assert not playback.statistics().queued_bytes
            await playback.aclose()


@pytest.mark.parametrize("played_ms", [1000, 5000])
async def test_an_item_that_was_heard_in_full_is_not_cut(played_ms: int) -> None:
    async with opened() as (session, server):
        await speaking(session, server, done=True)
        await session.interrupt("item_1", played_samples=played_ms * 24)
        await wait_all_tasks_blocked()
        assert after_create(server) == []


async def test_what_cannot_be_interrupted_is_refused_before_anything_is_sent() -> None:
    async with opened() as (session, server), session.playback() as playback:
        user = await session.send_message("x", respond=False)
        assert user is not None
        await speaking(session, server)
        push_item(server, "resp_1", "item_mute")
        push_item(server, "resp_1", "item_call", of="function_call")
        await wait_all_tasks_blocked()
        for item_id in ("nowhere", user.id, "item_mute", "item_call"):
            with pytest.raises(ConfigError, match=item_id):
                await session.interrupt(item_id, played_samples=10)
        for samples in (-1, 1.5, True, "3"):
            with pytest.raises(ConfigError, match="played_samples"):
                await session.interrupt("item_1", played_samples=samples)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="or neither"):
            await session.interrupt("item_1")
        with pytest.raises(ConfigError, match="or neither"):
            await session.interrupt(played_samples=3)
        await wait_all_tasks_blocked()
        assert after_create(server) == []
        assert playback.generation == 0
        assert playback.statistics().queued_bytes == 1000 * MS
    with pytest.raises(trio.ClosedResourceError):
        await session.interrupt()


async def test_cancel_and_truncate_stay_together_ahead_of_audio() -> None:
    async with opened() as (session, server), session.playback() as playback:
        await speaking(session, server)
        await playback.receive()
        playback.played(ms=100)
        server.reads = False
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(session.append_audio, bytes(40_000))
            await wait_all_tasks_blocked()
            nursery.start_soon(session.interrupt)
            for _ in range(30):
                nursery.start_soon(session.append_audio, bytes(40_000))
            await wait_all_tasks_blocked()
            server.read_on()
        await wait_all_tasks_blocked()
        kinds = [event["type"] for event in after_create(server)]
        index = kinds.index("response.cancel")
        assert kinds[index + 1] == "conversation.item.truncate"
        assert index <= 2  # what was handed to the transport cannot be overtaken
        assert kinds.count("input_audio_buffer.append") == 60


async def test_interrupting_does_not_wait_for_the_server(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    server.ignore("response.cancel", "conversation.item.truncate")
    async with opened(server) as (session, _), session.playback() as playback:
        await speaking(session, server)
        await playback.receive()
        began = trio.current_time()
        await session.interrupt()
        assert trio.current_time() == began
        assert playback.statistics().queued_bytes == 0
        await wait_all_tasks_blocked()
        assert [event["type"] for event in after_create(server)] == ["response.cancel", "conversation.item.delete"]


async def test_a_cut_that_the_server_refuses_is_reported() -> None:
    async with opened() as (session, server), session.playback():
        server.refuse("conversation.item.delete", code="item_not_found")
        await speaking(session, server)
        with session.updates(ErrorReported) as errors:
            await session.interrupt()
            await wait_all_tasks_blocked()
            (reported,) = arrived(errors)
        assert reported.error.code == "item_not_found"


async def test_late_deltas_of_an_interrupted_response_reach_nobody() -> None:
    server = ScriptedServer()
    server.ignore("response.cancel")
    async with opened(server) as (session, _), session.playback() as playback:
        await speaking(session, server)
        await session.interrupt()
        with session.updates(ItemUpdated) as updates:
            push_audio(server, "resp_1", "item_1", bytes(960))
            push_words(server, "resp_1", "item_1", "late")
            await wait_all_tasks_blocked()
            assert [update for update in arrived(updates) if update.delta is not None] == []
        assert playback.statistics().queued_bytes == 0


# --- leaving --------------------------------------------------------------------------------------------------------


async def heard_some(playback: Playback) -> None:
    await playback.receive()
    playback.played(ms=250)


async def leave_by_exception() -> None:
    raise ZeroDivisionError


async def leave_by_cancellation(scope: trio.CancelScope) -> None:
    scope.cancel()
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("by_cancellation", [True, False])
@pytest.mark.parametrize("leaves", ["the playback", "the turn"])
async def test_a_scope_that_is_left_early_cuts_what_was_not_heard(leaves: str, by_cancellation: bool) -> None:
    async with opened() as (session, server):
        scope = trio.CancelScope()
        leave = partial(leave_by_cancellation, scope) if by_cancellation else leave_by_exception

        async def leave_playback() -> None:
            with scope:
                async with session.playback() as playback:
                    await speaking(session, server)
                    await heard_some(playback)
                    await leave()

        async def leave_turn() -> None:
            async with session.playback() as playback:
                with scope, suppress(ZeroDivisionError):
                    async with session.respond():
                        await wait_all_tasks_blocked()
                        push_item(server, "resp_1", "item_1")
                        push_audio(server, "resp_1", "item_1", bytes(1000 * MS))
                        await heard_some(playback)
                        await leave()
                await session.wait_for_playback()  # it is silent

        with session.updates(Interrupted) as updates:
            with suppress(ZeroDivisionError):
                await (leave_playback if leaves == "the playback" else leave_turn)()
            assert arrived(updates) == [Interrupted(item_id="item_1", heard_ms=250)]
        assert scope.cancelled_caught is by_cancellation
        await wait_all_tasks_blocked()
        assert after_create(server) == [CANCEL, truncate(250)]


async def test_leaving_a_playback_in_the_ordinary_way_cuts_nothing() -> None:
    async with opened() as (session, server):
        async with session.playback() as playback:
            await speaking(session, server)
            await heard_some(playback)
        await wait_all_tasks_blocked()
        assert after_create(server) == []


async def test_leaving_a_playback_by_an_exception_when_all_was_heard_stops_nothing() -> None:
    async with opened() as (session, server):
        with leaving_raises(ZeroDivisionError):
            async with session.playback():
                await session.create_response()
                raise ZeroDivisionError
        await wait_all_tasks_blocked()
        assert after_create(server) == []


async def test_a_turn_that_is_done_plays_on_when_it_is_left() -> None:
    async with opened() as (session, server), session.playback() as playback:
        async with session.respond() as turn:
            await wait_all_tasks_blocked()
            push_item(server, "resp_1", "item_1")
            push_audio(server, "resp_1", "item_1", bytes(1000 * MS))
            push_done(server, "resp_1")
            await turn.done()
        await wait_all_tasks_blocked()
        assert after_create(server) == []
        assert playback.statistics().queued_bytes == 1000 * MS


async def test_leaving_a_turn_that_waits_leaves_what_sounds_alone() -> None:
    async with opened() as (session, server), session.playback() as playback:
        await speaking(session, server)
        async with session.respond():
            await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        assert after_create(server) == []
        assert playback.generation == 0
