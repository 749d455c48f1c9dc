"""Calls of functions, as a scripted server makes them, and what was answered to them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .scripted_server import Event, ScriptedServer


def push_call(
    server: ScriptedServer,
    response_id: str,
    call_id: str,
    name: str = "f",
    arguments: str = "{}",
    *,
    status: str = "completed",
) -> None:
    """A response calls a function: its item comes, and is final."""
    item = {"id": f"item_{call_id}", "type": "function_call", "call_id": call_id, "name": name}
    begun = {**item, "status": "in_progress", "arguments": ""}
    final = {**item, "status": status, "arguments": arguments}
    server.push("response.output_item.added", response_id=response_id, item=begun)
    server.push("conversation.item.added", item=begun)
    server.push("conversation.item.done", item=final)
    server.push("response.output_item.done", response_id=response_id, item=final)


def outputs(received: Iterable[Event]) -> list[tuple[str, str]]:
    """The outputs that were sent: ids of calls, and their texts, in order."""
    items = [event["item"] for event in received if event["type"] == "conversation.item.create"]
    return [(item["call_id"], item["output"]) for item in items if item["type"] == "function_call_output"]


def error_in(output: str) -> str:
    """The words of an output that tells of an error, and of nothing else."""
    said: dict[str, Any] = json.loads(output)
    assert set(said) == {"error"}
    return str(said["error"])


def steps(received: Iterable[Event]) -> list[str]:
    """What was sent about responses and outputs, in order, in short: `create`, `cancel`, `output call_1`."""
    short: list[str] = []
    for event in received:
        item = event.get("item", {})
        if event["type"] in {"response.create", "response.cancel"}:
            short.append(event["type"].removeprefix("response."))
        elif item.get("type") == "function_call_output":
            short.append(f"output {item['call_id']}")
    return short
