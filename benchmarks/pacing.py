"""What real time means for every client alike: a microphone that gives 20 ms at a time, and who begins when."""

UP_S = 0.02
STAGGER_S = 0.002
"""Between the openings of two sessions."""


def offset_s(number: int) -> float:
    """When a session's microphone begins within its 20 ms: not all in the same moment."""
    return number * 0.618 % 1 * UP_S
