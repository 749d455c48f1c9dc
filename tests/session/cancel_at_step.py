"""Cancel a task at its k-th checkpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from trio.lowlevel import Task


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when a task has made its k-th step: it stands at its k-th checkpoint then."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self._scope = scope
        self._left = step
        self._task = trio.lowlevel.current_task()

    def after_task_step(self, task: Task) -> None:
        """See `trio.abc.Instrument`."""
        if task is self._task:
            self._left -= 1
            if not self._left:
                self._scope.cancel()


async def cancelled_at(step: int, run: Callable[[], Awaitable[object]]) -> bool:
    """Run something and cancel it at its `step`-th checkpoint, 0 being before it begins.

    Returns:
        Whether the cancellation came in time.
    """
    with trio.CancelScope() as scope:
        if not step:
            scope.cancel()
        instrument = CancelAtStep(scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await run()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancelled_caught
