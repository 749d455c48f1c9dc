"""Everything public that is awaited, cancelled at each of its checkpoints: nothing is left, and nothing is broken.

What is public is read from the package, so that a coroutine which no case runs fails the last test.
"""

from __future__ import annotations

from functools import partial
from types import CodeType

import pytest

from .cancellation_attempt import Attempt
from .cancellation_cases import CASES, ON_SOCKETS, run_case
from .public_coroutines import noting_what_runs, public_coroutines


@pytest.mark.parametrize("name", [*CASES, *ON_SOCKETS])
def test_what_is_cancelled_at_any_checkpoint_leaves_nothing_and_breaks_nothing(name: str) -> None:
    step, attempt = 0, Attempt(0)
    while True:
        run_case(name, attempt)
        if not attempt.cancelled:
            break
        step += 1
        attempt = Attempt(step)
    assert step > 1, "once before it begins, and at a checkpoint of its own"


def test_everything_public_that_is_awaited_is_swept() -> None:
    swept: set[CodeType] = set()
    for name in (*CASES, *ON_SOCKETS):
        run_case(name, Attempt(None, partial(noting_what_runs, swept)))
    public = public_coroutines()
    assert len(public) > 60
    assert [name for name, code in public.items() if code not in swept] == []
