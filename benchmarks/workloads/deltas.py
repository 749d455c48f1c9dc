"""Audio deltas of three sizes, as fast as the client reads; and small deltas of text."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness import Case, Row, measure as measured
from benchmarks.load import serving
from benchmarks.meter import Meter

DELTAS = {480: 20_000, 4_800: 10_000, 24_000: 3_000}
WORDS = 10_000


def per_delta(count: int, received: int) -> Callable[[Meter], float]:
    """CPU microseconds per delta, if all was received."""

    def figure(meter: Meter) -> float:
        if meter.received != received:
            raise RuntimeError(f"received {meter.received:,} of {received:,} bytes")
        return meter.cpu_s / count * 1e6

    return figure


def measure(rounds: int, only: str | None) -> list[Row]:
    """See `harness.measure`."""
    unit = "CPU µs per delta"
    cases = [
        Case(f"{size:,} bytes", "receive", f"deltas-{size}-{count}", unit, per_delta(count, size * count), {})
        for size, count in DELTAS.items()
    ]
    with serving() as url:
        return measured("deltas", url, cases, rounds=rounds, only=only)


def measure_transcript(rounds: int, only: str | None) -> list[Row]:
    """The same for text."""
    figure = per_delta(WORDS, WORDS * len(" hello"))
    with serving() as url:
        case = Case(f"{WORDS:,} words", "read", f"transcript-{WORDS}", "CPU µs per delta", figure, {})
        return measured("transcript", url, [case], rounds=rounds, only=only)
