"""Watching what the assistant says, and stopping it: `open_session(output_guard=...)`.

The guard's function runs beside the stream, one call at a time for each response, on all that was said so far. It never
delays a delta, so some of what it objects to may have been heard; with `playback()` what was not heard never will be.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import trio

from .errors import ConfigError
from .limits import check_counts
from .session_scope import SessionScope
from .state.updates import GuardTripped, ItemUpdated, ResponseDone, ResponseStarted

logger: logging.Logger = logging.getLogger("trio_realtime")

GuardFunction = Callable[[str], Awaitable[str | None]]


@dataclass(frozen=True, kw_only=True)
class OutputGuard:
    """How the output of a session is guarded.

    Attributes:
        check: Given all that a response has written and said so far, gives why it has to stop, or None.
        every_characters: It is asked again when this much more was said, and once at the end.
        on_error: What an exception of `check` does: `"stop"` the response, or `"ignore"` it.
    """

    check: GuardFunction
    every_characters: int = 100
    on_error: Literal["stop", "ignore"] = "stop"

    def __post_init__(self) -> None:
        function = self.check if inspect.isroutine(self.check) else getattr(self.check, "__call__", None)  # noqa: B004  the method is wanted, not whether there is one
        if not inspect.iscoroutinefunction(function):
            raise ConfigError(
                "output_guard is an async function of the transcript, or an OutputGuard with one; "
                "a plain function would keep the session from reading: make it async"
            )
        check_counts(1, every_characters=self.every_characters)
        if self.on_error not in {"stop", "ignore"}:
            raise ConfigError(f"on_error is 'stop' or 'ignore', not {self.on_error!r}")


class _Watched:
    """One response, and how much of it was checked."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.length = 0
        self.due_at = 0.0
        self.done = False
        self.news = trio.lowlevel.ParkingLot()


class GuardRunner:
    """Asks the guard about each response, in a task of its own."""

    types: tuple[type[Any], ...] = (ResponseStarted, ItemUpdated, ResponseDone)

    def __init__(self, scope: SessionScope, guard: OutputGuard) -> None:
        self._scope = scope
        self._guard = guard
        self._watched: dict[str, _Watched] = {}
        self._nursery: trio.Nursery | None = None
        scope.fanout.add(self)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for response_id, watched in self._watched.items():
                nursery.start_soon(self._watch, response_id, watched)
            await trio.sleep_forever()

    def push(self, update: Any) -> None:
        """The session published an update."""
        if type(update) is ItemUpdated:
            watched = self._watched.get(update.response_id or "")
            if watched is not None and update.delta is not None:
                words = update.delta.text or update.delta.transcript
                if words:
                    self._take(watched, words)
        elif isinstance(update, ResponseStarted):
            response_id = update.response.id
            if response_id is not None:
                watched = self._watched[response_id] = _Watched()
                watched.due_at = self._guard.every_characters
                if self._nursery is not None:
                    self._nursery.start_soon(self._watch, response_id, watched)
        else:
            watched = self._watched.get(update.response.id or "")
            if watched is not None:
                watched.done = True
                watched.news.unpark_all()

    def end(self, error: BaseException | None) -> None:
        """The session is over, and with it the task."""

    def _take(self, watched: _Watched, words: str) -> None:
        watched.words.append(words)
        watched.length += len(words)
        if watched.length >= watched.due_at:
            watched.news.unpark_all()

    async def _watch(self, response_id: str, watched: _Watched) -> None:
        checked = 0
        while True:
            while not watched.done and watched.length < watched.due_at:
                await watched.news.park()
            last = watched.done
            if watched.length > checked:
                checked = watched.length
                watched.due_at = checked + self._guard.every_characters
                reason = await self._objection("".join(watched.words))
                if reason is not None:
                    self._scope.stop_response(response_id)
                    self._scope.fanout.publish(GuardTripped(response_id=response_id, reason=reason))
                    break
            if last:
                break
        del self._watched[response_id]

    async def _objection(self, words: str) -> str | None:
        try:
            return await self._guard.check(words)
        except Exception as error:
            logger.exception("the output guard failed")
            return None if self._guard.on_error == "ignore" else f"the output guard failed: {error!r}"
