"""What responses mean for the tools: which calls run, what is answered, and what the model is asked next."""

from collections.abc import Callable

import msgspec
from msgspec import UNSET

from ..wire import client_events as client
from ..wire.client_events import ClientEvent
from ..wire.items import FunctionCall, FunctionCallOutput, Item
from ..wire.responses import Response, ResponseParams
from ..wire.session_config import FunctionTool, SessionInfo, ToolChoice, TranscriptionSessionInfo
from .effects import Effects, combined
from .requests import Request, Requests
from .tool_calls import FollowUp, ToolCalls, ToolEffects, forces_tool
from .turns import Turns, turn_done


class ToolEvents:
    """Stands between the ledger of calls and the responses.

    A response that is over while calls of it are open keeps its turn open, until its follow-up is asked for, or cannot
    come any more.

    Args:
        new_id: Gives a new id with a prefix.
        requests: Where the outputs wait for their acknowledgement.
        turns: The open turns.
        ask: Asks for a follow-up, which goes on with a turn.

    Attributes:
        calls: The ledger.
        session_tool_choice: What the session's configuration demands.
    """

    def __init__(
        self,
        *,
        new_id: Callable[[str], str],
        requests: Requests,
        turns: Turns,
        ask: Callable[[client.ResponseCreate, str | None], Effects],
    ) -> None:
        self.calls: ToolCalls = ToolCalls()
        self.session_tool_choice: ToolChoice | None = None
        self._new_id = new_id
        self._requests = requests
        self._turns = turns
        self._ask = ask
        self._announced: dict[str, str] = {}
        self._held: dict[str, str] = {}
        self._params: dict[str, ResponseParams] = {}

    def session_stated(self, info: SessionInfo | TranscriptionSessionInfo) -> None:
        """The server states the session, and with it what tools the model has."""
        if isinstance(info, SessionInfo):
            self.session_tool_choice = info.tool_choice
            self.calls.stated = frozenset([tool.name for tool in info.tools or () if isinstance(tool, FunctionTool)])

    def item_added(self, item: Item, response_id: str) -> None:
        """A response of the conversation begins an item; the output of a call may be sent from now on."""
        if isinstance(item, FunctionCall) and item.call_id is not None:
            self._announced[item.call_id] = response_id

    def item_done(self, item: Item, response_id: str) -> Effects:
        """A response of the conversation holds an item that is final; if it is a call, it may have to run."""
        if not isinstance(item, FunctionCall):
            return Effects()
        return self._carry_out(self.calls.call_done(item, response_id))

    def response_done(
        self, response: Response, response_id: str, turn_id: str, params: ResponseParams | None
    ) -> Effects:
        """A response of the conversation is over.

        Args:
            response: As it ended; its output states its calls once more.
            response_id: Its id, also where the event left it out.
            turn_id: The turn that a follow-up goes on with.
            params: What it was asked for with, if this session asked; a follow-up keeps them.
        """
        stated = [self.item_done(item, response_id) for item in response.output or ()]
        choice = UNSET if params is None else params.tool_choice
        details = response.status_details
        self._announced = {call_id: owner for call_id, owner in self._announced.items() if owner != response_id}
        self._turns.hold(turn_id)
        self._held[response_id] = turn_id
        if params is not None:
            self._params[response_id] = params
        effects = self.calls.response_done(
            response_id,
            status=response.status,
            reason=None if details is None else details.reason,
            forced_tool=forces_tool(self.session_tool_choice if choice is UNSET else choice),
        )
        return combined(*stated, self._carry_out(effects))

    def settle(self, call_id: str, output: str) -> Effects:
        """A call that was started has ended, and this is its output."""
        return self._carry_out(self.calls.settle(call_id, output))

    def answer(self, call_id: str, *, reply: bool) -> Effects:
        """The program has sent the output of a call itself; `reply` asks the model to go on."""
        return self._carry_out(self.calls.answer(call_id, reply=reply, response_id=self._announced.get(call_id)))

    def interrupt(self, *, turn_detected: bool) -> Effects:
        """The user spoke, or the program interrupted: running calls end that may be cancelled."""
        return self._carry_out(self.calls.interrupt(turn_detected=turn_detected))

    def abandon(self, turn_id: str | None, response_ids: tuple[str, ...]) -> Effects:
        """Nobody wants a turn any more: its calls end without a follow-up.

        Args:
            turn_id: The turn; None to end the calls of the responses alone.
            response_ids: Its responses that are under way.
        """
        held = [response_id for response_id, owner in self._held.items() if owner == turn_id]
        return combined(*[self._carry_out(self.calls.abandon(each)) for each in (*held, *response_ids)])

    def _carry_out(self, effects: ToolEffects) -> Effects:
        outputs = tuple([self._create(output) for output in effects.outputs])
        asked = combined(*[self._follow_up(each) for each in effects.follow_ups])
        publish = () if effects.issue is None else (effects.issue,)
        own = Effects(send=outputs, publish=publish, start=effects.start, cancel=effects.cancel)
        return combined(own, asked, self._release())

    def _create(self, output: FunctionCallOutput) -> ClientEvent:
        item = msgspec.structs.replace(output, id=self._new_id("item"))
        event = client.ConversationItemCreate(event_id=self._new_id("event"), item=item)
        self._requests.add(Request(event_id=str(event.event_id), kind="create_item", key=item.id, item=item))
        return event

    def _follow_up(self, due: FollowUp) -> Effects:
        """Ask the model to go on, as it was asked before, but not with the same input, and free of forced tools."""
        response_id = due.response_id or ""
        params = self._params.get(response_id, ResponseParams())
        params = msgspec.structs.replace(params, input=UNSET)
        if due.tool_choice is not UNSET:
            params = msgspec.structs.replace(params, tool_choice=due.tool_choice)
        event = client.ResponseCreate(
            event_id=self._new_id("event"), response=UNSET if params == ResponseParams() else params
        )
        return self._ask(event, self._held.get(response_id))

    def _release(self) -> Effects:
        """Let go of the turns that no follow-up goes on with."""
        over = [response_id for response_id in self._held if not self.calls.may_follow(response_id)]
        publish = [turn_done(self._turns.release(self._held.pop(response_id))) for response_id in over]
        for response_id in over:
            self._params.pop(response_id, None)
        return Effects(publish=tuple([update for updates in publish for update in updates]))
