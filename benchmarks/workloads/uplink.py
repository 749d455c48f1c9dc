"""A microphone's chunks of 20 and of 100 ms, appended as fast as it goes."""

from __future__ import annotations

from benchmarks.harness import Case, Row, measure as measured
from benchmarks.load import serving
from benchmarks.meter import Meter

CHUNKS = {20: 9_999, 100: 5_000}


def measure(rounds: int, only: str | None) -> list[Row]:
    """See `harness.measure`."""

    def figure(meter: Meter) -> float:
        return meter.cpu_s / meter.sent * 1e6

    cases = [
        Case(
            f"{ms} ms", "uplink", f"uplink-{ms * count}", "CPU µs per append", figure, {"chunk_ms": ms, "count": count}
        )
        for ms, count in CHUNKS.items()
    ]
    with serving() as url:
        return measured("uplink", url, cases, rounds=rounds, only=only)
