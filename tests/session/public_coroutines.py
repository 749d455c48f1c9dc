"""Everything public that is awaited, read from the package itself, and what of it a block has run."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, ModuleType
from typing import Any

import trio_realtime
import trio_realtime.testing
import trio_realtime.turn
import trio_realtime.websocket


def public_coroutines() -> dict[str, CodeType]:
    """Coroutine functions, methods, and asynchronous context managers, with their code, by name."""
    found: dict[str, CodeType] = {}
    for module in (trio_realtime, trio_realtime.testing, trio_realtime.turn, trio_realtime.websocket):
        for name, thing in _public(module):
            if not inspect.isclass(thing):
                found |= _awaited(name, thing)
            elif not inspect.isabstract(thing):
                for member in dir(thing):
                    if not member.startswith("_") or member.startswith("__"):
                        found |= _awaited(f"{name}.{member}", inspect.getattr_static(thing, member))
    return found


def _public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What a package exports, or what a module defines."""
    is_package = hasattr(module, "__path__")
    for name, thing in vars(module).items():
        home = str(getattr(thing, "__module__", ""))
        if not name.startswith("_") and (home.startswith("trio_realtime") if is_package else home == module.__name__):
            yield name, thing


def _awaited(name: str, thing: Any) -> dict[str, CodeType]:
    function = inspect.unwrap(thing) if callable(thing) else None
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return {name: function.__code__}
    return {}


@contextmanager
def noting_what_runs(seen: set[CodeType]) -> Generator[None]:
    """Note the code of every function that is called in the block."""

    def note(frame: FrameType, event: str, argument: object) -> None:
        seen.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)
