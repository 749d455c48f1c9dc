"""Ids of the simulated server: from a counter, so that every run of a test sees the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count


class IdCounter:
    """Makes ids that look like the real server's; `seed` keeps connections apart."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers: Iterator[int] = count(1)

    def next(self, prefix: str) -> str:
        """Make an id such as `"item_Sim0001000000000042"`."""
        # 16 characters behind the prefix keep every id within the 32 that the server allows for a `call_id`.
        return f"{prefix}_Sim{self._seed:04}{next(self._numbers):012}"
