"""The user speaks over the assistant: what was heard stays, to the millisecond below, and nothing else."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ErrorReported,
    Interrupted,
    ItemDeleted,
    ItemTruncated,
    RealtimeSession,
)
from trio_realtime.testing import SimulatedConnection, load_voice, says

from .scripted_server import opened
from .talking import (
    MS,
    arrived,
    play,
    push_audio,
    push_done,
    push_item,
    push_speech_ended,
    requested,
    sent_after,
    talking,
)

CUTS = ("conversation.item.truncate", "conversation.item.delete")


async def speak(session: RealtimeSession, *, ms: int = 20, bytes_per_ms: int = MS, voice: bytes | None = None) -> None:
    """The user speaks in real time."""
    voice = load_voice("interruption") if voice is None else voice
    for start in range(0, len(voice), ms * bytes_per_ms):
        await session.append_audio(voice[start : start + ms * bytes_per_ms])
        await trio.sleep(ms / 1000)


def of_server(connection: SimulatedConnection, item_id: str) -> dict[str, Any] | None:
    return next((item for item in connection.items if item["id"] == item_id), None)


@pytest.mark.parametrize("pace", [0.1, 1.0])
async def test_speech_cuts_the_item_where_it_was_heard(pace: float, autojump_clock: MockClock) -> None:
    """With a pace of 0.1 the response is over long before the ear is; with 1 it is under way."""
    async with (
        talking(says("A long story.", audio=20.0), pace=pace, turn_detection="server_vad") as (session, server),
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback)
        with session.updates(Interrupted, ItemTruncated, ItemDeleted, ErrorReported) as updates:
            await session.send_message("Tell me.")
            await trio.sleep(3.21)
            item = session.conversation.items[-1]
            await speak(session)
            interrupted, truncated = arrived(updates)
        assert isinstance(interrupted, Interrupted)
        assert interrupted.item_id == item.id
        assert interrupted.heard_ms is not None
        assert interrupted.heard_ms == playback.heard_ms(item.id)
        # Chunks last 200 ms; those whose time was over count, to the millisecond below.
        assert 2800 <= interrupted.heard_ms <= 4200
        assert interrupted.heard_ms % 200 == 0
        assert isinstance(truncated, ItemTruncated)
        assert truncated.audio_end_ms == interrupted.heard_ms
        (cut,) = requested(server, *CUTS)
        assert (cut["item_id"], cut["audio_end_ms"]) == (item.id, interrupted.heard_ms)
        assert len(item.audio) == interrupted.heard_ms * MS
        held = of_server(server, item.id)
        assert held is not None
        assert "transcript" not in held["content"][0]
        await session.wait_for_playback()
        nursery.cancel_scope.cancel()


async def test_heard_is_exact_to_the_millisecond_below(autojump_clock: MockClock) -> None:
    async with (
        talking(says("A long story.", audio=20.0), pace=0.1, turn_detection="server_vad") as (session, server),
        session.playback() as playback,
    ):
        await session.send_message("Tell me.")
        playback.played(bytes=0)
        for _ in range(20):
            await playback.receive()
        playback.played(bytes=1234 * MS + 47)
        with session.updates(Interrupted, ItemTruncated) as updates:
            await session.append_audio(load_voice("interruption"))
            await trio.sleep(0.1)
            interrupted, truncated = arrived(updates)
        assert interrupted == Interrupted(item_id=truncated.item.id, heard_ms=1234)
        assert truncated.audio_end_ms == 1234
        assert requested(server, *CUTS)[0]["audio_end_ms"] == 1234


async def test_items_behind_the_one_that_sounds_are_deleted(autojump_clock: MockClock) -> None:
    script = [says("The first.", audio=3.0), says("The second.", audio=3.0)], says("The third.", audio=3.0)
    async with (
        talking(*script, pace=0.05, turn_detection="server_vad") as (session, server),
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback)
        for words in ("a", "b"):
            async with session.respond(words) as turn:
                await turn.done()
        assert trio.current_time() < 1
        first, second, third = [item for item in session.conversation if item.role == "assistant"]
        await trio.sleep(4)
        with session.updates(Interrupted, ItemTruncated, ItemDeleted) as updates:
            await session.append_audio(load_voice("interruption"))
            await trio.lowlevel.checkpoint()
            await wait_for_cuts(server, 2)
            await trio.sleep(0.01)
            interrupted, truncated, deleted = arrived(updates)
        assert playback.heard_ms(first.id) == 3000
        assert interrupted.item_id == truncated.item.id == second.id
        assert truncated.audio_end_ms == interrupted.heard_ms == playback.heard_ms(second.id)
        assert 0 < interrupted.heard_ms < 3000
        assert deleted.item is third
        assert of_server(server, third.id) is None
        assert first.audio_held_bytes == 3000 * MS  # heard in full: not touched
        nursery.cancel_scope.cancel()


async def wait_for_cuts(server: SimulatedConnection, count: int) -> None:
    with trio.fail_after(10):
        while len(requested(server, *CUTS)) < count:  # noqa: ASYNC110  the simulator has no event for it
            await trio.sleep(0.001)


async def test_g711_is_cut_where_it_was_heard(autojump_clock: MockClock) -> None:
    arguments: dict[str, Any] = {"turn_detection": "server_vad", "output_format": "audio/pcma"}
    async with (
        talking(says("A long story.", audio=20.0), **arguments) as (session, server),
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(partial(play, playback, rate_hz=8000, bytes_per_sample=1))
        await session.send_message("Tell me.")
        await trio.sleep(3)
        with session.updates(Interrupted, ItemTruncated) as updates:
            await speak(session)
            interrupted, truncated = arrived(updates)
        assert interrupted.heard_ms == truncated.audio_end_ms == requested(server, *CUTS)[0]["audio_end_ms"]
        assert 2600 <= interrupted.heard_ms <= 4200
        assert len(truncated.item.audio) == interrupted.heard_ms * 8
        nursery.cancel_scope.cancel()


async def test_what_was_heard_in_full_is_not_cut_and_nobody_is_interrupted(autojump_clock: MockClock) -> None:
    async with (
        talking(says("Short."), turn_detection="server_vad") as (session, server),
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback)
        await session.send_message("x")
        await session.wait_for_reply()
        await session.wait_for_playback()
        with session.updates(Interrupted) as updates:
            await speak(session)
            assert arrived(updates) == []
        assert not requested(server, *CUTS)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("sounding", [True, False])
async def test_without_a_playback_speech_interrupts_once_and_cuts_nothing(
    sounding: bool, autojump_clock: MockClock
) -> None:
    async with talking(says("A story.", audio=5.0), turn_detection="server_vad") as (session, server):
        with session.updates(Interrupted) as updates:
            if sounding:
                await session.send_message("x")
                await trio.sleep(1)
            await speak(session)
            (interrupted,) = arrived(updates)
        assert interrupted.heard_ms is None
        assert (interrupted.item_id is not None) is sounding
        assert not requested(server, *CUTS, "response.cancel")


@pytest.mark.parametrize("sounding", [True, False])
async def test_speech_that_may_not_interrupt_cuts_nothing(sounding: bool, autojump_clock: MockClock) -> None:
    detection = {"type": "server_vad", "interrupt_response": False, "create_response": False}
    async with (
        talking(says("A story.", audio=20.0), turn_detection=detection) as (session, server),
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback)
        if sounding:
            await session.send_message("x")
            await trio.sleep(1)
        with session.updates(Interrupted) as updates:
            await speak(session)
            assert len(arrived(updates)) == sounding
        assert not requested(server, *CUTS)
        assert playback.generation == 0
        nursery.cancel_scope.cancel()


async def test_late_audio_of_an_interrupted_response_is_not_handed_out() -> None:
    async with opened(turn_detection="server_vad") as (session, server), session.playback() as playback:
        await session.create_response()
        push_item(server, "resp_1", "item_1")
        push_audio(server, "resp_1", "item_1", bytes(300 * MS))
        await playback.receive()
        playback.played(ms=10)
        push_speech_ended(server)
        push_audio(server, "resp_1", "item_1", bytes(300 * MS))
        push_item(server, "resp_1", "item_2")
        push_audio(server, "resp_1", "item_2", bytes(300 * MS))
        push_done(server, "resp_1", "cancelled")
        await wait_all_tasks_blocked()
        assert playback.statistics().queued_bytes == 0
        (cut,) = sent_after(server, *CUTS)
        assert cut["audio_end_ms"] == 10
        await session.wait_for_playback()
