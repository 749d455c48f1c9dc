"""The simulated server behind a transport: no network, on Trio's clock, whichever that is."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import trio

from ...errors import ConnectError, ConnectTimeout, HandshakeRejected
from ...exception_groups import unwrap
from ...handshake import AnswerReader, NotAnAnswer
from ...transport import MessageTransport
from ...wire.codec import Kind
from ..link import link_to
from ..server import Server
from ..simulation.session_settings import DEFAULT_MODEL
from ..transports.memory_transport import memory_transport_pair
from .serving import serve_connection

_MODELS: dict[Kind, str] = {"realtime": DEFAULT_MODEL, "translation": "gpt-realtime-translate"}


@asynccontextmanager
async def simulated_transport(
    simulator: Server,
    *,
    query: Mapping[str, str] | None = None,
    kind: Kind = "realtime",
    connect_timeout: float = 10.0,
) -> AsyncGenerator[MessageTransport]:
    """Connect to a simulator without a network, on whatever clock Trio has.

    On leaving, the transport is closed and the server has ended.

    Args:
        simulator: What the server says and does.
        query: Of the URL that the client would use; None stands for `?model=gpt-realtime-2.1`, or for
            `?model=gpt-realtime-translate`.
        kind: `"translation"` for a translation session, as of `open_connection`.
        connect_timeout: Seconds for the handshake, which takes none unless a fault wants it.

    Yields:
        The client's end, open.

    Raises:
        ConfigError: The query is not one that the server knows.
        HandshakeRejected: A fault refused the handshake; `ConnectTimeout`, `ConnectError`: or delayed or broke it.
    """
    query = {"model": _MODELS[kind]} if query is None else query
    link = link_to(simulator)
    seconds, answer = link.handshake()
    with trio.move_on_after(connect_timeout) as connecting:
        await trio.sleep(seconds)
    if connecting.cancelled_caught:
        raise ConnectTimeout(f"no websocket within {connect_timeout:g} s")
    if answer is not None:
        raise _refusal_in(answer)
    connection = simulator.connect(query, kind=kind, now=trio.current_time(), unix_time=time.time())
    client, server = memory_transport_pair()

    async def serve() -> None:
        await serve_connection(connection, server, link)
        server.drop()

    async with running_beside(serve):
        try:
            yield client
        finally:
            # Without waiting, so that a cancelled scope closes it just as well.
            client.drop()


@asynccontextmanager
async def running_beside(task: Callable[[], Awaitable[object]]) -> AsyncGenerator[None]:
    """Run a task until the block ends; what the block raises, or the task, leaves as itself, in no group.

    When both fail it is the task's that leaves, from the block's, which mostly follows from it. An interrupt leaves
    before either, and a cancellation from outside hides neither.
    """
    failure: Exception | KeyboardInterrupt | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task)
            try:
                yield
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  raised below, whatever it is
                failure = error
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        other = unwrap(group, None)
        if isinstance(failure, KeyboardInterrupt):
            raise failure from other
        if failure is None or not isinstance(other, trio.Cancelled):
            raise other from failure
    if failure is not None:
        raise failure


def _refusal_in(answer: bytes) -> ConnectError:
    """Read an answer to the upgrade request as the client over a socket does."""
    reader = AnswerReader()
    try:
        reader.feed(answer)
        if not reader.complete:
            reader.feed(b"")
    except NotAnAnswer as error:
        return ConnectError(f"the server did not answer the websocket upgrade: {error}")
    if reader.upgrade:
        return ConnectError("the server did not upgrade to a websocket: its answer does not fit the request")
    words = f"the server answered the websocket upgrade with status {reader.status}"
    return HandshakeRejected(words, status=reader.status, headers=reader.headers, body=reader.body)
