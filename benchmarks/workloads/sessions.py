"""Many sessions in real time: 100 ms of audio down ten times a second, 20 ms up fifty times a second, in each."""

from __future__ import annotations

import statistics

from benchmarks.harness import Case, Row, measure as measured, table
from benchmarks.load import serving
from benchmarks.meter import Meter
from benchmarks.pacing import UP_S

CASES = (  # how many, what kind of work, and how much each microphone gives at a time
    (100, "sessions", 20),
    (50, "sessions", 20),
    (100, "down", 0),
)
SECONDS = 6


def measure(rounds: int, only: str | None) -> list[Row]:
    """See `harness.measure`."""
    with serving() as url:
        return [row for case in CASES for row in _measure(url, *case, rounds=rounds, only=only)]


def _measure(url: str, count: int, kind: str, chunk_ms: int, *, rounds: int, only: str | None) -> list[Row]:
    name = f"{count}, {'up and down' if chunk_ms else 'down alone'}"
    lags: dict[str, list[float]] = {}
    kept_up: dict[str, list[float]] = {}

    def figure(meter: Meter) -> float:
        # Who cannot keep up with real time has done less: what it sent says for how many minutes that was.
        minutes = meter.sent * UP_S / 60 if chunk_ms else count * meter.wall_s / 60
        return meter.cpu_s / minutes

    def seen(subject: str, meter: Meter) -> None:
        if chunk_ms:
            kept_up.setdefault(subject, []).append(min(1.0, meter.sent / (count * SECONDS / UP_S)))
        if meter.lags_ms:
            if meter.pieces != count * SECONDS * 10:
                raise RuntimeError(f"{subject} received {meter.pieces:,} deltas")
            lags.setdefault(subject, []).append(statistics.quantiles(meter.lags_ms, n=100)[98])

    arguments = {"count": count, "chunk_ms": chunk_ms}
    model = f"paced-4800-100-{SECONDS * 10}"
    case = Case(name, kind, model, "CPU s per session-minute", figure, arguments, seen)
    rows = measured("sessions", url, [case], rounds=rounds, only=only)
    rows += table("sessions", f"{name}: lag", "ms, p99", lags)
    if kept_up:
        rows += table("sessions", f"{name}: in time", "of the appends", kept_up, compared=False)
    return rows
