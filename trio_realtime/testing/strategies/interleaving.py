"""A strategy of the orders in which several sequences may arrive together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

_T = TypeVar("_T")


def interleavings(*sequences: Sequence[_T]) -> st.SearchStrategy[list[_T]]:
    """All merges of some sequences that keep the order within each; the simplest is one after the other.

    Args:
        sequences: What arrives on each way, in order.

    Example:
        What is understood of the user comes whenever it likes:

        ```python
        @given(st.data())
        def test_a_transcript_may_come_late(data):
            history = data.draw(conversations())
            heard = [event for event in history.server_events if isinstance(event, TRANSCRIPTION_EVENTS)]
            others = [event for event in history.server_events if not isinstance(event, TRANSCRIPTION_EVENTS)]
            for event in data.draw(interleavings(others, heard)): ...
        ```
    """
    return _merges(sequences)


@st.composite
def _merges(draw: st.DrawFn, sequences: Sequence[Sequence[_T]]) -> list[_T]:
    merged: list[_T] = []
    for sequence in sequences:
        # How many of those before stand behind each of these: none, unless hypothesis wants it otherwise.
        counts = st.lists(st.integers(0, len(merged)), min_size=len(sequence), max_size=len(sequence))
        for element, behind in zip(sequence, sorted(draw(counts), reverse=True), strict=True):
            merged.insert(len(merged) - behind, element)
    return merged
