"""The one fan-out of updates to subscribers, and the receive channel that each of them holds.

Trio's memory channel is final and counts values; this one counts bytes and knows which updates are deltas. A value
goes straight to a task that waits for it; otherwise it is buffered up to `max_buffer_bytes`. Publishing never waits, so
a slow subscriber delays neither the socket nor the others.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, Self, TypeVar, cast

import msgspec
import outcome
import trio

from .errors import SubscriberOverflow, own_instance
from .state.updates import Delta, ItemUpdated, Lagged, RawEvent
from .wire import client_events as client, server_events as server, translation

T = TypeVar("T")
Overflow = Literal["raise", "coalesce", "drop_oldest"]

DEFAULT_BUFFER_BYTES = 64 * 2**20
"""22 minutes of PCM16 at 24,000 Hz."""

UPDATE_BYTES = 256
"""What an update counts for beside its content: about what the objects take."""

_DELTA_EVENTS = (
    client.InputAudioBufferAppend,
    server.ResponseOutputAudioDelta,
    server.ResponseOutputAudioTranscriptDelta,
    server.ResponseOutputTextDelta,
    server.ResponseFunctionCallArgumentsDelta,
    server.ResponseMcpCallArgumentsDelta,
    server.ConversationItemInputAudioTranscriptionDelta,
    translation.SessionOutputAudioDelta,
    translation.SessionOutputTranscriptDelta,
    translation.SessionInputTranscriptDelta,
)


def is_delta(update: object) -> bool:
    """Whether an update is a piece of something that will be stated whole later."""
    if type(update) is ItemUpdated:
        return update.delta is not None
    return isinstance(update.event if type(update) is RawEvent else update, _DELTA_EVENTS)


def size_bytes(update: object) -> int:
    """What an update counts for in a subscriber's buffer."""
    if type(update) is ItemUpdated:
        delta = update.delta
        if delta is None:
            return UPDATE_BYTES
        content = delta.audio or delta.text or delta.transcript or delta.arguments or b""
        return UPDATE_BYTES + len(content)
    event: object = update.event if type(update) is RawEvent else update
    if isinstance(event, _DELTA_EVENTS):
        return UPDATE_BYTES + len(getattr(event, "delta", None) or getattr(event, "audio", b""))
    return UPDATE_BYTES


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
        self.name = name
        self.types = types
        self.max_buffer_bytes = max_buffer_bytes
        self.overflow: Overflow = overflow
        self.buffer: deque[T] = deque()
        self.held_bytes = 0
        self.dropped = 0
        self.overflowed: SubscriberOverflow | None = None
        self.waiting: OrderedDict[trio.lowlevel.Task, UpdateChannel[T]] = OrderedDict()
        self.ended = False
        self.error: BaseException | None = None
        self.open_channels = 0

    def push(self, update: T) -> None:
        if self.waiting:
            task, _ = self.waiting.popitem(last=False)
            trio.lowlevel.reschedule(task, outcome.Value(update))
            return
        size = size_bytes(update)
        if self.held_bytes + size > self.max_buffer_bytes and not self._make_room(update, size):
            return
        self.buffer.append(update)
        self.held_bytes += size

    def _make_room(self, update: T, size: int) -> bool:
        """Do what the subscriber chose at its bound; false if `update` is not kept."""
        if not is_delta(update):
            return True  # what is not a delta is never lost
        if self.overflow == "drop_oldest":
            return self._drop_oldest(size)
        if self.overflow == "coalesce" and self.overflowed is None:
            self._coalesce()
            # An eighth of room, or every further delta would merge everything again.
            if self.held_bytes + size <= self.max_buffer_bytes * 7 // 8:
                return True
        if self.overflowed is None:
            self.overflowed = SubscriberOverflow(
                f"subscriber {self.name} holds {self.held_bytes} bytes of updates that it has not received, of "
                f"{self.max_buffer_bytes} allowed; receive faster, raise max_buffer_bytes, or choose another overflow",
                subscriber=self.name,
                held_bytes=self.held_bytes,
            )
        self.dropped += 1
        self.overflowed.dropped = self.dropped
        return False

    def _drop_oldest(self, size: int) -> bool:
        """Drop the oldest deltas, a quarter of the bound at a time, and leave a marker where they stood."""
        target = max(0, self.max_buffer_bytes * 3 // 4 - size)
        kept: deque[T] = deque()
        for update in self.buffer:
            if self.held_bytes > target and is_delta(update):
                self.held_bytes -= size_bytes(update)
                self.dropped += 1
                if not (kept and isinstance(kept[-1], Lagged)):
                    kept.append(cast("T", Lagged(count=0)))
                    self.held_bytes += UPDATE_BYTES
                kept[-1] = cast("T", Lagged(count=cast("Lagged", kept[-1]).count + 1))
            elif isinstance(update, Lagged) and kept and isinstance(kept[-1], Lagged):
                kept[-1] = cast("T", Lagged(count=kept[-1].count + update.count))
                self.held_bytes -= UPDATE_BYTES
            else:
                kept.append(update)
        self.buffer = kept
        return True

    def _coalesce(self) -> None:
        """Merge the deltas that stand next to each other and belong to one content part."""
        merged: deque[T] = deque()
        run: list[ItemUpdated] = []
        key: object = None
        for update in self.buffer:
            own = _merge_key(update)
            if run and own != key:
                merged.append(cast("T", _merge(run)))
                run = []
            if own is None:
                merged.append(update)
            else:
                run.append(cast("ItemUpdated", update))
                key = own
        if run:
            merged.append(cast("T", _merge(run)))
        self.buffer = merged
        self.held_bytes = sum([size_bytes(update) for update in merged])

    def end(self, error: BaseException | None) -> None:
        """The producer is done; receivers get what is left, then `error` or the end."""
        if self.ended:
            return
        self.ended = True
        self.error = error
        while self.waiting:
            task, _ = self.waiting.popitem(last=False)
            trio.lowlevel.reschedule(task, outcome.Error(self.last_word()))

    def last_word(self) -> BaseException:
        """What a receiver gets when nothing is left."""
        if self.overflowed is not None:
            return own_instance(self.overflowed)
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
        self._receiving = False

    def __enter__(self) -> Self:
        if not self._open:  # a clone is open from the start
            if self._subscription.open_channels:
                raise trio.BusyResourceError("this channel was entered before, and a clone of it is still open")
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
        if not subscription.buffer:
            if subscription.ended or subscription.overflowed is not None:
                raise subscription.last_word()
            raise trio.WouldBlock
        update = subscription.buffer.popleft()
        subscription.held_bytes -= size_bytes(update)
        return update

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
        subscription = self._subscription
        for task, channel in list(subscription.waiting.items()):
            if channel is self:
                del subscription.waiting[task]
                trio.lowlevel.reschedule(task, outcome.Error(trio.ClosedResourceError("this channel was closed")))
        subscription.open_channels -= 1
        if subscription.open_channels <= 0:
            self._fanout.remove(subscription)
            subscription.buffer.clear()
            subscription.held_bytes = 0

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
        return ChannelStatistics(
            name=subscription.name,
            buffered_updates=len(subscription.buffer),
            buffered_bytes=subscription.held_bytes,
            max_buffer_bytes=subscription.max_buffer_bytes,
            dropped_deltas=subscription.dropped,
            tasks_waiting_receive=len(subscription.waiting),
            open_channels=subscription.open_channels,
        )


class Fanout:
    """Gives each update to all who subscribed to its type, in order."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []
        self._by_type: dict[type[object], tuple[Subscriber, ...]] = {}
        self._count = 0
        self.ended = False

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
        """
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
        self.ended = True
        for subscriber in self._subscribers:
            subscriber.end(error)

    def statistics(self) -> tuple[ChannelStatistics, ...]:
        """How each channel stands."""
        return tuple(
            [UpdateChannel(self, each).statistics() for each in self._subscribers if isinstance(each, _Subscription)]
        )

    def _for(self, kind: type[object]) -> tuple[Subscriber, ...]:
        found = self._by_type.get(kind)
        if found is None:
            # Lagged belongs to whoever lagged; it is never published.
            found = tuple(
                [
                    subscriber
                    for subscriber in self._subscribers
                    if kind in subscriber.types or (not subscriber.types and kind is not RawEvent)
                ]
            )
            self._by_type[kind] = found
        return found


def _merge_key(update: object) -> object:
    if type(update) is not ItemUpdated or update.delta is None:
        return None
    delta = update.delta
    which = next(name for name in ("audio", "text", "transcript", "arguments") if getattr(delta, name) is not None)
    return (id(update.item), which, delta.content_index)


def _merge(run: list[ItemUpdated]) -> ItemUpdated:
    if len(run) == 1:
        return run[0]
    deltas = [cast("Delta", update.delta) for update in run]
    first = deltas[0]
    if first.audio is not None:
        delta = msgspec.structs.replace(first, audio=b"".join([cast("bytes", each.audio) for each in deltas]))
    else:
        name = next(name for name in ("text", "transcript", "arguments") if getattr(first, name) is not None)
        delta = msgspec.structs.replace(first, **{name: "".join([getattr(each, name) for each in deltas])})
    return msgspec.structs.replace(run[0], delta=delta)
