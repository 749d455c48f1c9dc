"""How a session begins, runs and ends: its tasks, its failure, and the way out.

Theory of operation. Two tasks run in the session's nursery: the pump, in which the transport hands over each message,
and the writer, which empties the outbox. A message goes synchronously through the codec and the machine, and the
effects synchronously to the subscribers' channels, the waiting commands and the outbox. Commands come the same way from
the other side, so that they happen whole or not at all; only waiting for the server's answer can be cancelled.

The tasks never raise what can be expected: they record the failure, which ends the channels, wakes every waiter, and
gives the body `close_timeout` before it is cancelled. The nursery never sees the body's exception, so nothing wraps it.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any

import trio

from .answers import CallRunner, Command, Waiter
from .channels import Fanout, Subscriber
from .errors import (
    ConnectionLost,
    InternalError,
    RealtimeError,
    own_instance,
)
from .exception_groups import unwrap
from .failure_context import add_context, raise_as_it_is
from .opening import Opening
from .outbox import Outbox
from .replies import Replies
from .state.effects import Effects
from .state.machine import Machine
from .state.playback import PlaybackLedger
from .state.response_events import without_token
from .state.updates import ErrorReported, RawEvent, Update
from .transport import MessageTransport, Payload
from .wire import client_events as client, server_events as server
from .wire.client_events import ClientEvent
from .wire.codec import Codec, encode_unknown

logger: logging.Logger = logging.getLogger("trio_realtime")


class SessionScope:
    """The running part of a session, as an async context manager.

    Args:
        dial: Opens the transport, given how many seconds it may take.
        machine: The session's state.
        first_update: The whole configuration, sent before anything else.
        waits_for_created: False on a sideband connection, where the server sends no `session.created`.
        connect_timeout: Seconds from dialling to the acknowledged configuration.
        close_timeout: Seconds for a polite close, and for the body after a failure.
    """

    def __init__(
        self,
        *,
        dial: Callable[[float], AbstractAsyncContextManager[MessageTransport]],
        machine: Machine,
        first_update: client.SessionUpdate,
        waits_for_created: bool,
        connect_timeout: float,
        close_timeout: float,
    ) -> None:
        self.machine = machine
        self.fanout: Fanout = Fanout()
        self.replies: Replies = Replies()
        self.fanout.add(self.replies)
        self.outbox: Outbox = Outbox()
        self.failure: RealtimeError | None = None
        self.received_frames: int = 0
        self.received_bytes: int = 0
        self.sent_events: int = 0
        self.playback: Subscriber | None = None
        self.calls: CallRunner | None = None
        self.companions: list[Callable[[], Awaitable[None]]] = []
        self._dial = dial
        self.first_update = first_update
        self._opening = Opening(waits_for_created=waits_for_created)
        self._connect_timeout = connect_timeout
        self._close_timeout = close_timeout
        self._codec = Codec()
        self._stack = AsyncExitStack()
        self._transport_scope = trio.CancelScope()
        self._nursery_manager: AbstractAsyncContextManager[trio.Nursery] | None = None
        self._nursery: trio.Nursery | None = None
        self._body_scope = trio.CancelScope()
        self._transport: MessageTransport | None = None
        self._waiters: dict[str, Waiter] = {}
        self._collected = bytearray()  # audio of the user that is too little for an event
        self._state = "new"

    # --- the way in ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> "SessionScope":
        deadline = trio.current_time() + self._connect_timeout
        self._state = "opening"
        try:
            self._stack.enter_context(self._transport_scope)
            transport = await self._stack.enter_async_context(self._dial(self._connect_timeout))
            self._transport = transport
            self._nursery_manager = trio.open_nursery()
            self._nursery = await self._nursery_manager.__aenter__()
            self._nursery.start_soon(self._pump, transport)
            self._nursery.start_soon(self._write, transport)
            for companion in self.companions:
                self._nursery.start_soon(companion)
            with trio.move_on_at(deadline) as connecting:
                await self._configure()
            if connecting.cancelled_caught:
                raise self._opening.too_late(self._connect_timeout)
        except BaseException:
            await self._leave(politely=False)  # noqa: ASYNC102  bounded, or at once in a cancelled scope
            raise
        self._state = "open"
        self._body_scope.__enter__()
        if self.failure is not None:  # it ended between the acknowledgement and here
            self._body_scope.deadline = trio.current_time() + self._close_timeout
        return self

    async def _configure(self) -> None:
        with self._opening.explained():
            await self._opening.wait()
            await self.command(self.first_update)

    # --- the way out --------------------------------------------------------------------------------------------

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        error = exc
        try:
            if self._body_scope.__exit__(exc_type, exc, traceback):
                error = None
        except BaseException as remaining:  # noqa: BLE001, ASYNC103  it is raised below, after the session has ended
            error = remaining
        cancelled_outside = trio.current_effective_deadline() <= trio.current_time()
        try:
            await self._leave(politely=self.failure is None and not cancelled_outside)  # noqa: ASYNC102  as in `_leave`
        except (trio.Cancelled, Exception):  # noqa: ASYNC103  raised when the clean-up is done
            # The close was cancelled, or failed, and is done all the same: the body's exception is not masked by that.
            if error is None:
                raise
        if error is None and cancelled_outside:
            await trio.lowlevel.checkpoint()  # noqa: ASYNC102  the cancellation wins, over a failure too
        if self.failure is not None:
            if error is None:
                raise_as_it_is(own_instance(self.failure))
            add_context(error, self.failure)
        if error is not None and error is not exc:
            raise_as_it_is(error)
        return False

    async def _leave(self, *, politely: bool) -> None:
        """End everything; whatever happens, nothing of the session is left afterwards."""
        self._state = "leaving"
        if self.calls is not None:
            self.calls.cancel_all()
        try:
            if politely and self._transport is not None:
                with trio.move_on_after(self._close_timeout):
                    self.send_collected()
                    await self.outbox.wait_empty()
                    await self._transport.aclose()
        finally:
            try:
                await self._end_tasks()  # noqa: ASYNC102  bounded, or at once in a cancelled scope
            finally:
                self._state = "left"
                self.outbox.close()
                self.fanout.end(self.failure)
                for waiter in self._waiters.values():
                    waiter.fail(trio.ClosedResourceError("the session has ended"))
                self._transport_scope.cancel()  # the polite part is over
                await self._stack.aclose()

    async def _end_tasks(self) -> None:
        if self._nursery is None or self._nursery_manager is None:
            return
        self._nursery.cancel_scope.cancel()
        try:
            await self._nursery_manager.__aexit__(None, None, None)
        except BaseExceptionGroup as group:  # Ctrl-C in one of the tasks, or a cancellation from outside
            raise unwrap(group, None) from None

    def fail(self, error: RealtimeError) -> None:
        """The session is over; the first failure counts.

        Subscribers and waiters get what arrived before, then this; the body has `close_timeout` to act on it.
        """
        if self.failure is not None or self._state in {"leaving", "left"}:
            return
        self.failure = error
        logger.error("session failed: %s", error)
        self.outbox.close()
        self.fanout.end(error)
        for waiter in self._waiters.values():
            waiter.fail(own_instance(error))
        self._opening.end(error)
        if self._state == "open":
            self._body_scope.deadline = trio.current_time() + self._close_timeout

    # --- the tasks ----------------------------------------------------------------------------------------------

    async def _pump(self, transport: MessageTransport) -> None:
        try:
            closed = await transport.pump(self._deliver)
            self._connection_ended(closed.code, closed.reason, None)
        except Exception as error:  # noqa: BLE001  a bug here must not take the body's exception with it
            self._broken(error)

    async def _write(self, transport: MessageTransport) -> None:
        try:
            await self.outbox.write_to(transport)
        except Exception as error:  # noqa: BLE001  as above
            # What had arrived comes first, and may say why this is the end; if it does not, reading fails as well.
            await trio.sleep(self._close_timeout)
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        """The transport raised `error`, or something here did."""
        try:
            if isinstance(error, ConnectionLost):
                self._connection_ended(error.code, error.reason, error)
            elif isinstance(error, RealtimeError):
                self._connection_ended(None, "", error)
            elif isinstance(error, trio.ClosedResourceError):
                self._connection_ended(None, "", ConnectionLost("the transport was closed on this side"))
            else:
                self._bug(error)
        except Exception as bug:  # noqa: BLE001  as above
            self._bug(bug)

    def _connection_ended(self, code: int | None, reason: str, cause: RealtimeError | None) -> None:
        if self.failure is None and self._state not in {"leaving", "left"}:
            self.apply(self.machine.connection_ended(code=code, reason=reason, cause=cause, unix_time=time.time()))

    def _bug(self, error: Exception) -> None:
        failure = InternalError(f"a bug in trio_realtime, please report it: {error!r}")
        failure.__cause__ = error
        self.fail(failure)

    def _deliver(self, payload: Payload, binary: bool = False) -> None:
        if self.failure is not None or self._state == "leaving":
            return
        self.received_frames += 1
        self.received_bytes += len(payload)
        try:
            if binary:
                event: Any = server.ProtocolIssue(reason="a binary message; the protocol has none")
            else:
                event = self._codec.decode(payload)
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("received %r", event)
            if self._state == "opening":
                # A malformed event that is known all the same opens the gate like any other.
                refusal = self._opening.hear(event.event if isinstance(event, server.ProtocolIssue) else event)
                if refusal is not None:
                    # Whatever it names: before there is a session there is nothing else that it can be about.
                    for waiter in self._waiters.values():
                        waiter.fail(refusal)
            self.apply(self.machine.receive(event))
        except Exception as error:  # noqa: BLE001  as above
            self._bug(error)

    # --- events and commands ------------------------------------------------------------------------------------

    def apply(self, effects: Effects) -> None:
        """Do what the machine says has to happen."""
        for update in effects.publish:
            self._publish(update)
        if self.calls is not None and self._nursery is not None:
            for call_id in effects.cancel:
                self.calls.cancel(call_id)
            for call in effects.start:
                self.calls.start(call, self._nursery)
            for settled in effects.settle:
                self.calls.answered(settled.event_id, accepted=settled.error is None)
        for settled in effects.settle:
            if settled.error is not None and settled.event_id not in self._waiters:
                self._publish(ErrorReported(error=settled.error))
        if effects.event is not None and self.fanout.wants(RawEvent):
            self.fanout.publish(RawEvent(time=trio.current_time(), source="server", event=effects.event))
        for event in effects.urgent:
            self._put(event, urgent=True)
        for event in effects.send:
            self._put(event)
        for settled in effects.settle:
            waiter = self._waiters.get(settled.event_id)
            if waiter is not None:
                waiter.settle(settled)
        if effects.settle and self.playback is not None:
            self.playback.push(effects)  # a response that was refused is not under way any more, and no update says so
        if effects.failure is not None:
            self.fail(effects.failure)

    def _publish(self, update: Update) -> None:
        if type(update) is ErrorReported:
            logger.error("the server reported an error: %s", update.error)
        self.fanout.publish(update)

    def _put(self, event: ClientEvent, *, urgent: bool = False) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("sent %r", event)
        self.sent_events += 1
        self.outbox.put(self._codec.encode(event), urgent=urgent)
        if self.fanout.wants(RawEvent):
            self._publish_sent(without_token(event))

    def put_unknown(self, raw: dict[str, Any]) -> None:
        """Queue an event that no struct of this library can hold; the machine does not know of it.

        Raises:
            ConfigError: It cannot be encoded; nothing was sent.
        """
        encoded = encode_unknown(raw)
        self.send_collected()
        logger.debug("sent %s", raw.get("type"))
        self.sent_events += 1
        self.outbox.put(encoded)
        if self.fanout.wants(RawEvent):
            self._publish_sent(raw)

    def _publish_sent(self, event: Any) -> None:
        self.fanout.publish(RawEvent(time=trio.current_time(), source="client", event=event))

    def check_open(self) -> None:
        """Refuse to do anything before the session begins and after it has ended.

        Raises:
            trio.ClosedResourceError: It has not begun, or has ended.
            RealtimeError: It has failed with this.
        """
        if self.failure is not None:
            raise own_instance(self.failure)
        if self._state not in {"open", "opening"}:
            raise trio.ClosedResourceError("the session is not open: use it inside `async with open_session(...)`")

    def check(self, event: ClientEvent) -> None:
        """Hold an event against the protocol before anything changes; raises `ConfigError`."""
        self._codec.encode(event)

    def post(self, event: ClientEvent) -> None:
        """Send an event, without waiting for its answer."""
        self.send_collected()
        self.apply(self.machine.command(event))

    def append(self, audio: bytes) -> None:
        """Send audio of the user, behind what was collected; so often that it saves the way through effects."""
        self.send_collected()
        event = client.InputAudioBufferAppend(audio=audio)
        self.machine.append_audio(event)
        self._put(event)

    def collect(self, audio: bytes, enough_bytes: int) -> None:
        """Keep audio of the user until there is enough of it, or something else is sent."""
        self._collected += audio
        if len(self._collected) >= enough_bytes:
            self.send_collected()

    def send_collected(self) -> None:
        """Send the audio that was collected."""
        if self._collected:
            audio = bytes(self._collected)
            self._collected.clear()
            self.append(audio)

    def begin_turn(
        self, turn: Waiter, request: client.ResponseCreate, message: client.ConversationItemCreate | None
    ) -> None:
        """Send a message, if there is one, and what asks for a response; `turn` hears what becomes of both.

        Raises:
            ConfigError: One of them was refused here; nothing was sent.
        """
        self.check(request)
        if message is not None:
            self.check(message)
            self.post(message)
            self._waiters[str(message.event_id)] = turn
        self._waiters[str(request.event_id)] = turn
        self.post(request)

    def stop_turn(self, turn_id: str) -> None:
        """Nobody wants a turn any more: its cancel is in the outbox when this returns."""
        self.apply(self.machine.stop_turn(turn_id))

    def forget(self, *event_ids: str) -> None:
        """Nobody waits for these events any more."""
        for event_id in event_ids:
            self._waiters.pop(event_id, None)

    def stop_response(self, response_id: str) -> None:
        """Cancel a response, and what is still to be heard of it."""
        self.apply(self.machine.stop_response(response_id))

    def end_stalled(self, response_id: str, seconds: float) -> None:
        """Nothing has come of a response for so long: end it as one that failed."""
        self.apply(self.machine.end_stalled(response_id, seconds))

    def begin_playback(self, playback: Subscriber) -> PlaybackLedger:
        """Somebody plays the audio from now on.

        Raises:
            trio.BusyResourceError: Somebody does already.
        """
        if self.playback is not None:
            raise trio.BusyResourceError("the session has a playback already; end it first")
        self.fanout.add(playback)
        self.playback = playback
        return self.machine.begin_playback()

    def end_playback(self, playback: Subscriber) -> None:
        """Nobody plays the audio any more."""
        if self.playback is playback:
            self.playback = None
            self.machine.end_playback()
            self.fanout.remove(playback)

    def interrupt(self, item_id: str | None, played_samples: int | None) -> None:
        """Stop the assistant; what that takes is in the outbox when this returns.

        Raises:
            ConfigError: The item cannot be interrupted; nothing was sent.
        """
        self.apply(self.machine.interrupt(item_id, played_samples))

    def request_response(self, event: client.ResponseCreate) -> None:
        """Ask for a response that follows from something else that was sent; several that wait become one."""
        self.send_collected()
        self.apply(self.machine.responses.create(event, automatic=True))

    async def command(self, event: ClientEvent, *, then: Callable[[], None] | None = None) -> Any:
        """Send an event and wait for its answer: the server's version of what it is about.

        Args:
            event: With its `event_id`.
            then: Called once the event is queued, before anything can be cancelled.

        Raises:
            ConfigError: The event was refused here; nothing was sent.
            ServerError: The server refused it; the session goes on.
            RealtimeError: The session failed meanwhile.
            trio.ClosedResourceError: The session is not open.
        """
        return await self._answer_to(event, lambda: self._post_and(event, then))

    async def answer_call(self, event: client.ConversationItemCreate, call_id: str, *, reply: bool) -> Any:
        """Send the output of a call that the program answers itself; raises as `command`."""

        def post() -> None:
            effects = self.machine.responses.tools.answer(call_id, reply=reply)
            self.post(event)
            self.apply(effects)

        return await self._answer_to(event, post)

    def _post_and(self, event: ClientEvent, then: Callable[[], None] | None) -> None:
        self.post(event)
        if then is not None:
            then()

    async def _answer_to(self, event: ClientEvent, post: Callable[[], None]) -> Any:
        self.check_open()
        self.check(event)
        event_id = str(event.event_id)
        waiter = self._waiters[event_id] = Command()
        try:
            post()
            return await waiter.wait()
        finally:
            del self._waiters[event_id]
            self.apply(self.machine.responses.forget(event_id))
