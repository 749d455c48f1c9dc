"""A turn as a scope: `async with session.respond(...) as turn:`.

The turn keeps what belongs to it from its first moment on, and each stream reads that from the beginning; so a stream
may be opened late, several may run at once, and none misses anything.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

import trio

from .errors import (
    ResponseCancelled,
    ResponseError,
    ResponseFailed,
    ResponseIncomplete,
    own_instance,
)
from .session_scope import SessionScope
from .state.item import ConversationItem
from .state.requests import Settled
from .state.turns import added_usage
from .state.updates import Delta, ItemUpdated, ResponseDone, ResponseStarted, TurnDone
from .wire import client_events as client
from .wire.responses import Response, Usage

T = TypeVar("T")

_RETRYABLE = frozenset({"stalled", "rate_limit_exceeded", "server_error", "overloaded", "timeout"})
"""Codes and types of failures that may pass."""

_LASTING = frozenset({"insufficient_quota", "invalid_api_key"})
"""Codes of failures that do not pass, whatever their type."""


class TurnStream(Generic[T]):
    """What a turn gives of one kind, in order, from its beginning; iterate it.

    Iterating ends when the turn is done, and raises what `Turn.done` raises.

    Cancellation:
        Loses nothing.
    """

    def __init__(self, turn: "Turn", pick: Callable[[ItemUpdated], T | None]) -> None:
        self._turn = turn
        self._pick = pick
        self._position = 0

    def __aiter__(self) -> "TurnStream[T]":
        return self

    async def __anext__(self) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            value = self._next()
            if value is not None:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return value
            if self._turn.is_done:
                await trio.lowlevel.cancel_shielded_checkpoint()
                self._turn.raise_outcome()
                raise StopAsyncIteration
            await self._turn.wait_news()

    def _next(self) -> T | None:
        while self._position < len(self._turn.deltas):
            value = self._pick(self._turn.deltas[self._position])
            self._position += 1
            if value is not None:
                return value
        return None


class Turn:
    """One turn of the conversation: a response and those that follow from its tools; `session.respond` makes it.

    Iterating it gives its `Delta`s in order. Leaving the scope before it is done cancels it, also when the scope is
    cancelled: the `response.cancel` is in the outbox at once.

    Attributes:
        deltas: The updates with deltas that belong to it so far.
        responses: Its responses that are done, in order.
        items: Its items, live, in the order in which they began.
    """

    types: tuple[type[Any], ...] = (ResponseStarted, ItemUpdated, ResponseDone, TurnDone)

    def __init__(self, scope: SessionScope, turn_id: str, *, follow: bool) -> None:
        self.deltas: list[ItemUpdated] = []
        self.responses: list[Response] = []
        self.items: list[ConversationItem] = []
        self._scope = scope
        self._turn_id = turn_id
        self._follow = follow
        self._response_ids: set[str | None] = set()
        self._item_ids: set[str] = set()
        self._news = trio.lowlevel.ParkingLot()
        self._error: BaseException | None = None
        self._told = False
        self.is_done: bool = False

    # --- what a program asks of it ----------------------------------------------------------------------------------

    @property
    def usage(self) -> Usage:
        """Tokens of its responses that are done."""
        return added_usage([response.usage for response in self.responses])

    def __aiter__(self) -> TurnStream[Delta]:
        return TurnStream(self, lambda update: update.delta)

    def text_stream(self) -> TurnStream[str]:
        """What the assistant writes and says, piece by piece: text and transcripts."""
        return TurnStream(self, _words)

    def audio_stream(self) -> TurnStream[bytes]:
        """What the assistant says, piece by piece, in the session's output format."""
        return TurnStream(self, lambda update: None if update.delta is None else update.delta.audio)

    async def done(self) -> None:
        """Wait until the turn is done.

        Raises:
            ResponseFailed: Its last response failed; `retryable` says whether to try again.
            ResponseIncomplete: It was cut short by a limit or a content filter.
            ResponseCancelled: It was cancelled, by this program or by the server's turn detection.
            ServerError: The server refused to respond.
            RealtimeError: The session failed.

        Cancellation:
            The turn goes on; leaving its scope ends it.
        """
        await trio.lowlevel.checkpoint()
        while not self.is_done:
            await self._news.park()
        self.raise_outcome()

    async def text(self) -> str:
        """Wait for the turn, and give all that the assistant wrote and said in it; raises as `done`."""
        await self.done()
        return "".join([_words(update) or "" for update in self.deltas])

    async def audio(self) -> bytes:
        """Wait for the turn, and give all the audio of it, in the session's output format; raises as `done`."""
        await self.done()
        return b"".join([update.delta.audio or b"" for update in self.deltas if update.delta is not None])

    # --- for the streams and the session ------------------------------------------------------------------------------

    async def wait_news(self) -> None:
        """Wait until there is more of it, or it is done."""
        await self._news.park()

    def raise_outcome(self) -> None:
        """Raise why it did not complete, if it did not."""
        self._told = True
        if self._error is not None:
            raise own_instance(self._error)

    def leave(self, exc_type: type[BaseException] | None) -> None:
        """The scope ends: cancel what is not done, and do not let an error pass that nobody saw."""
        if not self.is_done:
            self._scope.stop_turn(self._turn_id)
            self._told = True
            self.fail(ResponseCancelled("the turn's scope was left before the turn was done"))
        elif exc_type is None and not self._told:
            self.raise_outcome()

    def push(self, update: Any) -> None:
        """The session published an update."""
        if self.is_done:
            return
        if type(update) is ItemUpdated:
            if update.delta is not None and update.response_id in self._response_ids:
                self._take(update)
        elif update.turn_id != self._turn_id:
            return
        elif isinstance(update, ResponseStarted):
            self._response_ids.add(update.response.id)
        elif isinstance(update, ResponseDone):
            self.responses.append(update.response)
            for stated in update.response.output or ():
                item = self._scope.machine.conversation.get(stated.id or "")
                if item is not None and update.response.id in self._response_ids:
                    self._take_item(item)  # one of which no delta came
                elif item is not None:
                    self._take_whole(item, update.response.id)
            if not self._follow:
                self._finish()
        else:
            self._scope.replies.seen(update)
            self._finish()

    def end(self, error: BaseException | None) -> None:
        """The session is over."""
        if not self.is_done:
            self._error = error or trio.ClosedResourceError("the session ended before the turn was done")
            self._wake()

    def settle(self, settled: Settled) -> None:
        """Its message or its request was answered."""
        if settled.error is not None and not self.is_done:
            self._scope.stop_turn(self._turn_id)
            lost = settled.error.code == "conversation_already_has_active_response"
            # A request that lost the race is answered only if it was cancelled meanwhile; else it goes out again.
            self.fail(ResponseCancelled("the turn was cancelled before its response began") if lost else settled.error)

    def fail(self, error: BaseException) -> None:
        """There will be no response."""
        self.end(error)

    def _take(self, update: ItemUpdated) -> None:
        self.deltas.append(update)
        self._take_item(update.item)
        if self._news:
            self._news.unpark_all()

    def _take_whole(self, item: ConversationItem, response_id: str | None) -> None:
        """Take an item of a response whose `created` never came, so that its deltas were not known for this turn's."""
        deltas = [Delta(text=item.text), Delta(transcript=item.transcript)]
        deltas += [Delta(audio=item.audio), Delta(arguments=item.arguments)]
        for delta in deltas:
            if delta.text or delta.transcript or delta.audio or delta.arguments:
                self._take(ItemUpdated(item=item, delta=delta, response_id=response_id))
        self._take_item(item)

    def _take_item(self, item: ConversationItem) -> None:
        if item.id not in self._item_ids:
            self._item_ids.add(item.id)
            self.items.append(item)

    def _finish(self) -> None:
        if self.responses:
            self._error = response_error(self.responses[-1])
        self._wake()

    def _wake(self) -> None:
        self.is_done = True
        self._news.unpark_all()


class RespondScope:
    """The scope around a `Turn`: what `session.respond` gives.

    Args:
        scope: The session's.
        request: What asks for the response.
        message: What is sent before it, if anything.
        follow: Whether the responses that follow from tools belong to the turn.
    """

    def __init__(
        self,
        scope: SessionScope,
        request: client.ResponseCreate,
        message: client.ConversationItemCreate | None,
        *,
        follow: bool,
    ) -> None:
        self._scope = scope
        self._request = request
        self._message = message
        self._turn = Turn(scope, str(request.event_id), follow=follow)
        self._entered = False

    async def __aenter__(self) -> Turn:
        await trio.lowlevel.checkpoint()
        self._scope.check_open()
        if self._entered:
            raise trio.ClosedResourceError("this turn was entered before; ask for another with session.respond")
        self._entered = True
        self._scope.fanout.add(self._turn)
        try:
            self._scope.begin_turn(self._turn, self._request, self._message)
        except BaseException:
            self._forget()
            raise
        return self._turn

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._turn.leave(exc_type)
        finally:
            self._forget()
        if exc_type is None:
            await trio.lowlevel.checkpoint()  # noqa: ASYNC102  only after a clean end

    def _forget(self) -> None:
        self._scope.fanout.remove(self._turn)
        message_id = () if self._message is None else (str(self._message.event_id),)
        self._scope.forget(str(self._request.event_id), *message_id)


def response_error(response: Response) -> ResponseError | None:
    """The exception for a response that did not complete; None for one that did."""
    if response.status in {"completed", None}:
        return None
    details = response.status_details
    kind = {"failed": ResponseFailed, "incomplete": ResponseIncomplete, "cancelled": ResponseCancelled}.get(
        response.status or "", ResponseError
    )
    error = details.error if details is not None else None
    code = (error.code or error.type) if error is not None else None
    reason = (error.message if error is not None else None) or code or (details.reason if details else None)
    return kind(
        f"the response {response.id} was {response.status}: {reason or 'the server does not say why'}",
        response_id=response.id,
        status_details=details,
        retryable=kind is ResponseFailed
        and error is not None
        and error.code not in _LASTING
        and not _RETRYABLE.isdisjoint({error.code, error.type}),
    )


def _words(update: ItemUpdated) -> str | None:
    delta = update.delta
    if delta is None:
        return None
    return delta.text if delta.text is not None else delta.transcript
