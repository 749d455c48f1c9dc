"""How many task switches one delta takes from the socket to the consumer, and one append to the socket."""

from __future__ import annotations

from benchmarks.harness import Row, run, table
from benchmarks.load import serving
from benchmarks.subjects import SUBJECTS

DELTAS = 200
APPENDS = 200


def measure(rounds: int, only: str | None) -> list[Row]:
    """See `harness.measure`; nothing is compared."""
    figures: dict[str, list[float]] = {}
    with serving() as url:
        for _ in range(rounds):
            meter = run(SUBJECTS[0], "steps", f"{url}?model=paced-960-5-{DELTAS}", {"appends": APPENDS})
            figures.setdefault("a delta, one by one", []).append(meter.more["steps"] / meter.pieces)
            figures.setdefault("an append of 20 ms", []).append(meter.more["steps of appends"] / APPENDS)
    return table("steps", "trio-realtime", "task switches", figures, compared=False)
