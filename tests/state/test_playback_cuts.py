"""What the server has to forget after an interruption: each item from where it was heard, to the millisecond below."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.state.playing import (
    conversation_item,
    cut_at,
    deleted,
    each_encoding,
    encodings,
    ledger_with,
    sound,
    take_all,
)
from trio_realtime.audio import PCM16, PCMA, Encoding
from trio_realtime.errors import ConfigError
from trio_realtime.state.item import ConversationItem
from trio_realtime.state.playback import Interruption, PlaybackLedger

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


def test_an_item_that_was_heard_to_the_end_of_a_piece_is_cut_there() -> None:
    ledger = ledger_with(("item", 100))
    ledger.played(bytes=0)
    take_all(ledger)
    ledger.played(ms=50)
    assert ledger.interrupt().cuts == (cut_at("item", 50),)


def test_an_item_that_began_before_the_ledger_is_cut_where_it_was_heard() -> None:
    ledger = PlaybackLedger()
    ledger.received("item", 0, "r", PCM16, sound(PCM16, 100), position_bytes=PCM16.ms_to_bytes(300))
    ledger.part_done("item", 0)
    ledger.take()
    ledger.played(ms=50)
    assert ledger.interrupt().cuts == (cut_at("item", 350),)


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


@pytest.mark.parametrize("excess", [1, 2, 3, 4, 5])
def test_what_was_truncated_elsewhere_is_dropped_to_the_last_byte(excess: int) -> None:
    ledger = PlaybackLedger()
    ledger.received("item", 0, "r", PCMA, bytes(8))
    ledger.received("item", 0, "r", PCMA, bytes(excess))
    ledger.item_truncated("item", 0, 1)
    statistics = ledger.statistics()
    assert (statistics.queued_bytes, statistics.dropped_bytes) == (8, excess)
    assert sum(len(chunk.audio) for chunk in take_all(ledger)) == 8


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
