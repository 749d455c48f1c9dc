"""A websocket that is pumped in the background, with what it delivered and how it ended."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypedDict, Unpack

import trio

from trio_realtime.errors import RealtimeError
from trio_realtime.transport import Closed
from trio_realtime.websocket import WebSocketTransport, open_websocket


class Options(TypedDict, total=False):
    ssl_context: ssl.SSLContext | None
    close_timeout: float
    heartbeat_interval: float
    heartbeat_timeout: float
    write_timeout: float
    max_message_bytes: int
    receive_buffer_bytes: int


class Pump:
    """Runs a transport's pump in a task.

    Attributes:
        transport: The transport.
        messages: What was delivered: `(payload, binary)`.
        closed: What the pump returned.
        error: What it raised.
        ended: Set once it has done either.
    """

    def __init__(self, transport: WebSocketTransport) -> None:
        self.transport = transport
        self.messages: list[tuple[bytes, bool]] = []
        self.closed: Closed | None = None
        self.error: Exception | None = None
        self.ended = trio.Event()
        self._arrival = trio.Event()

    def deliver(self, payload: bytes | bytearray | memoryview, binary: bool = False) -> None:
        self.messages.append((bytes(payload), binary))
        self._arrival.set()
        self._arrival = trio.Event()

    async def run(self) -> None:
        try:
            self.closed = await self.transport.pump(self.deliver)
        except (RealtimeError, trio.ClosedResourceError) as error:
            self.error = error
        finally:
            self.ended.set()

    async def wait_messages(self, count: int) -> None:
        while len(self.messages) < count:
            await self._arrival.wait()


@asynccontextmanager
async def open_pumped(url: str, **options: Unpack[Options]) -> AsyncGenerator[Pump, None]:
    """Open a websocket and pump it until the scope ends."""
    async with trio.open_nursery() as nursery, open_websocket(url, **options) as transport:
        pump = Pump(transport)
        nursery.start_soon(pump.run)
        yield pump
