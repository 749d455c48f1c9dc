"""The writing half of a websocket: whole frames, one writer at a time.

Theory of operation. Whoever holds the turn writes. No cancellation from outside cuts a frame; the write deadline and
the end of the connection do, and after that nothing is written any more, because the peer would read it as the rest of
the cut frame. What the socket takes at once is written at once, by the task that sends it: over TCP with one `write`,
over TLS with a `send_all` in a shielded scope, only for as much as is sure not to block. Whatever is left is written by
a task of the connection, for which the sender waits, so that no shield ever holds up a sender that is being cancelled.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from typing import Final

import trio

from .dial import words_of
from .errors import ConnectionLost, own_instance
from .frames import CLOSE, TEXT, encode_frame, encode_frames

# To Linux a socket is writable when a third of its buffer is free, and it gives that buffer at least 85 KB, so that
# writing this much to a writable socket does not block.
_TLS_DIRECT_BYTES: Final = 16384


class _Handover:
    """A write that a task of the connection does for the task that waits for it."""

    __slots__ = ("done", "error")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: Exception | None = None


class FrameWriter:
    """Writes frames to a stream.

    Args:
        stream: Where to: the socket's own stream, or TLS over it. Nothing else may write to it.
        sock: The socket.
        write_timeout: Seconds for one write.
        fail: Called, with the `ConnectionLost` to raise, when a write was not done within that time.

    Attributes:
        tasks: The nursery for what callers do not wait for; assigned before anything but `write` is called.
        error: What `send` raises from now on, or None while it may write. After a close frame nothing may follow.
        bytes_sent: How much was written.
        messages_sent: How many messages were.
    """

    tasks: trio.Nursery

    def __init__(
        self,
        stream: trio.abc.SendStream,
        sock: trio.socket.SocketType,
        *,
        write_timeout: float,
        fail: Callable[[ConnectionLost], object],
    ) -> None:
        self.error: Exception | None = None
        self.bytes_sent: int = 0
        self.messages_sent: int = 0
        self._stream = stream
        self._write_timeout = write_timeout
        self._fail = fail
        self._is_tls = not isinstance(stream, trio.SocketStream)
        self._fileno = sock.fileno()
        self._is_writable = _writability(self._fileno)
        self._masks = _masks()
        self._turn = trio.Semaphore(1)  # and not a lock: one task may take the turn and another give it back
        self._writing: trio.CancelScope | None = None
        self._cut = False
        self._controls: dict[int, bytes] = {}  # opcode -> payload: of the PONGs that wait only the latest matters
        self._controls_written: trio.Event | None = None  # while a task writes them

    async def send(self, payloads: tuple[bytes, ...]) -> None:
        """Write text messages as `MessageTransport.send` says."""
        await trio.lowlevel.checkpoint_if_cancelled()
        turn = self._turn
        if turn.value:
            turn.acquire_nowait()
        else:
            await turn.acquire()
        handover: _Handover | None = None
        try:
            if self.error is not None:
                raise own_instance(self.error)
            data = encode_frames(TEXT, payloads, os.urandom(4 * len(payloads)))
            written = self._write_at_once(data)
            if written < len(data):
                if self._is_tls and len(data) <= _TLS_DIRECT_BYTES and self._is_writable():
                    await self._write(data)
                else:
                    handover = _Handover()
                    self.tasks.start_soon(self._write_for, handover, memoryview(data)[written:])
        finally:
            if handover is None:
                turn.release()
        if handover is not None:
            await handover.done.wait()
            if handover.error is not None:
                raise handover.error
        elif written == len(data):
            await trio.lowlevel.cancel_shielded_checkpoint()
        self.messages_sent += len(payloads)

    def send_nowait(self, payload: bytes) -> bool:
        """Write a text message as `MessageTransport.send_nowait` says."""
        if self.error is not None or not self._turn.value:
            return False
        data = encode_frame(TEXT, payload, next(self._masks))
        written = self._write_at_once(data)
        if not written:
            return False
        if written < len(data):
            self._turn.acquire_nowait()
            self.tasks.start_soon(self._write_for, _Handover(), memoryview(data)[written:])
        self.messages_sent += 1
        return True

    async def write(self, data: bytes | bytearray) -> None:
        """Write bytes that are whole frames, or the handshake, when it is their turn.

        Raises:
            ConnectionLost: They were not written, or not wholly; nothing will be any more.
            trio.ClosedResourceError: The same, because this side closed.
        """
        await self._turn.acquire()
        try:
            await self._write(data)
        finally:
            self._turn.release()

    def send_control(self, opcode: int, payload: bytes | bytearray) -> None:
        """Have a control frame written as soon as the stream is free; the latest of an opcode stands for those before.

        Once `error` is set only a `CLOSE` is still written, to say why this is the end.
        """
        self._controls[opcode] = bytes(payload)
        if self._controls_written is None and not self._cut:
            self._controls_written = trio.Event()
            self.tasks.start_soon(self._write_controls, self._controls_written)

    async def wait_controls_written(self) -> None:
        """Wait until no control frame is waiting to be written."""
        if self._controls_written is not None:
            await self._controls_written.wait()

    def cancel(self) -> None:
        """Cancel the write that is going on, if any; when it was cut, there will be no other."""
        if self._writing is not None:
            self._writing.cancel()

    def cut(self) -> None:
        """Cancel the write that is going on, and let there be no other."""
        self.cancel()
        self._cut = True

    def _write_at_once(self, data: bytearray) -> int:
        """Write as much as the socket takes at once, which over TLS is nothing; give how much that was.

        `os.write` costs 8 us less than `send_all`, and says how much it wrote.
        """
        if self._is_tls or os.name != "posix":
            return 0
        try:
            written = os.write(self._fileno, data)
        except OSError:  # the socket is full, or broken: then the next write says so
            return 0
        self.bytes_sent += written
        return written

    async def _write(self, data: bytes | bytearray | memoryview) -> None:
        if self._cut:
            raise own_instance(self.error or trio.ClosedResourceError())
        self._writing = trio.CancelScope(deadline=trio.current_time() + self._write_timeout, shield=True)
        try:
            with self._writing:
                await self._stream.send_all(data)
                self.bytes_sent += len(data)
                return
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            # Reading goes on: the reason may lie in the socket still, and if it does not, reading fails soon.
            words = words_of(error)
            self.error = self.error or ConnectionLost(f"the connection broke: {words}", reason=words)
            raise own_instance(self.error) from error
        finally:
            self._writing = None
        self._cut = True
        words = f"a write was not done within {self._write_timeout:g} s"
        lost = ConnectionLost(f"the connection is stuck: {words}", reason=words)
        self._fail(lost)
        raise own_instance(self.error or lost)

    async def _write_for(self, handover: _Handover, data: memoryview) -> None:
        try:
            await self._write(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            handover.error = error
        finally:
            self._turn.release()
            handover.done.set()

    async def _write_controls(self, written: trio.Event) -> None:
        try:
            while self._controls:
                await self._turn.acquire()
                try:
                    controls, self._controls = self._controls, {}
                    for opcode, payload in controls.items():
                        if self.error is None or opcode == CLOSE:
                            await self._write(encode_frame(opcode, payload, os.urandom(4)))
                finally:
                    self._turn.release()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # `error` says it to whom it concerns
        finally:
            self._controls_written = None
            written.set()


def _masks() -> Iterator[bytes]:
    """Masks of frames, many for one system call: one for each would cost as much as all else that makes a frame."""
    while True:
        block = os.urandom(4096)
        for start in range(0, len(block), 4):
            yield block[start : start + 4]


def _writability(fileno: int) -> Callable[[], object]:
    """Make a function that gives something true if a write to a socket would not block, or would fail at once."""
    if not hasattr(select, "poll"):  # pragma: no cover  Windows
        return bool
    poll = select.poll()
    poll.register(fileno, select.POLLOUT)
    return lambda: poll.poll(0)
