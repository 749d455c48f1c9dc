"""The interruption of the demo: what was played, heard and kept is the same; in memory, on virtual time."""

from __future__ import annotations

import wave
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from trio_realtime import RealtimeSession
from trio_realtime.audio import PCM16
from trio_realtime.cli import demo, loudspeaker
from trio_realtime.cli.demo import INTERRUPT_AFTER_MS, NO_TOOLS, NOT_CONFIRMED, NOT_INTERRUPTED, NOT_NOTICED
from trio_realtime.cli.loudspeaker import FRAME_SAMPLES, Loudspeaker
from trio_realtime.cli.report import DemoReport
from trio_realtime.cli.simulation import plays_its_part
from trio_realtime.testing import (
    INTERRUPTION,
    QUESTION,
    ScriptedTurn,
    Simulator,
    calls,
    load_voice,
    says,
)
from trio_realtime.testing.simulation.items import Items

HoldDemo = Callable[..., Awaitable[DemoReport]]
SPEECH = load_voice("interruption")
PARIS = {"city": "Paris"}


def simulator(pace: float = 0.3) -> Simulator:
    return Simulator([plays_its_part] * 9, transcripts=[QUESTION, INTERRUPTION], pace=pace)


def frames_of(path: Path) -> bytes:
    with wave.open(str(path)) as recorded:
        frames: bytes = recorded.readframes(recorded.getnframes())
    return frames


@pytest.mark.parametrize("pace", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("after_ms", [INTERRUPT_AFTER_MS, 777])
async def test_what_was_played_is_what_was_heard_and_what_is_kept(
    hold: HoldDemo, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, wav: Path, pace: float, after_ms: int
) -> None:
    monkeypatch.setattr(demo, "INTERRUPT_AFTER_MS", after_ms)
    sessions: list[RealtimeSession] = []

    async def keep(session: RealtimeSession) -> None:
        sessions.append(session)

    simulated = simulator(pace)
    report = await hold(simulated, message="Hello! Who are you?", interruption=SPEECH, beside=keep)
    cut = report.interruption
    assert cut is not None
    assert report.notes == []
    assert after_ms <= cut.heard_ms == cut.played_ms == cut.audio_end_ms < after_ms + 1_000
    assert cut.heard_ms == PCM16.bytes_to_ms(cut.played_bytes)
    assert 0 <= cut.played_bytes - cut.kept_bytes < PCM16.ms_to_bytes(1)
    assert cut.kept_bytes == PCM16.ms_to_bytes(cut.audio_end_ms) < cut.received_bytes
    # The same on the wire, at the server, and here.
    (connection,) = simulated.connections
    (event,) = [event for event in connection.received if event["type"] == "conversation.item.truncate"]
    assert (event["item_id"], event["audio_end_ms"]) == (cut.item_id, cut.heard_ms)
    (item,) = [item for item in report.items if item.truncated]
    assert (item.id, item.words, item.audio_ms) == (cut.item_id, "", cut.heard_ms)
    assert item.streamed.startswith("Tomorrow there will be light")
    recorded, kept = frames_of(wav), sessions[0].conversation[cut.item_id].audio
    greeting = report.items[1].audio_bytes
    assert recorded[greeting : greeting + len(kept)] == kept


async def test_the_file_holds_what_was_received_also_of_what_was_cut(
    hold: HoldDemo, autojump_clock: MockClock, wav: Path
) -> None:
    report = await hold(simulator(), interruption=SPEECH)
    cut = report.interruption
    assert cut is not None
    held = sum(item.audio_bytes for item in report.items if item.role == "assistant")
    assert len(frames_of(wav)) == report.audio.received_bytes == held + cut.received_bytes - cut.kept_bytes
    assert cut.received_bytes > cut.kept_bytes


async def test_the_demo_takes_well_under_twenty_seconds(hold: HoldDemo, autojump_clock: MockClock) -> None:
    await hold(simulator(), message="Hello! Who are you?", interruption=SPEECH)
    assert 5 < trio.current_time() < 15


async def test_the_user_who_interrupted_is_understood_and_answered(hold: HoldDemo, autojump_clock: MockClock) -> None:
    report = await hold(simulator(), interruption=SPEECH)
    assert [turn.transcript for turn in report.turns] == [QUESTION, INTERRUPTION]
    assert [item.words for item in report.items[-2:]] == [INTERRUPTION, "Of course."]
    assert {item.status for item in report.items if not item.truncated and item.status} == {"completed"}


async def test_what_leads_up_to_a_tool_is_not_interrupted(hold: HoldDemo, autojump_clock: MockClock) -> None:
    script: list[ScriptedTurn] = [
        says("Hello.", 0.5),
        [says("Let me see, this takes a while.", 4.0), calls("get_weather", PARIS)],
        says("It will rain, and rain, and rain.", 6.0),
        says("Yes?", 0.5),
    ]
    report = await hold(Simulator(script, pace=0), interruption=SPEECH)
    assert report.interruption is not None
    (item,) = [item for item in report.items if item.truncated]
    assert item.streamed == "It will rain, and rain, and rain."
    assert report.items[3].audio_ms == 4_000


async def test_an_answer_that_is_soon_over_is_not_interrupted(hold: HoldDemo, autojump_clock: MockClock) -> None:
    script = [says("Hello.", 0.5), calls("get_weather", PARIS), says("Rain.", 0.5)]
    report = await hold(Simulator(script), interruption=SPEECH)
    assert (report.interruption, report.notes) == (None, [NOT_INTERRUPTED])
    assert "conversation.item.truncate" not in report.events.sent
    assert len(report.turns) == 1


async def test_an_interruption_that_nobody_hears_cuts_nothing(hold: HoldDemo, autojump_clock: MockClock) -> None:
    script = [says("Hello.", 0.5), says("Words, words, words.", 9.0)]
    report = await hold(Simulator(script), interruption=PCM16.silence(500))
    assert (report.interruption, report.notes) == (None, [NO_TOOLS, NOT_NOTICED])
    assert report.items[-1].audio_ms == 9_000
    assert not any(item.truncated for item in report.items)


async def test_a_cut_that_the_server_does_not_confirm_is_not_claimed(
    hold: HoldDemo, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Items, "truncate", lambda self, event: None)
    report = await hold(simulator(), interruption=SPEECH)
    assert (report.interruption, report.notes) == (None, [NOT_CONFIRMED])
    assert report.events.sent["conversation.item.truncate"] == 1


async def test_an_answer_of_which_nothing_was_heard_is_gone(
    hold: HoldDemo, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loudspeaker, "FRAME_SAMPLES", 24_000 * 60)  # the first frame takes longer than the user waits
    script = [says("Hello.", 0.5), says("Unheard.", 20.0), says("At once.", 0.5)]
    report = await hold(Simulator(script, pace=0, audio_delta_ms=20_000), speech=SPEECH + SPEECH)
    assert report.interruption is None
    assert [item.words for item in report.items if item.role == "assistant"] == ["Hello.", "At once."]
    assert report.events.received["conversation.item.deleted"] == 1


async def test_a_loudspeaker_takes_as_long_as_it_sounds_and_counts_it(
    hold: HoldDemo, autojump_clock: MockClock
) -> None:
    times: list[tuple[float, int]] = []
    news = trio.lowlevel.ParkingLot()

    async def listen(session: RealtimeSession) -> None:
        async with session.playback() as playback, trio.open_nursery() as nursery:
            speaker = Loudspeaker(playback, news)
            nursery.start_soon(speaker.run)
            async with session.respond("Hello!") as turn:
                await turn.done()
            item_id = turn.items[0].id
            while speaker.played_bytes(item_id) < PCM16.ms_to_bytes(1_000):
                assert not speaker.quiet
                await news.park()
                times.append((trio.current_time(), speaker.played_bytes(item_id)))
            await session.wait_for_playback()
            assert speaker.quiet
            assert speaker.item_id == item_id
            assert speaker.played_bytes(item_id) == len(await turn.audio()) == PCM16.ms_to_bytes(1_000)
            assert playback.heard_ms(item_id) == speaker.played_ms(item_id) == 1_000
            nursery.cancel_scope.cancel()

    await hold(Simulator([says("Hello.", 1.0)], pace=0), beside=listen)
    first, last = times[0], times[-1]
    assert last[0] - first[0] == pytest.approx((last[1] - first[1]) / PCM16.bytes_per_second)
    steps = {after[1] - before[1] for before, after in pairwise(times)}
    assert max(steps) == PCM16.samples_to_bytes(FRAME_SAMPLES)


async def test_a_loudspeaker_stops_in_the_middle_of_what_it_plays(hold: HoldDemo, autojump_clock: MockClock) -> None:
    async def interrupt(session: RealtimeSession) -> None:
        async with session.playback() as playback, trio.open_nursery() as nursery:
            speaker = Loudspeaker(playback, trio.lowlevel.ParkingLot())
            nursery.start_soon(speaker.run)
            async with session.respond("Hello!") as turn:
                await turn.done()
            item_id = turn.items[0].id
            await trio.sleep(0.5)
            await session.interrupt()
            heard = speaker.played_bytes(item_id)
            assert 400 < speaker.played_ms(item_id) < 500
            await trio.sleep(1)
            assert speaker.played_bytes(item_id) == heard
            assert speaker.quiet
            nursery.cancel_scope.cancel()

    await hold(Simulator([says("Hello.", 3.0)], pace=0, audio_delta_ms=3_000), beside=interrupt)
