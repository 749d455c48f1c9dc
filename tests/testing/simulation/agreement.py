"""How what was decoded is held against what was sent."""

from __future__ import annotations

from typing import Any


def check_kept(known: Any, sent: Any, path: str = "") -> None:
    """Check that what the struct knows is what was sent: nothing is changed, and only extras are missing."""
    if isinstance(known, dict):
        for key, value in known.items():
            if value is not None or key in sent:
                check_kept(value, sent.get(key), f"{path}.{key}")
    elif isinstance(known, list):
        assert len(known) == len(sent), path
        for index, value in enumerate(known):
            check_kept(value, sent[index], f"{path}[{index}]")
    else:
        assert known == sent, path
