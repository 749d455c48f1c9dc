"""What one delta costs after more and more: items in the conversation, and audio of an hour."""

from __future__ import annotations

from benchmarks.harness import Row, run, table
from benchmarks.load import serving
from benchmarks.subjects import SUBJECTS

DELTAS = 10_000
BYTES = 480
CASES = {
    "10 items": (10, 0),
    "1,000 items": (1_000, 0),
    "10,000 items": (10_000, 0),
    "an hour of audio": (10, 3_600),
}


def measure(rounds: int, only: str | None) -> list[Row]:
    """See `harness.measure`; the ratios are to a conversation of ten items."""
    figures: dict[str, list[float]] = {name: [] for name in CASES}
    with serving() as url:
        for _ in range(rounds):
            for name, (items, seconds) in CASES.items():
                model = f"growth-{items}-{seconds}-{BYTES}-{DELTAS}"
                meter = run(SUBJECTS[0], "growth", f"{url}?model={model}", {})
                if meter.received != DELTAS * BYTES:
                    raise RuntimeError(f"received {meter.received:,} bytes")
                figures[name].append(meter.cpu_s / DELTAS * 1e6)
    return table("growth", "trio-realtime", "CPU µs per delta", figures)
