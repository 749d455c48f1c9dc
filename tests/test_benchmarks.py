"""The benchmarks still run: each subject of this library does its work, against the load that it is measured with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.harness import run, table
from benchmarks.load import results, serving
from benchmarks.played import MIXED_AUDIO_BYTES
from benchmarks.subjects import SUBJECTS, Subject

OURS = [subject for subject in SUBJECTS if subject.client in {"ours", "bare", "plain_trio"}]
WORK: dict[str, tuple[str, dict[str, Any], int]] = {  # what is played, what is asked, how many bytes come of it
    "receive": ("deltas-4800-40", {}, 40 * 4800),
    "read": ("transcript-40", {}, 40 * len(" hello")),
    "uplink": ("uplink-240", {"chunk_ms": 20, "count": 12}, 0),
    "sessions": ("paced-4800-20-3", {"chunk_ms": 20, "count": 2}, 2 * 3 * 4800),
    "down": ("paced-4800-20-3", {"chunk_ms": 0, "count": 2}, 2 * 3 * 4800),
    "lag": ("paced-4800-20-3", {"chunk_ms": 0, "count": 1}, 3 * 4800),
    "mixed": ("mixed", {"turns": 2}, 2 * MIXED_AUDIO_BYTES),
    "interrupted": ("interrupted", {"turns": 1}, 0),
    "growth": ("growth-20-1-4800-40", {}, 40 * 4800),
    "idle": ("idle", {"count": 3}, 0),
    "hour": ("deltas-4800-40", {}, 40 * 4800),
    "opening": ("idle", {"times": 2}, 0),
    # Far enough apart that each comes by itself on a slow machine too.
    "steps": ("paced-960-50-10", {"appends": 10}, 0),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.mark.parametrize(
    ("subject", "kind"),
    [pytest.param(subject, kind, id=f"{subject.name}-{kind}") for subject in OURS for kind in subject.functions],
)
def test_each_subject_does_its_work(url: str, subject: Subject, kind: str) -> None:
    model, arguments, received = WORK[kind]
    meter = run(subject, kind, f"{url}?model={model}", arguments)
    if subject.client != "plain_trio":  # it does not know what comes down
        assert meter.received == received
    if kind in {"uplink", "sessions"}:
        assert meter.sent >= arguments["count"]
    if kind in {"idle", "hour"}:
        assert meter.more["bytes"] != 0
    elif kind == "steps":
        assert meter.more["steps"] / meter.pieces == pytest.approx(2, abs=0.5), (
            "one for the socket, one for the consumer"
        )
        assert meter.more["steps of appends"] / arguments["appends"] == pytest.approx(1, abs=0.2)
    else:
        assert meter.cpu_s > 0
    if kind == "interrupted":
        assert len(results(url)) == 1


def test_a_subject_that_fails_says_why(url: str) -> None:
    with pytest.raises(RuntimeError, match="unexpected keyword argument 'nonsense'"):
        run(SUBJECTS[0], "receive", f"{url}?model=idle", {"nonsense": 1})


def test_ratios_are_of_medians_to_the_first() -> None:
    rows = table("deltas", "480 bytes", "us", {"ours": [3.0, 1.0, 2.0], "theirs": [9.0, 8.0, 4.0]})
    assert [(row.median, row.lowest, row.highest, row.ratio) for row in rows] == [(2, 1, 3, 1), (8, 4, 9, 4)]
