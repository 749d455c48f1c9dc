"""The byte stream under a websocket: opening it (name, TCP, TLS), and reading from it."""

from __future__ import annotations

import os
import ssl
from functools import cache

import trio

from .errors import ConnectError
from .exception_groups import leaves
from .handshake import Target


@cache
def _default_ssl_context() -> ssl.SSLContext:
    # Loading the authorities takes some 20 ms, in which nothing else of the program runs: once is enough.
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def open_stream(
    target: Target, ssl_context: ssl.SSLContext | None = None
) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    """Open the TCP connection (with `TCP_NODELAY`), and for `wss` TLS over it, with its certificate verified.

    Args:
        target: Where to.
        ssl_context: Instead of the system's authorities and the host check.

    Raises:
        ConnectError: It did not open; the message has the innermost cause.

    Cancellation:
        Nothing is left open.
    """
    try:
        tcp = await trio.open_tcp_stream(target.host, target.port)
    except OSError as error:
        raise ConnectError(f"cannot reach {target}: {words_of(error)}") from error
    if target.scheme == "ws":
        return tcp
    # `https_compatible`: a websocket has a close frame of its own, so how TLS ends says nothing.
    context = ssl_context or _default_ssl_context()
    tls = trio.SSLStream(tcp, context, server_hostname=target.host, https_compatible=True)
    try:
        await tls.do_handshake()
    except BaseException as error:
        tcp.socket.close()
        if isinstance(error, trio.BrokenResourceError):
            raise ConnectError(f"no TLS with {target}: {words_of(error)}") from error  # noqa: ASYNC104  no Cancelled: it is told apart above
        raise
    return tls


async def read_when_readable(sock: trio.socket.SocketType, max_bytes: int) -> bytes:
    """Read what there is once there is something.

    Trio's `receive_some` reads first and then waits. Here what comes comes one by one, so that the first attempt would
    nearly always fail: a system call and an exception for each delta.
    """
    fileno = sock.fileno()
    while True:
        await trio.lowlevel.wait_readable(fileno)
        if sock.fileno() != fileno:  # closed meanwhile: the number may be another file's by now
            raise trio.ClosedResourceError
        try:
            return os.read(fileno, max_bytes)
        except BlockingIOError:
            pass  # somebody said too much


def words_of(error: BaseException) -> str:
    """Say what broke a stream, in the words of the innermost cause."""
    while (cause := error.__cause__) is not None:
        error = next(leaves(cause))
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "closed by the peer"
