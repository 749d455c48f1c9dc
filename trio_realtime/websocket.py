"""The transport that crosses a network: websockets, by way of `trio_websocket`.

Theory of operation. This module dials, and gives trio-websocket, as its stream, a `Tap` on the real one. The
handshake passes through the tap both ways. After the 101 response the two part: frames are read by our `FrameReader`,
in whatever task runs `pump`, and messages are written from the task that calls `send`; trio-websocket is shown the
peer's close frame, and writes ours. What it is known to do wrong (it hangs when an answer is late, truncated or not
HTTP, when its message queue is full, when a write was cut, when a close is not answered) cannot happen, because it
meets none of this; and it lives in a task of its own, in a scope that can be cancelled at any time.

Reading. One task at a time reads the stream: the pump; and once `aclose` has begun and the pump has gone,
trio-websocket's own reader, for which the tap drains the stream up to the peer's close frame.

Writing. `frame_writer.py`; trio-websocket's request and close frame take their turn there like everything else.

Ends. `_pump_error` and the writer's `error` are what pumping and sending raise from now on. `_cut` ends everything.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import trio
import trio_websocket

from .dial import open_stream, read_when_readable, words_of
from .errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    HandshakeRejected,
    InternalError,
    ProtocolError,
    own_instance,
)
from .exception_groups import leaves, unwrap
from .frame_writer import FrameWriter
from .frames import BINARY, CLOSE, PING, PONG, TEXT, FrameError, FrameReader, encode_close, parse_close
from .handshake import AnswerReader, NotAnAnswer, Target, check_headers, parse_url
from .tap import Tap
from .transport import Closed, Deliver, MessageTransport

# How long the rest of a rejection's body is waited for once its headers are known.
_BODY_TIMEOUT: Final = 0.25


@dataclass(frozen=True, slots=True)
class WebSocketStatistics:
    """What has crossed a websocket so far, without the handshake.

    Attributes:
        bytes_received: Bytes read, after TLS.
        bytes_sent: Bytes written, before TLS.
        messages_received: Messages handed over by the pump.
        messages_sent: Messages written.
    """

    bytes_received: int
    bytes_sent: int
    messages_received: int
    messages_sent: int


@asynccontextmanager
async def open_websocket(
    url: str,
    headers: Sequence[tuple[str, str]] = (),
    *,
    subprotocols: Sequence[str] = (),
    ssl_context: ssl.SSLContext | None = None,
    connect_timeout: float = 10.0,
    close_timeout: float = 1.0,
    heartbeat_interval: float = 20.0,
    heartbeat_timeout: float = 20.0,
    write_timeout: float = 10.0,
    max_message_bytes: int = 32 * 2**20,
    receive_buffer_bytes: int = 65536,
) -> AsyncGenerator[WebSocketTransport, None]:
    """Connect to a websocket server for the length of a scope.

    Whatever the peer does, leaving takes at most `close_timeout`; it is at once when the scope is cancelled. Nothing
    outlives the scope, and an exception of the body leaves as itself. Redirects are rejections: they are not followed.

    Args:
        url: `ws://` or `wss://`, with path and query.
        headers: More request headers. Their values appear in no message of this library.
        subprotocols: Offered, in the order of preference; the server's choice is `subprotocol`.
        ssl_context: For `wss://`; by default certificates are verified against the system's authorities.
        connect_timeout: Seconds for name, TCP, TLS and upgrade together.
        close_timeout: Seconds for a polite close.
        heartbeat_interval: Seconds without any inbound traffic after which a PING is sent; `math.inf` for never.
        heartbeat_timeout: Seconds more without any, after which the connection counts as lost.
        write_timeout: Seconds for one write, after which the connection counts as lost.
        max_message_bytes: Limit of one inbound message.
        receive_buffer_bytes: Limit of one read.

    Raises:
        ConfigError: The URL or a header was refused; nothing was dialled.
        ConnectTimeout: The deadline passed.
        HandshakeRejected: The server answered with a status other than 101.
        ConnectError: Anything else that kept the connection from opening.

    Cancellation:
        While connecting, nothing is left behind.
    """
    target = parse_url(url)
    fields = check_headers(headers)
    if ssl_context is not None and target.scheme != "wss":
        raise ConfigError("an SSL context needs a wss:// URL")
    raised: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            transport: WebSocketTransport | None = None
            with trio.move_on_after(connect_timeout) as connecting:
                transport = WebSocketTransport(
                    await open_stream(target, ssl_context),
                    close_timeout=close_timeout,
                    heartbeat_interval=heartbeat_interval,
                    heartbeat_timeout=heartbeat_timeout,
                    write_timeout=write_timeout,
                    max_message_bytes=max_message_bytes,
                    receive_buffer_bytes=receive_buffer_bytes,
                )
                await transport.upgrade(nursery, target, fields, subprotocols)
            if transport is None or connecting.cancelled_caught:
                raise ConnectTimeout(f"no websocket at {target} within {connect_timeout:g} s")
            try:
                yield transport
            except BaseException as error:
                raised = error
                raise
            finally:
                await transport.aclose()
    except BaseExceptionGroup as group:
        raised = unwrap(group, raised)
    if raised is not None:
        raise raised


class WebSocketTransport(MessageTransport):
    """An open websocket; see `open_websocket`.

    Attributes:
        handshake_headers: Of the server's 101 response; names in lower case.
        subprotocol: The server's choice, or None.
    """

    def __init__(
        self,
        stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
        *,
        close_timeout: float,
        heartbeat_interval: float,
        heartbeat_timeout: float,
        write_timeout: float,
        max_message_bytes: int,
        receive_buffer_bytes: int,
    ) -> None:
        self.handshake_headers: Mapping[str, str] = {}
        self.subprotocol: str | None = None
        self._close_timeout = close_timeout
        self._heartbeat_interval = heartbeat_interval
        self._heartbeat_timeout = heartbeat_timeout
        self._receive_buffer_bytes = receive_buffer_bytes
        self._stream = stream
        self._socket = (stream.transport_stream if isinstance(stream, trio.SSLStream) else stream).socket
        self._writer = FrameWriter(stream, self._socket, write_timeout=write_timeout, fail=self._fail)

        # Opening.
        self._scope = trio.CancelScope()  # of every task of the connection
        self._tasks: trio.Nursery
        self._library: trio_websocket.WebSocketConnection
        self._library_gone = trio.Event()
        self._answered = trio.Event()
        self._refusal: ConnectError | None = None
        self._early: bytes | None = None  # what came with the 101 response, until it is read as frames

        # Reading.
        self._reader = FrameReader(max_message_bytes)
        self._last_read = trio.current_time()
        self._pump_scope: trio.CancelScope | None = None
        self._pump_gone = trio.Event()
        self._pump_error: Exception | None = None
        self._reading_over = False  # nothing more will be read as frames
        self._peer_close = b""  # the peer's close frame, for the library
        self._library_may_read = trio.Event()
        self._bytes_received = 0
        self._messages_received = 0

        # Closing.
        self._closing = False
        self._closed = trio.Event()

    def statistics(self) -> WebSocketStatistics:
        """Count what has crossed so far."""
        return WebSocketStatistics(
            self._bytes_received, self._writer.bytes_sent, self._messages_received, self._writer.messages_sent
        )

    # Opening

    async def upgrade(
        self, nursery: trio.Nursery, target: Target, fields: list[tuple[bytes, bytes]], subprotocols: Sequence[str]
    ) -> None:
        """Perform the websocket handshake; when it fails, nothing is left."""
        try:
            await nursery.start(self._run)
            self._tasks.start_soon(self._run_library, target, fields, subprotocols)
            await self._answered.wait()
            if self._refusal is not None:
                raise self._refusal
        except BaseException:
            self._cut()
            raise

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        """Hold the nursery of every task of the connection until `_cut` cancels it."""
        with self._scope:
            async with trio.open_nursery() as self._tasks:
                self._writer.tasks = self._tasks
                task_status.started()
                await trio.sleep_forever()

    async def _run_library(
        self, target: Target, fields: list[tuple[bytes, bytes]], subprotocols: Sequence[str]
    ) -> None:
        """Hold trio-websocket, and whatever it raises, in a nursery of its own."""
        try:
            async with trio.open_nursery() as nursery:
                self._library = await trio_websocket.wrap_client_stream(
                    nursery,
                    # Any `trio.abc.Stream` will do; the annotation is too narrow.
                    cast("trio.SocketStream", Tap(self._receive_for_library, self._write_for_library)),
                    target.authority,
                    target.resource,
                    subprotocols=subprotocols,
                    extra_headers=fields,
                )
                self.subprotocol = self._library.subprotocol
                self.handshake_headers = {
                    name.decode("latin-1"): value.decode("latin-1") for name, value in self._library.handshake_headers
                }
                self._answered.set()
        except* Exception as group:  # noqa: BLE001  all that trio-websocket leaks becomes an error of ours
            error = next(leaves(group))
            if self._answered.is_set():
                failure = InternalError("trio-websocket failed after the handshake")
                failure.__cause__ = error
                self._fail(failure)
            else:
                # wsproto refused the response, then trio-websocket tried to answer that, which wsproto refused too.
                while error.__context__ is not None:
                    error = error.__context__
                self._refuse(ConnectError(f"{target} did not upgrade to a websocket: {error}"), error)
        finally:
            self._library_gone.set()

    def _refuse(self, refusal: ConnectError, cause: BaseException | None = None) -> None:
        refusal.__cause__ = cause
        self._refusal = refusal
        self._answered.set()

    async def _read_answer(self) -> bytes:
        """Read the answer to the upgrade request.

        Returns:
            The 101 response, which trio-websocket will check.

        Raises:
            trio.BrokenResourceError: It was not one, and `_refuse` was told so.
        """
        answer = AnswerReader()
        cause: Exception | None = None
        try:
            while not answer.status:
                answer.feed(await self._stream.receive_some(self._receive_buffer_bytes))
            with trio.move_on_after(_BODY_TIMEOUT):
                while not answer.complete:
                    answer.feed(await self._stream.receive_some(self._receive_buffer_bytes))
        except (trio.BrokenResourceError, NotAnAnswer) as error:
            cause = error
        if answer.upgrade:
            self._early = answer.early
            return answer.upgrade
        if answer.status:
            # Not the server's words: those for a refused key often repeat it. They are in `body`, for who wants them.
            words = f"the server answered the websocket upgrade with status {answer.status}"
            self._refuse(HandshakeRejected(words, status=answer.status, headers=answer.headers, body=answer.body))
        else:
            words = words_of(cause) if cause is not None else ""
            self._refuse(ConnectError(f"the server did not answer the websocket upgrade: {words}"), cause)
        raise trio.BrokenResourceError

    # Reading

    async def pump(self, deliver: Deliver) -> Closed:  # noqa: D102  the abstract method says it
        if self._pump_error is not None:
            raise own_instance(self._pump_error)
        if self._pump_scope is not None:
            if self._pump_gone.is_set():
                raise trio.ClosedResourceError("this transport was pumped already")
            raise trio.BusyResourceError("another task is pumping this transport")
        self._pump_scope = trio.CancelScope()
        heartbeat = trio.CancelScope()
        with self._pump_scope:
            try:
                await trio.lowlevel.checkpoint()
                self._last_read = trio.current_time()
                self._tasks.start_soon(self._watch_heart, heartbeat)
                return await self._read(deliver)
            finally:
                heartbeat.cancel()
                self._pump_gone.set()
        # Whoever cancels the pump's own scope says why first.
        raise own_instance(self._pump_error or trio.ClosedResourceError())

    async def _read(self, deliver: Deliver) -> Closed:
        feed = self._reader.feed
        receive_some = self._stream.receive_some
        if isinstance(self._stream, trio.SocketStream) and os.name == "posix":
            receive_some = partial(read_when_readable, self._socket)
        data: bytes | bytearray = self._early or b""
        self._early = b""
        while True:
            self._bytes_received += len(data)
            try:
                for opcode, payload in feed(data):
                    if opcode == TEXT:
                        self._messages_received += 1
                        deliver(payload)
                    elif opcode == BINARY:
                        self._messages_received += 1
                        deliver(payload, True)
                    elif opcode == PING:
                        self._writer.send_control(PONG, payload)
                    elif opcode == CLOSE:
                        return self._take_close(payload)
            except FrameError as error:
                self._writer.send_control(CLOSE, encode_close(error.code, str(error)))
                raise self._end(
                    ProtocolError(f"the server broke the websocket protocol: {error}", code=error.code),
                    ConnectionLost("the connection ended because the server broke the websocket protocol"),
                ) from None
            try:
                data = await receive_some(self._receive_buffer_bytes)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                words = words_of(error)
                raise self._fail(ConnectionLost(f"the connection broke: {words}", reason=words)) from error
            if not data:
                words = "the stream ended without a close frame"
                raise self._fail(ConnectionLost(f"the connection broke: {words}", reason=words))
            self._last_read = trio.current_time()

    def _take_close(self, payload: bytes | bytearray) -> Closed:
        """Note the peer's close frame, and let trio-websocket answer it."""
        closed = Closed(*parse_close(payload))
        if self._writer.error is None:
            said = f"{closed.code} {closed.reason}".rstrip()
            self._writer.error = ConnectionLost(
                f"the server closed the connection: {said}", code=closed.code, reason=closed.reason
            )
        self._peer_close = _server_frame(CLOSE, payload)
        self._reading_over = True
        self._library_may_read.set()
        return closed

    async def _watch_heart(self, scope: trio.CancelScope) -> None:
        """Send a PING when nothing has arrived for a while, and give up when nothing arrives after it."""
        interval = self._heartbeat_interval
        with scope:
            while True:
                await trio.sleep_until(self._last_read + interval)
                pinged = trio.current_time()
                if pinged < self._last_read + interval:
                    continue
                self._writer.send_control(PING, b"")
                deadline = pinged + self._heartbeat_timeout
                while self._last_read < pinged:
                    if trio.current_time() >= deadline:
                        words = f"nothing arrived for {interval + self._heartbeat_timeout:g} s, in spite of a ping"
                        self._fail(ConnectionLost(f"the connection is dead: {words}", reason=words))
                        return
                    await trio.sleep_until(min(deadline, trio.current_time() + interval))
                    # If the program was stuck, the answer may lie in the socket: give the pump a turn to read it.
                    await trio.lowlevel.checkpoint()
                    await trio.lowlevel.checkpoint()

    async def _receive_for_library(self) -> bytes:
        """Give trio-websocket the 101 response, then the peer's close frame, then the end of the stream."""
        if self._early is None:
            return await self._read_answer()
        await self._library_may_read.wait()
        if not self._reading_over:
            self._reading_over = True
            self._peer_close = await self._drain()
        frame, self._peer_close = self._peer_close, b""
        return frame

    async def _write_for_library(self, data: bytes) -> None:
        """Write the upgrade request, and one close frame."""
        try:
            await self._writer.write(data)
        except trio.BrokenResourceError:
            # While the handshake is open, reading says more: a server may answer, and close, before it has read all.
            if self._early is not None:
                raise

    async def _drain(self) -> bytes:
        """Read, and drop, all that comes before the peer's close frame; give that, or nothing if there is none."""
        data: bytes | bytearray = self._early or b""
        try:
            while True:
                for opcode, payload in self._reader.feed(data):
                    if opcode == CLOSE:
                        return _server_frame(CLOSE, payload)
                data = await self._stream.receive_some(self._receive_buffer_bytes)
                if not data:
                    return b""
        except (FrameError, trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    async def send(self, *payloads: bytes) -> None:  # noqa: D102  the abstract method says it
        await self._writer.send(payloads)

    def send_nowait(self, payload: bytes) -> bool:  # noqa: D102  as above
        return self._writer.send_nowait(payload)

    # Ending

    def _end(self, pump_error: Exception, send_error: Exception | None = None) -> Exception:
        """Note why the connection is over, unless there was a reason before.

        Returns:
            What the pump raises.
        """
        if self._pump_error is None:
            self._pump_error = pump_error
            self._writer.error = send_error or pump_error
        self._reading_over = True
        self._library_may_read.set()
        return own_instance(self._pump_error)

    def _fail(self, error: Exception) -> Exception:
        """Do as `_end` does, and wake whoever reads or writes."""
        self._writer.cancel()
        if self._pump_scope is not None:
            self._pump_scope.cancel()
        return self._end(error)

    def _cut(self) -> None:
        """End everything at once."""
        self._fail(trio.ClosedResourceError("this transport was closed"))
        self._writer.cut()
        self._scope.cancel()
        self._socket.close()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:  # noqa: D102  the abstract method says it
        if self._closing:
            await self._closed.wait()
            return
        self._closing = True
        self._pump_error = self._writer.error = trio.ClosedResourceError("this transport was closed")
        try:
            with trio.move_on_after(self._close_timeout):
                if self._pump_scope is not None:
                    self._pump_scope.cancel()
                    await self._pump_gone.wait()
                await self._writer.wait_controls_written()
                if not self._reading_over:
                    self._library_may_read.set()
                    await self._library.aclose(code, reason)
                await self._library_gone.wait()
        finally:
            self._cut()
            self._closed.set()


def _server_frame(opcode: int, payload: bytes | bytearray) -> bytes:
    """Make a control frame as a server sends it."""
    return bytes((0x80 | opcode, len(payload))) + payload
