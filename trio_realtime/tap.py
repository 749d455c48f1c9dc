"""What trio-websocket is given as its stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


class Tap(trio.abc.Stream):
    """A stream that reads and writes by way of two functions."""

    def __init__(self, receive: Callable[[], Awaitable[bytes]], write: Callable[[bytes], Awaitable[None]]) -> None:
        self._receive = receive
        self._write = write

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it."""
        await self._write(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:  # pragma: no cover  trio-websocket does not ask
        """Return at once: writing waits."""
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Read what there is, however much: the 101 response or a close frame, and neither is worth splitting."""
        return await self._receive()

    async def aclose(self) -> None:
        """Close nothing: the stream is the transport's."""
        await trio.lowlevel.checkpoint()
