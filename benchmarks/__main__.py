"""`python -m benchmarks deltas [--rounds N] [--json]`."""

import argparse

from rich.console import Console
from rich.table import Table

from . import deltas


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="CPU per unit of work, as ratios.")
    parser.add_argument("workload", choices=["deltas"])
    parser.add_argument("--rounds", type=int, default=5, help="how often each subject runs (default 5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    rows = deltas.measure(arguments.rounds)
    if arguments.json:
        print(deltas.as_json(rows))
        return
    table = Table("subject", "bytes of PCM16", "CPU µs per delta", "lowest - highest", "ratio", title="deltas")
    subjects = list(dict.fromkeys(row.subject for row in rows))
    for row in rows:
        table.add_row(
            row.subject,
            f"{row.delta_bytes:,}",
            f"{row.median_us:.1f}",
            f"{row.lowest_us:.1f} - {row.highest_us:.1f}",
            f"{row.ratio:.2f}",
            end_section=row.subject == subjects[-1],
        )
    Console().print(table)


if __name__ == "__main__":
    main()
