"""Runs subjects in turn, each in a process of its own, and makes medians, spreads and ratios of what they say."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .meter import Meter
from .subjects import SUBJECTS, Subject

_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Row:
    """One subject in one case of a workload.

    Attributes:
        workload: Which workload.
        case: Which case of it.
        subject: Who.
        unit: Of the figures.
        median: Of all rounds.
        lowest: Of all rounds.
        highest: Of all rounds.
        ratio: The median over that of the case's first subject; None where nothing is compared.
    """

    workload: str
    case: str
    subject: str
    unit: str
    median: float
    lowest: float
    highest: float
    ratio: float | None = None


@dataclass(frozen=True)
class Case:
    """What every subject does in turn.

    Attributes:
        name: Of the case.
        kind: Of work; who cannot do it is left out.
        model: What the server is told to play.
        unit: Of what `figure` makes.
        figure: Makes one figure of what a subject measured; raises if it did not do what was asked.
        arguments: For the subject's function.
        seen: Called with each subject's name and what it measured, for what else there is to see.
    """

    name: str
    kind: str
    model: str
    unit: str
    figure: Callable[[Meter], float]
    arguments: dict[str, Any]
    seen: Callable[[str, Meter], None] | None = None


def measure(workload: str, url: str, cases: Iterable[Case], *, rounds: int, only: str | None = None) -> list[Row]:
    """Let every subject do every case, `rounds` times over, in turn."""
    rows: list[Row] = []
    for case in cases:
        subjects = [
            subject
            for subject in SUBJECTS
            if case.kind in subject.functions and subject.installed
            if only is None or only in subject.name or subject is SUBJECTS[0]
        ]
        figures: dict[str, list[float]] = {subject.name: [] for subject in subjects}
        for _ in range(rounds):
            for subject in subjects:
                measured = run(subject, case.kind, f"{url}?model={case.model}", case.arguments)
                figures[subject.name].append(case.figure(measured))
                if case.seen is not None:
                    case.seen(subject.name, measured)
                print(f"{workload} {case.name}: {subject.name} {figures[subject.name][-1]:.3g}", file=sys.stderr)
        rows += table(workload, case.name, case.unit, figures)
    return rows


def table(workload: str, case: str, unit: str, figures: dict[str, list[float]], *, compared: bool = True) -> list[Row]:
    """Rows of the figures of each subject."""
    first = statistics.median(next(iter(figures.values())))
    return [
        Row(
            workload,
            case,
            name,
            unit,
            statistics.median(each),
            min(each),
            max(each),
            statistics.median(each) / first if compared and first else None,
        )
        for name, each in figures.items()
    ]


def run(subject: Subject, kind: str, url: str, arguments: dict[str, Any]) -> Meter:
    """Let a subject do its work.

    Raises:
        RuntimeError: It failed.
    """
    both = json.dumps({**arguments, **subject.arguments})
    command = [sys.executable, "-m", "benchmarks.subjects", subject.client, subject.functions[kind], url, both]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if finished.returncode:
        raise RuntimeError(f"{subject.name} failed:\n{finished.stderr}")
    return Meter(**json.loads(finished.stdout.splitlines()[-1]))
