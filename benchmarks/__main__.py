"""`python -m benchmarks [WORKLOAD ...] [--rounds N] [--only SUBJECT] [--json]`."""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from .harness import Row
from .subjects import SUBJECTS
from .workloads import deltas, growth, latency, memory, mixed, sessions, start, steps, uplink

WORKLOADS: dict[str, Callable[[int, str | None], list[Row]]] = {
    "deltas": deltas.measure,
    "transcript": deltas.measure_transcript,
    "mixed": mixed.measure,
    "uplink": uplink.measure,
    "sessions": sessions.measure,
    "latency": latency.measure,
    "memory": memory.measure,
    "growth": growth.measure,
    "start": start.measure,
    "steps": steps.measure,
}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="CPU per unit of work, as ratios.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; all if none")
    parser.add_argument("--rounds", type=int, default=5, help="how often each subject runs (default 5)")
    parser.add_argument("--only", metavar="SUBJECT", help="besides trio-realtime only subjects with this in their name")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    unknown = set(arguments.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    versions = {subject.distribution: subject.installed for subject in SUBJECTS}
    rows = [
        row for name in arguments.workloads or WORKLOADS for row in WORKLOADS[name](arguments.rounds, arguments.only)
    ]
    if arguments.json:
        print(json.dumps({"versions": versions, "rows": [asdict(row) for row in rows]}, indent=2))
        return
    console = Console()
    for workload, case, unit in dict.fromkeys((row.workload, row.case, row.unit) for row in rows):
        table = Table("subject", unit, "lowest - highest", "ratio", title=f"{workload}: {case}", title_justify="left")
        for row in rows:
            if (row.workload, row.case, row.unit) == (workload, case, unit):
                ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
                table.add_row(
                    row.subject, _figure(row.median), f"{_figure(row.lowest)} - {_figure(row.highest)}", ratio
                )
        console.print(table)
    console.print(", ".join(f"{name} {version or '(not installed)'}" for name, version in versions.items()))


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


if __name__ == "__main__":
    main()
