"""What a session holds in memory: idle, beyond its socket; and after an hour of speech with the default retention."""

from __future__ import annotations

from benchmarks.harness import Row, run, table
from benchmarks.load import serving
from benchmarks.subjects import SUBJECTS

SESSIONS = 200
HOUR_S = 3_600


def measure(rounds: int, only: str | None) -> list[Row]:
    """See `harness.measure`; nothing is compared."""
    idle: dict[str, list[float]] = {}
    hour: dict[str, list[float]] = {}
    with serving() as url:
        for _ in range(rounds):
            for subject in SUBJECTS:
                if "idle" in subject.functions and subject.installed:
                    meter = run(subject, "idle", f"{url}?model=idle", {"count": SESSIONS})
                    idle.setdefault(subject.name, []).append(meter.more["bytes"] / SESSIONS / 1024)
            meter = run(SUBJECTS[0], "hour", f"{url}?model=paced-24000-2-{HOUR_S * 2}", {})
            if meter.received != HOUR_S * 48_000:
                raise RuntimeError(f"received {meter.received:,} bytes")
            hour.setdefault("trio-realtime, peak beyond an idle session", []).append(meter.more["bytes"] / 2**20)
    return [
        *table("memory", f"each of {SESSIONS} idle", "KiB", idle, compared=False),
        *table("memory", "an hour of speech", "MiB", hour, compared=False),
    ]
