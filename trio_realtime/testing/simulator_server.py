"""The simulated server on a real socket."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ssl import SSLContext

import trio

from ..errors import ConnectionLost, ProtocolError
from .handshake import Rejected, examine_upgrade
from .link import Link, link_to
from .server_websocket import ServerWebSocket
from .serving import serve_connection
from .simulated_transport import running_beside
from .simulator import Simulator

_HANDSHAKE_TIMEOUT = 10.0
_BETA_CODE = "beta_api_shape_disabled"
_BETA_MESSAGE = "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API."


@dataclass(frozen=True, slots=True)
class SimulatorServer:
    """Where a served simulator is.

    Attributes:
        url: The base URL, such as `"ws://127.0.0.1:49152/v1"`; the path of a session is `/realtime` below it.
        api_key: The key that it takes.
        simulator: What it serves.
    """

    url: str
    api_key: str
    simulator: Simulator


@asynccontextmanager
async def serve_simulator(
    simulator: Simulator,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: str = "sk-simulated",
    ssl_context: SSLContext | None = None,
) -> AsyncGenerator[SimulatorServer]:
    """Serve a simulator over websockets, each connection with a conversation of its own, until the block ends.

    A request without the key, or with another, is answered with status 401 and a JSON error as OpenAI's.

    Args:
        simulator: What the server says and does.
        host: The address to listen on.
        port: 0 lets the system choose.
        api_key: The only key that is valid.
        ssl_context: For `wss://`.

    Yields:
        Where it is, listening.

    Raises:
        OSError: The address is in use.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    bound_port: int = listeners[0].socket.getsockname()[1]
    scheme = "ws" if ssl_context is None else "wss"
    server = SimulatorServer(f"{scheme}://{host}:{bound_port}/v1", api_key, simulator)

    async def handle(stream: trio.SocketStream) -> None:
        secured = stream if ssl_context is None else trio.SSLStream(stream, ssl_context, server_side=True)
        try:
            with suppress(ConnectionLost, ProtocolError):
                await _serve_client(server, secured)
        finally:
            await trio.aclose_forcefully(stream)

    async with running_beside(partial(trio.serve_listeners, handle, listeners)):
        yield server


async def _serve_client(server: SimulatorServer, stream: trio.abc.Stream) -> None:
    websocket = ServerWebSocket(stream)
    with trio.move_on_after(_HANDSHAKE_TIMEOUT) as handshake:
        request = await websocket.receive_request()
        link = link_to(server.simulator)
        if await _fails_on_purpose(link, websocket, handshake):
            return
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in request.extra_headers}
        verdict = examine_upgrade(request.target, headers, request.subprotocols, server.api_key)
        if isinstance(verdict, Rejected):
            await websocket.reject(verdict.status, verdict.body)
            return
        await websocket.accept(verdict.subprotocol)
        if verdict.beta:
            await _refuse_beta(websocket)
            return
        handshake.deadline = float("inf")
        connection = link.connect(verdict.query, now=trio.current_time(), unix_time=time.time())
        await serve_connection(connection, websocket, link)


async def _fails_on_purpose(link: Link, websocket: ServerWebSocket, handshake: trio.CancelScope) -> bool:
    """Delay the handshake, or answer it, as the faults want; give whether that was its end."""
    seconds, answer = link.handshake()
    if seconds:
        handshake.deadline = float("inf")
        with trio.move_on_after(seconds):
            await websocket.wait_gone()
            return True
        handshake.deadline = trio.current_time() + _HANDSHAKE_TIMEOUT
    if answer is None:
        return False
    await websocket.send_frames(answer)
    return True


async def _refuse_beta(websocket: ServerWebSocket) -> None:
    details = {"type": "invalid_request_error", "code": _BETA_CODE, "message": _BETA_MESSAGE}
    error = {**details, "param": None, "event_id": None}
    event = {"type": "error", "event_id": "event_SimBetaIsShutDown0001", "error": error}
    await websocket.send(json.dumps(event).encode())
    await websocket.aclose(4000, f"invalid_request_error.{_BETA_CODE}")
