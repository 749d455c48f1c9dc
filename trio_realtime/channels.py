"""The one fan-out of updates to subscribers, and the receive channel that each of them holds.

Trio's memory channel is final and counts values; this one counts bytes and knows which updates are deltas. A value
goes straight to a task that waits for it; otherwise it is buffered up to `max_buffer_bytes`. Publishing never waits, so
a slow subscriber delays neither the socket nor the others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, cast

import msgspec
import outcome
import trio

from .errors import own_instance
from .state.updates import RawEvent
from .update_buffer import Overflow, UpdateBuffer

T = TypeVar("T")


class ChannelStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """How a subscription stands.

    Attributes:
        name: Its name, as `SubscriberOverflow` gives it.
        buffered_updates: How many updates wait to be received.
        buffered_bytes: What they count for.
        max_buffer_bytes: How much they may count for.
        dropped_deltas: How many deltas were not kept for it.
        tasks_waiting_receive: How many tasks wait for an update.
        open_channels: How many clones are open.
    """

    name: str
    buffered_updates: int
    buffered_bytes: int
    max_buffer_bytes: int
    dropped_deltas: int
    tasks_waiting_receive: int
    open_channels: int


class Subscriber(Protocol):
    """Who gets updates of some types: none means all but `RawEvent`."""

    @property
    def types(self) -> tuple[type[Any], ...]:
        """The types; read when it subscribes."""
        ...

    def push(self, update: Any) -> None:
        """Take an update, without waiting."""

    def end(self, error: BaseException | None) -> None:
        """Nothing more will come: the session ended, or failed with `error`."""


class _Subscription(Generic[T]):
    """What the clones of one channel share."""

    def __init__(self, name: str, types: tuple[type[Any], ...], max_buffer_bytes: int, overflow: Overflow) -> None:
        self.types = types
        self.buffer: UpdateBuffer[T] = UpdateBuffer(name, max_buffer_bytes, overflow)
        self.waiting: OrderedDict[trio.lowlevel.Task, UpdateChannel[T]] = OrderedDict()
        self.ended: bool = False
        self.error: BaseException | None = None
        self.open_channels = 0

    def push(self, update: T) -> None:
        if self.waiting:
            task, _ = self.waiting.popitem(last=False)
            trio.lowlevel.reschedule(task, outcome.Value(update))
        else:
            self.buffer.put(update)

    def end(self, error: BaseException | None) -> None:
        """The producer is done; receivers get what is left, then `error` or the end."""
        self.ended = True
        self.error = error
        while self.waiting:
            task, _ = self.waiting.popitem(last=False)
            trio.lowlevel.reschedule(task, outcome.Error(self.last_word()))

    def last_word(self) -> BaseException:
        """What a receiver gets when nothing is left."""
        if self.buffer.overflowed is not None:
            return own_instance(self.buffer.overflowed)
        return trio.EndOfChannel() if self.error is None else own_instance(self.error)


class UpdateChannel(trio.abc.ReceiveChannel[T]):
    """What a subscriber receives from: a Trio receive channel, bounded in bytes.

    `with` subscribes and unsubscribes. Iterate it, or call `receive`; share it between tasks with `clone`, and each
    update goes to one of them. When the session ends, what is left can still be received; then the channel ends, or
    raises the error that the session failed with.
    """

    def __init__(self, fanout: Fanout, subscription: _Subscription[T]) -> None:
        self._fanout = fanout
        self._subscription = subscription
        self._open = False
        self._closed = False
        self._receiving = False

    def __enter__(self) -> Self:
        if self._closed:
            raise trio.ClosedResourceError("this channel was closed; subscribe again with another")
        if not self._open:  # a clone is open from the start
            self._fanout.add(self._subscription)
            self._subscription.open_channels += 1
            self._open = True
        return self

    async def __aenter__(self) -> Self:
        await trio.lowlevel.checkpoint()
        return self.__enter__()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def receive_nowait(self) -> T:
        """Take the next update without waiting.

        Raises:
            trio.WouldBlock: None is there.
            trio.EndOfChannel: The session has ended, and nothing is left.
            trio.ClosedResourceError: This channel was closed.
            SubscriberOverflow: Nothing is left of what fitted into the buffer.
            RealtimeError: The session failed with this, and nothing is left.
        """
        self._check_open()
        subscription = self._subscription
        if subscription.buffer:
            return subscription.buffer.take()
        if subscription.ended or subscription.buffer.overflowed is not None:
            raise subscription.last_word()
        raise trio.WouldBlock

    async def receive(self) -> T:
        """Take the next update.

        Raises:
            trio.EndOfChannel: The session has ended, and nothing is left.
            trio.ClosedResourceError: This channel was closed.
            trio.BusyResourceError: Another task receives from it; give each task a `clone`.
            SubscriberOverflow: Nothing is left of what fitted into the buffer.
            RealtimeError: The session failed with this, and nothing is left.

        Cancellation:
            Loses nothing: an update that was not returned is received next.
        """
        if self._receiving:
            raise trio.BusyResourceError("another task receives from this channel; give each task a clone")
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            update = self.receive_nowait()
        except trio.WouldBlock:
            pass
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return update
        waiting = self._subscription.waiting
        task = trio.lowlevel.current_task()

        def abandon(_: Callable[[], None]) -> trio.lowlevel.Abort:
            del waiting[task]
            return trio.lowlevel.Abort.SUCCEEDED

        waiting[task] = self
        self._receiving = True
        try:
            return cast("T", await trio.lowlevel.wait_task_rescheduled(abandon))
        finally:
            self._receiving = False

    def clone(self) -> UpdateChannel[T]:
        """Another channel of the same subscription, for another task; it is open until it is closed itself.

        Raises:
            trio.ClosedResourceError: This channel was closed.
        """
        self._check_open()
        twin = UpdateChannel(self._fanout, self._subscription)
        twin._open = True
        self._subscription.open_channels += 1
        return twin

    def close(self) -> None:
        """Unsubscribe, when it is the last clone; what was buffered is gone.

        A task in `receive` gets `trio.ClosedResourceError`.
        """
        if not self._open:
            return
        self._open = False
        self._closed = True
        subscription = self._subscription
        for task, channel in list(subscription.waiting.items()):
            if channel is self:
                del subscription.waiting[task]
                trio.lowlevel.reschedule(task, outcome.Error(trio.ClosedResourceError("this channel was closed")))
        subscription.open_channels -= 1
        if not subscription.open_channels:
            self._fanout.remove(subscription)
            subscription.buffer.clear()

    async def aclose(self) -> None:
        """`close`, and a checkpoint."""
        self.close()
        await trio.lowlevel.checkpoint()

    def _check_open(self) -> None:
        if not self._open:
            raise trio.ClosedResourceError(
                "this channel is not open: receive inside `with session.updates() as updates:`"
            )

    def statistics(self) -> ChannelStatistics:
        """How the subscription stands now."""
        subscription = self._subscription
        buffer = subscription.buffer
        return ChannelStatistics(
            name=buffer.name,
            buffered_updates=len(buffer),
            buffered_bytes=buffer.held_bytes,
            max_buffer_bytes=buffer.max_bytes,
            dropped_deltas=buffer.dropped,
            tasks_waiting_receive=len(subscription.waiting),
            open_channels=subscription.open_channels,
        )


class Fanout:
    """Gives each update to all who subscribed to its type, in order."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []
        self._by_type: dict[type[object], tuple[Subscriber, ...]] = {}
        self._count = 0
        self._error: BaseException | None = None
        self.ended: bool = False

    def subscribe(
        self, types: tuple[type[T], ...], *, name: str | None, max_buffer_bytes: int, overflow: Overflow
    ) -> UpdateChannel[T]:
        """A channel for updates of these types; it subscribes when it is entered."""
        self._count += 1
        name = name or f"updates#{self._count}"
        return UpdateChannel(self, _Subscription(name, types, max_buffer_bytes, overflow))

    def add(self, subscriber: Subscriber) -> None:
        """Begin to give updates to a subscriber.

        Raises:
            trio.ClosedResourceError: Nothing more will be published.
            RealtimeError: The same, because the session failed with this.
        """
        if self._error is not None:
            raise own_instance(self._error)
        if self.ended:
            raise trio.ClosedResourceError("the session has ended; nothing more will be published")
        self._subscribers.append(subscriber)
        self._by_type.clear()

    def remove(self, subscriber: Subscriber) -> None:
        """Stop giving updates to a subscriber."""
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)
            self._by_type.clear()

    def wants(self, kind: type[object]) -> bool:
        """Whether anybody subscribed to updates of this type, so that one need not be made for nobody."""
        return bool(self._for(kind))

    def publish(self, update: object) -> None:
        """Give an update to all who subscribed to its type."""
        for subscriber in self._for(type(update)):
            subscriber.push(update)

    def end(self, error: BaseException | None) -> None:
        """Nothing more will be published: receivers get what is left, then an instance of `error` or the end."""
        if self.ended:
            return
        self.ended = True
        self._error = error
        self._by_type.clear()
        for subscriber in self._subscribers:
            subscriber.end(error)

    def statistics(self) -> tuple[ChannelStatistics, ...]:
        """How each channel stands."""
        return tuple(
            [UpdateChannel(self, each).statistics() for each in self._subscribers if isinstance(each, _Subscription)]  # pyright: ignore[reportUnknownArgumentType]  of any type
        )

    def _for(self, kind: type[object]) -> tuple[Subscriber, ...]:
        found = self._by_type.get(kind)
        if found is None:
            # Lagged belongs to whoever lagged; it is never published.
            found = tuple(
                [
                    subscriber
                    for subscriber in self._subscribers
                    if not self.ended
                    if kind in subscriber.types or (not subscriber.types and kind is not RawEvent)
                ]
            )
            self._by_type[kind] = found
        return found
