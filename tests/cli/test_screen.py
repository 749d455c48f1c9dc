"""What a demo looks like, at several widths, on a terminal and in a pipe."""

from __future__ import annotations

import io
import re
from collections.abc import Awaitable, Callable

import pytest
from rich.cells import cell_len
from rich.console import Console
from trio.testing import MockClock

from trio_realtime import SpeechStopped, ToolCallStarted, TranscriptionCompleted
from trio_realtime.audio import PCM16
from trio_realtime.cli.demo import NOTHING_SAID
from trio_realtime.cli.report import DemoReport, InterruptionReport
from trio_realtime.cli.screen import MARGIN, TerminalScreen
from trio_realtime.cli.simulation import GREETING, plays_its_part
from trio_realtime.cli.tables import print_report
from trio_realtime.cli.waveform import BARS, Waveform
from trio_realtime.testing import INTERRUPTION, QUESTION, ScriptedTurn, Simulator, calls, fails, load_voice, says
from trio_realtime.testing.simulation.script import Fails

HoldDemo = Callable[..., Awaitable[DemoReport]]
ANSWERS = ["I am a voice that was made for tests, and I say rather little.", "Rain, and then a little more rain."]


class Watched:
    def __init__(self, width: int = 80, *, encoding: str = "utf-8", terminal: bool = False) -> None:
        self._bytes = io.BytesIO()
        self._file = io.TextIOWrapper(self._bytes, encoding=encoding, errors="replace", newline="")
        self.console = Console(
            file=self._file, width=width, force_terminal=terminal, color_system="standard" if terminal else "auto"
        )
        self.screen = TerminalScreen(self.console)

    @property
    def text(self) -> str:
        self._file.flush()
        return self._bytes.getvalue().decode()


def simulator(*transcripts: str | Fails, pace: float = 0.3) -> Simulator:
    return Simulator([says(answer) for answer in ANSWERS], transcripts=transcripts, pace=pace)


def words_of(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [40, 60, 80, 200])
async def test_it_fits_the_terminal_and_says_everything(hold: HoldDemo, autojump_clock: MockClock, width: int) -> None:
    watched = Watched(width)
    report = await hold(simulator(), screen=watched.screen)
    print_report(watched.console, report)
    assert max(map(cell_len, watched.text.split("\n"))) <= width
    words = words_of(watched.text)
    for said in ("Hello!", QUESTION, *ANSWERS):
        assert said in words
    assert "\x1b" not in watched.text


@pytest.mark.parametrize("pace", [0.0, 0.3, 1.0])
async def test_what_was_asked_stands_before_the_answer(hold: HoldDemo, autojump_clock: MockClock, pace: float) -> None:
    # With a transcript this long the answer begins, and ends, before the transcription does.
    question = "Well, " + "so, " * 100 + "you know?"
    watched = Watched(200)
    await hold(simulator(question, pace=pace), screen=watched.screen)
    words = words_of(watched.text)
    assert [words.count(said) for said in (question, *ANSWERS)] == [1, 1, 1]
    assert words.index(ANSWERS[0]) < words.index(question[:10]) < words.index(ANSWERS[1])


async def test_tools_stand_after_the_question_however_late_that_is_understood(
    hold: HoldDemo, autojump_clock: MockClock
) -> None:
    question = "Well, " + "so, " * 100 + "you know?"
    script: list[ScriptedTurn] = [says("Hello."), calls("get_weather", {"city": "Rome"}), says("Rain.")]
    watched = Watched(200)
    await hold(Simulator(script, transcripts=[question]), screen=watched.screen)
    words = words_of(watched.text)
    places = [words.index(said) for said in (question, "get_weather(", "get_weather: {", "Rain.")]
    assert places == sorted(places)


async def test_the_turn_is_marked_beneath_the_bars(hold: HoldDemo, autojump_clock: MockClock) -> None:
    watched = Watched(80)
    report = await hold(simulator(), screen=watched.screen)
    (turn,) = report.turns
    lines = watched.text.splitlines()
    (at,) = [index for index, line in enumerate(lines) if "╰" in line]
    bars, bracket = lines[at - 1][MARGIN:], lines[at][MARGIN:]
    assert set(bars) <= set(BARS)
    assert set(bars[: bracket.index("╰")]) == {BARS[0]}  # nothing loud before the turn
    bar_ms = 5_552 / len(bars)
    assert abs(bracket.index("╰") * bar_ms - turn.start_ms) < 3 * bar_ms
    below = words_of(" ".join(lines[at + 1 : at + 3]))
    assert f"{turn.start_ms:,} to {turn.end_ms:,} ms, {turn.audio_ms:,} ms cut out" in below


async def test_a_second_turn_gets_a_line_of_its_own(hold: HoldDemo, autojump_clock: MockClock) -> None:
    watched = Watched(80)
    speech = load_voice("interruption") + load_voice("interruption")
    report = await hold(simulator("Stop.", "Stop, I said."), speech=speech, screen=watched.screen)
    assert len(report.turns) == 2
    lines = watched.text.splitlines()
    first, second = [index for index, line in enumerate(lines) if "╰" in line]
    assert lines[first][MARGIN] == lines[second][MARGIN] == "╰"  # the second line of bars begins within its turn
    assert max(len(lines[second]), len(lines[first])) <= 80
    assert abs(len(lines[second]) - len(lines[second - 1])) <= 1
    assert watched.text.count("your turn: ") == 2


async def test_a_turn_that_was_not_transcribed_says_so(hold: HoldDemo, autojump_clock: MockClock) -> None:
    watched = Watched(80)
    await hold(simulator(fails("inaudible", "It was too faint.")), screen=watched.screen)
    words = words_of(watched.text)
    assert words.index("not transcribed: It was too faint.") < words.index(ANSWERS[1])


async def test_silence_leaves_a_flat_line(hold: HoldDemo, autojump_clock: MockClock) -> None:
    watched = Watched(80)
    report = await hold(simulator(), speech=PCM16.silence(2_000), screen=watched.screen)
    watched.screen.close()
    *_, bars, note = watched.text.splitlines()
    assert re.fullmatch(rf" +{BARS[0]}+", bars)
    assert note.strip() == f"({NOTHING_SAID})"
    print_report(watched.console, report)


async def test_a_terminal_without_unicode_gets_letters_that_it_has(hold: HoldDemo, autojump_clock: MockClock) -> None:
    watched = Watched(80, encoding="ascii")
    report = await hold(simulator(), screen=watched.screen)
    print_report(watched.console, report)
    assert "?" not in watched.text.replace(QUESTION, "").replace("tomorrow?", "").replace("Who are you?", "")
    assert "\\___" in watched.text


async def test_a_terminal_gets_colours(hold: HoldDemo, autojump_clock: MockClock) -> None:
    watched = Watched(80, terminal=True)
    await hold(simulator(), screen=watched.screen)
    assert "\x1b[" in watched.text


async def test_the_tables_have_the_reports_figures(hold: HoldDemo, autojump_clock: MockClock) -> None:
    watched = Watched(100)
    report = await hold(simulator())
    print_report(watched.console, report)
    words = words_of(watched.text)
    for figure in (report.audio.received_bytes, report.audio.sent_bytes, report.tokens.input, report.tokens.output):
        assert f"{figure:,}" in words
    for kind, count in (report.events.sent | report.events.received).items():
        assert f"{kind} {count:,}" in words
    assert report.audio.wav in words.replace(" ", "")


def test_a_transcription_without_deltas_is_shown_whole() -> None:
    watched = Watched(80)
    watched.screen.show(TranscriptionCompleted(item_id="item_1", transcript="Will it rain?"))
    watched.screen.show(TranscriptionCompleted(item_id="item_2", transcript=""))
    assert watched.text == "       user  Will it rain?\n       user  (nothing was understood)\n"


def test_an_end_without_a_beginning_draws_nothing() -> None:
    watched = Watched(80)
    watched.screen.show(SpeechStopped(item_id="item_1", audio_end_ms=500))
    assert watched.text == ""


async def hold_all(hold: HoldDemo, watched: Watched, *, pace: float = 0.3) -> DemoReport:
    """The whole demo, as the command shows it."""
    whole = Simulator([plays_its_part] * 9, transcripts=[QUESTION, INTERRUPTION], pace=pace)
    report = await hold(whole, message=GREETING, interruption=load_voice("interruption"), screen=watched.screen)
    watched.screen.close()
    return report


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("pace", [0.0, 0.3, 1.0])
async def test_all_of_it_fits_the_terminal_and_stands_in_order(
    hold: HoldDemo, autojump_clock: MockClock, width: int, pace: float
) -> None:
    watched = Watched(width)
    report = await hold_all(hold, watched, pace=pace)
    conversation = words_of(watched.text)
    print_report(watched.console, report)
    assert max(map(cell_len, watched.text.split("\n"))) <= width
    cut = report.interruption
    assert cut is not None
    in_order = [
        QUESTION,
        'tool get_weather(city="Paris", day="tomorrow")',
        'get_daylight: {"sunrise": "6:12", "sunset": "21:48"} in 0.40 s',
        'get_weather: {"sky": "light rain", "celsius": 17} in 1.20 s',
        "assistant Tomorrow there will be",
        "over it",
        f"{report.turns[1].audio_ms:,} ms cut out",
        f"interrupted after {cut.heard_ms:,} ms, of {PCM16.bytes_to_ms(cut.received_bytes):,} ms received",
        f"loudspeaker played {cut.played_ms:,} ms ({cut.played_bytes:,} bytes)",
        f"server cut it at {cut.audio_end_ms:,} ms ({cut.kept_bytes:,} bytes kept)",
        f"user {INTERRUPTION}",
        "assistant Of course.",
    ]
    places = [conversation.index(words) for words in in_order]
    assert places == sorted(places)
    assert conversation.count("s of audio") == 2 + (pace == 0.0)  # one that is cut while it comes is not summed up


async def test_the_tables_show_the_calls_and_what_was_cut(hold: HoldDemo, autojump_clock: MockClock) -> None:
    watched = Watched(100)
    report = await hold_all(hold, Watched())
    print_report(watched.console, report)
    cut = report.interruption
    assert cut is not None
    words = words_of(watched.text)
    assert f"(cut where it was interrupted, and its words with it) {cut.audio_end_ms / 1000:.2f}" in words
    assert f"cut at {cut.audio_end_ms:,} ms ({cut.heard_ms:,} heard, {cut.played_ms:,} played)" in words
    assert f"{cut.kept_bytes:,} of {cut.received_bytes:,} bytes kept" in words
    assert 'call get_daylight(city="Paris", day="tomorrow")' in words
    assert 'result {"sky":"light rain","celsius":17}' in words
    assert 'tool get_weather: {"sky": "light rain", "celsius": 17} in 1.20 s' in words


async def test_the_line_for_an_interruption_begins_where_the_recording_did(
    hold: HoldDemo, autojump_clock: MockClock
) -> None:
    watched = Watched(80)
    report = await hold_all(hold, watched)
    lines = watched.text.splitlines()
    _, at = [index for index, line in enumerate(lines) if "╰" in line]
    bars, bracket = lines[at - 1][MARGIN:], lines[at][MARGIN:]
    assert abs(len(bars) - len(bracket)) <= 1
    turn = report.turns[1]
    assert turn.end_ms is not None
    bar_ms = Waveform(PCM16.bytes_to_ms(len(load_voice("interruption"))), 80 - MARGIN - 1).bar_ms
    assert abs(bracket.count("─") + 2 - (turn.end_ms - turn.start_ms) / bar_ms) <= 2
    assert bars[0] == BARS[0]  # what was sent before the server noticed is drawn, too
    assert bars[4:8] != BARS[0] * 4


async def test_what_was_asked_for_and_did_not_happen_is_said(hold: HoldDemo, autojump_clock: MockClock) -> None:
    watched = Watched(60)
    report = await hold(simulator(), interruption=PCM16.silence(300), screen=watched.screen)
    assert report.notes
    for note in report.notes:
        assert f"({note})" in words_of(watched.text)


def test_an_interruption_that_is_confirmed_late_is_shown_at_once() -> None:
    watched = Watched(80)
    watched.screen.interrupted(
        InterruptionReport(
            item_id="item_1",
            heard_ms=1_000,
            played_bytes=48_010,
            played_ms=1_000,
            audio_end_ms=1_000,
            received_bytes=96_000,
            kept_bytes=48_000,
        )
    )
    assert words_of(watched.text).startswith("interrupted after 1,000 ms, of 2,000 ms received loudspeaker played")


def test_arguments_that_are_no_object_are_shown_as_they_came() -> None:
    watched = Watched(80)
    for arguments in ("[1]", "not JSON", "{}"):
        watched.screen.show(ToolCallStarted(call_id="call_1", name="f", arguments=arguments, response_id="resp_1"))
    assert watched.text.splitlines() == ["       tool  f([1])", " " * MARGIN + "f(not JSON)", " " * MARGIN + "f()"]
