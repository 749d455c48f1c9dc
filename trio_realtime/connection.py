"""A connection without a session: typed events up and down, nothing else."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, cast, get_args

import trio

from .channels import Fanout, UpdateChannel
from .endpoint import Endpoint, OpenAI
from .errors import ConfigError, ConnectionLost, ConnectTimeout, InternalError, RealtimeError
from .exception_groups import unwrap
from .limits import check_counts, check_seconds
from .transport import MessageTransport, Payload
from .update_buffer import DEFAULT_BUFFER_BYTES
from .websocket import open_websocket
from .wire.client_events import ClientEvent
from .wire.codec import Codec, Kind, encode_unknown, known_client_event
from .wire.server_events import ProtocolIssue, ServerEvent
from .wire.translation import TranslationClientEvent, TranslationServerEvent

DEFAULT_MODEL = "gpt-realtime-2.1"


@asynccontextmanager
async def open_endpoint(
    endpoint: Endpoint,
    *,
    path: str = "realtime",
    query: Mapping[str, str],
    connect_timeout: float = 10.0,
    close_timeout: float = 1.0,
    heartbeat_interval: float = 20.0,
    heartbeat_timeout: float = 20.0,
    write_timeout: float = 10.0,
    max_message_bytes: int = 32 * 2**20,
) -> AsyncGenerator[MessageTransport]:
    """Open the websocket of an endpoint: credentials first, then the address, within one deadline."""
    deadline = trio.current_time() + connect_timeout
    request = None
    with trio.move_on_at(deadline):
        request = await endpoint.connect_request(path=path, query=query)
    if request is None:
        raise ConnectTimeout(f"the endpoint's credentials were not there within {connect_timeout} s")
    async with open_websocket(
        request.url,
        request.headers,
        connect_timeout=max(deadline - trio.current_time(), 0.001),
        close_timeout=close_timeout,
        heartbeat_interval=heartbeat_interval,
        heartbeat_timeout=heartbeat_timeout,
        write_timeout=write_timeout,
        max_message_bytes=max_message_bytes,
    ) as transport:
        yield transport


@asynccontextmanager
async def closing_transport(transport: MessageTransport, close_timeout: float) -> AsyncGenerator[MessageTransport]:
    """Close a transport that was given, as if it had been opened here; the body's exception leaves as itself."""
    if not isinstance(transport, MessageTransport):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
        raise ConfigError(f"transport must be a MessageTransport, not {type(transport).__name__}")
    error: BaseException | None = None
    try:
        yield transport
    except BaseException as raised:
        error = raised
        raise
    finally:
        try:
            with trio.move_on_after(close_timeout):
                await transport.aclose()
        except trio.Cancelled:  # noqa: ASYNC103  raised when the clean-up is done
            if error is None:
                raise


@asynccontextmanager
async def wrapping_transport(
    opened: AbstractAsyncContextManager[MessageTransport], wrap: Callable[[MessageTransport], MessageTransport]
) -> AsyncGenerator[MessageTransport]:
    """Open a transport and give what `wrap` makes of it; leaving closes the one inside, whatever the other does."""
    async with opened as transport:
        yield wrap(transport)


def check_endpoint(endpoint: Endpoint) -> None:
    """Refuse what is no endpoint."""
    if not isinstance(endpoint, Endpoint):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
        raise ConfigError(f"endpoint must be OpenAI(), Azure(), Relay() or Endpoint(), not {type(endpoint).__name__}")


class RealtimeConnection(trio.abc.Channel[Any]):
    """An open connection: `send` typed events, `receive` typed events, iterate it. `open_connection` makes it.

    Nothing is remembered, waited for or answered here. Events that are not received yet are buffered up to 64 MiB;
    beyond that deltas are not kept, and `receive` raises `SubscriberOverflow` after what fitted.
    """

    def __init__(self, transport: MessageTransport, kind: Kind) -> None:
        self._transport = transport
        self._codec = Codec(kind)
        self._kind: Kind = kind
        self._fanout = Fanout()
        self._received: UpdateChannel[Any] = self._fanout.subscribe(
            (), name="connection", max_buffer_bytes=DEFAULT_BUFFER_BYTES, overflow="raise"
        )

    async def send(self, value: ClientEvent | TranslationClientEvent | Mapping[str, Any]) -> None:
        """Write one event; returns when it is written.

        Args:
            value: A struct of `trio_realtime.wire`, or a mapping in the wire's own shape.

        Raises:
            ConfigError: It is not valid; nothing was sent.
            ConnectionLost: The connection broke.
            trio.ClosedResourceError: It was closed on this side.

        Cancellation:
            The event is written whole or not at all; the connection stays intact.
        """
        if isinstance(value, Mapping):
            raw = value
            known = known_client_event(raw, self._kind)
            payload = encode_unknown(raw) if known is None else self._codec.encode(known)
        else:
            payload = self._codec.encode(value)
        await self._transport.send(payload)

    async def receive(self) -> ServerEvent | TranslationServerEvent | ProtocolIssue:
        """Take the next event of the server; what is no event of the protocol comes as a `ProtocolIssue`.

        Raises:
            ConnectionLost: The connection ended; everything before that has been received.
            ProtocolError: The server broke the framing rules, or sent a message over the limit.
            SubscriberOverflow: Too much was not received; everything that fitted has been.
            trio.EndOfChannel: It was closed on this side, and nothing is left.
            trio.BusyResourceError: Another task receives.

        Cancellation:
            Loses nothing.
        """
        return cast("ServerEvent | TranslationServerEvent | ProtocolIssue", await self._received.receive())

    async def aclose(self) -> None:
        """Close the connection, politely unless cancelled; leaving `open_connection` does it too."""
        self.end()
        await self._transport.aclose()

    # --- for `open_connection` -------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Begin to buffer what is received."""
        self._received.__enter__()

    def end(self) -> None:
        """Nothing more will be received."""
        self._fanout.end(None)

    async def pump(self) -> None:
        """Read until the connection ends; never raises what can be expected."""
        failure: RealtimeError | None
        try:
            closed = await self._transport.pump(self._deliver)
        except trio.ClosedResourceError:
            failure = None
        except RealtimeError as error:
            failure = error
        except Exception as error:  # noqa: BLE001  a bug here must not take the body's exception with it
            failure = InternalError(f"a bug in trio_realtime, please report it: {error!r}")
            failure.__cause__ = error
        else:
            said = f"code {closed.code}{f', {closed.reason}' if closed.reason else ''}"
            failure = ConnectionLost(
                f"the server closed the connection: {said}", code=closed.code, reason=closed.reason
            )
        self._fanout.end(failure)

    def _deliver(self, payload: Payload, binary: bool = False) -> None:
        if binary:
            self._fanout.publish(ProtocolIssue(reason="a binary message; the protocol has none"))
        else:
            self._fanout.publish(self._codec.decode(payload))


@asynccontextmanager
async def open_connection(
    endpoint: Endpoint | None = None,
    *,
    model: str = DEFAULT_MODEL,
    query: Mapping[str, str] | None = None,
    kind: Kind = "realtime",
    transport: MessageTransport | None = None,
    connect_timeout: float = 10.0,
    close_timeout: float = 1.0,
    heartbeat_interval: float = 20.0,
    heartbeat_timeout: float = 20.0,
    write_timeout: float = 10.0,
    max_message_bytes: int = 32 * 2**20,
) -> AsyncGenerator[RealtimeConnection]:
    """Open a connection without a session, for those who work closer to the wire.

    Args:
        endpoint: Where to connect; None is `OpenAI()` with the key in `OPENAI_API_KEY`.
        model: In the address, unless `query` is given.
        query: `{"intent": "transcription"}` or `{"call_id": ...}` instead of a model.
        kind: `"translation"` for a translation session, which has an address and events of its own.
        transport: An open transport to use instead of connecting; it is closed on the way out.
        connect_timeout: Seconds from dialling to the accepted upgrade.
        close_timeout: Seconds for a polite close.
        heartbeat_interval: Seconds without any traffic from the server after which it is asked for a sign of life.
        heartbeat_timeout: Seconds to wait for one.
        write_timeout: Seconds that one write may take.
        max_message_bytes: The longest message that is accepted.

    Raises:
        ConfigError: An argument is not valid, or there is no key.
        ConnectError: The connection could not be opened; `ConnectTimeout` and `HandshakeRejected` say why.

    The body's own exception leaves as itself; a lost connection shows in `receive` and `send`.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"kind must be 'realtime' or 'translation', not {kind!r}")
    check_seconds(
        connect_timeout=connect_timeout,
        close_timeout=close_timeout,
        heartbeat_interval=heartbeat_interval,
        heartbeat_timeout=heartbeat_timeout,
        write_timeout=write_timeout,
    )
    check_counts(1, max_message_bytes=max_message_bytes)
    path = "realtime/translations" if kind == "translation" else "realtime"
    opened: AbstractAsyncContextManager[MessageTransport]
    if transport is not None:
        opened = closing_transport(transport, close_timeout)
    else:
        endpoint = OpenAI() if endpoint is None else endpoint
        check_endpoint(endpoint)
        opened = open_endpoint(
            endpoint,
            path=path,
            query=query or {"model": model},
            connect_timeout=connect_timeout,
            close_timeout=close_timeout,
            heartbeat_interval=heartbeat_interval,
            heartbeat_timeout=heartbeat_timeout,
            write_timeout=write_timeout,
            max_message_bytes=max_message_bytes,
        )
    async with opened as open_transport:
        connection = RealtimeConnection(open_transport, kind)
        async with _pumping(connection):
            yield connection


class _pumping:  # noqa: N801  a context manager, used like a function
    """Runs the connection's pump beside the body, without wrapping what the body raises."""

    def __init__(self, connection: RealtimeConnection) -> None:
        self._connection = connection
        self._manager = trio.open_nursery()

    async def __aenter__(self) -> None:
        nursery = await self._manager.__aenter__()
        self._nursery = nursery
        self._connection.enter()
        nursery.start_soon(self._connection.pump)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc is None:
                await self._connection.aclose()
        finally:
            self._connection.end()
            self._nursery.cancel_scope.cancel()
            try:
                await self._manager.__aexit__(None, None, None)  # noqa: ASYNC102  bounded, or at once in a cancelled scope
            except BaseExceptionGroup as group:  # Ctrl-C in the pump, or a cancellation from outside
                raise unwrap(group, None) from None
