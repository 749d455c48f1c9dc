"""The calls of functions in each response: which to run, what to answer, and when the model is asked to go on.

Theory of operation. A call is open from the moment its item is complete until it has its one output: what the function
gave, an error, a cancellation, or what the program sent itself. Outputs go out at once, also while a response is under
way. A response is followed up by one `response.create` when it is done and none of its calls is open, if at least one
of its calls wants a reply. It is not followed up when the server's turn detection ended it: then the user's new turn
is what gets answered.

The ledger knows neither which response is under way (a follow-up that is due may have to wait for its turn) nor how a
function runs. What is over is remembered by id alone, for a bounded number of calls and responses.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..errors import ConfigError
from ..wire.items import FunctionCall, FunctionCallOutput
from ..wire.server_events import ProtocolIssue
from ..wire.session_config import ToolChoice

OnInterrupt = Literal["cancel", "finish"]

_MAX_RESPONSES = 256
"""Responses that are remembered; a call that comes after the `done` of its response comes soon after it."""

_MAX_SETTLED = 1024
"""Calls that are remembered after they are settled, to tell one that is stated twice."""

_MAX_WAITING = 1024
"""Calls that wait for the program's own output. A program that let so many pass will not answer the oldest."""

CANCELLED = "the call was cancelled because the user interrupted"
ABANDONED = "the call was cancelled because its result is no longer wanted"


class ToolPolicy(Struct, frozen=True, kw_only=True):
    """How the calls of one function are treated.

    Attributes:
        runs: Whether the session holds the function; otherwise the call waits for the program's own output.
        reply: Whether the model is asked to go on after a call that the session answers.
        on_interrupt: What becomes of a running call when the user or the program interrupts.
    """

    runs: bool = True
    reply: bool = True
    on_interrupt: OnInterrupt = "cancel"


class ToolCall(Struct, frozen=True, kw_only=True):
    """A call to run.

    Attributes:
        call_id: What its output names.
        name: Name of the function, one with `ToolPolicy.runs`.
        arguments: JSON text as the model wrote it, unchecked.
        item_id: Id of its item; None where a server gives none.
        response_id: The response that it belongs to.
    """

    call_id: str
    name: str
    arguments: str
    item_id: str | None
    response_id: str


class FollowUp(Struct, frozen=True, kw_only=True):
    """A `response.create` that is due now; it waits for its turn if another response is under way.

    Attributes:
        response_id: The response whose calls are settled; None when the program answered a call that is not known.
        tool_choice: `"auto"` when the response was forced to call a tool, so that it cannot go on for ever.
    """

    response_id: str | None
    tool_choice: Literal["auto"] | UnsetType = UNSET


class ToolEffects(Struct, frozen=True, kw_only=True):
    """What has to happen, in this order.

    Attributes:
        cancel: Ids of running calls whose functions have to be cancelled; what they still give is ignored.
        start: Calls to run.
        outputs: Items to create now, without an id.
        follow_ups: Responses to ask for, after the outputs.
        issue: What the server did against the protocol.
    """

    cancel: tuple[str, ...] = ()
    start: tuple[ToolCall, ...] = ()
    outputs: tuple[FunctionCallOutput, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    issue: ProtocolIssue | None = None


class _Response(Struct):
    """What is known of a response; `followed` also when it never will be, `abandoned` when nobody wants it any more."""

    id: str
    open_calls: int = 0
    wants_reply: bool = False
    done: bool = False
    followed: bool = False
    forced: bool = False
    abandoned: bool = False


class _Open(Struct):
    """A call without its output; `policy` is the one under which it was made."""

    response: _Response
    policy: ToolPolicy
    fingerprint: int


class ToolCalls:
    """The calls of all responses of a session.

    Attributes:
        tools: What is known by name, as it stands now: functions of the session, and definitions that the program
            answers itself (`runs=False`). A change does not touch the calls that are open.
        stated: Names of the functions that the model has, as the server states them. A call of one that is not in
            `tools` is somebody else's to answer: the session was configured elsewhere, or by a raw event. A call of any
            other name gets an error for an output.
    """

    def __init__(self) -> None:
        self.tools: dict[str, ToolPolicy] = {}
        self.stated: frozenset[str] = frozenset()
        self._open: dict[str, _Open] = {}
        self._settled: dict[str, int | None] = {}
        self._responses: dict[str, _Response] = {}

    @property
    def running(self) -> tuple[str, ...]:
        """Ids of the calls that were started and are not settled."""
        return tuple([call_id for call_id, call in self._open.items() if call.policy.runs])

    @property
    def waiting(self) -> tuple[str, ...]:
        """Ids of the calls that wait for the program's own output."""
        return tuple([call_id for call_id, call in self._open.items() if not call.policy.runs])

    # --- what the server says -------------------------------------------------------------------------------------

    def call_done(self, item: FunctionCall, response_id: str) -> ToolEffects:
        """A response holds a call that is final; the same call may be stated again.

        A call that is `incomplete` or `cancelled` is not run and gets no output. A call that is known is ignored, and
        reported as an issue if its name or arguments are others than before.

        Args:
            item: As in `response.output_item.done`, or in the output of `response.done`.
            response_id: The response; one of the conversation, not beside it.
        """
        call_id = item.call_id
        if call_id is None or item.status not in {None, "completed"}:
            return ToolEffects()
        fingerprint = hash((item.name, item.arguments))
        call = self._open.get(call_id)
        if call is not None or call_id in self._settled:
            known = call.fingerprint if call is not None else self._settled[call_id]
            return ToolEffects() if known in {None, fingerprint} else ToolEffects(issue=_other_call(item))
        response = self._response(response_id)
        policy = self.tools.get(item.name) or (ToolPolicy(runs=False) if item.name in self.stated else None)
        if response.abandoned and (policy is None or policy.runs):
            self._remember(call_id, fingerprint)
            return ToolEffects(outputs=(_output(call_id, error_output(ABANDONED)),))
        if policy is None:
            response.wants_reply = True
            self._remember(call_id, fingerprint)
            known_names = ", ".join(sorted({*self.tools, *self.stated})) or "none"
            output = _output(call_id, error_output(f"there is no tool named {item.name!r}; there are: {known_names}"))
            return ToolEffects(outputs=(output,), follow_ups=_due([response]))
        self._open[call_id] = _Open(response=response, policy=policy, fingerprint=fingerprint)
        response.open_calls += 1
        if not policy.runs:
            return ToolEffects(follow_ups=self._give_up_oldest())
        start = ToolCall(
            call_id=call_id, name=item.name, arguments=item.arguments, item_id=item.id, response_id=response_id
        )
        return ToolEffects(start=(start,))

    def response_done(
        self, response_id: str, *, status: str | None, reason: str | None = None, forced_tool: bool = False
    ) -> ToolEffects:
        """A response is over; its calls have been stated before (`call_done`).

        Args:
            response_id: The response; for a `response.done` without an id, the one that was under way.
            status: Its status.
            reason: Of its `status_details`; `"turn_detected"` with the status `"cancelled"` leaves it to the user's
                new turn to get an answer, and interrupts its calls, also those that came after the user spoke.
            forced_tool: Whether the response, or the session, demands a tool (`forces_tool`).
        """
        response = self._response(response_id)
        if response.done:
            return ToolEffects()
        response.done = True
        response.forced = forced_tool
        if status != "cancelled" or reason != "turn_detected":
            return ToolEffects(follow_ups=_due([response]))
        response.followed = True
        return self._interrupt(response_id, turn_detected=True)

    # --- what the session and the program say -------------------------------------------------------------------------

    def settle(self, call_id: str, output: str) -> ToolEffects:
        """A call that was started has ended: with a result, with an error (`error_output`), or cancelled.

        Nothing happens when the call has its output already.

        Args:
            call_id: Of the call.
            output: Text of the output.
        """
        if call_id not in self._open:
            return ToolEffects()
        response = self._close(call_id, wants_reply=self._open[call_id].policy.reply)
        return ToolEffects(outputs=(_output(call_id, output),), follow_ups=_due([response]))

    def answer(self, call_id: str, *, reply: bool = True, response_id: str | None = None) -> ToolEffects:
        """The program sends the output of a call itself; a function that runs for it is cancelled.

        Args:
            call_id: Of the call.
            reply: Whether the model is asked to go on.
            response_id: The response under way that has announced the call and not stated it as final yet. A call that
                is neither known nor announced belongs to no response: the model is asked to go on at once.

        Raises:
            ConfigError: The call has its output already. Nothing has changed.
        """
        if call_id in self._settled:
            raise ConfigError(f"the call {call_id!r} has its output already; a call gets exactly one")
        if call_id not in self._open:
            self._remember(call_id, None)
            if response_id is None:
                return ToolEffects(follow_ups=(FollowUp(response_id=None),) if reply else ())
            response = self._response(response_id)
            response.wants_reply |= reply
            return ToolEffects(follow_ups=_due([response]))
        cancel = (call_id,) if self._open[call_id].policy.runs else ()
        response = self._close(call_id, wants_reply=reply)
        return ToolEffects(cancel=cancel, follow_ups=_due([response]))

    def interrupt(self, *, turn_detected: bool) -> ToolEffects:
        """The user spoke, or the program interrupted: running calls end that may be cancelled.

        Args:
            turn_detected: Whether the user's new turn gets the answer; then a cancelled call wants no reply.
        """
        return self._interrupt(None, turn_detected=turn_detected)

    def _interrupt(self, response_id: str | None, *, turn_detected: bool) -> ToolEffects:
        """End the calls of one response, or of all, that give way."""
        calls = [(call_id, self._open[call_id]) for call_id in self.running]
        cancel = tuple(
            [
                call_id
                for call_id, call in calls
                if call.policy.on_interrupt == "cancel" and response_id in {None, call.response.id}
            ]
        )
        outputs = tuple([_output(call_id, error_output(CANCELLED)) for call_id in cancel])
        responses = [
            self._close(call_id, wants_reply=self._open[call_id].policy.reply and not turn_detected)
            for call_id in cancel
        ]
        return ToolEffects(cancel=cancel, outputs=outputs, follow_ups=_due(responses))

    def abandon(self, response_id: str) -> ToolEffects:
        """Nobody wants what follows from a response: its running calls end, whatever their policy; no follow-up.

        A call that it states later is not run; its output says so.
        """
        cancel = tuple([call_id for call_id in self.running if self._open[call_id].response.id == response_id])
        outputs = tuple([_output(call_id, error_output(ABANDONED)) for call_id in cancel])
        for call_id in cancel:
            self._close(call_id, wants_reply=False)
        response = self._response(response_id)
        response.followed = response.abandoned = True
        return ToolEffects(cancel=cancel, outputs=outputs)

    def may_follow(self, response_id: str) -> bool:
        """Whether a follow-up of a response may still come, when its open calls are settled."""
        response = self._responses.get(response_id)
        return response is not None and response.open_calls > 0 and not response.followed

    # --- the books --------------------------------------------------------------------------------------------------

    def _close(self, call_id: str, *, wants_reply: bool) -> _Response:
        call = self._open.pop(call_id)
        self._remember(call_id, call.fingerprint)
        call.response.open_calls -= 1
        call.response.wants_reply |= wants_reply
        return call.response

    def _give_up_oldest(self) -> tuple[FollowUp, ...]:
        waiting = self.waiting
        if len(waiting) <= _MAX_WAITING:
            return ()
        response = self._close(waiting[0], wants_reply=False)
        del self._settled[waiting[0]]  # it has no output, so the program may answer it still
        return _due([response])

    def _remember(self, call_id: str, fingerprint: int | None) -> None:
        self._settled[call_id] = fingerprint
        if len(self._settled) > _MAX_SETTLED:
            del self._settled[next(iter(self._settled))]

    def _response(self, response_id: str) -> _Response:
        response = self._responses.get(response_id)
        if response is None:
            if len(self._responses) >= _MAX_RESPONSES:
                over = (key for key, known in self._responses.items() if known.done and not known.open_calls)
                del self._responses[next(over, next(iter(self._responses)))]
            response = self._responses[response_id] = _Response(id=response_id)
        return response


def forces_tool(tool_choice: ToolChoice | UnsetType | None) -> bool:
    """Whether a model with this choice has to call a tool: one function or server, or any."""
    return not (tool_choice is None or tool_choice is UNSET or tool_choice in {"auto", "none"})


def error_output(message: str) -> str:
    """The output that tells the model of an error: `{"error": message}`; what UTF-8 cannot hold becomes `?`."""
    return msgspec.json.encode({"error": message.encode(errors="replace").decode()}).decode()


def _due(responses: Iterable[_Response]) -> tuple[FollowUp, ...]:
    """The follow-ups of these responses whose time has come; each is given once."""
    due: list[FollowUp] = []
    for response in responses:
        if response.done and response.wants_reply and not response.open_calls and not response.followed:
            response.followed = True
            due.append(FollowUp(response_id=response.id, tool_choice="auto" if response.forced else UNSET))
    return tuple(due)


def _output(call_id: str, output: str) -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=output)


def _other_call(item: FunctionCall) -> ProtocolIssue:
    reason = f"a second call with the id {item.call_id!r}, but another name or other arguments; it is not run"
    return ProtocolIssue(event_type="response.output_item.done", reason=reason)
