"""Responses: what asks for one, what stops one, and the server events that begin and end it."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import UNSET

from ..errors import ConfigError
from ..wire import client_events as client, server_events as server
from ..wire.client_events import ClientEvent
from ..wire.responses import Response, ResponseParams, StatusDetails, StatusError, Usage
from . import updates
from .effects import Effects, combined
from .formats import Formats
from .input_audio import InputAudio
from .item_events import ItemEvents
from .output_events import OutputEvents
from .requests import Request, Requests, Settled
from .responses import ResponseRequest, ResponseSequencer, State
from .tool_events import ToolEvents
from .turns import Turns, added_usage, turn_done
from .updates import Update

PRIVATE_KEY = "trio_realtime"
"""Key of the pair in a response's metadata by which its request is recognised; the user never sees it."""

MAX_METADATA_PAIRS = 16


class ResponseEvents:
    """Follows the conversation's responses, and those beside it, from the request to the end of the turn.

    Attributes:
        sequencer: The state of the conversation's response.
        tools: The calls of tools.
        stalled: Responses that were ended here and not by the server: what still comes of them is not wanted.
        manual_turns: Whether turn detection is off, so that what was appended is committed before a response.
        server_answers: Whether the server's own response to what the user said has still to come.
        usage: Of the last response that stated it.
        total_usage: Of all responses.
    """

    def __init__(
        self,
        *,
        new_id: Callable[[str], str],
        requests: Requests,
        items: ItemEvents,
        output: OutputEvents,
        formats: Formats,
        input_audio: InputAudio,
    ) -> None:
        self.sequencer: ResponseSequencer = ResponseSequencer()
        self.stalled: set[str | None] = set()
        self.manual_turns = False
        self.server_answers: bool = False
        self.usage: Usage | None = None
        self.total_usage: Usage = Usage()
        self._turns = Turns()
        self._new_id = new_id
        self._requests = requests
        self._items = items
        self._output = output
        self._formats = formats
        self._input = input_audio
        self._conversation_id: str | None = None
        self._unwanted_beside: set[str] = set()
        self._params: dict[str, ResponseParams] = {}
        self.tools: ToolEvents = ToolEvents(
            new_id=new_id, requests=requests, turns=self._turns, ask=self._ask_follow_up
        )
        self.receivers: dict[type[Any], Callable[[Any], Effects]] = {
            server.ResponseCreated: self._created,
            server.ResponseDone: self._done,
        }

    @property
    def busy(self) -> bool:
        """Whether a response of the conversation is under way, or wanted."""
        return self.sequencer.state is not State.IDLE or bool(self.sequencer.queued)

    @property
    def replying(self) -> bool:
        """Whether a turn of the conversation is open, also while its tools run."""
        return self._turns.replying

    def responses_of(self, turn_id: str) -> tuple[str, ...]:
        """The responses of an open turn, also those that are done."""
        return self._turns.all_of(turn_id)

    # --- commands ---------------------------------------------------------------------------------------------------

    def create(self, event: client.ResponseCreate, *, automatic: bool, turn_id: str | None = None) -> Effects:
        """The program wants a response: now if none is under way, else when its turn comes.

        Args:
            event: With its `event_id`.
            automatic: Whether it follows from a message that was sent; several that wait become one.
            turn_id: The turn that it goes on with; None begins one.

        Raises:
            ConfigError: The metadata uses the private key.
        """
        event_id = str(event.event_id)
        params = event.response if isinstance(event.response, ResponseParams) else ResponseParams()
        metadata = params.metadata if isinstance(params.metadata, dict) else {}
        if PRIVATE_KEY in metadata:
            raise ConfigError(f"the metadata key {PRIVATE_KEY!r} is this library's own; use another")
        if params != ResponseParams():
            self._params[event_id] = params
        event = _with_token(event, params)
        if params.conversation == "none":
            self._turns.requested(event_id, turn_id, beside=True)
            self._requests.add(Request(event_id=event_id, kind="create_beside", key=_token_of(event)))
            return Effects(send=(event,))
        if automatic and any(waiting.automatic for waiting in self.sequencer.queued):
            return Effects()  # the one that waits answers this too
        self._turns.requested(event_id, turn_id)
        due = self.sequencer.create(ResponseRequest(event=event, event_id=event_id, automatic=automatic))
        return Effects(send=tuple(self._go_out(due)))

    def cancel(self, event: client.ResponseCancel) -> Effects:
        """The program wants a response to stop; nothing goes out when it is not under way."""
        event_id = str(event.event_id)
        response_id = event.response_id if isinstance(event.response_id, str) else None
        if response_id is not None and response_id in self._items.beside:
            first = all(request.key != response_id for request in self._requests.outstanding("cancel"))
            self._output.muted.add(response_id)
            self._requests.add(Request(event_id=event_id, kind="cancel", key=response_id))
            return Effects(urgent=(event,) if first else ())
        due = None
        stopping = None
        if response_id in {None, self.sequencer.active_id}:
            due = self.sequencer.cancel(event_id)
            stopping = self.sequencer.stopping
        if stopping is None:
            return Effects(settle=(Settled(event_id=event_id),))
        self._requests.add(Request(event_id=event_id, kind="cancel", key=stopping))
        if due is None:
            return Effects()  # it has gone out before, or will when the id is known
        self._mute(due)
        return Effects(urgent=(due,))

    def _ask_follow_up(self, event: client.ResponseCreate, turn_id: str | None) -> Effects:
        return self.create(event, automatic=False, turn_id=turn_id)

    def forget(self, event_id: str) -> Effects:
        """Nobody waits for a request any more; if it has not gone out, it never will."""
        if not self.sequencer.forget(event_id):
            return Effects()
        self._params.pop(event_id, None)
        return Effects(publish=turn_done(self._turns.dropped(event_id)))

    def stop_turn(self, turn_id: str) -> Effects:
        """Nobody wants a turn any more: what of it waits never goes out, what of it is under way is cancelled."""
        urgent: list[ClientEvent] = []
        publish: list[Update] = []
        for request_id in self._turns.requests_of(turn_id):
            sent = self.sequencer.sent
            if sent is not None and sent.event_id == request_id:
                cancel_id = self._new_id("event")
                self.sequencer.cancel_sent(cancel_id)
                self._requests.add(Request(event_id=cancel_id, kind="cancel", key=request_id))
            elif not self.sequencer.forget(request_id):
                self._unwanted_beside.add(request_id)
            else:
                publish.extend(turn_done(self._turns.dropped(request_id)))
        response_ids = self._turns.responses_of(turn_id)
        abandoned = self.tools.abandon(turn_id, response_ids)
        for response_id in response_ids:
            event = client.ResponseCancel(event_id=self._new_id("event"), response_id=response_id)
            effects = self.cancel(event)
            urgent.extend(effects.urgent)
        return combined(Effects(urgent=tuple(urgent), publish=tuple(publish)), abandoned)

    def _go_out(self, due: ResponseRequest | None) -> Iterable[ClientEvent]:
        if due is None:
            return
        if self.manual_turns and self._input.uncommitted_bytes:
            # What was said so far belongs to what is answered.
            commit = client.InputAudioBufferCommit(event_id=self._new_id("event"))
            self._input.commit()
            self._requests.add(Request(event_id=str(commit.event_id), kind="commit"))
            yield commit
        self._requests.add(Request(event_id=due.event_id, kind="create_response", key=_token_of(due.event)))
        yield due.event

    def _mute(self, cancel: client.ResponseCancel) -> None:
        """From the cancel to its `done`, what still comes of a response is not wanted."""
        if isinstance(cancel.response_id, str):
            self._output.muted.add(cancel.response_id)

    def end_stalled(self, response_id: str, seconds: float) -> Effects:
        """Nothing has come of a response for so long: it ends as failed here, and the server is told to stop it.

        Its calls end with it, and are not followed up: the program is told of the failure at once.
        """
        message = f"nothing came of the response for {seconds:g} s"
        details = StatusDetails(type="failed", error=StatusError(type="stalled", code="stalled", message=message))
        cancelled = self.cancel(client.ResponseCancel(event_id=self._new_id("event"), response_id=response_id))
        failed = Response(id=response_id, status="failed", status_details=details)
        abandoned = self.tools.abandon(None, (response_id,))
        ended = self._done(server.ResponseDone(response=failed))
        self.stalled.add(response_id)
        return combined(cancelled, abandoned, msgspec.structs.replace(ended, event=None))

    # --- events -----------------------------------------------------------------------------------------------------

    def refused(self, event_id: str, code: str | None) -> tuple[Effects, bool]:
        """The server refused a request; also tells whether it goes out again."""
        lost_race = code == "conversation_already_has_active_response"
        send = tuple(self._go_out(self.sequencer.refused(event_id, lost_race=lost_race)))
        again = any(waiting.event_id == event_id for waiting in self.sequencer.queued)
        self._unwanted_beside.discard(event_id)
        if not again:
            self._params.pop(event_id, None)
        publish = () if again else turn_done(self._turns.dropped(event_id))
        return Effects(send=send, publish=publish, settle=self._settle_cancels({event_id}, None)), again

    def _created(self, event: server.ResponseCreated) -> Effects:
        response = event.response or Response()
        token = (response.metadata or {}).get(PRIVATE_KEY)
        response = _without_token(response)
        if self.sequencer.knows(response.id):
            return Effects(event=server.ResponseCreated(event_id=event.event_id, response=response))  # created twice
        settle: tuple[Settled, ...] = ()
        request_id = None
        confirmed = None
        if token is None and self.server_answers:
            self.server_answers = False  # this is it, even if a request of ours crosses it on the wire
        else:
            confirmed = self._requests.confirm_response(token, response)
        if confirmed is not None:
            request_id = confirmed[0].event_id
            settle = (confirmed[1],)
            beside = confirmed[0].kind == "create_beside"
        else:
            known = response.id is not None and self._conversation_id is not None
            beside = known and response.conversation_id is None
        self._formats.take_response(response)
        turn_id = self._turns.created(response.id or "", request_id, beside=beside)
        params = self._params.pop(request_id or "", None)
        if params is not None:
            self._params[response.id or ""] = params
        event = server.ResponseCreated(event_id=event.event_id, response=response)
        publish = (updates.ResponseStarted(response=response, turn_id=turn_id),)
        if beside:
            urgent = self._begin_beside(response.id or "", request_id)
        else:
            self._conversation_id = response.conversation_id or self._conversation_id
            cancel = self.sequencer.created(response.id, request_id)
            urgent = () if cancel is None else (cancel,)
            if cancel is not None:
                self._requests.rename("cancel", request_id or "", response.id or "")
                self._mute(cancel)
        return Effects(urgent=urgent, publish=publish, settle=settle, event=event)

    def _begin_beside(self, response_id: str, request_id: str | None) -> tuple[ClientEvent, ...]:
        self._items.beside[response_id] = []
        self.sequencer.remember(response_id, over=False)
        if request_id not in self._unwanted_beside:
            return ()
        self._unwanted_beside.discard(request_id or "")
        return self.cancel(client.ResponseCancel(event_id=self._new_id("event"), response_id=response_id)).urgent

    def _done(self, event: server.ResponseDone) -> Effects:
        response = event.response or Response()
        token = (response.metadata or {}).get(PRIVATE_KEY)
        response = _without_token(response)
        event = server.ResponseDone(event_id=event.event_id, response=response)
        if self.sequencer.is_over(response.id):
            return Effects(send=self._stalled_done(response.id), event=event)  # done twice
        answered = None
        guessed = response.id is not None and self.sequencer.state is State.REQUESTED
        if not self.sequencer.knows(response.id) and (token is not None or guessed):
            answered = self._requests.confirm_response(token, response)  # its `created` never came
        request_id = None if answered is None else answered[0].event_id
        over = {response.id, request_id} - {None}
        if self.sequencer.ends(response.id):
            over.add(self.sequencer.active_id or "")
        settle = (*(() if answered is None else answered[1:]), *self._settle_cancels(over, response))
        publish: list[Update] = []
        cut_short = response.status not in {"completed", None}
        self._items.complete_all(response.output or (), publish, cut_short=cut_short)
        if response.usage is not None:
            self.usage = response.usage
            self.total_usage = added_usage((self.total_usage, response.usage))
        response_id = response.id or self.sequencer.active_id or ""
        if response.id is None:
            response = msgspec.structs.replace(response, id=response_id or None)
        beside = self._items.end_beside(response_id) or (answered is not None and answered[0].kind == "create_beside")
        turn_id = self._turns.created(response_id, request_id)
        publish.append(updates.ResponseDone(response=response, turn_id=turn_id))
        self._formats.forget_response(response_id)
        self._output.muted.discard(response_id)
        params = self._params.pop(response_id, None) or self._params.pop(request_id or "", None)
        followed = Effects()
        send: tuple[ClientEvent, ...] = ()
        if beside:
            self.sequencer.remember(response.id, over=True)
        else:
            # What waits goes out before a follow-up, or the turn after next would come first.
            send = tuple(self._go_out(self.sequencer.done(response.id, request_id)))
            followed = self.tools.response_done(response, response_id, turn_id, params)
        publish.extend(followed.publish)
        publish.extend(turn_done(self._turns.done(response_id, response)))
        # Outputs of calls come before the next request, whatever it is for.
        return msgspec.structs.replace(
            followed, send=(*followed.send, *send), publish=tuple(publish), settle=settle, event=event
        )

    def _stalled_done(self, response_id: str | None) -> tuple[ClientEvent, ...]:
        """A response that stalled is over on the server too: a request that it refused because of it goes out now."""
        if response_id not in self.stalled:
            return ()
        self.stalled.discard(response_id)
        return tuple(self._go_out(self.sequencer.done(None))) if self.sequencer.active_id is None else ()

    def _settle_cancels(self, stopped: set[str | None], response: Response | None) -> tuple[Settled, ...]:
        """What the cancels meant is over: a response, or a request that was never answered."""
        over = [request for request in self._requests.outstanding("cancel") if request.key in stopped]
        confirmed = [self._requests.confirm("cancel", response, request.key) for request in over]
        return tuple([settled for settled in confirmed if settled is not None])


def _token_of(event: client.ResponseCreate) -> str | None:
    """The private pair of a request, None where the user's own pairs left no room for it."""
    metadata = event.response.metadata if isinstance(event.response, ResponseParams) else None
    return metadata.get(PRIVATE_KEY) if isinstance(metadata, dict) else None


def _with_token(event: client.ResponseCreate, params: ResponseParams) -> client.ResponseCreate:
    metadata = dict(params.metadata) if isinstance(params.metadata, dict) else {}
    if len(metadata) >= MAX_METADATA_PAIRS:
        return event  # all pairs are the user's: it is recognised as the only one outstanding
    metadata[PRIVATE_KEY] = str(event.event_id)
    return msgspec.structs.replace(event, response=msgspec.structs.replace(params, metadata=metadata))


def _without_token(response: Response) -> Response:
    if response.metadata is None or PRIVATE_KEY not in response.metadata:
        return response
    metadata = {key: value for key, value in response.metadata.items() if key != PRIVATE_KEY}
    return msgspec.structs.replace(response, metadata=metadata or None)


def without_token(event: ClientEvent) -> ClientEvent:
    """A client event as the user may see it: without the private pair in the metadata of a response."""
    if not isinstance(event, client.ResponseCreate) or not isinstance(event.response, ResponseParams):
        return event
    metadata = event.response.metadata
    if not isinstance(metadata, dict) or PRIVATE_KEY not in metadata:
        return event
    theirs = {key: value for key, value in metadata.items() if key != PRIVATE_KEY}
    params = msgspec.structs.replace(event.response, metadata=theirs or UNSET)
    return msgspec.structs.replace(event, response=UNSET if params == ResponseParams() else params)
