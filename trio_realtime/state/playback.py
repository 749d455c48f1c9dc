"""What was received, handed out and heard of the assistant's audio, and so what an interruption cuts.

Theory of operation. Audio waits in a queue of items, each with its parts; a part's audio is played in order, an item
before the next. What is handed out lies on one line across all items, and an acknowledgement is a position on that
line: all before it was heard. Positions are cumulative, so that one that is lost, repeated or late does no harm. An
interruption empties the queue, cuts each item in it where it stood (`PlaybackItem.stop`) and starts a new generation
with a new line; an acknowledgement of an earlier one changes nothing.
"""

import math
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

from msgspec import Struct

from ..audio import Encoding
from ..errors import ConfigError
from .item import ConversationItem
from .playback_item import TICKS_PER_MS, Cut, PlaybackItem, PlaybackPart, stated_item

_MAX_KNOWN = 256
"""Items and responses that are over and still remembered, to recognise what comes late of them."""

_T = TypeVar("_T")


class PlaybackChunk(Struct, frozen=True, kw_only=True, gc=False):
    """A piece of one content part, to be played next.

    Attributes:
        item_id: The item that it belongs to.
        content_index: The content part.
        response_id: The response, where the server said it.
        encoding: How `audio` is encoded.
        position_bytes: Where it begins in the part.
        audio: Whole samples, at least one.
        generation: How many interruptions came before it; audio of an earlier generation is not to be played any more.
        mark: Acknowledges it and all before it, with `played(mark=...)`; grows from chunk to chunk, never reused.
    """

    item_id: str
    content_index: int
    response_id: str | None
    encoding: Encoding
    position_bytes: int
    audio: bytes
    generation: int
    mark: int

    @property
    def position_ms(self) -> int:
        """Where it begins in the part, in whole milliseconds."""
        return self.encoding.bytes_to_ms(self.position_bytes)

    def __repr__(self) -> str:
        return (
            f"PlaybackChunk(item_id={self.item_id!r}, content_index={self.content_index}, "
            f"position_ms={self.position_ms}, audio=<{len(self.audio)} bytes>, mark={self.mark})"
        )


class Interruption(Struct, frozen=True, kw_only=True):
    """What an interruption means for the server.

    Attributes:
        item_id: The item that was being played; None when none was.
        heard_ms: How much of it was heard, in whole milliseconds; None when no item was being played.
        cuts: What the server has to forget, in the order of the queue; without `event_id`.
        response_ids: The responses whose audio was cut, in order; some may still be under way.
    """

    item_id: str | None = None
    heard_ms: int | None = None
    cuts: tuple[Cut, ...] = ()
    response_ids: tuple[str, ...] = ()


class PlaybackStatistics(Struct, frozen=True, kw_only=True):
    """Where the audio is; `received_bytes == queued_bytes + handed_out_bytes + dropped_bytes`.

    Attributes:
        generation: How many interruptions there were.
        automatic: Whether a chunk counts as heard when the next is asked for.
        received_bytes: What was ever queued.
        queued_bytes: What waits to be handed out.
        handed_out_bytes: What was ever handed out.
        heard_bytes: What was ever heard.
        dropped_bytes: What was dropped from the queue.
    """

    generation: int
    automatic: bool
    received_bytes: int
    queued_bytes: int
    handed_out_bytes: int
    heard_bytes: int
    dropped_bytes: int


@dataclass(slots=True, eq=False)
class _Unheard:
    """Audio of one part that was handed out and is not acknowledged."""

    item: PlaybackItem
    part: PlaybackPart
    length: int


class PlaybackLedger:
    """The audio to be played, and how much of it was heard.

    Attributes:
        generation: How many interruptions there were.
        automatic: Whether a chunk counts as heard when the next is asked for; until the first acknowledgement.
    """

    def __init__(self) -> None:
        self.generation: int = 0
        self.automatic: bool = True
        self._queue: dict[str, PlaybackItem] = {}
        self._past: dict[str, PlaybackItem] = {}
        self._cut_responses: dict[str, None] = {}
        self._unheard: deque[_Unheard] = deque()
        self._unheard_bytes = 0
        self._line_start = 0  # `handed_out_bytes` when the generation began
        self._line_ticks = 0  # how long what was handed out in this generation lasts
        self._heard_ticks = 0  # how much of that was heard
        self._queued_bytes = 0
        self._handed_out_bytes = 0
        self._heard_bytes = 0
        self._dropped_bytes = 0

    # --- what there is --------------------------------------------------------------------------------------------

    @property
    def sounding(self) -> bool:
        """Whether an item is not over for the ear: some of its audio waits, or is not heard, or has still to come.

        False means that all was played. An item whose audio has run dry while it is generated is still sounding: an
        interruption cuts it.
        """
        return bool(self._queue)

    def plays(self, response_id: str) -> bool:
        """Whether audio of a response is not over for the ear."""
        return any(item.response_id == response_id for item in self._queue.values())

    def heard_ms(self, item_id: str) -> int | None:
        """How much of an item was heard, in whole milliseconds; None for one that had no audio or is long forgotten."""
        item = self._queue.get(item_id) or self._past.get(item_id)
        return None if item is None else item.heard_ms

    def statistics(self) -> PlaybackStatistics:
        """Where the audio is."""
        return PlaybackStatistics(
            generation=self.generation,
            automatic=self.automatic,
            received_bytes=self._queued_bytes + self._handed_out_bytes + self._dropped_bytes,
            queued_bytes=self._queued_bytes,
            handed_out_bytes=self._handed_out_bytes,
            heard_bytes=self._heard_bytes,
            dropped_bytes=self._dropped_bytes,
        )

    # --- audio comes ----------------------------------------------------------------------------------------------

    def received(
        self,
        item_id: str,
        content_index: int,
        response_id: str | None,
        encoding: Encoding,
        audio: bytes,
        *,
        position_bytes: int = 0,
    ) -> bool:
        """Queue audio, without a copy; true if there is more to play than before.

        What comes late of an item or a response that was cut is not taken. Half a sample at the end waits for the other
        half; one that never gets it is not played.

        Args:
            item_id: The item that it belongs to.
            content_index: The content part.
            response_id: The response, None where the server does not say it.
            encoding: How it is encoded.
            audio: The audio.
            position_bytes: How much audio of the part came before. It matters for a part of which the ledger knows
                nothing, because it began before the ledger did: that much of it counts as heard.

        Wire: `response.output_audio.delta`.
        """
        item = self._queue.get(item_id) or self._past.get(item_id)
        if not audio or response_id in self._cut_responses or (item is not None and item.closed):
            return False
        if item is None:
            item = PlaybackItem(item_id, response_id)
        part = item.parts.get(content_index)
        if part is None:
            # A response's audio comes part by part: the earlier ones have all of theirs, even if their end got lost.
            self.item_done(item_id)
            if response_id is not None:
                self.response_done(response_id)
            part = PlaybackPart(encoding, kept=position_bytes, handed_out=position_bytes, heard=position_bytes)
            item.parts[content_index] = part
        self._past.pop(item_id, None)
        self._queue[item_id] = item
        waits = part.append(audio)
        self._queued_bytes += waits
        self._settle(item)
        return waits > 0

    def part_done(self, item_id: str, content_index: int) -> None:
        """A part has all its audio. Wire: `response.output_audio.done`."""
        item = self._queue.get(item_id)
        if item is not None and content_index in item.parts:
            item.parts[content_index].done = True
            self._settle(item)

    def item_done(self, item_id: str) -> None:
        """An item has all its audio. Wire: `response.output_item.done`."""
        self._done([item for item in self._queue.values() if item.id == item_id])

    def response_done(self, response_id: str | None) -> None:
        """The items of a response have all their audio. Wire: `response.done`."""
        self._done([item for item in self._queue.values() if item.response_id == response_id])

    def connection_ended(self) -> None:
        """No more comes of anything that was under way; what was received is still played."""
        self._done(list(self._queue.values()))

    def item_deleted(self, item_id: str) -> None:
        """The server forgot an item: drop what waits of it, never cut it. Wire: `conversation.item.deleted`."""
        item = self._queue.get(item_id)
        if item is not None:
            self._keep(item, dict.fromkeys(item.parts, 0))

    def item_truncated(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """The server cut a part: drop what waits of it beyond `audio_end_ms`. Wire: `conversation.item.truncated`."""
        item = self._queue.get(item_id)
        if item is not None and content_index in item.parts:
            self._keep(item, {content_index: item.parts[content_index].encoding.ms_to_bytes(audio_end_ms)})

    # --- audio is played ------------------------------------------------------------------------------------------

    def take(self) -> PlaybackChunk | None:
        """The next chunk to play; None when the item that is being played has no more for now, or there is none.

        While `automatic`, all that was handed out before counts as heard.
        """
        if self.automatic:
            self._hear(self._unheard_bytes)
        for item in self._queue.values():
            for index, part in item.parts.items():
                if part.pending:
                    return self._hand_out(item, index, part)
                if not part.done:
                    return None  # another item may have audio, but would talk into this one
        return None

    def played(
        self,
        *,
        bytes: int | None = None,  # noqa: A002  the unit
        ms: float | None = None,
        mark: int | None = None,
        generation: int | None = None,
    ) -> None:
        """Acknowledge what was heard; one of `bytes`, `ms` and `mark`. The first one ends `automatic`.

        `bytes` and `ms` are all that was heard of this generation, across its items; they start at 0 after an
        interruption. `played(bytes=0)` before the second chunk is for a program that asks for chunks well before it
        plays them. Less than was acknowledged before changes nothing.

        Args:
            bytes: All that was heard, in bytes as handed out.
            ms: The same as a duration in milliseconds.
            mark: The mark of the last chunk that was heard to its end.
            generation: That of the chunks that are counted, for one who may be late; `mark` knows its own. An earlier
                one changes nothing.

        Raises:
            ConfigError: It is more than was handed out, or negative, or not one of the three. Nothing has changed.
        """
        given = [count for count in (bytes, ms, mark) if count is not None]
        if len(given) != 1:
            raise ConfigError("say what was heard by one of bytes=, ms= and mark=")
        if not 0 <= given[0] < math.inf:  # nor NaN
            raise ConfigError(f"what was heard is 0 or more, not {given[0]}")
        if generation is not None and generation > self.generation:
            raise ConfigError(f"there is no generation {generation} yet; the latest is {self.generation}")
        if (generation is not None and generation < self.generation) or (mark is not None and mark <= self._line_start):
            return
        line_bytes = self._handed_out_bytes - self._line_start
        if ms is not None:
            ticks = int(ms * TICKS_PER_MS)
            if ticks > self._line_ticks:
                raise _too_much(f"{ms} ms", f"{self._line_ticks / TICKS_PER_MS:g} ms")
            count = self._bytes_until(ticks)
        else:
            position = (bytes or 0) if mark is None else mark - self._line_start
            if position > line_bytes:
                raise _too_much(f"{position} bytes", f"{line_bytes} bytes")
            count = position - (line_bytes - self._unheard_bytes)
        self.automatic = False
        self._hear(count)

    # --- the user interrupts --------------------------------------------------------------------------------------

    def interrupt(self) -> Interruption:
        """Drop what waits, begin a new generation, and say what the server has to forget."""
        return self._interrupt(list(self._queue.values()))

    def stop(self, response_ids: Collection[str]) -> Interruption:
        """Like `interrupt`, for the audio of some responses; that of others plays on.

        A new generation begins only if some of theirs was handed out and not heard, or nothing else waits. If some of
        others was too, nothing is cut: whoever plays it cannot drop the one without the other.
        """
        items = [item for item in self._queue.values() if item.response_id in response_ids]
        to_be_heard = [unheard.item in items for unheard in self._unheard]
        if not items or (any(to_be_heard) and not all(to_be_heard)):
            return Interruption()
        return self._interrupt(items, plays_on=not any(to_be_heard) and len(items) < len(self._queue))

    def interrupt_at(self, item: ConversationItem, played_samples: int) -> Interruption:
        """Like `interrupt`, by the program's own count of what was heard of one item, whether or not it is queued.

        Args:
            item: The item that was being played; its cuts come first.
            played_samples: How many of its samples were heard; more than were received are as many.

        Raises:
            ConfigError: The item is not the assistant's, or has no audio, or the count is negative. Nothing has
                changed.
        """
        known = self._queue.get(item.id) or self._past.get(item.id)
        stated = stated_item(item, played_samples, known)
        return self._interrupt([stated, *[item for item in self._queue.values() if item.id != stated.id]])

    def _interrupt(self, items: list[PlaybackItem], *, plays_on: bool = False) -> Interruption:
        """Stop these items; with `plays_on` what was handed out is of others, and is still to be heard."""
        queued = [self._queue.pop(item.id) for item in items if item.id in self._queue]
        dropped = sum(part.pending_bytes for item in queued for part in item.parts.values())
        self._queued_bytes -= dropped
        self._dropped_bytes += dropped
        response_ids = dict.fromkeys([item.response_id for item in items if item.response_id is not None])
        interruption = Interruption(
            item_id=items[0].id if items else None,
            heard_ms=items[0].heard_ms if items else None,
            cuts=tuple([cut for item in items for cut in item.stop()]),
            response_ids=tuple(response_ids),
        )
        for item in items:
            _remember(self._past, item.id, item)
        for response_id in response_ids:
            _remember(self._cut_responses, response_id, None)
        if not plays_on:
            self._unheard.clear()
            self._unheard_bytes = 0
            self._line_start = self._handed_out_bytes
            self._line_ticks = self._heard_ticks = 0
            self.generation += 1
        return interruption

    # --- the counts -----------------------------------------------------------------------------------------------

    def _hand_out(self, item: PlaybackItem, content_index: int, part: PlaybackPart) -> PlaybackChunk:
        audio = part.pending.popleft()
        position = part.handed_out
        part.handed_out += len(audio)
        self._queued_bytes -= len(audio)
        self._handed_out_bytes += len(audio)
        self._line_ticks += len(audio) * part.ticks_per_byte
        self._unheard_bytes += len(audio)
        if self._unheard and self._unheard[-1].part is part:
            self._unheard[-1].length += len(audio)
        else:
            self._unheard.append(_Unheard(item, part, len(audio)))
        return PlaybackChunk(
            item_id=item.id,
            content_index=content_index,
            response_id=item.response_id,
            encoding=part.encoding,
            position_bytes=position,
            audio=audio,
            generation=self.generation,
            mark=self._handed_out_bytes,
        )

    def _bytes_until(self, ticks: int) -> int:
        """How many bytes that are not acknowledged lie before a time on the line."""
        ticks -= self._heard_ticks
        count = 0
        for unheard in self._unheard:
            per_byte = unheard.part.ticks_per_byte
            count += min(unheard.length, max(0, ticks // per_byte))
            ticks -= unheard.length * per_byte
        return count

    def _hear(self, count: int) -> None:
        """The next `count` bytes on the line were heard; none if it is negative."""
        while count > 0:
            unheard = self._unheard[0]
            heard = min(count, unheard.length)
            count -= heard
            unheard.length -= heard
            unheard.part.heard += heard
            self._unheard_bytes -= heard
            self._heard_bytes += heard
            self._heard_ticks += heard * unheard.part.ticks_per_byte
            if not unheard.length:
                self._unheard.popleft()
                self._settle(unheard.item)

    def _keep(self, item: PlaybackItem, lengths: dict[int, int]) -> None:
        """The server keeps these lengths of the parts of an item, and will not add to it."""
        for index, length in lengths.items():
            dropped = item.parts[index].keep(length)
            self._queued_bytes -= dropped
            self._dropped_bytes += dropped
        item.closed = True
        self._done([item])

    def _done(self, items: Iterable[PlaybackItem]) -> None:
        for item in items:
            item.done()
            self._settle(item)

    def _settle(self, item: PlaybackItem) -> None:
        """Forget an item of the queue, for the most part, when it is over for the ear."""
        if item.finished:
            del self._queue[item.id]
            _remember(self._past, item.id, item)


def _too_much(acknowledged: str, handed_out: str) -> ConfigError:
    return ConfigError(
        f"acknowledged {acknowledged}, but only {handed_out} were handed out: count what was heard "
        "of the chunks that were taken since the last interruption"
    )


def _remember(known: dict[str, _T], key: str, value: _T) -> None:
    known.pop(key, None)
    known[key] = value
    if len(known) > _MAX_KNOWN:
        del known[next(iter(known))]
