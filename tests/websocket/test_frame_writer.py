"""What the writer never does: write on after a frame was cut."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from trio_realtime.errors import ConnectionLost
from trio_realtime.frame_writer import FrameWriter
from trio_realtime.frames import CLOSE, PONG

from .hostile_peers import ENDLESS, SOON

BIG = b"u" * 10_000_000


async def drain(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


class Wire:
    """A writer and the other end of its stream, which begins to read when a write has failed: too late."""

    def __init__(self, near: trio.SocketStream, far: trio.SocketStream, write_timeout: float) -> None:
        self.far = far
        self.sent: int | None = None
        self.writer = FrameWriter(near, near.socket, write_timeout=write_timeout, fail=self.fail)

    def fail(self, error: ConnectionLost) -> None:
        self.writer.error = error
        self.sent = self.writer.bytes_sent
        self.writer.tasks.start_soon(drain, self.far)


@asynccontextmanager
async def wire(write_timeout: float) -> AsyncGenerator[Wire, None]:
    near, far = (trio.SocketStream(sock) for sock in trio.socket.socketpair())
    async with near, far, trio.open_nursery() as nursery:
        wire = Wire(near, far, write_timeout)
        wire.writer.tasks = nursery
        yield wire
        nursery.cancel_scope.cancel()


async def test_after_a_write_was_cut_nothing_is_written() -> None:
    async with wire(write_timeout=0.05) as it:
        with pytest.raises(ConnectionLost):
            await it.writer.send((BIG,))
        await trio.testing.wait_all_tasks_blocked()  # there is room again
        it.writer.send_control(CLOSE, b"\x03\xe8")
        await it.writer.wait_controls_written()
        with pytest.raises(ConnectionLost):
            await it.writer.write(b"a frame")
        assert it.writer.bytes_sent == it.sent


async def test_a_close_frame_that_waits_behind_a_write_that_is_cut_is_not_written() -> None:
    async with wire(write_timeout=0.05) as it:

        async def send() -> None:
            with pytest.raises(ConnectionLost):
                await it.writer.send((BIG,))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            it.writer.send_control(CLOSE, b"\x03\xe8")
            with trio.fail_after(SOON):
                await it.writer.wait_controls_written()
        assert it.writer.bytes_sent == it.sent


async def test_what_the_socket_takes_is_written_without_waiting() -> None:
    async with wire(write_timeout=ENDLESS) as it:
        assert it.writer.send_nowait(b"hello")
        assert len(await it.far.receive_some()) == 2 + 4 + 5
        assert (it.writer.messages_sent, it.writer.bytes_sent) == (1, 11)
        assert not it.writer.tasks.child_tasks


async def test_what_the_socket_takes_in_part_is_written_whole_and_before_what_follows() -> None:
    async with wire(write_timeout=ENDLESS) as it:
        assert it.writer.send_nowait(BIG)
        assert not it.writer.send_nowait(b"next"), "it is not its turn"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.writer.send, (b"next",))
            whole = 2 + 8 + 4 + len(BIG) + 2 + 4 + len(b"next")
            received = 0
            while received < whole:
                received += len(await it.far.receive_some())
        assert (it.writer.messages_sent, it.writer.bytes_sent) == (2, whole)


async def test_what_the_socket_does_not_take_is_not_taken() -> None:
    async with wire(write_timeout=ENDLESS) as it:
        while it.writer.send_nowait(b"x" * 1000):
            if it.writer.tasks.child_tasks:  # a part of the last
                break
        await trio.testing.wait_all_tasks_blocked()
        sent = it.writer.bytes_sent
        assert not it.writer.send_nowait(b"no")
        assert it.writer.bytes_sent == sent


async def test_nothing_is_written_without_waiting_after_the_end() -> None:
    async with wire(write_timeout=ENDLESS) as it:
        it.writer.error = ConnectionLost("gone")
        assert not it.writer.send_nowait(b"no")
        assert it.writer.bytes_sent == 0


async def test_once_it_is_cut_it_starts_no_task() -> None:
    async with wire(write_timeout=ENDLESS) as it:
        it.writer.cut()
        it.writer.send_control(PONG, b"")
        assert not it.writer.tasks.child_tasks
        with pytest.raises(trio.ClosedResourceError):
            await it.writer.write(b"a frame")
