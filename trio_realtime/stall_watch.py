"""Turning a response that stops moving into an error: `open_session(stall_timeout=...)`."""

import math
from typing import Any

import trio

from .session_scope import SessionScope
from .state.updates import ItemAppended, ItemUpdated, ResponseDone, ResponseStarted


class StallWatch:
    """Ends a response of which nothing has come for `timeout` seconds, as one that failed."""

    types: tuple[type[Any], ...] = (ResponseStarted, ItemAppended, ItemUpdated, ResponseDone)

    def __init__(self, scope: SessionScope, timeout: float) -> None:
        self._scope = scope
        self._timeout = timeout
        self._moved_at: dict[str, float] = {}
        self._waiting = trio.CancelScope()
        scope.fanout.add(self)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._waiting = trio.CancelScope(deadline=min(self._moved_at.values(), default=math.inf) + self._timeout)
            with self._waiting:
                await trio.sleep_forever()
            now = trio.current_time()
            for response_id, moved_at in list(self._moved_at.items()):
                if moved_at + self._timeout <= now:
                    del self._moved_at[response_id]
                    self._scope.end_stalled(response_id, self._timeout)

    def push(self, update: Any) -> None:
        """The session published an update."""
        if type(update) is ItemUpdated:
            if update.response_id in self._moved_at:
                self._moved_at[update.response_id] = trio.current_time()
        elif isinstance(update, ItemAppended):
            for response_id in self._moved_at:
                self._moved_at[response_id] = trio.current_time()
        elif isinstance(update, ResponseStarted):
            self._moved_at[update.response.id or ""] = trio.current_time()
            self._waiting.deadline = min(self._waiting.deadline, trio.current_time() + self._timeout)
        else:
            self._moved_at.pop(update.response.id or "", None)

    def end(self, error: BaseException | None) -> None:
        """The session is over, and with it the task."""
