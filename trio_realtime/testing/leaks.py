"""What a block of a program leaves behind: tasks, descriptors, threads and asynchronous generators."""

from __future__ import annotations

import os
import re
import socket
import stat
import sys
import threading
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from types import AsyncGeneratorType
from typing import Any, TypeAlias, cast

import trio

_DESCRIPTORS = next((path for path in ("/proc/self/fd", "/dev/fd") if os.path.isdir(path)), None)

_Generator: TypeAlias = AsyncGeneratorType[Any, Any]

# Trio keeps threads for ten seconds for the next who wants one. Such a thread has a name of this kind; one that works
# has the name of what it does.
_IDLE_THREAD = re.compile(r"Trio thread \d+")


@contextmanager
def assert_no_leaks() -> Generator[None]:
    """Check that a block leaves nothing behind that was not there before it.

    `with assert_no_leaks():` stands around the block, inside of a Trio run or outside, for instance around `trio.run`.
    What counts is a Trio task, anywhere in the run; a file descriptor, such as a socket, of the whole process; a
    thread, unless it idles in Trio's cache; and an asynchronous generator that was begun in the block and not
    exhausted. Outside of a Trio run there are no tasks to look at; on Windows descriptors are not looked at.

    The block has to contain all that it is to be judged by: open and close inside, and put a cancel scope inside too.
    Generators that end in the block are kept until its end, so it should not be one that runs for days.

    Raises:
        AssertionError: Something was left. It says what: the name and the coroutine of a task, the target of a
            descriptor. What the block itself raised, if it did, is its context.
    """
    tasks, descriptors, threads = _tasks(), _descriptors(), _threads()
    generators = _BegunGenerators()
    try:
        yield
    finally:
        generators.stop()
        left = [
            *[f"task {task.name!r} ({_coroutine_name(task)})" for task in _tasks() - tasks],
            *[f"descriptor {number}: {_target(number)}" for number, _ in _descriptors() - descriptors],
            *[f"thread {name!r}" for _, name in _threads() - threads],
            *[
                f"asynchronous generator {generator.__qualname__!r} of {_definition(generator)}"
                for generator in generators.open()
            ],
        ]
        if left:
            raise AssertionError("\n".join(["this was left behind:", *[f"  {each}" for each in sorted(left)]]))


def _tasks() -> set[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task() if trio.lowlevel.in_trio_run() else None
    return set() if root is None else {root, *_descendants(root)}


def _descendants(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    unseen = [task]
    while unseen:
        children = [child for nursery in unseen.pop().child_nurseries for child in nursery.child_tasks]
        yield from children
        unseen += children


def _coroutine_name(task: trio.lowlevel.Task) -> str:
    return str(getattr(task.coro, "__qualname__", task.coro))


def _descriptors() -> set[tuple[int, tuple[int, int]]]:
    """The open descriptors, each with what tells its file from another under the same number."""
    found: set[tuple[int, tuple[int, int]]] = set()
    for name in [] if _DESCRIPTORS is None else os.listdir(_DESCRIPTORS):
        try:
            state = os.fstat(int(name))
        except OSError:  # that of the listing itself, which is closed by now
            continue
        found.add((int(name), (state.st_dev, state.st_ino)))
    return found


def _target(number: int) -> str:
    if stat.S_ISSOCK(os.fstat(number).st_mode):
        with socket.socket(fileno=os.dup(number)) as copy:
            return f"socket {_address(copy.getsockname())}{_peer(copy)}"
    link = f"{_DESCRIPTORS}/{number}"
    return os.readlink(link) if os.path.islink(link) else "a file"


def _peer(sock: socket.socket) -> str:
    try:
        return f" connected to {_address(sock.getpeername())}"
    except OSError:
        return ", not connected"


def _address(address: Any) -> str:
    return repr(address) if isinstance(address, str | bytes) else f"{address[0]}:{address[1]}"


def _threads() -> set[tuple[threading.Thread, str]]:
    """The threads at work, each with its name, since one of Trio's may have been there before and idle."""
    return {(each, each.name) for each in threading.enumerate() if not _IDLE_THREAD.fullmatch(each.name)}


def _definition(generator: _Generator) -> str:
    return f"{generator.ag_code.co_filename}:{generator.ag_code.co_firstlineno}"


class _BegunGenerators:
    """The asynchronous generators that this thread has begun, by way of the interpreter's hook."""

    def __init__(self) -> None:
        self._begun: list[_Generator] | None = []
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._note)

    def _note(self, generator: AsyncGenerator[Any, Any]) -> None:
        # With a reference, so that one that is dropped half-way is still seen at the end.
        if self._begun is not None:
            self._begun.append(cast("_Generator", generator))
        if self._hooks.firstiter is not None:
            self._hooks.firstiter(generator)

    def stop(self) -> None:
        """Note no more."""
        # In another task a later block may have put its hook on top: then this one has to stay, to pass on.
        if sys.get_asyncgen_hooks().firstiter == self._note:
            sys.set_asyncgen_hooks(firstiter=self._hooks.firstiter)

    def open(self) -> list[_Generator]:
        """Give those that were neither exhausted nor closed, and forget them all."""
        begun, self._begun = self._begun or [], None
        return [generator for generator in begun if generator.ag_frame is not None]
