"""The server's side of a websocket, over any Trio stream: wsproto's rules, and nothing of the client's code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ...errors import ConnectionLost, ProtocolError
from ...transport import Closed, Deliver
from ..transports.server_transport import ServerTransport

_RECEIVE_BYTES = 65536
_MAX_MESSAGE_BYTES = 32 * 1024 * 1024
_CLOSE_TIMEOUT = 1.0


class ServerWebSocket(ServerTransport):
    """A websocket that a client opened; `receive_request` comes first, then `accept`.

    It keeps the promises of `MessageTransport` but one: a `send` that is cancelled while it waits for the client may
    have written half a message, which breaks the connection. Nothing of the simulator cancels one and goes on.

    Args:
        stream: The connection.
        received: What was read from it already.
    """

    def __init__(self, stream: trio.abc.Stream, received: bytes = b"") -> None:
        self._stream = stream
        self._received = received
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._writing = trio.Lock()
        self._closing = False
        self._closed = trio.Event()
        self._pump_state: Literal["not yet", "running", "over"] = "not yet"
        self._lost = False
        self._silent = False
        self._may_read = trio.Event()
        self._may_read.set()
        self._reading = trio.CancelScope()
        self._read_to_end = trio.Event()
        self._parts: list[bytes] = []
        self._parts_bytes = 0

    # --- the handshake -----------------------------------------------------------------------------------------

    async def receive_request(self) -> Request:
        """Read the client's request to upgrade.

        Raises:
            ConnectionLost: The client went away.
            ProtocolError: What it sent is no such request.
        """
        while True:
            await self._feed()
            event = next(self._protocol.events(), None)
            if isinstance(event, Request):
                return event

    async def accept(self, subprotocol: str | None) -> None:
        """Upgrade."""
        await self._write(AcceptConnection(subprotocol=subprotocol))

    async def wait_gone(self) -> None:
        """Answer nothing, and return when the client has gone; cancelled, the handshake can go on."""
        with suppress(trio.BrokenResourceError):
            while await self._stream.receive_some(_RECEIVE_BYTES):
                pass

    # --- messages ----------------------------------------------------------------------------------------------

    async def pump(self, deliver: Deliver) -> Closed:
        """See `MessageTransport.pump`."""
        if self._pump_state == "running":
            raise trio.BusyResourceError("another task is already pumping this websocket")
        if self._pump_state == "over" or self._closing:
            raise trio.ClosedResourceError("this websocket cannot be read any more")
        self._pump_state = "running"
        try:
            return await self._read(deliver)
        except (ConnectionLost, ProtocolError) as error:
            if self._closing:
                raise trio.ClosedResourceError("this websocket was closed on this side") from error
            self._lost = True
            raise
        finally:
            self._pump_state = "over"
            self._read_to_end.set()

    async def _read(self, deliver: Deliver) -> Closed:
        while True:
            # wsproto turns a broken frame into a close event that has the right code.
            for event in self._protocol.events():
                match event:
                    case _ if self._silent:
                        pass
                    case TextMessage() | BytesMessage():
                        await self._take(event, deliver)
                    case Ping():
                        await self._write(event.response())
                    case CloseConnection(code=code, reason=reason):
                        return await self._answer_close(code, reason or "")
                    case _:
                        pass  # a pong answers nothing here
            await self._feed()

    async def _take(self, event: TextMessage | BytesMessage, deliver: Deliver) -> None:
        data = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
        self._parts.append(data)
        self._parts_bytes += len(data)
        if self._parts_bytes > _MAX_MESSAGE_BYTES:
            await self._write(CloseConnection(code=1009, reason="message too big"))
            raise ProtocolError(f"a message exceeds {_MAX_MESSAGE_BYTES} bytes", code=1009)
        if event.message_finished:
            message = b"".join(self._parts)
            self._parts, self._parts_bytes = [], 0
            deliver(message, isinstance(event, BytesMessage))

    async def _answer_close(self, code: int, reason: str) -> Closed:
        if self._closing:
            raise trio.ClosedResourceError("this websocket was closed on this side")
        await self._write(CloseConnection(code=code, reason=reason))
        return Closed(code, reason)

    async def send(self, *payloads: bytes) -> None:
        """See `MessageTransport.send`, which promises more; see the class.

        Cancellation:
            May break the connection.
        """
        if self._closing:
            raise trio.ClosedResourceError("this websocket was closed on this side")
        if self._lost:  # the system may still take a write
            raise ConnectionLost("the client is gone")
        await self._write(*(TextMessage(data=payload.decode()) for payload in payloads))

    async def send_frames(self, frames: bytes) -> None:
        """See `ServerTransport.send_frames`; before the upgrade: write an answer to the request."""
        await self._write_bytes(frames)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """See `MessageTransport.aclose`."""
        await self._close(lambda: self._write(CloseConnection(code=code, reason=reason)))

    async def aclose_with(self, frames: bytes) -> None:
        """See `ServerTransport.aclose_with`."""
        await self._close(lambda: self._write_bytes(frames))

    async def _close(self, say_so: Callable[[], Awaitable[None]]) -> None:
        try:
            if self._closing:
                await self._closed.wait()
            else:
                self._closing = True
                await self._say_and_read(say_so)
        finally:
            self._closed.set()
            await trio.aclose_forcefully(self._stream)

    async def _say_and_read(self, say_so: Callable[[], Awaitable[None]]) -> None:
        with trio.move_on_after(_CLOSE_TIMEOUT), suppress(ConnectionLost, ProtocolError, trio.ClosedResourceError):
            await say_so()
            # Whatever the client still sends is read: a socket that closes on unread bytes resets the connection,
            # and the client may never see the close frame.
            if self._pump_state == "not yet":
                await self._read(_ignore)
            else:
                await self._read_to_end.wait()

    def set_reading(self, reading: bool) -> None:
        """See `ServerTransport.set_reading`."""
        if reading:
            self._may_read.set()
        elif self._may_read.is_set():
            self._may_read = trio.Event()
            self._reading.cancel()

    def fall_silent(self) -> None:
        """See `ServerTransport.fall_silent`."""
        self._silent = True

    # --- bytes -------------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        data: bytes | bytearray | None
        data, self._received = self._received or None, b""
        try:
            while data is None:
                await self._may_read.wait()
                with trio.CancelScope() as self._reading:
                    data = await self._stream.receive_some(_RECEIVE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost("the client broke the connection") from error
        if not data:
            raise ConnectionLost("the client went away without a close frame")
        if self._silent:
            return
        try:
            self._protocol.receive_data(bytes(data))
        # wsproto decodes some headers, whatever bytes they have.
        except (RemoteProtocolError, UnicodeError) as error:
            raise ProtocolError(str(error), code=1002) from error

    async def _write(self, *events: Event) -> None:
        try:
            frames = b"".join(self._protocol.send(event) for event in events)
        except LocalProtocolError as error:
            raise ConnectionLost("the client is gone") from error
        await self._write_bytes(frames)

    async def _write_bytes(self, data: bytes) -> None:
        async with self._writing:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionLost("the client is gone") from error


def _ignore(payload: bytes | bytearray | memoryview, binary: bool = False) -> None:
    """Take a message of a client that is being closed."""
