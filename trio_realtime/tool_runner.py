"""Runs the functions that the model calls: each call a task of the session's, in a cancel scope of its own.

What becomes of a call is the ledger's to say (`state/tool_calls.py`); here a function runs, waits for its approval and
for its turn, and its outcome is told to the ledger once. Nothing that a function does delays reading from the socket.
"""

import logging
from typing import Any

import trio
from msgspec import UNSET

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
from .wire.session_config import FunctionTool, McpTool, SessionConfig

AnyTool = Tool[..., Any]
Definition = FunctionTool | McpTool

logger: logging.Logger = logging.getLogger("trio_realtime")


class _Approval:
    """A call that waits to be allowed."""

    def __init__(self) -> None:
        self.settled = trio.Event()
        self.granted = False
        self.reason: str | None = None


class ToolRunner:
    """The functions of one session, and their calls that are under way.

    What the model has changes when the server confirms it, whether or not somebody still waits for that. Until then
    calls of the old tools and of the new ones are taken: either may be on its way.

    Args:
        scope: The session's.

    Attributes:
        session: What a tool's context shows: the session, set once it is made.
    """

    def __init__(self, scope: SessionScope) -> None:
        self.session: Any = None
        self._scope = scope
        self._functions: tuple[AnyTool, ...] = ()  # as confirmed
        self._proposed: dict[str, tuple[tuple[AnyTool, ...], tuple[Definition, ...]]] = {}
        self._tools: dict[str, AnyTool] = {}
        self._limiters: dict[AnyTool, trio.CapacityLimiter] = {}
        self._running: dict[str, trio.CancelScope] = {}
        self._approvals: dict[str, _Approval] = {}

    @property
    def tools(self) -> tuple[tuple[AnyTool, ...], tuple[Definition, ...]]:
        """The functions and the plain definitions that the model has, or will have when the server has confirmed."""
        return next(reversed(self._proposed.values()), (self._functions, self._definitions()))

    def propose(self, event_id: str, functions: tuple[AnyTool, ...], definitions: tuple[Definition, ...]) -> None:
        """The server is asked to let the model have these tools, and no others; open calls are not touched."""
        self._proposed[event_id] = functions, definitions
        self._hold()

    def answered(self, event_id: str, *, accepted: bool) -> None:
        """The server has answered a command; it may be one that proposed tools."""
        proposed = self._proposed.pop(event_id, None)
        if proposed is not None:
            self._functions = proposed[0] if accepted else self._functions
            self._hold()

    def _definitions(self) -> tuple[Definition, ...]:
        """The confirmed tools that the program answers itself, or the server."""
        config = self._scope.machine.config
        tools = config.tools if isinstance(config, SessionConfig) and config.tools is not UNSET else []
        functions = {function.name for function in self._functions}
        return tuple([each for each in tools if isinstance(each, McpTool) or each.name not in functions])

    def _hold(self) -> None:
        self._tools = {}
        policies: dict[str, ToolPolicy] = {}
        for functions, definitions in ((self._functions, self._definitions()), *self._proposed.values()):
            for function in functions:
                self._tools[function.name] = function
                policies[function.name] = function.policy
            for definition in definitions:
                if isinstance(definition, FunctionTool):
                    policies[definition.name] = ToolPolicy(runs=False)
        self._limiters = {tool: self._limiters.get(tool) or tool.limiter() for tool in self._tools.values()}
        self._scope.machine.responses.tools.calls.tools = policies

    def start(self, call: ToolCall, nursery: trio.Nursery) -> None:
        """The model called a function of the session."""
        self._running[call.call_id] = trio.CancelScope()
        tool = self._tools[call.name]
        nursery.start_soon(self._run, tool, self._limiters[tool], call, name=f"tool {call.name}")

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

    async def _run(self, tool: AnyTool, limiter: trio.CapacityLimiter, call: ToolCall) -> None:
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
                outcome = await self._outcome(tool, limiter, call)
            except ToolError as error:
                failure = error
                outcome = ToolOutcome(output="", error=error)
            finally:
                del self._running[call.call_id]
                self._approvals.pop(call.call_id, None)
        seconds = trio.current_time() - began
        if running.cancel_called:  # it has its output already, or the session ends, whatever the function still did
            if outcome.error is not None:
                logger.error("tool %s failed while it was cancelled: %s", call.name, outcome.error)
            publish(ToolCallCancelled(call_id=call.call_id, name=call.name, seconds=seconds))
            return
        if failure is None:
            logger.info("tool %s took %.3f s: %.500s", call.name, seconds, outcome.output)
        publish(
            ToolCallFinished(
                call_id=call.call_id, name=call.name, result=outcome.result, error=outcome.error, seconds=seconds
            )
        )
        if failure is None:
            self._scope.apply(self._scope.machine.responses.tools.settle(call.call_id, outcome.output))
        else:
            self._scope.fail(failure)

    async def _outcome(self, tool: AnyTool, limiter: trio.CapacityLimiter, call: ToolCall) -> ToolOutcome:
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
        return await tool.run(call.arguments, context, limiter=limiter)

    async def _refusal(self, tool: AnyTool, call: ToolCall) -> Exception | None:
        """Ask the program whether the call may be made, unless its arguments are wrong anyway."""
        try:
            await tool.parse_beside(call.arguments)
        except ArgumentsError as error:
            return error
        approval = self._approvals[call.call_id] = _Approval()
        self._scope.fanout.publish(ApprovalRequested(request_id=call.call_id, name=call.name, arguments=call.arguments))
        await approval.settled.wait()
        return None if approval.granted else PermissionError(approval.reason or "the user did not approve the call")
