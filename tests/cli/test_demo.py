"""The demo's conversation, without a terminal: in memory, on virtual time."""

from __future__ import annotations

import wave
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from trio_realtime import RealtimeSession, ServerError
from trio_realtime.audio import PCM16
from trio_realtime.cli.demo import ANSWER_TIMEOUT, MAX_SILENCE_MS, NOTHING_SAID, NoAnswer
from trio_realtime.cli.microphone import CHUNK_MS
from trio_realtime.cli.report import DemoReport, level_dbfs
from trio_realtime.errors import RealtimeError, ResponseFailed
from trio_realtime.testing import QUESTION, Says, Simulator, fails, incomplete, load_voice, says

HoldDemo = Callable[..., Awaitable[DemoReport]]


def frames_of(path: Path) -> bytes:
    with wave.open(str(path)) as recorded:
        assert (recorded.getnchannels(), recorded.getsampwidth(), recorded.getframerate()) == (1, 2, 24_000)
        frames: bytes = recorded.readframes(recorded.getnframes())
    return frames


async def test_what_is_written_and_what_is_said_are_answered(hold: HoldDemo, autojump_clock: MockClock) -> None:
    simulator = Simulator([says("Good morning."), says("Rain, I am afraid.")])
    report = await hold(simulator, message="Hello there!")
    assert [(item.role, item.words) for item in report.items] == [
        ("user", "Hello there!"),
        ("assistant", "Good morning."),
        ("user", QUESTION),
        ("assistant", "Rain, I am afraid."),
    ]
    assert {item.status for item in report.items} == {"completed"}
    assert [item.id for item in report.items] == [item["id"] for item in simulator.connections[0].items]


async def test_the_words_that_were_streamed_are_those_of_the_conversation(
    hold: HoldDemo, autojump_clock: MockClock
) -> None:
    report = await hold(Simulator())
    written, *others = report.items
    assert written.streamed == ""
    assert [item.streamed for item in others] == [item.words for item in others]
    assert all(item.words for item in others)


async def test_the_file_holds_exactly_the_audio_of_the_assistant(
    hold: HoldDemo, autojump_clock: MockClock, wav: Path
) -> None:
    first, second = PCM16.silence(150) + load_voice("interruption")[:4_800], load_voice("question")[:24_002]
    report = await hold(Simulator([says("One.", first), says("Two.", second)]))
    assert frames_of(wav) == first + second
    assert report.audio.wav == str(wav)
    assert report.audio.received_bytes == len(first) + len(second)
    assert sum(item.audio_bytes for item in report.items if item.role == "assistant") == report.audio.received_bytes


async def test_the_turn_is_cut_out_of_the_audio_that_was_sent(hold: HoldDemo, autojump_clock: MockClock) -> None:
    heard: list[RealtimeSession] = []

    async def keep(session: RealtimeSession) -> None:
        heard.append(session)

    speech = load_voice("question")
    report = await hold(Simulator(), beside=keep)
    (turn,) = report.turns
    assert turn.end_ms is not None
    assert 0 <= turn.start_ms < turn.end_ms <= report.audio.sent_ms
    assert turn.audio_bytes == PCM16.ms_to_bytes(turn.end_ms - turn.start_ms)
    audio = heard[0].conversation[turn.item_id or ""].audio
    assert audio == speech[PCM16.ms_to_bytes(turn.start_ms) : PCM16.ms_to_bytes(turn.end_ms)]
    before = level_dbfs(speech[: PCM16.ms_to_bytes(turn.start_ms)])
    assert turn.level_dbfs is not None
    assert turn.level_dbfs > (before or -96) + 20
    assert turn.transcript == QUESTION


async def test_the_microphone_is_sent_in_real_time_and_stays_open_until_the_answer(
    hold: HoldDemo, autojump_clock: MockClock
) -> None:
    report = await hold(Simulator([says("Hello.", 1.0), says("Yes.", 1.0)], pace=0), speech=load_voice("interruption"))
    spoken = report.audio.sent_ms / 1000
    assert report.audio.sent_bytes == report.events.sent["input_audio_buffer.append"] * PCM16.ms_to_bytes(CHUNK_MS)
    # Open when the first answer was heard, closed when the second was.
    assert report.seconds == pytest.approx(1.0 + spoken, abs=2 * CHUNK_MS / 1000)
    assert report.turns[0].end_ms is not None
    assert spoken == pytest.approx(report.turns[0].end_ms / 1000 + 1.0, abs=2 * CHUNK_MS / 1000)


async def test_events_are_counted_by_type_and_direction(hold: HoldDemo, autojump_clock: MockClock) -> None:
    received: list[tuple[int, int]] = []
    sessions: list[RealtimeSession] = []

    async def keep(session: RealtimeSession) -> None:
        sessions.append(session)
        received.append((session.statistics().received_frames, session.statistics().sent_events))

    simulator = Simulator()
    report = await hold(simulator, beside=keep)
    (frames_before, sent_before), statistics = received[0], sessions[0].statistics()
    assert sum(report.events.received.values()) == statistics.received_frames - frames_before
    assert sum(report.events.sent.values()) == statistics.sent_events - sent_before
    server_saw = Counter(event["type"] for event in simulator.connections[0].received)
    assert server_saw - Counter(report.events.sent) == Counter({"session.update": 1})
    assert report.events.received["response.done"] == 2


async def test_tokens_are_those_of_the_session_and_add_up(hold: HoldDemo, autojump_clock: MockClock) -> None:
    sessions: list[RealtimeSession] = []

    async def keep(session: RealtimeSession) -> None:
        sessions.append(session)

    tokens = (await hold(Simulator(), beside=keep)).tokens
    assert tokens.total == sessions[0].usage.total_tokens == tokens.input + tokens.output > 0
    assert tokens.input == tokens.input_text + tokens.input_audio
    assert tokens.output == tokens.output_text + tokens.output_audio


async def test_a_recording_with_two_turns_is_heard_as_two(hold: HoldDemo, autojump_clock: MockClock, wav: Path) -> None:
    # The second turn begins while the first is still being answered, and interrupts that.
    # And the file ends in the middle of it: what is left to be answered outlasts the file.
    speech = load_voice("interruption") + load_voice("question")[: PCM16.ms_to_bytes(3_000)]
    script = [says("Hello."), says("A very long answer. " * 20), says("Shorter, but not at once.")]
    report = await hold(Simulator(script, transcripts=["Stop.", "And now?"], pace=1.0), speech=speech)
    assert [turn.transcript for turn in report.turns] == ["Stop.", "And now?"]
    first, second = report.turns
    assert first.end_ms is not None
    assert first.end_ms <= second.start_ms
    assert [(item.role, item.status) for item in report.items][3:] == [
        ("assistant", "incomplete"),
        ("user", "completed"),
        ("assistant", "completed"),
    ]
    assert report.items[-1].words == "Shorter, but not at once."
    cut = report.interruption
    assert cut is not None
    held = sum(item.audio_bytes for item in report.items if item.role == "assistant")
    assert len(frames_of(wav)) == held + cut.received_bytes - cut.kept_bytes


async def test_silence_is_no_turn_and_needs_no_answer(hold: HoldDemo, autojump_clock: MockClock) -> None:
    report = await hold(Simulator(), speech=PCM16.silence(1_000), interruption=load_voice("interruption"))
    assert report.turns == []
    assert report.notes == [NOTHING_SAID]
    assert len(report.items) == 2
    assert abs(report.audio.sent_ms - 1_000 - MAX_SILENCE_MS) <= CHUNK_MS


async def test_a_turn_that_cannot_be_transcribed_is_reported_without_words(
    hold: HoldDemo, autojump_clock: MockClock
) -> None:
    report = await hold(Simulator(transcripts=[fails("inaudible")]))
    (turn,) = report.turns
    assert turn.transcript is None
    assert turn.audio_ms > 0
    assert report.items[-1].role == "assistant"


async def test_an_incomplete_answer_is_an_answer(hold: HoldDemo, autojump_clock: MockClock) -> None:
    report = await hold(Simulator([[says("I was about to"), incomplete()]]))
    assert [item.status for item in report.items[:2]] == ["completed", "incomplete"]
    assert len(report.items) == 4


async def test_a_failed_response_ends_the_demo_with_the_servers_words(
    hold: HoldDemo, autojump_clock: MockClock
) -> None:
    with pytest.raises(ResponseFailed, match="out of coffee"):
        await hold(Simulator([fails("insufficient_quota", "out of coffee")]))


@pytest.mark.parametrize("script", [[says("Never.", 10.0)], [says("Now.", 0.01), says("Never.", 10.0)]])
async def test_a_server_that_never_answers_is_given_up(
    hold: HoldDemo, autojump_clock: MockClock, script: list[Says]
) -> None:
    # A second of its speech takes a quarter of an hour: one answer never comes, the first or the last.
    began = trio.current_time()
    with pytest.raises(NoAnswer, match=f"{ANSWER_TIMEOUT:g} s"):
        await hold(Simulator(script, pace=1_000))
    assert trio.current_time() - began >= ANSWER_TIMEOUT


async def test_an_error_that_answers_no_command_ends_the_demo(hold: HoldDemo, autojump_clock: MockClock) -> None:
    async def provoke(session: RealtimeSession) -> None:
        await session.send({"type": "nonsense"})

    with pytest.raises(ServerError, match="nonsense"):
        await hold(Simulator(), beside=provoke)


async def test_a_session_that_ends_early_leaves_a_valid_file(
    hold: HoldDemo, autojump_clock: MockClock, wav: Path
) -> None:
    with pytest.raises(RealtimeError, match="maximum duration"):
        await hold(Simulator([says("Good morning.")], max_duration=2.0))
    assert len(frames_of(wav)) > 0
