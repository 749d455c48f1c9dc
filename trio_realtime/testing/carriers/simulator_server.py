"""The simulated server on a real socket."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ssl import SSLContext
from typing import Generic, TypeVar

import trio

from ...errors import ConnectionLost, ProtocolError
from ..http.calls import Switchboard
from ..http.handshake import examine_upgrade
from ..http.http_server import HttpExchange, error_response
from ..http.keys import Keys
from ..http.refusal import HttpRefusedError
from ..http.rest_api import RestApi
from ..link import Link, link_to
from ..server import Server
from .server_websocket import ServerWebSocket
from .serving import serve_connection
from .simulated_transport import running_beside

_HANDSHAKE_TIMEOUT = 10.0
_BETA_CODE = "beta_api_shape_disabled"
_BETA_MESSAGE = "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API."

_Served_co = TypeVar("_Served_co", bound=Server, covariant=True)
_S = TypeVar("_S", bound=Server)


@dataclass(frozen=True, slots=True)
class SimulatorServer(Generic[_Served_co]):
    """Where a served simulator is.

    Attributes:
        url: The base URL, such as `"ws://127.0.0.1:49152/v1"`; the path of a session is `/realtime` below it.
        http_url: The same for HTTP, such as `"http://127.0.0.1:49152/v1"`: where ephemeral keys and calls are made.
        api_key: The key that it takes, beside ephemeral ones.
        simulator: What it serves.
        switchboard: Where the calls to it arrive; `switchboard.ring()` lets somebody call over SIP.
    """

    url: str
    http_url: str
    api_key: str
    simulator: _Served_co
    switchboard: Switchboard


@asynccontextmanager
async def serve_simulator(
    simulator: _S,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: str = "sk-simulated",
    ssl_context: SSLContext | None = None,
) -> AsyncGenerator[SimulatorServer[_S]]:
    """Serve a simulator over websockets, each connection with a conversation of its own, until the block ends.

    A request without the key, or with another, is answered with status 401 and a JSON error as OpenAI's, and one to
    join a call (`?call_id=`) that does not go on, with 404. Over HTTP, at `http_url`, it makes ephemeral keys
    (`POST /realtime/client_secrets`) and calls (`POST /realtime/calls` and what is below it), as OpenAI does.

    Args:
        simulator: What the server says and does.
        host: The address to listen on.
        port: 0 lets the system choose.
        api_key: The key that is valid, beside the ephemeral ones that it gives out.
        ssl_context: For `wss://`.

    Yields:
        Where it is, listening.

    Raises:
        OSError: The address is in use.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    bound_port: int = listeners[0].socket.getsockname()[1]
    secure = "" if ssl_context is None else "s"
    address = f"{host}:{bound_port}/v1"
    switchboard = Switchboard(simulator)
    server = SimulatorServer(f"ws{secure}://{address}", f"http{secure}://{address}", api_key, simulator, switchboard)
    api = RestApi(switchboard, Keys(api_key))

    async def handle(stream: trio.SocketStream) -> None:
        secured = stream if ssl_context is None else trio.SSLStream(stream, ssl_context, server_side=True)
        try:
            with suppress(ConnectionLost, ProtocolError):
                await _serve_client(api, secured)
        finally:
            await trio.aclose_forcefully(stream)

    async with running_beside(partial(trio.serve_listeners, handle, listeners)):
        yield server


async def _serve_client(api: RestApi, stream: trio.abc.Stream) -> None:
    exchange = HttpExchange(stream)
    with trio.move_on_after(_HANDSHAKE_TIMEOUT) as handshake:
        try:
            request = await exchange.receive_request()
            if not request.asks_to_upgrade:
                await exchange.respond(api.answer(request, now=trio.current_time(), unix_time=time.time()))
                return
            websocket = ServerWebSocket(stream, exchange.received)
            await websocket.receive_request()
            link = link_to(api.switchboard)
            if await _fails_on_purpose(link, websocket, handshake):
                return
            admitted = examine_upgrade(request, api.keys, api.switchboard, now=trio.current_time())
        except HttpRefusedError as refusal:
            await exchange.respond(error_response(refusal))
            return
        except ProtocolError as error:
            await exchange.respond(error_response(HttpRefusedError(400, str(error))))
            return
        if admitted.beta:
            await websocket.accept(admitted.subprotocol)
            await _refuse_beta(websocket)
            return
        # Before anything is awaited: a call that was found still goes on.
        connection = api.switchboard.connect(
            admitted.query,
            kind=admitted.kind,
            configuration=admitted.configuration,
            now=trio.current_time(),
            unix_time=time.time(),
        )
        await websocket.accept(admitted.subprotocol)
        handshake.deadline = float("inf")
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
