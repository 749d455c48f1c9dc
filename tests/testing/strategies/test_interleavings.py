"""Merges of sequences: all of them, each in its own order, the simplest first."""

from __future__ import annotations

import pytest
from hypothesis import find, given, strategies as st

from trio_realtime.testing.strategies import interleavings

sequences = st.lists(st.lists(st.integers(), max_size=4), max_size=3)


@given(sequences, st.data())
def test_each_sequence_keeps_its_order_and_nothing_is_lost(given_: list[list[int]], data: st.DataObject) -> None:
    numbered = [[(number, value) for value in sequence] for number, sequence in enumerate(given_)]
    merged = data.draw(interleavings(*numbered))
    assert len(merged) == sum(map(len, numbered))
    for number, sequence in enumerate(numbered):
        assert [element for element in merged if element[0] == number] == sequence


@pytest.mark.parametrize("wanted", ["abxy", "axby", "axyb", "xaby", "xayb", "xyab"])
def test_every_merge_is_among_them(wanted: str) -> None:
    assert "".join(find(interleavings("ab", "xy"), lambda merged: "".join(merged) == wanted)) == wanted


def test_the_simplest_is_one_after_the_other() -> None:
    assert "".join(find(interleavings("ab", "", "xy", "1"), lambda merged: True)) == "abxy1"
    assert find(interleavings(), lambda merged: True) == []
