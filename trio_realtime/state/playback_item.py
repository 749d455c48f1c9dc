"""One item of the playback queue: how much of it was received, handed out and heard, and so where it is cut.

Three counts of bytes grow with each part: `heard <= handed_out <= received`. Where an item is cut when it stops:

* It was heard in full, and no more comes: not at all.
* Less than a millisecond of it was heard: it is deleted. Truncated at 0 ms it would stay as an empty turn, where the
  server takes that at all.
* Otherwise each part is truncated where it was heard, to the millisecond below. So is a part that was heard as far as
  it was received but is still being generated: the server is ahead of what it has sent, and what it sends from now on
  is not played, so without the cut it would keep what nobody heard. What was received is its beginning in any case.
* A part of which nothing was heard, in an item of which another part was, is truncated at 0 ms: deleting the item would
  take the other part with it.
"""

import math
from collections import deque
from dataclasses import dataclass, field

from ..audio import PCM16, PCMA, PCMU, Encoding
from ..errors import ConfigError
from ..wire.client_events import ConversationItemDelete, ConversationItemTruncate
from .item import ConversationItem

Cut = ConversationItemTruncate | ConversationItemDelete

_TICKS_PER_SECOND = math.lcm(*[each.bytes_per_second for each in (PCM16, PCMU, PCMA)])
TICKS_PER_MS = _TICKS_PER_SECOND // 1000
"""Each byte of each encoding lasts a whole number of ticks, and so does a millisecond: times add up without drift."""


@dataclass(slots=True, eq=False)
class PlaybackPart:
    """The audio of one content part.

    Attributes:
        encoding: How it is encoded.
        pending: What waits to be handed out.
        kept: How much of what was received the server still has.
        handed_out: How much was handed out.
        heard: How much of that was heard.
        done: Whether all of it was received.
    """

    encoding: Encoding
    pending: deque[bytes] = field(default_factory=deque[bytes])
    kept: int = 0
    handed_out: int = 0
    heard: int = 0
    done: bool = False
    _split_sample: bytes = b""

    @property
    def finished(self) -> bool:
        """Whether it was heard in full."""
        return self.done and not self.pending and self.heard == self.handed_out

    @property
    def pending_bytes(self) -> int:
        """How much waits to be handed out."""
        return sum(map(len, self.pending))

    @property
    def heard_ms(self) -> int:
        """How much of it was heard, in whole milliseconds."""
        return self.encoding.bytes_to_ms(self.heard)

    @property
    def ticks_per_byte(self) -> int:
        """How long a byte of it lasts."""
        return _TICKS_PER_SECOND // self.encoding.bytes_per_second

    def append(self, audio: bytes) -> int:
        """Take audio in, without a copy unless a sample is split; return how much of it waits now."""
        size = self.encoding.bytes_per_sample
        if self._split_sample or len(audio) % size:
            audio = self._split_sample + audio
            whole = len(audio) // size * size
            audio, self._split_sample = audio[:whole], audio[whole:]
        if audio:
            self.pending.append(audio)
            self.kept += len(audio)
        return len(audio)

    def keep(self, length: int) -> int:
        """The server keeps `length` bytes: drop what waits beyond them; return how much that is."""
        self.kept = min(self.kept, length)
        excess = dropped = max(0, self.handed_out + self.pending_bytes - max(self.handed_out, length))
        while excess > 0:
            last = self.pending.pop()
            if len(last) > excess:
                self.pending.append(last[:-excess])
            excess -= len(last)
        return dropped


@dataclass(slots=True, eq=False)
class PlaybackItem:
    """The audio of one item, part by part.

    Attributes:
        id: The item's id.
        response_id: The response that it belongs to, where the server said it.
        parts: Its content parts, by index, in the order in which their audio came.
        closed: Whether no more audio of it is taken.
    """

    id: str
    response_id: str | None
    parts: dict[int, PlaybackPart] = field(default_factory=dict[int, PlaybackPart])
    closed: bool = False

    @property
    def finished(self) -> bool:
        """Whether it was heard in full."""
        return all(part.finished for part in self.parts.values())

    @property
    def heard_ms(self) -> int:
        """How much of it was heard, in whole milliseconds."""
        return sum([part.heard * part.ticks_per_byte for part in self.parts.values()]) // TICKS_PER_MS

    def done(self) -> None:
        """All of its audio was received."""
        for part in self.parts.values():
            part.done = True

    def stop(self) -> list[Cut]:
        """No more of it is heard: close it, and say what the server has to forget of it."""
        too_long = {index: part for index, part in self.parts.items() if part.heard < part.kept or not part.done}
        nothing_heard = not any(part.heard_ms for part in self.parts.values())
        self.closed = True
        self.done()
        for part in self.parts.values():
            part.pending.clear()
        for part in too_long.values():
            part.kept = part.encoding.ms_to_bytes(part.heard_ms)
        if too_long and nothing_heard:
            return [ConversationItemDelete(item_id=self.id)]
        return [
            ConversationItemTruncate(item_id=self.id, content_index=index, audio_end_ms=part.heard_ms)
            for index, part in too_long.items()
        ]


def stated_item(item: ConversationItem, played_samples: int, known: PlaybackItem | None) -> PlaybackItem:
    """An item as heard by somebody else's count.

    Args:
        item: The item of the conversation.
        played_samples: How many of its samples were heard; more than were received are as many.
        known: The same item, where it is or was in the queue: it may have been cut already.

    Raises:
        ConfigError: The item is not the assistant's, or has no audio, or the count is negative.
    """
    if item.role != "assistant":
        raise ConfigError(f"item {item.id!r} is not a message of the assistant; only those can be interrupted")
    if played_samples < 0:
        raise ConfigError(f"played_samples is 0 or more, not {played_samples}")
    stated = PlaybackItem(item.id, None if known is None else known.response_id)
    unplaced = item.encoding.samples_to_bytes(played_samples)
    for index, content in enumerate(item.content):
        received = content.audio_held_bytes + content.audio_evicted_bytes
        if received:
            part = stated.parts[index] = PlaybackPart(item.encoding, kept=received, done=item.completed)
            if known is not None and index in known.parts:
                before = known.parts[index]
                part.done = part.done or before.done
                part.kept = min(part.kept, before.kept) if known.closed else part.kept
            part.handed_out = part.heard = min(unplaced, part.kept)
            unplaced -= part.heard
    if not stated.parts:
        raise ConfigError(f"item {item.id!r} has no audio; interrupt() without an item stops the response")
    return stated
