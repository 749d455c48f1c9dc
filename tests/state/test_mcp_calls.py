"""Calls of tools of MCP servers, which run beside the response that made them: when their items are final."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.state.effects import Effects
from trio_realtime.state.response_events import PRIVATE_KEY
from trio_realtime.wire.client_events import ResponseCreate
from trio_realtime.wire.responses import ResponseParams

from .talks import new_machine, receive


def response(event: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{event}", "response": {"id": "r1", "conversation_id": "c", **fields}}


def mcp_call(**fields: Any) -> dict[str, Any]:
    return {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "f", "arguments": "{}", **fields}


def item_event(name: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"response.output_item.{name}", "response_id": "r1", "output_index": 0, "item": item}


FAILED = {"error": {"type": "tool_execution_error", "message": "no"}}


def told(effects: list[Effects]) -> list[str]:
    return [type(update).__name__ for each in effects for update in each.publish if "Item" in type(update).__name__]


@pytest.mark.parametrize("result", [{"output": "yes"}, FAILED], ids=["output", "error"])
def test_a_call_that_runs_beside_its_response_is_complete_when_it_ends(result: dict[str, Any]) -> None:
    machine = new_machine()
    receive(machine, response("created"), item_event("added", mcp_call()))
    assert told(receive(machine, response("done", status="completed", output=[mcp_call()]))) == []
    assert told(receive(machine, item_event("done", mcp_call(**result)))) == ["ItemUpdated", "ItemCompleted"]


@pytest.mark.parametrize("status", ["cancelled", "incomplete", "failed"])
def test_a_call_is_over_with_a_response_that_was_cut_short_but_its_end_is_told(status: str) -> None:
    machine = new_machine()
    receive(machine, response("created"), item_event("added", mcp_call()))
    over = receive(machine, response("done", status=status, output=[mcp_call()]))
    assert told(over) == ["ItemUpdated", "ItemCompleted"]
    assert told(receive(machine, item_event("done", mcp_call(**FAILED)))) == ["ItemUpdated"]


def test_a_call_beside_the_conversation_does_not_enter_it_when_it_ends() -> None:
    machine = new_machine()
    request = ResponseCreate(event_id="e1", response=ResponseParams(conversation="none"))
    asked: Any = machine.command(request).send[0]
    beside = {"conversation_id": None, "metadata": {PRIVATE_KEY: asked.response.metadata[PRIVATE_KEY]}}
    receive(machine, response("created", **beside), item_event("added", mcp_call()))
    receive(machine, response("done", **beside, status="completed", output=[mcp_call()]))
    assert told(receive(machine, item_event("done", mcp_call(output="late")))) == []
    assert machine.conversation.get("mcp_1") is None
