"""CPU per audio delta, for deltas of several sizes: every subject in turn, several rounds, medians."""

import json
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass

from .load import audio_turn, serving
from .subjects import SUBJECTS

SIZES_BYTES = (480, 4_800, 24_000)
DELTAS = {480: 20_000, 4_800: 10_000, 24_000: 3_000}
BASELINE = next(iter(SUBJECTS))
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Row:
    """One subject at one size; microseconds of CPU per delta, and the median as a ratio of the baseline's."""

    subject: str
    delta_bytes: int
    median_us: float
    lowest_us: float
    highest_us: float
    ratio: float


def measure(rounds: int) -> list[Row]:
    """Let every subject take every size, `rounds` times over, in turn.

    Raises:
        RuntimeError: A subject failed, or did not receive what was sent.
    """
    rows: list[Row] = []
    for size in SIZES_BYTES:
        costs: dict[str, list[float]] = {name: [] for name in SUBJECTS}
        with serving(audio_turn, size, DELTAS[size]) as url:
            for _ in range(rounds):
                for name, measured in costs.items():
                    measured.append(_run(name, url, size))
        baseline = statistics.median(costs[BASELINE])
        rows.extend(
            Row(
                subject=name,
                delta_bytes=size,
                median_us=statistics.median(measured),
                lowest_us=min(measured),
                highest_us=max(measured),
                ratio=statistics.median(measured) / baseline,
            )
            for name, measured in costs.items()
        )
    return rows


def _run(name: str, url: str, size: int) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.subjects", name, url],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr}")
    result = json.loads(done.stdout)
    if result["deltas"] != DELTAS[size] or result["audio_bytes"] != DELTAS[size] * size:
        raise RuntimeError(f"{name} did not receive what was sent: {result}")
    return float(result["cpu_s"]) / DELTAS[size] * 1e6


def as_json(rows: list[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2)
