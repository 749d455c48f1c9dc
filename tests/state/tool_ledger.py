"""A ledger of tool calls, and calls for it."""

import json

from trio_realtime.state.tool_calls import ToolCalls, ToolPolicy
from trio_realtime.wire.items import FunctionCall, FunctionCallOutput

TOOLS = {
    "weather": ToolPolicy(),
    "book": ToolPolicy(on_interrupt="finish"),
    "note": ToolPolicy(reply=False),
    "ask": ToolPolicy(runs=False),
}


def ledger() -> ToolCalls:
    calls = ToolCalls()
    calls.tools.update(TOOLS)
    return calls


def call(call_id: str, name: str = "weather", arguments: str = "{}", status: str | None = "completed") -> FunctionCall:
    return FunctionCall(id=f"item_{call_id}", call_id=call_id, name=name, arguments=arguments, status=status)


def error_of(output: FunctionCallOutput) -> str:
    said = json.loads(output.output)
    assert set(said) == {"error"}
    return str(said["error"])
