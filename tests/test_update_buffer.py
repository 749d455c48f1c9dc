"""What a subscriber's buffer keeps, merges and drops, held against what was put in."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime.audio import PCM16
from trio_realtime.state.item import ConversationItem
from trio_realtime.state.updates import Delta, ItemCompleted, ItemUpdated, Lagged, RawEvent
from trio_realtime.update_buffer import UPDATE_BYTES, Overflow, UpdateBuffer, delta_bytes
from trio_realtime.wire import client_events as client, server_events as server, translation
from trio_realtime.wire.items import Message

ITEMS = [ConversationItem(f"item_{index}", Message(role="assistant"), PCM16) for index in range(2)]
KINDS = ("audio", "text", "transcript", "arguments")


def piece(item: int, kind: str, content: str, content_index: int = 0) -> ItemUpdated:
    value: Any = content.encode() if kind == "audio" else content
    return ItemUpdated(
        item=ITEMS[item], delta=Delta(**{kind: value}, content_index=content_index), response_id="resp_1"
    )


deltas = st.builds(
    piece,
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from(["audio", "audio", "audio", *KINDS]),
    st.sampled_from(["", "a", "bb" * 100, "abc" * 200]),
    st.integers(0, 1),
)
others = st.sampled_from([ItemCompleted(item=ITEMS[0]), ItemUpdated(item=ITEMS[1]), Lagged(count=3)])
raw_deltas = st.builds(
    lambda delta: RawEvent(
        time=0.0, source="server", event=server.ResponseOutputTextDelta(item_id="i", content_index=0, delta=delta)
    ),
    st.text("ab", max_size=400),
)
# A number says how many updates are received, an update that it is put in.
step = st.integers(1, 5) | deltas | deltas | deltas | raw_deltas | others
steps = st.lists(step, max_size=20) | st.lists(step, min_size=40, max_size=120)  # the longer overflow again and again
bounds = st.sampled_from([1, 300, 2000, 8000, 10**6])


def run(
    overflow: Overflow, bound: int, script: list[Any]
) -> tuple[UpdateBuffer[Any], list[object], list[object], list[object]]:
    """Play a script; give the buffer, what was put in, what was received, and what is left."""
    buffer: UpdateBuffer[Any] = UpdateBuffer("test", bound, overflow)
    put: list[object] = []
    got: list[object] = []
    for step in script:
        if isinstance(step, int):
            got += [buffer.take() for _ in range(min(step, len(buffer)))]
        else:
            put.append(step)
            buffer.put(step)
        check_size(buffer, overflow)
    return buffer, put, got, [buffer.take() for _ in range(len(buffer))]


def check_size(buffer: UpdateBuffer[Any], overflow: Overflow) -> None:
    held = [update for update, _ in buffer._entries]  # pyright: ignore[reportPrivateUsage]  what it holds is its promise
    assert buffer.held_bytes == sum(delta_bytes(update) or UPDATE_BYTES for update in held)
    assert sum(map(delta_bytes, held)) <= buffer.max_bytes, "deltas keep within the bound, whatever else there is"
    if overflow != "drop_oldest":
        assert not any(isinstance(update, Lagged) and update.count != 3 for update in held)


def not_deltas(updates: list[object]) -> list[object]:
    return [update for update in updates if not delta_bytes(update) and not isinstance(update, Lagged)]


@pytest.mark.parametrize("overflow", ["raise", "coalesce", "drop_oldest"])
@settings(deadline=None)
@given(bound=bounds, script=steps)
def test_what_is_no_delta_is_never_lost_and_the_order_is_kept(
    overflow: Overflow, bound: int, script: list[Any]
) -> None:
    _, put, got, left = run(overflow, bound, script)
    assert not_deltas(got + left) == not_deltas(put)


@settings(deadline=None)
@given(bound=bounds, script=steps)
def test_raise_keeps_what_came_before_the_first_that_did_not_fit(bound: int, script: list[Any]) -> None:
    buffer, put, got, left = run("raise", bound, script)
    pieces = [update for update in put if delta_bytes(update)]
    received = [update for update in got + left if delta_bytes(update)]
    assert received == pieces[: len(received)]
    assert buffer.dropped == len(pieces) - len(received)
    assert (buffer.overflowed is not None) == bool(buffer.dropped)
    if buffer.overflowed is not None:
        assert buffer.overflowed.dropped == buffer.dropped
        assert buffer.overflowed.subscriber == "test"
        assert buffer.overflowed.held_bytes + delta_bytes(pieces[len(received)]) > bound


@settings(deadline=None)
@given(bound=bounds, script=steps)
def test_drop_oldest_says_how_many_deltas_stood_where(bound: int, script: list[Any]) -> None:
    script = [step for step in script if not isinstance(step, Lagged)]
    buffer, put, got, left = run("drop_oldest", bound, script)
    received = got + left
    expected = iter(put)
    for update in received:
        if isinstance(update, Lagged):
            assert update.count > 0
            for _ in range(update.count):
                assert delta_bytes(next(expected)), "only deltas are dropped"
        else:
            assert update is next(expected)
    assert not list(expected)
    assert buffer.dropped == sum(update.count for update in received if isinstance(update, Lagged))
    assert buffer.overflowed is None
    assert not any(isinstance(one, Lagged) and isinstance(two, Lagged) for one, two in pairwise(left))


@settings(deadline=None)
@given(bound=bounds, script=steps)
def test_coalesced_deltas_say_the_same_as_those_that_were_merged(bound: int, script: list[Any]) -> None:
    buffer, put, got, left = run("coalesce", bound, script)
    if buffer.overflowed is None:
        assert told(got + left) == told(put)
    else:
        # What was received is told whole, up to the first delta that was not kept.
        pieces, received = pieces_of(put), pieces_of(got + left)
        assert received == pieces[: len(received)]


def told(updates: list[object]) -> list[object]:
    """What updates say, with neighbours of one part joined."""
    result: list[object] = []
    for key, run_of in groupby(updates, _key):
        if key is None:
            result += list(run_of)
        else:
            result.append((key, _joined(list(run_of))))
    return result


def pieces_of(updates: list[object]) -> list[object]:
    """Each byte or character of the deltas, with where it belongs."""
    result: list[object] = []
    for update in updates:
        key = _key(update)
        if key is not None:
            result += [(key, each) for each in _joined([update])]
    return result


def _key(update: object) -> object:
    if not isinstance(update, ItemUpdated) or update.delta is None:
        return None
    kind = next(name for name in KINDS if getattr(update.delta, name) is not None)
    return (update.item.id, kind, update.delta.content_index, update.response_id)


def _joined(updates: list[Any]) -> Any:
    contents = [next(value for name in KINDS if (value := getattr(each.delta, name)) is not None) for each in updates]
    return b"".join(contents) if isinstance(contents[0], bytes) else "".join(contents)


def test_the_bound_holds_for_a_flood_of_deltas() -> None:
    for overflow in ("raise", "coalesce", "drop_oldest"):
        buffer: UpdateBuffer[Any] = UpdateBuffer("test", 100_000, overflow)
        for index in range(5_000):
            buffer.put(piece(index % 2, "audio", "x" * 480))
            assert buffer.held_bytes <= 100_000


def test_coalescing_makes_room_for_small_deltas() -> None:
    buffer: UpdateBuffer[Any] = UpdateBuffer("test", 100_000, "coalesce")
    for _ in range(20_000):
        buffer.put(piece(0, "text", "four"))
    assert buffer.overflowed is None
    assert "".join(buffer.take().delta.text for _ in range(len(buffer))) == "four" * 20_000
    assert buffer.held_bytes == 0


def test_parts_of_one_item_are_not_merged_with_each_other() -> None:
    buffer: UpdateBuffer[Any] = UpdateBuffer("test", 4 * UPDATE_BYTES + 40, "coalesce")
    for content, content_index in (("a", 0), ("b", 0), ("c", 1), ("d", 1), ("e", 0)):
        buffer.put(piece(0, "text", content, content_index))
    said = [(each.delta.text, each.delta.content_index) for each in (buffer.take() for _ in range(len(buffer)))]
    assert said == [("ab", 0), ("cd", 1), ("e", 0)]


def test_dropping_leaves_the_newer_deltas() -> None:
    buffer: UpdateBuffer[Any] = UpdateBuffer("test", 100_000, "drop_oldest")
    while not buffer.dropped:
        buffer.put(piece(0, "text", "x" * 100))
    assert 65_000 < buffer.held_bytes < 80_000


def test_markers_that_come_to_stand_side_by_side_become_one() -> None:
    buffer: UpdateBuffer[Any] = UpdateBuffer("test", 2000, "drop_oldest")
    buffer.put(piece(0, "text", "first"))
    buffer.put(piece(0, "text", "x" * 3000))  # larger than the bound: a marker stands here
    while buffer.dropped < 2:
        buffer.put(piece(0, "text", "x" * 100))
    markers = [update.count for update in (buffer.take() for _ in range(len(buffer))) if isinstance(update, Lagged)]
    assert markers == [buffer.dropped]


def test_what_is_dropped_again_and_again_is_told_in_one_number() -> None:
    buffer: UpdateBuffer[Any] = UpdateBuffer("test", 2000, "drop_oldest")
    for _ in range(100):
        buffer.put(piece(0, "text", "x" * 100))
    first, *rest = (buffer.take() for _ in range(len(buffer)))
    assert first == Lagged(count=buffer.dropped)
    assert buffer.dropped + len(rest) == 100


def test_a_delta_that_is_larger_than_the_bound_is_not_kept() -> None:
    for overflow in ("raise", "coalesce", "drop_oldest"):
        buffer: UpdateBuffer[Any] = UpdateBuffer("test", 1000, overflow)
        buffer.put(piece(0, "text", "x" * 1000))
        assert buffer.held_bytes <= UPDATE_BYTES
        assert buffer.dropped == 1


def test_after_a_gap_no_delta_stands_as_if_there_was_none() -> None:
    buffer: UpdateBuffer[Any] = UpdateBuffer("test", 1000, "raise")
    first, last = piece(0, "text", "x" * 400), ItemCompleted(item=ITEMS[0])
    buffer.put(first)
    buffer.put(piece(0, "text", "y" * 400))
    assert buffer.take() is first
    buffer.put(piece(0, "text", "z"))
    buffer.put(last)
    assert [buffer.take() for _ in range(len(buffer))] == [last]


class CountingBuffer(UpdateBuffer[Any]):
    """Counts the updates that were put into place, the first time or again: what making room looks at."""

    placed = 0

    def _append(self, update: Any, size: int) -> None:
        self.placed += 1
        super()._append(update, size)


@pytest.mark.parametrize("overflow", ["raise", "coalesce", "drop_oldest"])
def test_a_flood_beside_what_is_never_dropped_costs_no_more_than_it_has_deltas(overflow: Overflow) -> None:
    """A buffer full of what is no delta is not looked at again for each delta."""
    bound = 4000 * UPDATE_BYTES
    buffer = CountingBuffer("test", bound, overflow)
    delta = piece(0, "text", "x")
    for _ in range(8000):  # those that were received count no more
        buffer.put(delta)
        buffer.take()
    for _ in range(4000):
        buffer.put(ItemCompleted(item=ITEMS[0]))
    placed = buffer.placed
    for _ in range(4000):
        buffer.put(delta)
    assert buffer.placed - placed <= 2 * 4000
    assert buffer.dropped == 4000


@pytest.mark.parametrize(
    ("event", "size"),
    [
        (client.InputAudioBufferAppend(audio=b"12345"), 5),
        (server.ResponseOutputAudioDelta(item_id="i", delta=b"123"), 3),
        (server.ConversationItemInputAudioTranscriptionDelta(item_id="i", delta="12"), 2),
        (server.ConversationItemInputAudioTranscriptionDelta(item_id="i"), 0),
        (translation.SessionInputAudioBufferAppend(audio=b"1"), 1),
    ],
)
def test_events_that_are_pieces_count_as_deltas_of_their_size(event: Any, size: int) -> None:
    assert delta_bytes(event) == UPDATE_BYTES + size
    assert delta_bytes(RawEvent(time=0, source="server", event=event)) == UPDATE_BYTES + size


def test_events_that_say_something_whole_are_no_deltas() -> None:
    assert (
        delta_bytes(RawEvent(time=0, source="server", event=server.ResponseOutputTextDone(item_id="i", text="x"))) == 0
    )
