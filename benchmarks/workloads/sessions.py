"""Many sessions in real time: 100 ms of audio down ten times a second, 20 ms up fifty times a second, in each."""

from __future__ import annotations

import statistics

from benchmarks.harness import Case, Row, measure as measured, table
from benchmarks.load import serving
from benchmarks.meter import Meter

SESSIONS = 100
SECONDS = 10


def measure(rounds: int, only: str | None) -> list[Row]:
    """See `harness.measure`."""
    rows: list[Row] = []
    model = f"paced-4800-100-{SECONDS * 10}"
    with serving() as url:
        for name, kind, chunk_ms in (("up and down", "sessions", 20), ("down alone", "down", 0)):
            lags: dict[str, list[float]] = {}

            def figure(meter: Meter) -> float:
                if meter.sent < SESSIONS * SECONDS * 49 * bool(chunk_ms):  # noqa: B023  called before the next turn
                    raise RuntimeError(f"only {meter.sent:,} appends: this machine is too busy for real time")
                return meter.cpu_s / (SESSIONS * meter.wall_s / 60)

            def seen(subject: str, meter: Meter) -> None:
                if meter.lags_ms:
                    if meter.pieces != SESSIONS * SECONDS * 10:
                        raise RuntimeError(f"{subject} received {meter.pieces:,} deltas")
                    p99 = statistics.quantiles(meter.lags_ms, n=100)[98]
                    lags.setdefault(subject, []).append(p99)  # noqa: B023  as above

            arguments = {"count": SESSIONS, "chunk_ms": chunk_ms}
            case = Case(name, kind, model, "CPU s per session-minute", figure, arguments, seen)
            rows += measured("sessions", url, [case], rounds=rounds, only=only)
            rows += table("sessions", f"{name}: lag", "ms, p99", lags)
    return rows
