"""The playback ledger: what was received, handed out and heard, and what an interruption cuts."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trio_realtime.audio import PCM16, PCMA, PCMU, Encoding
from trio_realtime.errors import ConfigError
from trio_realtime.state.item import ConversationItem
from trio_realtime.state.playback import Interruption, PlaybackChunk, PlaybackLedger
from trio_realtime.wire.client_events import ConversationItemDelete, ConversationItemTruncate
from trio_realtime.wire.items import Message

ENCODINGS = [PCM16, PCMU, PCMA]
encodings = st.sampled_from(ENCODINGS)


each_encoding = pytest.mark.parametrize("encoding", ENCODINGS, ids=[encoding.name for encoding in ENCODINGS])


def sound(encoding: Encoding, ms: int) -> bytes:
    """`ms` milliseconds, no two bytes near each other alike."""
    return bytes(n % 251 for n in range(encoding.ms_to_bytes(ms)))


def cut_at(item_id: str, audio_end_ms: int, content_index: int = 0) -> ConversationItemTruncate:
    return ConversationItemTruncate(item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms)


def deleted(item_id: str) -> ConversationItemDelete:
    return ConversationItemDelete(item_id=item_id)


def ledger_with(*items: tuple[str, int], encoding: Encoding = PCM16, done: bool = True) -> PlaybackLedger:
    """A ledger in which items of so many milliseconds wait, each in two deltas and each of a response of its own."""
    ledger = PlaybackLedger()
    for item_id, ms in items:
        audio = sound(encoding, ms)
        for piece in (audio[: len(audio) // 4 * 2], audio[len(audio) // 4 * 2 :]):
            ledger.received(item_id, 0, f"of {item_id}", encoding, piece)
        if done:
            ledger.part_done(item_id, 0)
    return ledger


def take_all(ledger: PlaybackLedger) -> list[PlaybackChunk]:
    return list(iter(ledger.take, None))


def conversation_item(
    *parts: bytes, encoding: Encoding = PCM16, role: str = "assistant", completed: bool = False
) -> Any:
    item = ConversationItem("item", Message(role=role, content=[]), encoding)
    for index, audio in enumerate(parts):
        item.part(index, "output_audio").append_audio(audio)
    item.completed = completed
    return item


# --- the queue ---------------------------------------------------------------------------------------------------


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[str, int, Encoding, list[bytes]]]:
    """Parts in the order in which a server sends them, each as deltas of any size."""
    parts: list[tuple[str, int, Encoding, list[bytes]]] = []
    for number in range(draw(st.integers(1, 4))):
        encoding = draw(encodings)
        parts += [
            (f"item {number}", index, encoding, draw(st.lists(st.binary(max_size=100), max_size=4)))
            for index in range(draw(st.integers(1, 2)))
        ]
    return parts


@given(parts=deliveries(), data=st.data())
@settings(max_examples=100)
def test_without_interruptions_each_part_comes_out_as_it_came_in_and_in_order(
    parts: list[tuple[str, int, Encoding, list[bytes]]], data: st.DataObject
) -> None:
    ledger = PlaybackLedger()
    chunks: list[PlaybackChunk] = []
    for item_id, index, encoding, deltas in parts:
        for delta in deltas:
            ledger.received(item_id, index, "response", encoding, delta)
            for _ in range(data.draw(st.integers(0, 2))):
                chunks += [chunk] if (chunk := ledger.take()) is not None else []
        ledger.part_done(item_id, index)
    chunks += take_all(ledger)

    out: dict[tuple[str, int], bytes] = {}
    for chunk in chunks:
        before = out.get((chunk.item_id, chunk.content_index), b"")
        assert chunk.position_bytes == len(before)
        assert chunk.position_ms == chunk.encoding.bytes_to_ms(len(before))
        assert chunk.audio
        assert len(chunk.audio) % chunk.encoding.bytes_per_sample == 0
        out[chunk.item_id, chunk.content_index] = before + chunk.audio
    received = {(item_id, index): (encoding, b"".join(deltas)) for item_id, index, encoding, deltas in parts}
    assert list(out.items()) == [
        (key, audio[: encoding.bytes_to_samples(len(audio)) * encoding.bytes_per_sample])
        for key, (encoding, audio) in received.items()
        if encoding.bytes_to_samples(len(audio))
    ]
    assert not ledger.sounding
    assert ledger.statistics().heard_bytes == sum(map(len, out.values()))


def test_audio_is_queued_without_a_copy_and_described_without_its_bytes() -> None:
    ledger = PlaybackLedger()
    audio = sound(PCM16, 20)
    assert ledger.received("item", 0, "response", PCM16, audio)
    chunk = ledger.take()
    assert chunk is not None
    assert chunk.audio is audio
    assert (chunk.item_id, chunk.content_index, chunk.response_id, chunk.encoding) == ("item", 0, "response", PCM16)
    assert "audio=<960 bytes>" in repr(chunk)


def test_half_a_sample_waits_for_the_other_half() -> None:
    ledger = PlaybackLedger()
    assert not ledger.received("item", 0, None, PCM16, b"a")
    assert ledger.received("item", 0, None, PCM16, b"bcd")
    assert not ledger.received("item", 0, None, PCM16, b"")
    assert [chunk.audio for chunk in take_all(ledger)] == [b"ab" + b"cd"]
    assert not ledger.received("item", 0, None, PCM16, b"e")
    ledger.item_done("item")
    assert not ledger.sounding, "half a sample that stays alone is no sound"
    assert ledger.received("item", 0, None, PCM16, b"f"), "it was not alone"
    assert [chunk.audio for chunk in take_all(ledger)] == [b"ef"]


def test_half_a_sample_after_the_end_does_not_sound_for_ever() -> None:
    ledger = ledger_with(("item", 10))
    take_all(ledger)
    assert not ledger.received("item", 0, "of item", PCM16, b"x")
    assert not ledger.sounding


def test_two_responses_at_once_do_not_talk_into_each_other() -> None:
    ledger = PlaybackLedger()
    ledger.received("first", 0, "one", PCM16, b"1111")
    ledger.received("second", 0, "two", PCM16, b"2222")
    assert [chunk.audio for chunk in take_all(ledger)] == [b"1111"]
    ledger.received("first", 0, "one", PCM16, b"3333")
    assert [chunk.audio for chunk in take_all(ledger)] == [b"3333"]
    ledger.response_done("one")
    assert [chunk.audio for chunk in take_all(ledger)] == [b"2222"]


def test_the_next_part_of_a_response_ends_the_ones_before_even_if_their_end_was_lost() -> None:
    ledger = PlaybackLedger()
    ledger.received("first", 0, "response", PCM16, b"1111")
    ledger.received("first", 1, "response", PCM16, b"2222")
    ledger.received("second", 0, "response", PCM16, b"3333")
    ledger.received("unnamed", 0, None, PCM16, b"4444")
    ledger.received("unnamed", 1, None, PCM16, b"5555")
    assert [chunk.audio for chunk in take_all(ledger)] == [b"1111", b"2222", b"3333"]
    ledger.item_done("second")
    assert [chunk.audio for chunk in take_all(ledger)] == [b"4444", b"5555"]


def test_audio_after_the_end_of_a_part_is_played_where_it_belongs() -> None:
    ledger = ledger_with(("item", 10))
    take_all(ledger)
    assert not ledger.sounding
    assert ledger.received("item", 0, "of item", PCM16, b"more")
    chunk = ledger.take()
    assert chunk is not None
    assert (chunk.position_bytes, chunk.audio) == (480, b"more")
    assert ledger.take() is None
    assert not ledger.sounding


def test_an_item_that_began_before_the_ledger_keeps_its_positions() -> None:
    ledger = PlaybackLedger()
    ledger.received("item", 0, "response", PCM16, sound(PCM16, 20), position_bytes=PCM16.ms_to_bytes(300))
    ledger.received("item", 0, "response", PCM16, sound(PCM16, 20), position_bytes=PCM16.ms_to_bytes(320))
    assert [chunk.position_ms for chunk in take_all(ledger)] == [300, 320]
    assert ledger.interrupt().cuts == (cut_at("item", 340),)


@pytest.mark.parametrize("end", ["part", "item", "response", "connection"])
def test_all_is_played_when_everything_came_and_was_heard(end: str) -> None:
    ledger = ledger_with(("item", 10), done=False)
    take_all(ledger)
    assert ledger.sounding, "more may come"
    assert ledger.statistics().queued_bytes == 0
    match end:
        case "part":
            ledger.part_done("item", 1)
            ledger.part_done("other", 0)
            assert ledger.sounding, "of another part, of another item"
            ledger.part_done("item", 0)
        case "item":
            ledger.item_done("other")
            assert ledger.sounding, "of another item"
            ledger.item_done("item")
        case "response":
            ledger.response_done("other")
            assert ledger.sounding, "of another response"
            ledger.response_done("of item")
        case _:
            ledger.connection_ended()
    assert not ledger.sounding


def test_a_response_plays_until_all_its_items_are_over_for_the_ear() -> None:
    ledger = ledger_with(("a", 10), ("b", 10))
    assert ledger.plays("of a")
    assert not ledger.plays("of another")
    for _ in range(3):
        ledger.take()
    assert (ledger.plays("of a"), ledger.plays("of b")) == (False, True)
    ledger.interrupt()
    assert not ledger.plays("of b")


def test_what_is_over_is_forgotten_and_a_tail_is_remembered() -> None:
    ledger = PlaybackLedger()
    for number in range(1000):
        ledger.received(f"item {number}", 0, f"response {number}", PCMU, sound(PCMU, 5))
        if number % 2:
            ledger.interrupt()
        else:
            ledger.response_done(f"response {number}")
            take_all(ledger)
    assert ledger.heard_ms("item 998") == 5
    assert ledger.heard_ms("item 999") == 0
    assert ledger.heard_ms("item 0") is None
    held = {name: len(value) for name, value in vars(ledger).items() if hasattr(value, "__len__")}
    assert max(held.values()) <= 256, held


# --- acknowledgements ------------------------------------------------------------------------------------------------


def test_without_acknowledgements_a_chunk_counts_as_heard_when_the_next_is_asked_for() -> None:
    ledger = ledger_with(("item", 100))
    assert ledger.heard_ms("item") == 0
    ledger.take()
    assert ledger.heard_ms("item") == 0
    ledger.take()
    assert ledger.heard_ms("item") == 50
    assert ledger.sounding
    assert ledger.take() is None
    assert ledger.heard_ms("item") == 100
    assert not ledger.sounding


@pytest.mark.parametrize("heard", [{"bytes": 0}, {"ms": 0}, {"bytes": 48}, {"ms": 1}])
def test_the_first_acknowledgement_ends_the_automatic_counting(heard: dict[str, Any]) -> None:
    ledger = ledger_with(("item", 100))
    ledger.take()
    ledger.played(**heard)
    take_all(ledger)
    assert ledger.heard_ms("item") == sum(map(bool, heard.values()))
    assert not ledger.statistics().automatic


@each_encoding
def test_bytes_milliseconds_and_marks_count_all_that_was_heard_across_items(encoding: Encoding) -> None:
    for unit in ("bytes", "ms", "mark"):
        ledger = ledger_with(("a", 100), ("b", 100), encoding=encoding)
        ledger.played(bytes=0)
        chunks = take_all(ledger)
        assert [chunk.item_id for chunk in chunks] == ["a", "a", "b", "b"]
        third = {"bytes": encoding.ms_to_bytes(150), "ms": 150, "mark": chunks[2].mark}
        second = {"bytes": encoding.ms_to_bytes(100), "ms": 100, "mark": chunks[1].mark}
        ledger.played(**{unit: third[unit]})
        assert (ledger.heard_ms("a"), ledger.heard_ms("b")) == (100, 50)
        ledger.played(**{unit: third[unit]})
        ledger.played(**{unit: second[unit]})
        assert (ledger.heard_ms("a"), ledger.heard_ms("b")) == (100, 50), "repeated, or late"


def test_milliseconds_add_up_over_items_of_several_encodings_and_need_not_be_whole() -> None:
    ledger = PlaybackLedger()
    ledger.received("a", 0, "a", PCM16, sound(PCM16, 10) + b"12" * 12)  # 10.5 ms
    ledger.received("b", 0, "b", PCMU, sound(PCMU, 10))
    ledger.received("c", 0, "c", PCM16, sound(PCM16, 10))
    ledger.connection_ended()
    ledger.played(ms=0)
    take_all(ledger)
    ledger.played(ms=20)
    assert [ledger.heard_ms(item_id) for item_id in "abc"] == [10, 9, 0]
    ledger.played(ms=20.5)
    assert [ledger.heard_ms(item_id) for item_id in "abc"] == [10, 10, 0]
    ledger.played(ms=21.5)
    assert [ledger.heard_ms(item_id) for item_id in "abc"] == [10, 10, 1]
    ledger.played(ms=30.5)
    assert not ledger.sounding


@pytest.mark.parametrize(
    ("heard", "message"),
    [
        ({"bytes": 2401}, "2401 bytes, but only 2400 bytes were handed out: count what was heard of the chunks"),
        ({"ms": 50.1}, "50.1 ms, but only 50 ms were handed out"),
        ({"mark": 2401}, "only 2400 bytes were handed out"),
        ({"ms": float("inf")}, "0 or more"),
        ({"ms": float("nan")}, "0 or more"),
        ({"bytes": -1}, "0 or more, not -1"),
        ({"mark": -1}, "0 or more, not -1"),
        ({}, "one of bytes=, ms= and mark="),
        ({"bytes": 1, "ms": 1}, "one of bytes=, ms= and mark="),
        ({"bytes": 1, "generation": 1}, "no generation 1 yet; the latest is 0"),
    ],
)
def test_an_acknowledgement_that_cannot_be_is_refused_and_changes_nothing(heard: dict[str, Any], message: str) -> None:
    ledger = ledger_with(("item", 100))
    ledger.take()
    before = ledger.statistics()
    with pytest.raises(ConfigError, match=message) as refused:
        ledger.played(**heard)
    assert isinstance(refused.value, ValueError)
    assert ledger.statistics() == before
    assert before.automatic


def test_an_acknowledgement_from_before_an_interruption_changes_nothing() -> None:
    ledger = ledger_with(("old", 100))
    old = ledger.take()
    assert old is not None
    ledger.played(ms=30)
    ledger.interrupt()
    ledger.received("new", 0, "new", PCM16, sound(PCM16, 100))
    new = ledger.take()
    assert new is not None
    assert (old.generation, new.generation) == (0, 1)
    for stale in ({"mark": old.mark}, {"bytes": 480, "generation": 0}, {"ms": 10, "generation": 0}):
        before = ledger.statistics()
        ledger.played(**stale)
        assert ledger.statistics() == before
    ledger.played(ms=10, generation=1)
    assert ledger.heard_ms("new") == 10, "the count begins anew"
    with pytest.raises(ConfigError, match="only 100 ms"):
        ledger.played(ms=101)
    ledger.played(mark=new.mark)
    assert ledger.heard_ms("new") == 100


# --- interruptions ------------------------------------------------------------------------------------------------


@each_encoding
def test_an_interruption_truncates_what_is_being_played_and_deletes_what_was_not_heard(encoding: Encoding) -> None:
    ledger = ledger_with(("over", 100), ("played", 100), ("next", 100), ("last", 100), encoding=encoding)
    ledger.played(bytes=0)
    take_all(ledger)
    ledger.played(bytes=encoding.ms_to_bytes(142) + encoding.bytes_per_sample)
    assert ledger.interrupt() == Interruption(
        item_id="played",
        heard_ms=42,
        cuts=(cut_at("played", 42), deleted("next"), deleted("last")),
        response_ids=("of played", "of next", "of last"),
    )
    assert not ledger.sounding
    assert ledger.take() is None
    assert ledger.heard_ms("played") == 42


def test_an_item_heard_in_full_is_not_cut() -> None:
    ledger = ledger_with(("item", 100))
    ledger.take()
    ledger.take()
    ledger.played(ms=100)
    assert ledger.interrupt() == Interruption()


def test_an_item_that_is_still_generated_is_truncated_at_what_was_received_of_it() -> None:
    ledger = ledger_with(("item", 100), done=False)
    take_all(ledger)
    assert ledger.heard_ms("item") == 100
    assert ledger.sounding
    assert ledger.interrupt().cuts == (cut_at("item", 100),)


def test_less_than_a_millisecond_is_nothing_heard() -> None:
    ledger = ledger_with(("item", 100))
    ledger.take()
    ledger.played(bytes=47)
    assert ledger.interrupt() == Interruption(
        item_id="item", heard_ms=0, cuts=(deleted("item"),), response_ids=("of item",)
    )


def test_each_part_is_cut_where_it_was_heard() -> None:
    ledger = PlaybackLedger()
    for index in range(4):
        ledger.received("item", index, None, PCMA, sound(PCMA, 100))
    ledger.played(bytes=0)
    take_all(ledger)
    ledger.played(ms=130)
    assert ledger.interrupt() == Interruption(
        item_id="item",
        heard_ms=130,
        cuts=(cut_at("item", 30, 1), cut_at("item", 0, 2), cut_at("item", 0, 3)),
    )


def test_what_comes_late_of_what_was_cut_is_not_played() -> None:
    ledger = ledger_with(("item", 100), done=False)
    ledger.received("unnamed", 0, None, PCM16, b"1234")
    ledger.interrupt()
    for item_id, response_id in (("item", "of item"), ("item", None), ("another", "of item"), ("unnamed", None)):
        assert not ledger.received(item_id, 0, response_id, PCM16, b"1234")
    ledger.part_done("item", 0)
    ledger.item_truncated("item", 0, 0)
    ledger.item_deleted("unnamed")
    assert not ledger.sounding
    assert ledger.received("new", 0, "new", PCM16, b"1234")


def test_an_interruption_of_silence_cuts_nothing() -> None:
    ledger = PlaybackLedger()
    assert ledger.interrupt() == Interruption(item_id=None, heard_ms=None, cuts=(), response_ids=())


# --- cut elsewhere ------------------------------------------------------------------------------------------------


def test_a_deleted_item_is_dropped_and_never_cut() -> None:
    ledger = ledger_with(("item", 100), ("next", 100))
    ledger.take()
    ledger.item_deleted("item")
    assert ledger.statistics().dropped_bytes == PCM16.ms_to_bytes(50)
    assert not ledger.received("item", 0, "of item", PCM16, b"1234")
    assert ledger.interrupt().cuts == (deleted("next"),)


def test_an_item_truncated_elsewhere_is_played_to_where_it_was_cut() -> None:
    ledger = ledger_with(("item", 100), done=False)
    ledger.take()
    ledger.item_truncated("item", 1, 10)
    assert ledger.statistics().dropped_bytes == 0, "it has no such part"
    ledger.item_truncated("item", 0, 70)
    assert not ledger.received("item", 0, "of item", PCM16, b"1234")
    chunk = ledger.take()
    assert chunk is not None
    assert (chunk.position_ms, len(chunk.audio)) == (50, PCM16.ms_to_bytes(20))
    assert ledger.take() is None
    assert not ledger.sounding


@pytest.mark.parametrize(("truncated_ms", "cuts"), [(10, ()), (20, ()), (30, (cut_at("item", 20),))])
def test_an_item_truncated_elsewhere_is_cut_again_only_if_less_was_heard(truncated_ms: int, cuts: Any) -> None:
    ledger = ledger_with(("item", 100))
    ledger.take()
    ledger.played(ms=20)
    ledger.item_truncated("item", 0, truncated_ms)
    assert ledger.statistics().queued_bytes == 0
    assert ledger.interrupt().cuts == cuts


# --- a program with its own clock ---------------------------------------------------------------------------------


@given(
    encoding=encodings,
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=3),
    played=st.integers(0, 1000),
    completed=st.booleans(),
)
@settings(max_examples=200)
def test_a_count_of_samples_cuts_where_it_says_but_never_beyond_what_was_received(
    encoding: Encoding, lengths: list[int], played: int, completed: bool
) -> None:
    item = conversation_item(*[bytes(encoding.samples_to_bytes(n)) for n in lengths], encoding=encoding)
    item.completed = completed
    per_ms = encoding.rate_hz // 1000
    spoken = [(index, n) for index, length in enumerate(lengths) for n in range(length)]
    heard = [[index for index, _ in spoken[:played]].count(index) for index in range(len(lengths))]
    if completed and played >= len(spoken):
        expected: list[Any] = []
    elif not any(n >= per_ms for n in heard):
        expected = [deleted("item")]
    else:
        expected = [
            cut_at("item", n // per_ms, index) for index, n in enumerate(heard) if not completed or n < lengths[index]
        ]
    ledger = PlaybackLedger()
    interruption = ledger.interrupt_at(item, played)
    assert list(interruption.cuts) == expected
    assert (interruption.item_id, interruption.heard_ms) == ("item", sum(heard) // per_ms)
    assert not ledger.received("item", 0, None, encoding, b"1234"), "late"
    assert ledger.interrupt_at(item, played + 500).cuts == (), "it cannot be cut where it is gone"


def test_a_count_of_samples_stands_above_the_ledger_and_the_rest_of_the_queue_is_cut_too() -> None:
    ledger = ledger_with(("before", 100), ("item", 100), ("after", 100), done=False)
    ledger.connection_ended()
    take_all(ledger)
    ledger.received("next", 0, "of next", PCM16, sound(PCM16, 100))
    assert ledger.interrupt_at(conversation_item(sound(PCM16, 100), completed=True), PCM16.ms_to_samples(33)) == (
        Interruption(
            item_id="item", heard_ms=33, cuts=(cut_at("item", 33), deleted("next")), response_ids=("of item", "of next")
        )
    )
    assert ledger.heard_ms("item") == 33
    assert ledger.statistics().queued_bytes == 0


def test_a_count_of_samples_counts_evicted_audio_and_takes_the_place_of_the_queued_item() -> None:
    ledger = ledger_with(("item", 200))
    item = conversation_item(sound(PCM16, 100), sound(PCM16, 100))
    item.content[0].evict_audio(1)
    assert ledger.interrupt_at(item, PCM16.ms_to_samples(150)).cuts == (cut_at("item", 50, 1),), "part 0 is done"
    assert not ledger.sounding


@pytest.mark.parametrize(
    ("item", "played_samples", "message"),
    [
        (conversation_item(role="user"), 1, "item 'item' is not a message of the assistant"),
        (conversation_item(b"1234"), -1, "played_samples is 0 or more, not -1"),
        (conversation_item(), 1, "item 'item' has no audio"),
        (conversation_item(b""), 1, "item 'item' has no audio"),
    ],
)
def test_a_count_of_samples_that_cannot_be_is_refused_and_changes_nothing(
    item: ConversationItem, played_samples: int, message: str
) -> None:
    ledger = ledger_with(("item", 100))
    before = ledger.statistics()
    with pytest.raises(ConfigError, match=message):
        ledger.interrupt_at(item, played_samples)
    assert ledger.statistics() == before
    assert ledger.sounding


# --- anything in any order ----------------------------------------------------------------------------------------


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
TestPlayback.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
