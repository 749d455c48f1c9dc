"""Checks of the numbers that callers pass."""

import math

from .errors import ConfigError


def check_seconds(**durations: float) -> None:
    """Refuse what is no duration; `math.inf` is one."""
    for name, seconds in durations.items():
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
            raise ConfigError(f"{name} must be a number of seconds greater than 0, not {seconds!r}")


def check_finite_seconds(**durations: float) -> None:
    """Refuse what is no duration, or one without an end."""
    check_seconds(**durations)
    for name, seconds in durations.items():
        if seconds == math.inf:
            raise ConfigError(f"{name} must be finite")


def check_counts(at_least: int, /, **counts: int) -> None:
    """Refuse what is no whole number, or one that is too small."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < at_least:  # pyright: ignore[reportUnnecessaryIsInstance]  as above
            raise ConfigError(f"{name} must be a whole number, at least {at_least}, not {count!r}")
