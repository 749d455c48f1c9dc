"""The table of tests/README.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROWS = [line for line in (TESTS / "README.md").read_text().splitlines() if line.startswith("| ")][1:]


def named_in(row: str) -> list[tuple[str, str]]:
    """Files and what is named in them."""
    parts = row.rsplit("|", 2)[1].split(";")
    named = (re.fullmatch(r"\s*`([\w/]+\.py)`: (.+?)\s*", part) for part in parts)
    found = [match.groups() for match in named if match is not None]
    assert len(found) == len(parts), "each part is a file and its tests"
    return [(file, names) for file, names in found]


def exists(name: str, source: str) -> bool:
    pattern = re.escape(name.partition("[")[0]).replace(r"\*", r"\w*")
    return (
        re.search(rf"^(?:async )?(?:def|class) {pattern}\b|^    (?:async )?def {pattern}\b|^{pattern} =", source, re.M)
        is not None
    )


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_tests_that_exist(row: str) -> None:
    for file, names in named_in(row):
        source = (TESTS / file).read_text()
        missing = [name for name in re.findall(r"`([^`]+)`", names) if "/" not in name and not exists(name, source)]
        assert not missing, f"{file} has no such tests"
