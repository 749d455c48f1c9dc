"""The playback ledger: audio comes, is handed out in order, and is acknowledged."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.state.playing import conversation_item, cut_at, each_encoding, encodings, ledger_with, sound, take_all
from trio_realtime.audio import PCM16, PCMU, Encoding
from trio_realtime.errors import ConfigError
from trio_realtime.state.playback import PlaybackChunk, PlaybackLedger

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
    assert max(held.values()) == 256, held


def test_what_is_cut_again_is_remembered_from_then_on() -> None:
    ledger = PlaybackLedger()
    item = conversation_item(sound(PCM16, 10))
    ledger.interrupt_at(item, 0)
    for number in range(256):
        if number == 200:
            ledger.interrupt_at(item, 0)
        ledger.received(f"item {number}", 0, None, PCM16, sound(PCM16, 5))
        ledger.interrupt()
    assert ledger.heard_ms("item") == 0
    assert ledger.heard_ms("item 0") is None


def test_the_smallest_piece_is_something_to_play() -> None:
    ledger = PlaybackLedger()
    assert ledger.received("item", 0, "r", PCMU, b"1")
    assert not ledger.received("item", 0, "r", PCMU, b"")
    assert not ledger.received("other", 0, "r", PCM16, b"1"), "half a sample"


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


def test_a_time_within_a_sample_counts_whole_bytes() -> None:
    ledger = ledger_with(("item", 100), encoding=PCMU)
    ledger.take()
    ledger.played(ms=1.03)
    assert ledger.statistics().heard_bytes == 8
    assert type(ledger.heard_ms("item")) is int


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
        ({}, "^say what was heard by one of bytes=, ms= and mark=$"),
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


def test_an_acknowledgement_of_what_was_cut_does_not_end_the_automatic_counting() -> None:
    ledger = ledger_with(("old", 100))
    old = ledger.take()
    assert old is not None
    ledger.interrupt()
    ledger.played(mark=old.mark)
    assert ledger.automatic
