"""Both ends of a websocket keep the promises of `MessageTransport`."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio

from trio_realtime.frames import BINARY, encode_frame
from trio_realtime.testing import check_message_transport
from trio_realtime.testing.carriers.server_websocket import ServerWebSocket
from trio_realtime.websocket import WebSocketTransport, open_websocket

from .hostile_peers import frame

CLOSE_TIMEOUT = 0.4


class Server(ServerWebSocket):
    """The server's end, with its stream, which a test may break."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self.stream = stream


@asynccontextmanager
async def connected(
    server_context: ssl.SSLContext | None = None, client_context: ssl.SSLContext | None = None
) -> AsyncGenerator[tuple[WebSocketTransport, Server]]:
    """Open a websocket, and give both ends."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    scheme = "ws" if server_context is None else "wss"
    url = f"{scheme}://localhost:{listener.socket.getsockname()[1]}/"
    servers: list[Server] = []
    accepted = trio.Event()

    async def accept() -> None:
        stream = await listener.accept()
        secured = stream if server_context is None else trio.SSLStream(stream, server_context, server_side=True)
        servers.append(Server(secured))
        await servers[0].receive_request()
        await servers[0].accept(None)
        accepted.set()

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        try:
            async with open_websocket(url, ssl_context=client_context, close_timeout=CLOSE_TIMEOUT) as client:
                await accepted.wait()
                yield client, servers[0]
        finally:
            await trio.aclose_forcefully(servers[0].stream)


async def drop_server(server: Server) -> None:
    await trio.aclose_forcefully(server.stream)


async def send_binary_from_server(server: Server, payload: bytes) -> None:
    await server.stream.send_all(frame(0x2, payload))


@pytest.mark.parametrize("secured", [False, True])
async def test_the_client_keeps_every_promise(
    *, secured: bool, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    def opened() -> AbstractAsyncContextManager[tuple[WebSocketTransport, Server]]:
        return connected(server_context, client_context) if secured else connected()

    await check_message_transport(
        opened, drop=drop_server, send_binary=send_binary_from_server, close_timeout=CLOSE_TIMEOUT
    )


async def drop_client(client: WebSocketTransport) -> None:
    client._cut()
    await trio.lowlevel.checkpoint()


async def send_binary_from_client(client: WebSocketTransport, payload: bytes) -> None:
    await client._writer.write(encode_frame(BINARY, payload, os.urandom(4)))


@asynccontextmanager
async def opened_server() -> AsyncGenerator[tuple[Server, WebSocketTransport]]:
    async with connected() as (client, server):
        yield server, client


async def test_the_server_keeps_every_promise_but_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_realtime.testing.carriers.server_websocket._CLOSE_TIMEOUT", CLOSE_TIMEOUT)
    await check_message_transport(
        opened_server,
        drop=drop_client,
        send_binary=send_binary_from_client,
        close_timeout=CLOSE_TIMEOUT,
        # A server is cancelled at its end only.
        except_for=["send_is_atomic_when_cancelled"],
    )
