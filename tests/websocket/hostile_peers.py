"""Websocket servers on loopback that misbehave in exactly the way that a test wants.

They speak through plain sockets and frame by hand, so that nothing keeps them from breaking the rules.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

SOON = 9.0
"""Seconds in which the slowest machine is done; less than the default deadlines to connect and to write, so that what
waits for one of those is seen."""

ENDLESS = 600.0
"""A deadline that nobody waits for: what is done `SOON` has not."""


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Encode a frame as a server does."""
    first = (0x80 if fin else 0) | opcode
    if len(payload) < 126:
        return bytes((first, len(payload))) + payload
    if len(payload) < 2**16:
        return bytes((first, 126)) + len(payload).to_bytes(2, "big") + payload
    return bytes((first, 127)) + len(payload).to_bytes(8, "big") + payload


def close(code: int, reason: str = "") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


class Peer:
    """The server's side of one connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.request = b""
        self._unread = bytearray()

    async def read_request(self) -> None:
        while b"\r\n\r\n" not in self.request:
            data = await self.stream.receive_some()
            assert data, "the client left before its request was whole"
            self.request += data

    def header(self, name: str) -> str | None:
        for line in self.request.decode().split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.strip().lower() == name:
                return value.strip()
        return None

    def upgrade_response(self, *fields: str) -> bytes:
        key = self.header("sec-websocket-key") or ""
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", *fields, "", ""]).encode()

    async def upgrade(self, *fields: str) -> None:
        await self.read_request()
        await self.send(self.upgrade_response(*fields))

    async def send(self, *data: bytes) -> None:
        await self.stream.send_all(b"".join(data))

    async def _read(self, count: int) -> bytes:
        while len(self._unread) < count:
            data = await self.stream.receive_some()
            if not data:
                raise EOFError
            self._unread += data
        taken = bytes(self._unread[:count])
        del self._unread[:count]
        return taken

    async def frame(self) -> tuple[int, bytes]:
        """Read one frame; check that it is whole, final and masked; raise EOFError when the stream has ended."""
        first, second = await self._read(2)
        assert first & 0xF0 == 0x80, "a final frame without reserved bits"
        assert second & 0x80, "a masked frame"
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(await self._read(2 if length == 126 else 8), "big")
        mask = await self._read(4)
        payload = await self._read(length)
        key = (mask * (length // 4 + 1))[:length]
        unmasked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
        return first & 0x0F, unmasked.to_bytes(length, "big")

    async def frames(self) -> list[tuple[int, bytes]]:
        """Read frames until the stream ends or breaks."""
        seen: list[tuple[int, bytes]] = []
        try:
            while True:
                seen.append(await self.frame())
        except (EOFError, trio.BrokenResourceError):
            return seen

    async def answer_close(self) -> None:
        """Read up to the client's close frame, and answer it."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                await self.send(frame(CLOSE, payload))
                return


Behaviour = Callable[[Peer], Awaitable[None]]


@dataclass
class Served:
    """Where a peer is served.

    Attributes:
        url: For the client.
        finished: Set once a connection's behaviour has run to its end.
        connections: How many there were.
    """

    url: str
    finished: trio.Event = field(default_factory=trio.Event)
    connections: int = 0


@asynccontextmanager
async def serve(
    behaviour: Behaviour, *, ssl_context: ssl.SSLContext | None = None, receive_buffer: int | None = None
) -> AsyncGenerator[Served, None]:
    """Serve `behaviour` on loopback; its connections end with the scope, or when it returns.

    Args:
        behaviour: Given each connection. May raise what a stream raises when the client is gone.
        ssl_context: Serve TLS.
        receive_buffer: Size of the socket's receive buffer in bytes, to be stuck soon when nothing reads.
    """
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    if receive_buffer is not None:
        listener.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, receive_buffer)
    host, port = listener.socket.getsockname()[:2]
    served = Served(f"ws://{host}:{port}/" if ssl_context is None else f"wss://localhost:{port}/")

    async def handle(tcp: trio.SocketStream) -> None:
        served.connections += 1
        stream = tcp if ssl_context is None else trio.SSLStream(tcp, ssl_context, server_side=True)
        try:
            await behaviour(Peer(stream))
        except (EOFError, trio.BrokenResourceError):
            pass
        finally:
            served.finished.set()
            tcp.socket.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield served
        nursery.cancel_scope.cancel()


async def hold(peer: Peer) -> None:
    """Do nothing with an open connection: neither read nor write nor close."""
    await trio.sleep_forever()


async def read_on(peer: Peer) -> None:
    """Read, and say nothing."""
    await peer.frames()


async def flood(peer: Peer) -> None:
    """Send messages without end, and read nothing."""
    while True:
        await peer.send(frame(TEXT, b"x" * 60_000))


async def flood_pings(peer: Peer) -> None:
    """Send PINGs without end, and read nothing."""
    while True:
        await peer.send(frame(PING, b"x" * 125) * 400)


async def babble(peer: Peer) -> None:
    """Send what is no frame."""
    await peer.send(b"\xff" * 1000)
    await trio.sleep_forever()


async def say_close_and_hold(peer: Peer) -> None:
    """Send a close frame, and leave the connection open."""
    await peer.send(close(1001, "going away"))
    await trio.sleep_forever()


async def hang_up(peer: Peer) -> None:
    """Close the connection without a close frame."""
    await peer.stream.aclose()


async def promise_more(peer: Peer) -> None:
    """Begin a message and never end it."""
    await peer.send(frame(TEXT, b"x" * 1000)[:100])
    await trio.sleep_forever()


def upgraded(behaviour: Behaviour) -> Behaviour:
    """Perform the handshake first."""

    async def upgrade_first(peer: Peer) -> None:
        await peer.upgrade()
        await behaviour(peer)

    return upgrade_first
