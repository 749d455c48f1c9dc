"""Reading from the socket itself: what may happen between the moment in which it is readable and the read."""

from __future__ import annotations

import os
from collections.abc import Callable

import trio
import trio.testing

from trio_realtime.dial import read_when_readable


class BeforeItsStep(trio.abc.Instrument):
    """Does something once, just before a task goes on."""

    def __init__(self, task: trio.lowlevel.Task, act: Callable[[], object]) -> None:
        self._task = task
        self._act: Callable[[], object] | None = act

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        if task is self._task and self._act is not None:
            act, self._act = self._act, None
            act()


class Reader:
    """Reads once, in a task of its own."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self.sock = sock
        self.task: trio.lowlevel.Task | None = None
        self.got: bytes | None = None
        self.error: Exception | None = None

    async def run(self) -> None:
        self.task = trio.lowlevel.current_task()
        try:
            self.got = await read_when_readable(self.sock, 100)
        except trio.ClosedResourceError as error:
            self.error = error

    def interfere(self, act: Callable[[], object]) -> None:
        assert self.task is not None
        trio.lowlevel.add_instrument(BeforeItsStep(self.task, act))


async def test_a_socket_that_is_closed_before_it_is_read_is_not_read_by_its_number() -> None:
    near, far = trio.socket.socketpair()
    others, other = trio.socket.socketpair()
    number = near.fileno()
    reader = Reader(near)

    def close_and_reuse() -> None:
        near.close()
        os.dup2(others.fileno(), number)  # another connection has the number now

    with far, other, others:
        await other.send(b"somebody else's")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.run)
            await trio.testing.wait_all_tasks_blocked()
            reader.interfere(close_and_reuse)
            await far.send(b"x")
        assert isinstance(reader.error, trio.ClosedResourceError)
        assert reader.got is None
        assert await others.recv(100) == b"somebody else's"
    os.close(number)


async def test_a_socket_that_has_nothing_after_all_is_waited_for_again(nursery: trio.Nursery) -> None:
    near, far = trio.socket.socketpair()
    reader = Reader(near)
    with near, far:
        nursery.start_soon(reader.run)
        await trio.testing.wait_all_tasks_blocked()
        reader.interfere(lambda: os.read(near.fileno(), 100))
        await far.send(b"taken")
        await trio.testing.wait_all_tasks_blocked()
        assert reader.got is None
        await far.send(b"read")
        await trio.testing.wait_all_tasks_blocked()
        assert reader.got == b"read"
