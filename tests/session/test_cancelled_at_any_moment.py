"""The cases of the sweep again, cancelled while what they wait for is on its way.

At its own checkpoints a command is cancelled before anybody else has run: nothing has been answered yet. So here the
steps of all tasks are counted, and the cancellation comes after each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from hypothesis import settings

from .cancellation_attempt import Attempt
from .cancellation_cases import CASES, run_case

AT_ONCE = {
    "append_audio",
    "interrupt",
    "send",
    "approve",
    "a_transport_in_memory",
    "frames_in_memory",
    "a_pump_in_memory",
    "a_tool",
}
"""What waits for no answer; all else takes more than five steps, whatever the order in which Trio runs the tasks."""


class CancelAtMoment(trio.abc.Instrument):
    """Cancels a scope when all tasks together have made so many steps, whichever of them waits then."""

    def __init__(self, scope: trio.CancelScope, moment: int) -> None:
        self._scope = scope
        self._left = moment

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._left -= 1
        if not self._left:
            self._scope.cancel()


async def cancelled_at_moment(moment: int, run: Callable[[], Awaitable[object]]) -> bool:
    """Run something and cancel it when all tasks have made so many steps; gives whether that came in time."""
    with trio.CancelScope() as scope:
        instrument = CancelAtMoment(scope, moment)
        trio.lowlevel.add_instrument(instrument)
        try:
            await run()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancel_called


@pytest.mark.parametrize("name", CASES)
def test_what_is_cancelled_at_any_moment_leaves_nothing_and_breaks_nothing(name: str) -> None:
    moment = 1
    while True:
        attempt = Attempt(moment, cancelled_at=cancelled_at_moment)
        run_case(name, attempt)
        if not attempt.cancelled:
            break
        # In the ordinary profile every fifth of the later ones, of which there are up to 150; in the nightly one all.
        moment += 5 if moment > 25 and settings().max_examples <= 100 else 1
    assert moment > (1 if name in AT_ONCE else 5)
