"""The tools of the demo: they run side by side, and one answer follows; in memory, on virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from trio_realtime.cli import weather
from trio_realtime.cli.demo import NO_TOOLS, Unwatched
from trio_realtime.cli.report import DemoReport, ToolReport
from trio_realtime.cli.weather import DAYLIGHT_SECONDS, WEATHER_SECONDS
from trio_realtime.state.updates import ResponseStarted, ToolCallStarted, Update
from trio_realtime.testing import ScriptedTurn, Simulator, calls, load_voice, says

HoldDemo = Callable[..., Awaitable[DemoReport]]
PARIS = {"city": "Paris", "day": "tomorrow"}
BOTH: list[ScriptedTurn] = [
    says("Hello."),
    [calls("get_weather", PARIS), calls("get_daylight", PARIS)],
    says("Rain, and a long day."),
]


class Clocked(Unwatched):
    """A screen that notes when what happens."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.responses: list[float] = []

    def show(self, update: Update) -> None:
        if isinstance(update, ToolCallStarted):
            self.started[update.name] = trio.current_time()
        if isinstance(update, ResponseStarted):
            self.responses.append(trio.current_time())

    def tool_ended(self, report: ToolReport) -> None:
        self.ended[report.name] = trio.current_time()


async def test_both_tools_run_at_once_and_one_answer_follows(hold: HoldDemo, autojump_clock: MockClock) -> None:
    clocked = Clocked()
    report = await hold(Simulator(BOTH, pace=0), screen=clocked)
    first, second = report.tools
    assert {first.name, second.name} == {"get_weather", "get_daylight"}
    assert {tool.name: tool.seconds for tool in report.tools} == {
        "get_weather": pytest.approx(WEATHER_SECONDS),
        "get_daylight": pytest.approx(DAYLIGHT_SECONDS),
    }
    assert clocked.started["get_weather"] == clocked.started["get_daylight"]
    assert clocked.ended["get_daylight"] < clocked.ended["get_weather"] == clocked.responses[-1]
    assert len(clocked.responses) == 3  # the greeting, the calls, and one that tells what both gave
    assert report.items[-1].words == "Rain, and a long day."


async def test_a_call_is_reported_with_what_it_was_given_and_gave(hold: HoldDemo, autojump_clock: MockClock) -> None:
    report = await hold(Simulator(BOTH))
    tools = {tool.name: tool for tool in report.tools}
    assert all((tool.arguments, tool.error) == (PARIS, None) for tool in report.tools)
    assert tools["get_weather"].result == {"sky": "light rain", "celsius": 17}
    assert tools["get_daylight"].result == {"sunrise": "6:12", "sunset": "21:48"}
    assert [item.type for item in report.items[3:7]] == ["function_call"] * 2 + ["function_call_output"] * 2
    assert report.items[3].words == 'get_weather(city="Paris", day="tomorrow")'
    assert report.items[5].words == '{"sunrise":"6:12","sunset":"21:48"}'


@pytest.mark.parametrize("arguments", ['{"city": "Paris", "day": "yesterday"}', "not even JSON"])
async def test_a_call_that_fails_is_reported_with_its_error(
    hold: HoldDemo, autojump_clock: MockClock, arguments: str
) -> None:
    report = await hold(Simulator([says("Hello."), calls("get_weather", arguments), says("I do not know.")]))
    (tool,) = report.tools
    assert tool.result is None
    assert tool.error
    assert arguments in report.items[3].words.replace("get_weather(", "") or "yesterday" in report.items[3].words
    assert report.items[-1].words == "I do not know."


async def test_a_call_over_which_the_user_speaks_is_cancelled(
    hold: HoldDemo, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weather, "WEATHER_SECONDS", 60.0)
    script = [says("Hello."), calls("get_weather", PARIS), says("Never mind, then.")]
    speech = load_voice("interruption") + load_voice("question")
    report = await hold(Simulator(script, pace=0), speech=speech)
    (tool,) = report.tools
    assert (tool.error, tool.result) == ("cancelled", None)
    assert tool.seconds is not None
    assert 0 < tool.seconds < 60
    assert len(report.turns) == 2
    assert report.items[-1].words == "Never mind, then."
    assert report.seconds < 20


async def test_an_answer_that_the_user_made_needless_is_not_waited_for(
    hold: HoldDemo, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The turn whose tool is cancelled is done; what counts is the answer to what was said over it, which comes late.
    monkeypatch.setattr(weather, "WEATHER_SECONDS", 60.0)
    script = [
        says("Hello."),
        calls("get_weather", PARIS),
        calls("get_daylight", PARIS),
        says("A long, long day, and much to say of it.", 8.0),
        says("Of course."),
    ]
    voice = load_voice("interruption")
    report = await hold(
        Simulator(script, transcripts=["Stop.", "A"], pace=0.3), speech=voice + voice, interruption=voice
    )
    assert [tool.error for tool in report.tools] == ["cancelled", None]
    assert report.notes == []
    assert report.interruption is not None


async def test_without_a_call_it_says_so(hold: HoldDemo, autojump_clock: MockClock) -> None:
    report = await hold(
        Simulator([says("Hello."), says("Words, words, words.", 4.0), says("Yes?")]),
        interruption=load_voice("interruption"),
    )
    assert report.tools == []
    assert report.notes == [NO_TOOLS]
    assert report.interruption is not None
