"""What a subscriber has not received yet: bounded in bytes, and only at the expense of deltas.

Theory of operation. A delta is a piece of something that the server states whole later, so it may be merged with its
neighbours or dropped; anything else is kept, whatever the bound. Making room looks at the whole buffer, so it always
makes an eighth of the bound or nothing at all: what a flood of deltas costs the session stays in proportion to it.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Literal, TypeVar, cast

import msgspec

from .errors import SubscriberOverflow
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
    translation.SessionInputAudioBufferAppend,
    translation.SessionOutputAudioDelta,
    translation.SessionOutputTranscriptDelta,
    translation.SessionInputTranscriptDelta,
)


def delta_bytes(update: object) -> int:
    """What a delta counts for; 0 for whatever is not a piece of something that will be stated whole later."""
    if type(update) is ItemUpdated:
        delta = update.delta
        if delta is None:
            return 0
        return UPDATE_BYTES + len(delta.audio or delta.text or delta.transcript or delta.arguments or b"")
    event: object = update.event if type(update) is RawEvent else update
    if isinstance(event, _DELTA_EVENTS):
        return UPDATE_BYTES + len(cast("str | bytes", getattr(event, "delta", None) or getattr(event, "audio", b"")))
    return 0


class UpdateBuffer(Generic[T]):
    """Updates in order, up to a bound at which it does what the subscriber chose.

    Args:
        name: Of the subscription.
        max_bytes: The bound.
        overflow: What happens to a delta that does not fit.

    Attributes:
        held_bytes: What the updates in it count for.
        dropped: How many deltas were not kept.
        overflowed: What the subscriber gets after what fitted, once something did not.
    """

    def __init__(self, name: str, max_bytes: int, overflow: Overflow) -> None:
        self.name = name
        self.max_bytes = max_bytes
        self.held_bytes: int = 0
        self.dropped: int = 0
        self.overflowed: SubscriberOverflow | None = None
        self._overflow: Overflow = overflow
        self._delta_bytes = 0
        self._entries: deque[tuple[T, int]] = deque()  # each with its `delta_bytes`

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, update: T) -> None:
        """Take one more update, if it fits or is no delta."""
        size = delta_bytes(update)
        if not size:
            self._append(update, 0)
        elif self.overflowed is not None:
            self._overflow_by_one()  # once there is a gap, nothing may stand behind it as if there was none
        elif self.held_bytes + size <= self.max_bytes or self._make_room(size):
            self._append(update, size)
        elif self._overflow == "drop_oldest":
            self._drop_newest()
        else:
            self._overflow_by_one()

    def take(self) -> T:
        """Give the oldest update."""
        update, size = self._entries.popleft()
        self.held_bytes -= size or UPDATE_BYTES
        self._delta_bytes -= size
        return update

    def clear(self) -> None:
        """Forget what is in it."""
        self._entries.clear()
        self.held_bytes = self._delta_bytes = 0

    def _append(self, update: T, size: int) -> None:
        self._entries.append((update, size))
        self.held_bytes += size or UPDATE_BYTES
        self._delta_bytes += size

    def _overflow_by_one(self) -> None:
        if self.overflowed is None:
            self.overflowed = SubscriberOverflow(
                f"subscriber {self.name} holds {self.held_bytes} bytes of updates that it has not received, of "
                f"{self.max_bytes} allowed; receive faster, raise max_buffer_bytes, or choose another overflow",
                subscriber=self.name,
                held_bytes=self.held_bytes,
            )
        self.dropped += 1
        self.overflowed.dropped = self.dropped

    def _make_room(self, size: int) -> bool:
        """Make room for a delta, and for an eighth of the bound besides; false if that cannot be done."""
        roomy = self.max_bytes * 7 // 8 - size
        if self._overflow == "coalesce":
            self._coalesce()
        elif self._overflow == "drop_oldest" and self.held_bytes - self._delta_bytes <= roomy:
            self._drop_oldest(self.max_bytes * 3 // 4 - size)
        return self.held_bytes <= roomy

    def _drop_oldest(self, target: int) -> None:
        """Drop the oldest deltas, and leave a marker where they stood."""
        entries, self._entries = self._entries, deque()
        excess = self.held_bytes - target
        self.held_bytes = self._delta_bytes = 0
        for update, size in entries:
            if isinstance(update, Lagged):
                self._mark_lag(update.count)
            elif size and excess > 0:
                excess -= size
                self.dropped += 1
                self._mark_lag(1)
            else:
                self._append(update, size)

    def _drop_newest(self) -> None:
        """Not keep a delta for which dropping all others makes no room: what is no delta fills the buffer."""
        self.dropped += 1
        self._mark_lag(1)

    def _mark_lag(self, count: int) -> None:
        last = self._entries[-1][0] if self._entries else None
        if isinstance(last, Lagged):
            self._entries[-1] = (cast("T", Lagged(count=last.count + count)), 0)
        else:
            self._append(cast("T", Lagged(count=count)), 0)

    def _coalesce(self) -> None:
        """Merge the deltas that stand next to each other and belong to one content part."""
        entries, self._entries = self._entries, deque()
        self.held_bytes = self._delta_bytes = 0
        run: list[ItemUpdated] = []
        run_key: object = None
        for update, size in entries:
            key = _merge_key(update)
            if run and key != run_key:
                self._append_merged(run)
                run = []
            if key is None:
                self._append(update, size)
            else:
                run.append(cast("ItemUpdated", update))
                run_key = key
        if run:
            self._append_merged(run)

    def _append_merged(self, run: list[ItemUpdated]) -> None:
        merged = _merged(run)
        self._append(cast("T", merged), delta_bytes(merged))


def _merge_key(update: object) -> object:
    if type(update) is not ItemUpdated or update.delta is None:
        return None
    return (id(update.item), _kind(update.delta), update.delta.content_index)


def _kind(delta: Delta) -> str:
    return next(name for name in ("audio", "text", "transcript", "arguments") if getattr(delta, name) is not None)


def _merged(run: list[ItemUpdated]) -> ItemUpdated:
    if len(run) == 1:
        return run[0]
    first = cast("Delta", run[0].delta)
    kind = _kind(first)
    pieces = [getattr(update.delta, kind) for update in run]
    whole = b"".join(pieces) if kind == "audio" else "".join(pieces)
    return msgspec.structs.replace(run[0], delta=msgspec.structs.replace(first, **{kind: whole}))
