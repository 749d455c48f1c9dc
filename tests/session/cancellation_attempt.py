"""An attempt at something that is cancelled at one of its checkpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext

from trio_realtime.testing.cancel_at_step import cancelled_at


class Attempt:
    """Runs what is swept, and cancels it at one of its checkpoints.

    Attributes:
        cancelled: Whether the cancellation came in time.
    """

    def __init__(
        self,
        step: int | None,
        note: Callable[[], AbstractContextManager[object]] = nullcontext,
        cancelled_at: Callable[[int, Callable[[], Awaitable[object]]], Awaitable[bool]] = cancelled_at,
    ) -> None:
        self._step = step
        self._note = note
        self._cancelled_at = cancelled_at
        self.cancelled = False

    async def make(self, run: Callable[[], Awaitable[object]]) -> None:
        """Make the attempt; without a step nothing is cancelled."""
        with self._note():
            if self._step is None:
                await run()
            else:
                self.cancelled = await self._cancelled_at(self._step, run)
