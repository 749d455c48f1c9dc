"""The playback ledger against lists of bytes, whatever happens in whatever order."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.state.playing import cut_at, deleted, encodings
from trio_realtime.audio import Encoding
from trio_realtime.errors import ConfigError
from trio_realtime.state.playback import PlaybackLedger
from trio_realtime.wire.client_events import ConversationItemTruncate


class ModelPart:
    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.came = b""
        self.limit = 10**9
        self.out = 0
        self.heard = 0
        self.done = False

    @property
    def playable(self) -> bytes:
        """Whole samples, of what the server has not taken back; what is handed out stays so."""
        size = self.encoding.bytes_per_sample
        return self.came[: min(len(self.came) // size * size, max(self.out, self.limit))]

    @property
    def kept(self) -> int:
        return min(len(self.playable), self.limit)

    @property
    def finished(self) -> bool:
        return self.done and self.heard == self.out == len(self.playable)

    @property
    def heard_ms(self) -> int:
        return (self.heard // self.encoding.bytes_per_sample) // (self.encoding.rate_hz // 1000)


class ModelItem:
    def __init__(self, item_id: str, response_id: str | None, encoding: Encoding) -> None:
        self.id = item_id
        self.response_id = response_id
        self.encoding = encoding
        self.parts: dict[int, ModelPart] = {}
        self.closed = False

    @property
    def finished(self) -> bool:
        return all(part.finished for part in self.parts.values())

    def cuts(self) -> list[Any]:
        wrong = {index: part for index, part in self.parts.items() if not part.done or part.heard < part.kept}
        if wrong and all(part.heard_ms == 0 for part in self.parts.values()):
            return [deleted(self.id)]
        return [cut_at(self.id, part.heard_ms, index) for index, part in wrong.items()]


indices = st.integers(0, 100)


class Playback(RuleBasedStateMachine):
    """The ledger against lists of bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = PlaybackLedger()
        self.items: list[ModelItem] = []
        self.queue: list[ModelItem] = []
        self.line: list[ModelPart] = []  # one entry for each byte handed out in this generation
        self.heard = 0
        self.automatic = True
        self.cut_responses: set[str | None] = set()
        self.marks: list[tuple[int, int, int]] = []  # mark, generation, position on the line
        self.generation = 0
        self.handed_out = 0

    def settle(self) -> None:
        self.queue = [item for item in self.queue if not item.finished]

    def hear(self, until: int) -> None:
        for part in self.line[self.heard : until]:
            part.heard += 1
        self.heard = max(self.heard, until)
        self.settle()

    def all_done(self, *items: ModelItem) -> None:
        for item in items:
            for part in item.parts.values():
                part.done = True
        self.settle()

    # audio comes

    @precondition(lambda self: len([item for item in self.items if not item.closed]) < 5)
    @rule(response=st.sampled_from(["same", "new", None]), encoding=encodings)
    def new_item(self, response: str | None, encoding: Encoding) -> None:
        number = len(self.items)
        response_id = response and f"response {number if response == 'new' or not self.items else number - 1}"
        if response == "same" and self.items:
            response_id = self.items[-1].response_id
        self.items.append(ModelItem(f"item {number}", response_id, encoding))

    @precondition(lambda self: self.items)
    @rule(at=indices, index=st.integers(0, 1), size=st.integers(0, 250))
    def audio(self, at: int, index: int, size: int) -> None:
        item = self.items[-1 - at % min(len(self.items), 5)]
        audio = bytes((self.handed_out + n) % 251 for n in range(size))
        accepted = bool(size) and not item.closed and item.response_id not in self.cut_responses
        before = 0
        if accepted:
            if index not in item.parts:
                self.all_done(item, *[it for it in self.items if it.response_id and it.response_id == item.response_id])
                item.parts[index] = ModelPart(item.encoding)
            part = item.parts[index]
            before = len(part.playable)
            part.came += audio
            if item not in self.queue:
                self.queue.append(item)
            accepted = len(part.playable) > before
        assert self.ledger.received(item.id, index, item.response_id, item.encoding, audio) is accepted
        self.settle()

    @precondition(lambda self: self.queue)
    @rule(at=indices, how=st.sampled_from(["part", "item", "response"]))
    def done(self, at: int, how: str) -> None:
        item = self.queue[at % len(self.queue)]
        if how == "part":
            index = next(iter(item.parts))
            self.ledger.part_done(item.id, index)
            item.parts[index].done = True
            self.settle()
        elif how == "item":
            self.ledger.item_done(item.id)
            self.all_done(item)
        else:
            self.ledger.response_done(item.response_id)
            self.all_done(*[it for it in self.queue if it.response_id == item.response_id])

    # it is played

    @rule()
    def take(self) -> None:
        chunk = self.ledger.take()
        if self.automatic:
            self.hear(len(self.line))
        waiting = [
            (item, index, part)
            for item in self.queue
            for index, part in item.parts.items()
            if not part.done or part.out < len(part.playable)
        ]
        if not waiting or waiting[0][2].out == len(waiting[0][2].playable):
            assert chunk is None
            return
        assert chunk is not None
        item, index, part = waiting[0]
        assert (chunk.item_id, chunk.content_index, chunk.position_bytes) == (item.id, index, part.out)
        assert chunk.audio == part.playable[part.out : part.out + len(chunk.audio)] != b""
        assert len(chunk.audio) % item.encoding.bytes_per_sample == 0
        assert chunk.generation == self.generation
        part.out += len(chunk.audio)
        self.line += [part] * len(chunk.audio)
        self.handed_out += len(chunk.audio)
        self.marks.append((chunk.mark, self.generation, len(self.line)))

    @precondition(lambda self: self.line)
    @rule(data=st.data(), generation=st.booleans())
    def played_bytes(self, data: st.DataObject, generation: bool) -> None:
        count = data.draw(st.integers(0, len(self.line)))
        self.ledger.played(bytes=count, generation=self.generation if generation else None)
        self.automatic = False
        self.hear(count)

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def played_ms(self, data: st.DataObject) -> None:
        ends: list[Fraction] = []
        for part in self.line:
            ends.append((ends[-1] if ends else 0) + Fraction(1000, part.encoding.bytes_per_second))
        ms = data.draw(st.integers(0, int(ends[-1])))
        self.ledger.played(ms=ms)
        self.automatic = False
        self.hear(len([end for end in ends if end <= ms]))

    @precondition(lambda self: self.marks)
    @rule(at=indices)
    def played_mark(self, at: int) -> None:
        mark, generation, position = self.marks[-1 - at % min(len(self.marks), 8)]
        self.ledger.played(mark=mark)
        if generation == self.generation:
            self.automatic = False
            self.hear(position)

    @rule(more=st.integers(1, 10), unit=st.sampled_from(["bytes", "ms", "mark"]))
    def played_too_much(self, more: int, unit: str) -> None:
        lasts_ms = sum(Fraction(1000, part.encoding.bytes_per_second) for part in self.line)
        too_much = {"bytes": len(self.line) + more, "ms": int(lasts_ms) + more, "mark": self.handed_out + more}
        with pytest.raises(ConfigError):
            self.ledger.played(**{unit: too_much[unit]})

    @precondition(lambda self: self.generation)
    @rule(count=st.integers(0, 10**6))
    def played_stale(self, count: int) -> None:
        self.ledger.played(bytes=count, generation=self.generation - 1)

    # it is cut

    @precondition(lambda self: self.queue)
    @rule()
    def interrupt(self) -> None:
        expected = [cut for item in self.queue for cut in item.cuts()]
        playing = self.queue[0]
        interruption = self.ledger.interrupt()
        assert list(interruption.cuts) == expected
        assert interruption.item_id == playing.id
        parts = {(item.id, index): part for item in self.items for index, part in item.parts.items()}
        for cut in interruption.cuts:
            if isinstance(cut, ConversationItemTruncate):
                part = parts[cut.item_id, cut.content_index]
                assert not part.finished, "heard in full"
                assert part.encoding.ms_to_bytes(cut.audio_end_ms) <= part.heard <= len(part.came)
        affected = dict.fromkeys(item.response_id for item in self.queue if item.response_id is not None)
        assert interruption.response_ids == tuple(affected)
        self.cut_responses |= set(affected)
        for item in self.queue:
            item.closed = True
            for part in item.parts.values():
                part.limit = 0
        self.all_done(*self.queue)
        self.queue.clear()
        self.line.clear()
        self.heard = 0
        self.generation += 1

    @precondition(lambda self: self.queue)
    @rule(at=indices, ms=st.integers(0, 8))
    def truncated_elsewhere(self, at: int, ms: int) -> None:
        item = self.queue[at % len(self.queue)]
        index = next(iter(item.parts))
        self.ledger.item_truncated(item.id, index, ms)
        item.parts[index].limit = min(item.parts[index].limit, item.encoding.ms_to_bytes(ms))
        item.closed = True
        self.all_done(item)

    @precondition(lambda self: self.queue)
    @rule(at=indices)
    def deleted_elsewhere(self, at: int) -> None:
        item = self.queue[at % len(self.queue)]
        self.ledger.item_deleted(item.id)
        for part in item.parts.values():
            part.limit = 0
        item.closed = True
        self.all_done(item)

    # what always holds

    @invariant()
    def the_counts_are_those_of_the_model(self) -> None:
        parts = [part for item in self.items for part in item.parts.values()]
        assert all(part.heard <= part.out <= len(part.came) for part in parts)
        statistics = self.ledger.statistics()
        assert statistics.heard_bytes == sum(part.heard for part in parts)
        assert statistics.handed_out_bytes == sum(part.out for part in parts) == self.handed_out
        assert statistics.queued_bytes == sum(
            len(part.playable) - part.out for item in self.queue for part in item.parts.values()
        )
        whole = sum(len(part.came) // part.encoding.bytes_per_sample * part.encoding.bytes_per_sample for part in parts)
        assert statistics.received_bytes == whole
        assert (statistics.generation, statistics.automatic) == (self.generation, self.automatic)
        assert self.ledger.sounding == bool(self.queue)
        for item in self.items:
            if item.parts:
                lasts = sum(Fraction(part.heard * 1000, part.encoding.bytes_per_second) for part in item.parts.values())
                assert self.ledger.heard_ms(item.id) == int(lasts)
            else:
                assert self.ledger.heard_ms(item.id) is None


TestPlayback = Playback.TestCase
TestPlayback.settings = settings(stateful_step_count=40)
