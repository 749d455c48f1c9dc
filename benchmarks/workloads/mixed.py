"""Turns as they were recorded: a function call, its output, and an answer that speaks and is transcribed."""

from __future__ import annotations

from benchmarks.harness import Case, Row, measure as measured
from benchmarks.load import serving
from benchmarks.meter import Meter
from benchmarks.played import MIXED_AUDIO_BYTES

TURNS = 200


def measure(rounds: int, only: str | None) -> list[Row]:
    """See `harness.measure`."""

    def figure(meter: Meter) -> float:
        if meter.received != TURNS * MIXED_AUDIO_BYTES:
            raise RuntimeError(f"received {meter.received:,} of {TURNS * MIXED_AUDIO_BYTES:,} bytes")
        return meter.cpu_s / TURNS * 1e6

    case = Case(f"{TURNS} turns", "mixed", "mixed", "CPU µs per turn", figure, {"turns": TURNS})
    with serving() as url:
        return measured("mixed", url, [case], rounds=rounds, only=only)
