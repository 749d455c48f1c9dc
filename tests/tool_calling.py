"""One call of a tool, without a session."""

import json
from collections.abc import Callable
from typing import Any, cast

from trio_realtime.tools import Tool, ToolContext, ToolOutcome


def context(report: Callable[[Any], None] = lambda value: None) -> ToolContext:
    return ToolContext(
        call_id="call_1", name="look", item_id="item_1", response_id="resp_1", session=cast("Any", None), report=report
    )


async def run(made: Tool[..., Any], arguments: str = "{}", **options: Any) -> ToolOutcome:
    return await made.run(arguments, context(), **options)


def error_of(outcome: ToolOutcome) -> str:
    said = json.loads(outcome.output)
    assert set(said) == {"error"}
    assert outcome.result is None
    assert outcome.error is not None
    return str(said["error"])
