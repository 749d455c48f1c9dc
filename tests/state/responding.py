"""What tests of responses talk with: requests, what answers them, and tools that are called."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from trio_realtime.state.effects import Effects
from trio_realtime.state.machine import Machine
from trio_realtime.state.tool_calls import ToolPolicy
from trio_realtime.state.updates import TurnDone
from trio_realtime.wire.client_events import ConversationItemCreate, ResponseCancel, ResponseCreate
from trio_realtime.wire.responses import ResponseParams

from .talks import call_item, new_machine, published, receive, sent

CONFLICT = "conversation_already_has_active_response"


def create(machine: Machine, event_id: str = "e1", **params: Any) -> Any:
    """Ask for a response; gives what goes out, None if it waits."""
    event = ResponseCreate(event_id=event_id, response=ResponseParams(**params) if params else UNSET)
    return next(iter(sent(machine.command(event))), None)


def answers(event: str, request: Any, response_id: str, **fields: Any) -> dict[str, Any]:
    """A response that answers a request; None is the server's own."""
    metadata = None if request is None else request.response.metadata
    return {
        "type": f"response.{event}",
        "response": {"id": response_id, "conversation_id": "c", "metadata": metadata, **fields},
    }


def refused(event_id: str, code: str = "invalid_value") -> dict[str, Any]:
    """The server refuses a command."""
    return {"type": "error", "error": {"message": "no", "code": code, "event_id": event_id}}


def with_tool(**policy: Any) -> Machine:
    """A machine that has the function which `call_item` calls."""
    machine = new_machine()
    machine.responses.tools.calls.tools = {"get_weather": ToolPolicy(**policy)}
    return machine


def called(machine: Machine, event_id: str = "e1", **params: Any) -> None:
    """A request was answered by `r1`, which is done and has called a function that still runs."""
    request = create(machine, event_id, **params)
    final = call_item("i1", "{}", "completed")
    receive(machine, answers("created", request, "r1"), answers("done", request, "r1", output=[final]))


def turns(effects: list[Effects]) -> list[tuple[str, list[str | None]]]:
    """The turns that are done, with their responses."""
    return [(turn.turn_id, [each.id for each in turn.responses]) for turn in published(effects, TurnDone)]


def names(events: list[Any]) -> list[object]:
    """What goes out: which response is cancelled, which call is answered, which request is made."""
    said: list[object] = []
    for event in events:
        if isinstance(event, ResponseCancel):
            said.append(("cancel", event.response_id))
        elif isinstance(event, ConversationItemCreate):
            said.append(("output", getattr(event.item, "call_id", None)))
        else:
            said.append(("ask", event.event_id))
    return said
