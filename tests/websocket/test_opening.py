"""Connecting: every way in which it can fail, and what is said about it."""

from __future__ import annotations

import ssl
import traceback
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from trio_realtime.errors import ConfigError, ConnectError, ConnectTimeout, HandshakeRejected
from trio_realtime.websocket import WebSocketTransport, open_websocket

from .hostile_peers import ENDLESS, SOON, TEXT, Behaviour, Peer, frame, hold, serve

SECRET = "sk-very-secret"
HEADERS = [("Authorization", f"Bearer {SECRET}"), ("api-key", SECRET)]


def answering(*answers: bytes, then: Callable[[Peer], Awaitable[None]] = hold) -> Behaviour:
    async def behave(peer: Peer) -> None:
        await peer.read_request()
        for answer in answers:
            await peer.send(answer)
        await then(peer)

    return behave


async def end(peer: Peer) -> None:
    """Close the connection."""


async def refused(behaviour: Behaviour, *, connect_timeout: float = ENDLESS) -> ConnectError:
    """Connect to a peer that lets nobody in; how it said so must not take long, or hold a secret."""
    async with serve(behaviour) as served:
        with trio.fail_after(SOON), pytest.raises(ConnectError) as caught:
            async with open_websocket(served.url, HEADERS, connect_timeout=connect_timeout):
                pytest.fail("the body ran")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(caught.value)
    return caught.value


async def test_a_silent_server_runs_into_the_deadline() -> None:
    error = await refused(answering(), connect_timeout=0.1)
    assert type(error) is ConnectTimeout
    assert "127.0.0.1" in str(error)
    assert "0.1 s" in str(error)


async def test_a_server_that_stops_inside_its_headers_runs_into_the_deadline() -> None:
    assert type(await refused(answering(b"HTTP/1.1 401 Unauth"), connect_timeout=0.1)) is ConnectTimeout


async def test_a_server_that_drips_its_answer_runs_into_the_deadline(idle_clock: MockClock) -> None:
    async def drip(peer: Peer) -> None:
        while True:
            await peer.send(b"X-Drip: 1\r\n")
            await trio.sleep(0.05)

    assert type(await refused(answering(b"HTTP/1.1 200 OK\r\n", then=drip), connect_timeout=0.15)) is ConnectTimeout


@pytest.mark.parametrize("then", [hold, end])
@pytest.mark.parametrize("status", [302, 401, 429, 503])
@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Content-Length: 4\r\n", b"nope"),
        (b"Content-Length: 4000\r\n", b"nope"),  # truncated
        (b"Transfer-Encoding: chunked\r\n", b"4\r\nnope\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"4\r\nnope\r\n"),  # truncated
        (b"Transfer-Encoding: chunked\r\n", b"4\r\nnope\r\nxyz\r\n"),  # broken
        (b"", b"nope"),  # until the end of the stream
    ],
)
async def test_a_rejection_is_reported_at_once_whatever_its_body(
    then: Behaviour, status: int, fields: bytes, body: bytes
) -> None:
    head = (
        b"HTTP/1.1 %d No sk-very-secret\r\nX-Request-Id: req_1\r\nRetry-After: 7\r\nLocation: https://elsewhere/\r\n"
        % status
    )
    error = await refused(answering(head + fields + b"\r\n" + body, then=then))
    assert isinstance(error, HandshakeRejected)
    assert error.status == status
    assert error.request_id == "req_1"
    assert error.retry_after == 7
    assert error.headers["location"] == "https://elsewhere/"
    assert error.body == b"nope"
    assert str(status) in str(error)


@pytest.mark.parametrize("field", [b"", b"Retry-After: Thu, 26 Nov 2026 21:00:00 GMT\r\n"])
async def test_when_to_try_again_is_not_known_of_a_rejection_that_counts_no_seconds(field: bytes) -> None:
    error = await refused(answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n" + field + b"\r\n"))
    assert isinstance(error, HandshakeRejected)
    assert error.retry_after is None


async def test_a_body_that_comes_after_its_headers_is_read() -> None:
    error = await refused(answering(b"HTTP/1.1 401 No\r\nContent-Length: 6\r\n\r\n", b"one", b"two"))
    assert isinstance(error, HandshakeRejected)
    assert error.body == b"onetwo"


async def test_no_more_than_4096_bytes_of_a_body_are_kept() -> None:
    async def pour(peer: Peer) -> None:
        while True:
            await peer.send(b"x" * 10000)

    error = await refused(answering(b"HTTP/1.1 500 Oh\r\n\r\n", then=pour))
    assert isinstance(error, HandshakeRejected)
    assert error.body == b"x" * 4096


async def test_redirects_are_not_followed() -> None:
    async with serve(hold) as elsewhere:
        answer = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n"
        error = await refused(answering(answer.encode()))
        assert isinstance(error, HandshakeRejected)
        assert error.headers["location"] == elsewhere.url
        assert elsewhere.connections == 0


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH\r\n\r\n", b"\x81\x05hello\r\n\r\n", b"x" * 100_000])
async def test_an_answer_that_is_not_http_is_a_connect_error_at_once(garbage: bytes) -> None:
    error = await refused(answering(garbage))
    assert type(error) is ConnectError
    assert "not HTTP" in str(error)


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 4", b"HTTP/1.1 103 Early\r\n\r\n"])
async def test_the_end_of_the_stream_in_the_handshake_is_a_connect_error_at_once(before: bytes) -> None:
    error = await refused(answering(before, then=end))
    assert type(error) is ConnectError
    assert "closed the connection" in str(error)


async def test_a_reset_in_the_handshake_is_a_connect_error_at_once() -> None:
    async def reset(peer: Peer) -> None:
        assert isinstance(peer.stream, trio.SocketStream)
        linger = b"\1\0\0\0\0\0\0\0"
        peer.stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, linger)

    error = await refused(reset)
    assert type(error) is ConnectError


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: bm8=\r\n\r\n",
        b"HTTP/1.1 101 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_a_101_response_that_is_wrong_is_a_connect_error(answer: bytes) -> None:
    error = await refused(answering(answer))
    assert type(error) is ConnectError
    assert "did not upgrade" in str(error)


@pytest.mark.parametrize("fields", ["Sec-WebSocket-Protocol: other", "Sec-WebSocket-Extensions: permessage-deflate"])
async def test_a_server_that_chooses_what_was_not_offered_is_refused(fields: str) -> None:
    async def behave(peer: Peer) -> None:
        await peer.upgrade(fields)
        await hold(peer)

    error = await refused(behave)
    assert type(error) is ConnectError
    assert "unrecognized" in str(error)


async def test_a_refused_connection_says_so() -> None:
    async with serve(hold) as served:
        url = served.url
    with pytest.raises(ConnectError, match=r"cannot reach ws://127\.0\.0\.1:\d+: .*Connection refused"):
        async with open_websocket(url):
            pytest.fail("the body ran")


async def test_an_unknown_name_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*args: object, **kwargs: object) -> object:
        await trio.lowlevel.checkpoint()
        raise trio.socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(trio.socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(ConnectError, match=r"cannot reach wss://nowhere\.invalid: Name or service not known"):
        async with open_websocket("wss://nowhere.invalid/?key=" + SECRET):
            pytest.fail("the body ran")


async def test_a_certificate_of_an_unknown_authority_is_refused(server_context: ssl.SSLContext) -> None:
    async def behave(peer: Peer) -> None:
        assert isinstance(peer.stream, trio.SSLStream)
        await peer.stream.do_handshake()

    async with serve(behave, ssl_context=server_context) as served:
        with pytest.raises(ConnectError, match=r"no TLS with wss://localhost:\d+: .*CERTIFICATE_VERIFY_FAILED"):
            async with open_websocket(served.url):
                pytest.fail("the body ran")


async def test_a_certificate_for_another_host_is_refused(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async def behave(peer: Peer) -> None:
        assert isinstance(peer.stream, trio.SSLStream)
        await peer.stream.do_handshake()

    async with serve(behave, ssl_context=server_context) as served:
        with pytest.raises(ConnectError, match=r"not valid for '127\.0\.0\.1'"):
            async with open_websocket(served.url.replace("localhost", "127.0.0.1"), ssl_context=client_context):
                pytest.fail("the body ran")


async def test_a_server_that_does_not_speak_tls_is_refused(client_context: ssl.SSLContext) -> None:
    async def behave(peer: Peer) -> None:
        await peer.stream.receive_some()
        await peer.send(b"HTTP/1.1 400 Plain text, please\r\n\r\n")

    async with serve(behave) as served:
        with pytest.raises(ConnectError, match="no TLS with"):
            async with open_websocket(served.url.replace("ws:", "wss:"), ssl_context=client_context):
                pytest.fail("the body ran")


async def test_a_silent_tls_handshake_runs_into_the_deadline(client_context: ssl.SSLContext) -> None:
    async with serve(hold) as served:
        with trio.fail_after(SOON), pytest.raises(ConnectTimeout):
            async with open_websocket(
                served.url.replace("ws:", "wss:"), ssl_context=client_context, connect_timeout=0.1
            ):
                pytest.fail("the body ran")


async def test_cancelled_while_connecting_it_leaves_at_once() -> None:
    asked = trio.Event()

    async def behave(peer: Peer) -> None:
        await peer.read_request()
        asked.set()
        await peer.frames()

    async def cancel(scope: trio.CancelScope) -> None:
        await asked.wait()
        scope.cancel()

    async with serve(behave) as served, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel, scope)
            async with open_websocket(served.url):
                pytest.fail("the body ran")
        assert scope.cancelled_caught
        with trio.fail_after(SOON):
            await served.finished.wait()


async def test_a_rejection_in_the_callers_nursery_is_raised_as_itself() -> None:
    async with serve(answering(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")) as served, trio.open_nursery():
        with pytest.raises(HandshakeRejected):
            async with open_websocket(served.url):
                pytest.fail("the body ran")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"http://localhost/?{SECRET}", "ws:// or wss://"),
        (f"localhost/{SECRET}", "ws:// or wss://"),
        (f"ws:///path?{SECRET}", "no host"),
        (f"ws://user:{SECRET}@localhost/", "credentials"),
        (f"ws://localhost/#{SECRET}", "fragment"),
        (f"ws://localhost:99999/{SECRET}", "not a websocket URL"),
        (f"ws://{'a' * 70}.com/{SECRET}", "not a websocket URL"),
        (f"ws://localhost/{SECRET} é", "percent-encoded"),
        (f"ws://localhost/{SECRET}\r\nX: y", "percent-encoded"),
    ],
)
async def test_a_url_that_is_none_is_refused_without_repeating_it(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        async with open_websocket(url):
            pytest.fail("the body ran")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", f"Bearer {SECRET}\n"),
        ("Authorization", f"Bearer {SECRET}\r\nX-Other: 1"),
        ("Authorization", f"Bearer\0{SECRET}"),
        ("Authorization", f" {SECRET}"),
        ("Authorization", f"{SECRET} "),
        ("Authorization", f"{SECRET}é"),
        ("X-Other\r\nX-More", SECRET),
        ("", SECRET),
        ("Sec-WebSocket-Key", SECRET),
        ("host", SECRET),
    ],
)
async def test_a_header_that_is_none_is_refused_without_repeating_its_value(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match="header") as caught:
        async with open_websocket("ws://127.0.0.1:1/", [(name, value)]):
            pytest.fail("the body ran")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_an_ssl_context_without_tls_is_refused(client_context: ssl.SSLContext) -> None:
    with pytest.raises(ConfigError, match="wss://"):
        async with open_websocket("ws://127.0.0.1:1/", ssl_context=client_context):
            pytest.fail("the body ran")


async def test_what_is_asked_and_answered_in_the_handshake() -> None:
    requests: list[Peer] = []

    async def behave(peer: Peer) -> None:
        requests.append(peer)
        await peer.read_request()
        # An informational response first; and the first message in the same segment as the 101 response.
        fields = ("X-Request-Id: req_1", "Sec-WebSocket-Protocol: realtime")
        await peer.send(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", peer.upgrade_response(*fields), frame(TEXT, b"early"))
        await peer.answer_close()

    seen: list[bytes] = []
    async with serve(behave) as served:
        url = served.url + "v1/realtime?model=gpt"
        async with open_websocket(url, HEADERS, subprotocols=["realtime", "beta"]) as transport:
            assert transport.handshake_headers["x-request-id"] == "req_1"
            assert transport.subprotocol == "realtime"
            assert SECRET not in repr(transport)
            await first_message(transport, seen)
    assert seen == [b"early"]
    (peer,) = requests
    assert peer.request.startswith(b"GET /v1/realtime?model=gpt HTTP/1.1\r\n")
    assert peer.header("authorization") == f"Bearer {SECRET}"
    assert peer.header("host") == served.url.removeprefix("ws://").rstrip("/")
    assert peer.header("sec-websocket-protocol") == "realtime, beta"
    assert peer.header("sec-websocket-extensions") is None


async def first_message(transport: WebSocketTransport, seen: list[bytes]) -> None:
    """Pump until one message has come."""
    with trio.CancelScope() as scope:

        def deliver(payload: bytes | bytearray | memoryview, binary: bool = False) -> None:
            seen.append(bytes(payload))
            scope.cancel()

        await transport.pump(deliver)


async def test_no_delay_is_set(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    async def behave(peer: Peer) -> None:
        await peer.upgrade()
        await peer.answer_close()

    for server, client in ((None, None), (server_context, client_context)):
        async with (
            serve(behave, ssl_context=server) as served,
            open_websocket(served.url, ssl_context=client) as transport,
        ):
            assert transport._socket.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY)
