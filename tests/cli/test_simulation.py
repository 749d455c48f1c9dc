"""The part that the simulated model plays in the demo, without any server."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.cli.simulation import GREETING, NOT_UNDERSTOOD, plays_its_part
from trio_realtime.testing import INTERRUPTION, QUESTION, Calls, ModelContext, Says

CALL = {"type": "function_call", "name": "get_weather", "call_id": "call_1", "arguments": "{}"}
SAID = {"type": "message", "role": "user", "content": []}


def output(words: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "call_1", "output": words}


def said(context: ModelContext) -> str:
    turn = plays_its_part(context)
    assert isinstance(turn, Says)
    return turn.text


@pytest.mark.parametrize("heard", [QUESTION, NOT_UNDERSTOOD])
def test_what_is_asked_takes_both_tools(heard: str) -> None:
    turn = plays_its_part(ModelContext(items=[SAID], heard=heard))
    assert isinstance(turn, list)
    assert all(isinstance(each, Calls) for each in turn)
    assert {each.name for each in turn if isinstance(each, Calls)} == {"get_weather", "get_daylight"}


def test_the_answer_tells_what_the_tools_gave() -> None:
    outputs = [output('{"sky": "hail", "celsius": 3}'), output('{"sunrise": "7:01", "sunset": "18:59"}')]
    words = said(ModelContext(items=[CALL, CALL, *outputs], heard=QUESTION))
    assert all(fact in words for fact in ("hail", "3 degrees", "7:01", "18:59"))


@pytest.mark.parametrize("given", ['{"error": "no wind"}', '["no wind"]', '"no wind"'])
def test_a_tool_that_gave_something_else_is_quoted(given: str) -> None:
    assert "no wind" in said(ModelContext(items=[CALL, output(given)], heard=QUESTION))


@pytest.mark.parametrize("heard", [INTERRUPTION, NOT_UNDERSTOOD])
def test_who_interrupts_is_yielded_to(heard: str) -> None:
    assert said(ModelContext(items=[CALL, output("{}"), SAID], heard=heard)) == "Of course."


def test_what_is_written_is_answered() -> None:
    assert "simulated" in said(ModelContext(items=[SAID], heard=GREETING))
    assert "Good evening." in said(ModelContext(items=[SAID], heard="Good evening."))
    assert said(ModelContext())
