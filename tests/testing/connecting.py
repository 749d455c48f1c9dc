"""A client of a simulator in memory or over a socket: both are told apart by a word, and are transports."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio

from trio_realtime.testing import Replay, Simulator, simulated_transport
from trio_realtime.testing.carriers.simulator_server import SimulatorServer, serve_simulator
from trio_realtime.transport import Closed, MessageTransport, Payload
from trio_realtime.websocket import open_websocket

CARRIERS = ["memory", "socket"]
CLEAR = b'{"type":"input_audio_buffer.clear","event_id":"mine"}'


class Client:
    """Pumps a transport, and keeps what came.

    Attributes:
        messages: Each message, and whether it was binary.
        times: When each came.
        closed: How the server closed the connection, or the error that the pump ended with.
    """

    def __init__(self, transport: MessageTransport) -> None:
        self.transport = transport
        self.messages: list[tuple[bytes, bool]] = []
        self.times: list[float] = []
        self.closed: Closed | Exception | None = None
        self.ended = trio.Event()
        self._news = trio.lowlevel.ParkingLot()

    def _deliver(self, payload: Payload, binary: bool = False) -> None:
        self.messages.append((bytes(payload), binary))
        self.times.append(trio.current_time())
        self._news.unpark_all()

    async def run(self) -> None:
        try:
            self.closed = await self.transport.pump(self._deliver)
        except Exception as error:  # noqa: BLE001  a test looks at it
            self.closed = error
        self.ended.set()

    async def send(self, payload: bytes = CLEAR) -> None:
        """Send an event; by default one that the server answers with an event of its own."""
        await self.transport.send(payload)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload, binary in self.messages if not binary]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events()]

    async def wait_for(self, kind: str, count: int = 1) -> None:
        with trio.fail_after(10):
            while self.types().count(kind) < count:
                await self._news.park()

    async def wait_ended(self) -> Closed | Exception:
        with trio.fail_after(10):
            await self.ended.wait()
        assert self.closed is not None
        return self.closed


@asynccontextmanager
async def carried(simulator: Simulator | Replay, carrier: str, **arguments: Any) -> AsyncGenerator[MessageTransport]:
    """Open a transport to a simulator, or to a replay."""
    if carrier == "memory":
        async with simulated_transport(simulator, **arguments) as transport:
            yield transport
        return
    async with serve_simulator(simulator) as server, websocket_to(server, **arguments) as transport:
        yield transport


@asynccontextmanager
async def websocket_to(server: SimulatorServer[Any], **arguments: Any) -> AsyncGenerator[MessageTransport]:
    """Open a websocket to a served simulator."""
    headers = [("Authorization", f"Bearer {server.api_key}")]
    url = f"{server.url}/realtime?model=gpt-realtime-2.1"
    async with open_websocket(url, headers, **{"close_timeout": 0.1, **arguments}) as transport:
        yield transport


@asynccontextmanager
async def connected(simulator: Simulator | Replay, carrier: str = "memory", **arguments: Any) -> AsyncGenerator[Client]:
    """Connect a client that pumps."""
    async with carried(simulator, carrier, **arguments) as transport, trio.open_nursery() as nursery:
        client = Client(transport)
        nursery.start_soon(client.run)
        yield client
        nursery.cancel_scope.cancel()
