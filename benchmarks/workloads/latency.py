"""How soon: from the server's write to the consumer at 50 events a second, and from speech to the truncation."""

from __future__ import annotations

import statistics

from benchmarks.harness import Case, Row, measure as measured, run, table
from benchmarks.load import results, serving
from benchmarks.meter import Meter
from benchmarks.subjects import SUBJECTS

EVENTS = 500
INTERRUPTIONS = 30


def measure(rounds: int, only: str | None) -> list[Row]:
    """See `harness.measure`."""
    lags: dict[str, list[float]] = {}

    def p50(meter: Meter) -> float:
        return statistics.median(meter.lags_ms)

    def seen(subject: str, meter: Meter) -> None:
        lags.setdefault(subject, []).append(statistics.quantiles(meter.lags_ms, n=100)[98])

    arguments = {"count": 1, "chunk_ms": 0}
    with serving() as url:
        case = Case("write to consumer", "lag", f"paced-960-20-{EVENTS}", "ms, p50", p50, arguments, seen)
        rows = measured("latency", url, [case], rounds=rounds, only=only)
        rows += table("latency", "write to consumer", "ms, p99", lags)
        return rows + _interruptions(url, rounds, only)


def _interruptions(url: str, rounds: int, only: str | None) -> list[Row]:
    """`speech_started` written to `conversation.item.truncate` read, as the server sees it."""
    subjects = [subject for subject in SUBJECTS if "interrupted" in subject.functions and subject.installed]
    p50: dict[str, list[float]] = {}
    p99: dict[str, list[float]] = {}
    for _ in range(rounds):
        for subject in subjects:
            if only is None or only in subject.name or subject is SUBJECTS[0]:
                run(subject, "interrupted", f"{url}?model=interrupted", {"turns": INTERRUPTIONS})
                taken = [seconds * 1000 for seconds in results(url)]
                if len(taken) != INTERRUPTIONS:
                    raise RuntimeError(f"{subject.name} truncated {len(taken)} of {INTERRUPTIONS} items")
                p50.setdefault(subject.name, []).append(statistics.median(taken))
                p99.setdefault(subject.name, []).append(statistics.quantiles(taken, n=100)[98])
    name = "speech_started to truncate"
    return [*table("latency", name, "ms, p50", p50), *table("latency", name, "ms, p99", p99)]
