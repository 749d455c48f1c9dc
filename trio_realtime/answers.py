"""Who is told what the server answers: commands, turns, and the functions that the model calls."""

from typing import Any, Protocol

import trio

from .state.requests import Settled
from .state.tool_calls import ToolCall


class CallRunner(Protocol):
    """What runs the functions that the model calls."""

    def start(self, call: ToolCall, nursery: trio.Nursery) -> None:
        """Run a function, as a task of the nursery."""

    def cancel(self, call_id: str) -> None:
        """End a function whose outcome is not wanted any more."""

    def cancel_all(self) -> None:
        """End all of them: the session ends."""

    def answered(self, event_id: str, *, accepted: bool) -> None:
        """The server has answered a command; it may be one that changes the tools."""


class Waiter(Protocol):
    """Who waits for the answer to an event."""

    def settle(self, settled: Settled) -> None:
        """The server answered."""

    def fail(self, error: BaseException) -> None:
        """The session is over."""


class Command:
    """One command that waits for its answer."""

    def __init__(self) -> None:
        self._answered = trio.Event()
        self._settled: Settled | None = None
        self._failure: BaseException | None = None

    def settle(self, settled: Settled) -> None:
        """See `Waiter`."""
        self._settled = settled
        self._answered.set()

    def fail(self, error: BaseException) -> None:
        """See `Waiter`."""
        self._failure = error
        self._answered.set()

    async def wait(self) -> Any:
        """Wait for the answer, and give what it says or raise it."""
        await self._answered.wait()
        if self._settled is None:
            raise self._failure or trio.ClosedResourceError("the session has ended")
        if self._settled.error is not None:
            raise self._settled.error
        return self._settled.result
