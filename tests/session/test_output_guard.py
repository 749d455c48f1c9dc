"""The output guard: it sees what is said beside the stream, and stops the one response that it objects to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ConfigError,
    GuardTripped,
    Interrupted,
    ItemUpdated,
    OutputGuard,
    ResponseCancelled,
    ResponseDone,
    open_session,
)
from trio_realtime.testing import assert_no_leaks, says
from trio_realtime.transport import Closed, Deliver

from .calling import steps
from .scripted_server import ScriptedServer, opened
from .talking import MS, arrived, play, push_audio, push_created, push_done, push_item, push_words, requested, talking

STORY = "Once upon a time there was a secret that nobody knew, and it was told to everybody in the end."


async def no_secrets(words: str) -> str | None:
    return "it is a secret" if "secret" in words else None


def recorder(seen: list[str]) -> Callable[[str], Awaitable[str | None]]:
    async def look(words: str) -> str | None:
        seen.append(words)
        return None

    return look


async def test_a_guard_stops_the_response_that_it_objects_to_once(autojump_clock: MockClock) -> None:
    guard = OutputGuard(check=no_secrets, every_characters=10)
    async with talking(says(STORY), says("Fine."), output_guard=guard) as (session, server):
        with session.updates(GuardTripped, Interrupted) as updates:
            async with session.respond("Go.") as turn:
                with pytest.raises(ResponseCancelled):
                    await turn.text()
            said = "".join(delta.transcript or "" for delta in [each.delta for each in turn.deltas] if delta)
            assert "secret" in said
            assert len(said) < len(STORY) - 10
            (response,) = turn.responses
            assert arrived(updates) == [
                Interrupted(item_id=turn.items[0].id),
                GuardTripped(response_id=str(response.id), reason="it is a secret"),
            ]
            async with session.respond("And now?") as turn:
                assert await turn.text() == "Fine.", "the next one is another response"
            assert arrived(updates) == []
    assert steps(server.received) == ["create", "cancel", "create"]


async def test_a_guard_sees_text_too(autojump_clock: MockClock) -> None:
    arguments: dict[str, Any] = {"output_modalities": ["text"], "output_guard": no_secrets}
    async with talking(says(STORY * 5), **arguments) as (session, server):
        async with session.respond("Go.") as turn:
            with pytest.raises(ResponseCancelled):
                await turn.text()
        (item,) = turn.items
        assert 100 <= len(item.text) < 130
    assert steps(server.received) == ["create", "cancel"]


async def test_a_guard_is_asked_every_so_many_characters_and_at_the_end() -> None:
    seen: list[str] = []
    async with opened(output_guard=OutputGuard(check=recorder(seen), every_characters=4)) as (_, server):
        push_created(server, "r1")
        push_item(server, "r1", "i1")
        for words in ("abc", "d", "efghijk", "l", "m"):
            push_words(server, "r1", "i1", words)
            await wait_all_tasks_blocked()
        push_done(server, "r1")
        await wait_all_tasks_blocked()
    assert seen == ["abcd", "abcdefghijk", "abcdefghijklm"]


async def test_a_guard_is_not_asked_twice_about_the_same_words_nor_about_none() -> None:
    seen: list[str] = []
    async with opened(output_guard=OutputGuard(check=recorder(seen), every_characters=4)) as (_, server):
        for response_id, words in (("r1", "abcd"), ("r2", "")):
            push_created(server, response_id)
            push_item(server, response_id, f"of {response_id}")
            push_words(server, response_id, f"of {response_id}", words)
            await wait_all_tasks_blocked()
            push_done(server, response_id)
            await wait_all_tasks_blocked()
    assert seen == ["abcd"]


async def test_a_slow_guard_delays_nothing_and_then_sees_all_that_came_meanwhile(autojump_clock: MockClock) -> None:
    seen: list[tuple[float, int]] = []

    async def slow(words: str) -> str | None:
        seen.append((trio.current_time(), len(words)))
        await trio.sleep(30)
        return None

    async def delivered(**arguments: Any) -> list[float]:
        began = trio.current_time()
        times: list[float] = []
        async with talking(says(STORY), **arguments) as (session, _):
            with session.updates(ItemUpdated, ResponseDone) as updates:
                await session.send_message("Go.")
                async for update in updates:
                    times.append(trio.current_time() - began)
                    if isinstance(update, ResponseDone):
                        break
            await trio.sleep(60)
        return times

    guarded = await delivered(output_guard=OutputGuard(check=slow, every_characters=10))
    assert len(seen) == 2, "one call at a time"
    assert seen[0][0] < 2
    assert seen[1] == (seen[0][0] + 30, len(STORY))
    assert guarded == pytest.approx(await delivered())


@pytest.mark.parametrize("on_error", ["stop", "ignore"])
async def test_an_exception_of_the_guard_stops_the_response_unless_it_is_ignored(
    on_error: Any, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(words: str) -> str | None:
        raise LookupError("no such word")

    guard = OutputGuard(check=broken, every_characters=40, on_error=on_error)
    async with talking(says(STORY), pace=0.1, output_guard=guard) as (session, _):
        with session.updates(GuardTripped) as updates:
            async with session.respond("Go.") as turn:
                if on_error == "ignore":
                    assert await turn.text() == STORY
                else:
                    with pytest.raises(ResponseCancelled):
                        await turn.text()
            reasons = [update.reason for update in arrived(updates)]
        assert session.failure is None
    assert ["no such word" in reason for reason in reasons] == ([True] if on_error == "stop" else [])
    assert "the output guard failed" in caplog.text


async def test_a_guard_stops_a_response_beside_the_conversation_and_not_the_one_in_it() -> None:
    guard = OutputGuard(check=no_secrets, every_characters=1)
    async with opened(output_guard=guard) as (session, server):
        server.ignore("response.cancel")
        await session.create_response()
        await session.create_response(conversation="none")
        push_item(server, "resp_2", "i2")
        push_words(server, "resp_2", "i2", "secret")
        push_item(server, "resp_1", "i1")
        push_words(server, "resp_1", "i1", "harmless")
        await wait_all_tasks_blocked()
        assert [event["response_id"] for event in server.received if event["type"] == "response.cancel"] == ["resp_2"]


async def test_what_a_guard_finds_when_the_response_is_over_is_told_and_nothing_is_cancelled() -> None:
    async with opened(output_guard=no_secrets) as (session, server):
        with session.updates(GuardTripped, Interrupted) as updates:
            push_created(server, "r1")
            push_item(server, "r1", "i1")
            push_words(server, "r1", "i1", "secret")
            push_done(server, "r1")
            push_created(server, "r2")
            await wait_all_tasks_blocked()
            assert arrived(updates) == [GuardTripped(response_id="r1", reason="it is a secret")]
        assert steps(server.received) == []


@pytest.mark.parametrize("pace", [0.1, 1.0])
async def test_nothing_more_is_heard_of_a_guarded_response(pace: float, autojump_clock: MockClock) -> None:
    """With a pace of 0.1 the response is over before its end is heard."""
    told_at: list[float] = []

    async def slow(words: str) -> str | None:
        if len(words) < len(STORY) and pace < 1:
            return None
        await trio.sleep(1)
        return await no_secrets(words)

    heard: list[tuple[float, bool]] = []
    guard = OutputGuard(check=slow, every_characters=20)
    async with (
        talking(says(STORY), pace=pace, output_guard=guard) as (session, server),
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):

        async def listen() -> None:
            async for chunk in playback:
                heard.append((trio.current_time(), chunk.generation == playback.generation))
                await trio.sleep(len(chunk.audio) / MS / 1000)

        nursery.start_soon(listen)
        with session.updates(GuardTripped) as updates:
            await session.send_message("Go.")
            await updates.receive()
            told_at.append(trio.current_time())
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert heard
    assert all(at <= told_at[0] for at, _ in heard)
    (cut,) = requested(server, "conversation.item.truncate")
    assert 0 < cut["audio_end_ms"] <= told_at[0] * 1000
    assert len(requested(server, "response.cancel")) == (1 if pace == 1 else 0)


async def test_a_guarded_response_is_dropped_and_the_one_before_it_is_heard_to_its_end() -> None:
    guard = OutputGuard(check=no_secrets, every_characters=1)
    async with opened(output_guard=guard) as (session, server), session.playback() as playback:
        server.ignore("response.cancel", "conversation.item.delete")
        with session.updates(Interrupted, GuardTripped) as updates:
            for response_id, words in (("r1", "harmless"), ("r2", "secret")):
                push_created(server, response_id)
                push_item(server, response_id, f"of {response_id}")
                push_audio(server, response_id, f"of {response_id}", bytes(100 * MS))
                push_audio(server, response_id, f"of {response_id}", bytes(100 * MS))
                if response_id == "r1":
                    push_done(server, "r1")
                    await playback.receive()
                push_words(server, response_id, f"of {response_id}", words)
            await wait_all_tasks_blocked()
            assert [type(update) for update in arrived(updates)] == [GuardTripped]
        sent = [(event["type"], event.get("response_id", event.get("item_id"))) for event in server.received[1:]]
        assert sent == [("response.cancel", "r2"), ("conversation.item.delete", "of r2")]
        assert (await playback.receive()).item_id == "of r1"
        with trio.move_on_after(0) as nothing:
            await playback.receive()
        assert nothing.cancelled_caught
        assert playback.generation == 0


async def test_a_guard_that_objects_late_leaves_the_next_response_alone() -> None:
    objects = trio.Event()

    async def late(words: str) -> str | None:
        if "secret" not in words:
            return None
        await objects.wait()
        return "it is a secret"

    async with opened(output_guard=late) as (session, server), session.playback() as playback:
        for response_id, words in (("r1", "secret"), ("r2", "harmless")):
            push_created(server, response_id)
            push_item(server, response_id, f"of {response_id}")
            push_audio(server, response_id, f"of {response_id}", bytes(100 * MS))
            push_words(server, response_id, f"of {response_id}", words)
            if response_id == "r1":
                push_done(server, "r1")
                await playback.receive()
        await wait_all_tasks_blocked()
        objects.set()
        await wait_all_tasks_blocked()
        assert steps(server.received) == []
        assert (await playback.receive()).item_id == "of r2"


async def test_what_the_player_holds_together_with_a_guarded_response_stops_with_it() -> None:
    objects = trio.Event()

    async def late(words: str) -> str | None:
        await objects.wait()
        return "it is a secret" if "secret" in words else None

    async with opened(output_guard=late) as (session, server), session.playback() as playback:
        playback.played(bytes=0)
        for response_id, words in (("r1", "secret"), ("r2", "harmless")):
            push_created(server, response_id)
            push_item(server, response_id, f"of {response_id}")
            push_audio(server, response_id, f"of {response_id}", bytes(100 * MS))
            push_words(server, response_id, f"of {response_id}", words)
            if response_id == "r1":
                push_done(server, "r1")
            await playback.receive()
        objects.set()
        await wait_all_tasks_blocked()
        cancels = [event["response_id"] for event in server.received if event["type"] == "response.cancel"]
        assert cancels == ["r2"]
        assert playback.generation == 1
        assert session.failure is None


async def test_leaving_the_scope_ends_a_guard_that_is_asked(autojump_clock: MockClock) -> None:
    ended: list[float] = []

    async def for_ever(words: str) -> str | None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    with assert_no_leaks():
        async with talking(says(STORY), output_guard=for_ever) as (session, _):
            await session.send_message("Go.")
            await trio.sleep(20)
    assert ended == [20]


class EagerServer(ScriptedServer):
    """Delivers what is there before any other task has run, as a socket may."""

    async def pump(self, deliver: Deliver) -> Closed:
        while self._inbox:
            deliver(self._inbox.popleft() or b"", False)
        return await super().pump(deliver)


@pytest.mark.parametrize("run", range(8))  # Trio shuffles which task comes first
async def test_a_response_that_begins_with_the_connection_is_watched(run: int) -> None:
    """On a sideband connection a response may be under way already."""
    server = EagerServer(created=False)
    push_created(server, "r1")
    push_item(server, "r1", "i1")
    push_words(server, "r1", "i1", "secret")
    async with opened(server, call_id="rtc_1", output_guard=no_secrets) as (session, _):
        with session.updates(GuardTripped) as updates:
            push_done(server, "r1")
            with trio.fail_after(5):
                assert (await updates.receive()).response_id == "r1"


async def test_a_response_without_an_id_is_not_watched() -> None:
    seen: list[str] = []
    async with opened(output_guard=recorder(seen)) as (session, server):
        server.push("response.created", response={"status": "in_progress"})
        push_item(server, "", "i1")
        push_words(server, "", "i1", "secret")
        server.push("response.done", response={"status": "completed"})
        await wait_all_tasks_blocked()
        assert session.failure is None
    assert seen == []


@pytest.mark.parametrize(
    "options",
    [
        {"check": "no function"},
        {"every_characters": 0},
        {"every_characters": 2.5},
        {"every_characters": "100"},
        {"on_error": "raise"},
    ],
)
def test_options_of_a_guard_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options)).replace("check", "function")):
        OutputGuard(**dict[str, Any](check=no_secrets) | options)


async def test_a_guard_that_is_no_function_is_refused_before_anything_is_sent() -> None:
    server = ScriptedServer()
    with pytest.raises(ConfigError, match="output_guard"):
        async with open_session(transport=server, output_guard=cast("Any", "no function")):
            raise AssertionError
    assert server.received == []


async def test_playing_beside_a_guard_without_objections_is_not_disturbed(autojump_clock: MockClock) -> None:
    seen: list[str] = []
    guard = OutputGuard(check=recorder(seen), every_characters=10)
    async with (
        talking(says(STORY), output_guard=guard) as (session, server),
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback)
        async with session.respond("Go.") as turn:
            assert await turn.text() == STORY
        await session.wait_for_playback()
        nursery.cancel_scope.cancel()
    assert seen[-1] == STORY
    assert steps(server.received) == ["create"]
