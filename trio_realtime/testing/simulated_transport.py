"""The simulated server behind a transport: runs a `ServerConnection` on Trio's clock, whichever that is."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio

from ..errors import ConnectionLost, ProtocolError
from ..transport import Closed, MessageTransport
from ..wire.codec import Kind
from .conversation import Json
from .memory_transport import memory_transport_pair
from .server import Server, ServerConnection, SharedConnection
from .session_settings import DEFAULT_MODEL

_MODELS: dict[Kind, str] = {"realtime": DEFAULT_MODEL, "translation": "gpt-realtime-translate"}


@asynccontextmanager
async def simulated_transport(
    simulator: Server, *, query: Mapping[str, str] | None = None, kind: Kind = "realtime"
) -> AsyncGenerator[MessageTransport]:
    """Connect to a simulator without a network, on whatever clock Trio has.

    On leaving, the transport is closed and the server has ended.

    Args:
        simulator: What the server says and does.
        query: Of the URL that the client would use; None stands for `?model=gpt-realtime-2.1`, or for
            `?model=gpt-realtime-translate`.
        kind: `"translation"` for a translation session, as of `open_connection`.

    Yields:
        The client's end, open.

    Raises:
        ConfigError: The query is not one that the server knows.
    """
    query = {"model": _MODELS[kind]} if query is None else query
    connection = simulator.connect(query, kind=kind, now=trio.current_time(), unix_time=time.time())
    client, server = memory_transport_pair()
    async with running_beside(partial(serve_connection, connection, server)):
        try:
            yield client
        finally:
            # Without waiting, so that a cancelled scope closes it just as well.
            client.drop()


@asynccontextmanager
async def running_beside(task: Callable[[], Awaitable[object]]) -> AsyncGenerator[None]:
    """Run a task until the block ends; what the block raises leaves it as itself, in no group."""
    failure: Exception | KeyboardInterrupt | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  raised below, whatever it is
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def serve_connection(connection: ServerConnection, transport: MessageTransport) -> None:
    """Let a connection talk over a transport until either side ends it."""
    loop = ServerLoop(connection)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read, transport, loop, nursery.cancel_scope)
        with suppress(ConnectionLost, trio.ClosedResourceError):
            closed = await loop.run(transport.send)
            await transport.aclose(closed.code, closed.reason)
        nursery.cancel_scope.cancel()


async def _read(transport: MessageTransport, loop: ServerLoop, scope: trio.CancelScope) -> None:
    # However the client went away, the server has nothing more to do.
    with suppress(ConnectionLost, ProtocolError, trio.ClosedResourceError):
        await transport.pump(loop.deliver)
    scope.cancel()


class ServerLoop:
    """Gives a connection the time and its messages, and writes what it says."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._unsent: deque[Json] = deque()
        self._arrival = trio.lowlevel.ParkingLot()
        if isinstance(connection, SharedConnection):
            connection.wake = self._arrival.unpark_all

    def deliver(self, payload: bytes | bytearray | memoryview, binary: bool = False) -> None:
        """See `Deliver`: take a message of the client."""
        self._unsent += self._connection.receive(bytes(payload), trio.current_time(), binary=binary)
        self._arrival.unpark_all()

    async def run(self, send: Callable[[bytes], Awaitable[None]]) -> Closed:
        """Send what the connection says, when it says it, until it closes.

        Raises:
            Whatever `send` raises.
        """
        while True:
            self._unsent += self._connection.advance(trio.current_time())
            while self._unsent:
                await send(json.dumps(self._unsent.popleft()).encode())
            if self._connection.closed is not None:
                return self._connection.closed
            with trio.move_on_at(self._connection.next_deadline()):
                await self._arrival.park()
