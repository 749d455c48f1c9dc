"""Cancel a task at its k-th checkpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from trio.lowlevel import Task


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when a task has made its k-th step: it stands at its k-th checkpoint then.

    Attributes:
        time: When it did, once it has.
    """

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self.time: float | None = None
        self._scope = scope
        self._left = step
        self._task = trio.lowlevel.current_task()
        if not step:
            self._cancel()

    def after_task_step(self, task: Task) -> None:
        """See `trio.abc.Instrument`."""
        if task is self._task:
            self._left -= 1
            if not self._left:
                self._cancel()

    def _cancel(self) -> None:
        self.time = trio.current_time()
        self._scope.cancel()


async def seconds_when_cancelled_at(step: int, run: Callable[[], Awaitable[object]]) -> float | None:
    """Run something and cancel it at its `step`-th checkpoint, 0 being before it begins.

    Returns:
        How long it went on after the cancellation; None when that did not come in time.
    """
    scope = trio.CancelScope()
    instrument = CancelAtStep(scope, step)
    with scope:
        trio.lowlevel.add_instrument(instrument)
        try:
            await run()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return trio.current_time() - instrument.time if scope.cancelled_caught and instrument.time is not None else None


async def cancelled_at(step: int, run: Callable[[], Awaitable[object]]) -> bool:
    """Run something and cancel it at its `step`-th checkpoint, 0 being before it begins.

    Returns:
        Whether the cancellation came in time.
    """
    return await seconds_when_cancelled_at(step, run) is not None
