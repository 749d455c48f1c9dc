"""Runs the functions that the model calls: each call a task of the session's, in a cancel scope of its own.

What becomes of a call is the ledger's to say (`state/tool_calls.py`); here a function runs, waits for its approval and
for its turn, and its outcome is told to the ledger once. Nothing that a function does delays reading from the socket.
"""

import logging
from typing import Any

import trio

from .errors import ToolError
from .session_scope import SessionScope
from .state.tool_calls import ToolCall, ToolPolicy, error_output
from .state.updates import (
    ApprovalRequested,
    ToolCallCancelled,
    ToolCallFinished,
    ToolCallStarted,
    ToolProgress,
)
from .tool_arguments import ArgumentsError
from .tools import Tool, ToolContext, ToolOutcome
from .wire.session_config import FunctionTool, McpTool

AnyTool = Tool[..., Any]

logger: logging.Logger = logging.getLogger("trio_realtime")


class _Approval:
    """A call that waits to be allowed."""

    def __init__(self) -> None:
        self.settled = trio.Event()
        self.granted = False
        self.reason: str | None = None


class ToolRunner:
    """The functions of one session, and their calls that are under way.

    Args:
        scope: The session's.

    Attributes:
        session: What a tool's context shows: the session, set once it is made.
    """

    def __init__(self, scope: SessionScope) -> None:
        self.session: Any = None
        self._scope = scope
        self._tools: dict[str, AnyTool] = {}
        self._limiters: dict[str, trio.CapacityLimiter] = {}
        self._running: dict[str, trio.CancelScope] = {}
        self._approvals: dict[str, _Approval] = {}

    @property
    def tools(self) -> tuple[AnyTool, ...]:
        """The functions that the session holds."""
        return tuple(self._tools.values())

    def hold(self, tools: tuple[AnyTool, ...], definitions: tuple[FunctionTool | McpTool, ...]) -> None:
        """The session has these functions and these plain definitions from now on; open calls are not touched."""
        self._tools = {tool.name: tool for tool in tools}
        self._limiters = {tool.name: self._limiters.get(tool.name) or tool.limiter() for tool in tools}
        policies = {tool.name: tool.policy for tool in tools}
        for definition in definitions:
            if isinstance(definition, FunctionTool):
                policies[definition.name] = ToolPolicy(runs=False)
        self._scope.machine.responses.tools.calls.tools = policies

    def start(self, call: ToolCall, nursery: trio.Nursery) -> None:
        """The model called a function of the session."""
        tool = self._tools.get(call.name)
        if tool is None:  # it was removed between the call and its item's end
            self._settle(call, error_output(f"the tool {call.name!r} was removed"))
            return
        self._running[call.call_id] = trio.CancelScope()
        nursery.start_soon(self._run, tool, call, name=f"tool {call.name}")

    def cancel(self, call_id: str) -> None:
        """A call is not wanted any more; its output, if it gets one, is on its way already."""
        scope = self._running.get(call_id)
        if scope is not None:
            scope.cancel()

    def cancel_all(self) -> None:
        """The session ends."""
        for scope in self._running.values():
            scope.cancel()

    def settle_approval(self, request_id: str, *, granted: bool, reason: str | None) -> bool:
        """The program allows or forbids a call; false if none waits under this id."""
        approval = self._approvals.pop(request_id, None)
        if approval is None:
            return False
        approval.granted, approval.reason = granted, reason
        approval.settled.set()
        return True

    async def _run(self, tool: AnyTool, call: ToolCall) -> None:
        began = trio.current_time()
        publish = self._scope.fanout.publish
        publish(
            ToolCallStarted(
                call_id=call.call_id, name=call.name, arguments=call.arguments, response_id=call.response_id
            )
        )
        failure: ToolError | None = None
        outcome = ToolOutcome(output="")
        with self._running[call.call_id] as running:
            try:
                outcome = await self._outcome(tool, call)
            except ToolError as error:
                failure = error
                outcome = ToolOutcome(output=error_output(str(error)), error=error)
            finally:
                del self._running[call.call_id]
                self._approvals.pop(call.call_id, None)
        seconds = trio.current_time() - began
        if running.cancelled_caught:
            publish(ToolCallCancelled(call_id=call.call_id, name=call.name, seconds=seconds))
            return
        logger.info("tool %s took %.3f s: %.500s", call.name, seconds, outcome.output)
        publish(
            ToolCallFinished(
                call_id=call.call_id, name=call.name, result=outcome.result, error=outcome.error, seconds=seconds
            )
        )
        self._settle(call, outcome.output)
        if failure is not None:
            self._scope.fail(failure)

    async def _outcome(self, tool: AnyTool, call: ToolCall) -> ToolOutcome:
        context = ToolContext(
            call_id=call.call_id,
            name=call.name,
            item_id=call.item_id,
            response_id=call.response_id,
            session=self.session,
            report=lambda value: self._scope.fanout.publish(
                ToolProgress(call_id=call.call_id, name=call.name, value=value)
            ),
        )
        if tool.approval:
            refusal = await self._refusal(tool, call)
            if refusal is not None:
                return ToolOutcome(output=error_output(str(refusal)), error=refusal)
        return await tool.run(call.arguments, context, limiter=self._limiters.get(tool.name))

    async def _refusal(self, tool: AnyTool, call: ToolCall) -> Exception | None:
        """Ask the program whether the call may be made, unless its arguments are wrong anyway."""
        try:
            tool.parse(call.arguments)
        except ArgumentsError as error:
            return error
        approval = self._approvals[call.call_id] = _Approval()
        self._scope.fanout.publish(ApprovalRequested(request_id=call.call_id, name=call.name, arguments=call.arguments))
        await approval.settled.wait()
        return None if approval.granted else PermissionError(approval.reason or "the user did not approve the call")

    def _settle(self, call: ToolCall, output: str) -> None:
        self._scope.apply(self._scope.machine.responses.tools.settle(call.call_id, output))
