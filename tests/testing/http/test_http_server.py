"""The simulated server's side of one HTTP request, over streams in memory."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair

from trio_realtime.errors import ConnectionLost
from trio_realtime.testing.http.http_server import (
    MAX_BODY_BYTES,
    HttpExchange,
    HttpRequest,
    HttpResponse,
    error_response,
)
from trio_realtime.testing.http.refusal import HttpRefusedError


async def received(*pieces: bytes) -> HttpRequest:
    """Read a request that comes in pieces, and then nothing more."""
    near, far = memory_stream_pair()
    read: list[HttpRequest | Exception] = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def read_request() -> None:
            try:
                read.append(await HttpExchange(far).receive_request())
            except (ConnectionLost, HttpRefusedError) as error:
                read.append(error)

        for piece in pieces:
            await near.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        await near.send_eof()
    if isinstance(read[0], Exception):
        raise read[0]
    return read[0]


HEAD = b"POST /v1/x?y=1 HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nOpenAI-Project: a\r\nopenai-project: b\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"Content-Length: 5\r\n\r\nhello"],
        [HEAD[:10], HEAD[10:], b"Content-Length: 5\r\n\r\nhe", b"llo"],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", b"3\r\nllo\r\n0\r\n\r\n"],
    ],
)
async def test_a_request_comes_in_any_pieces(pieces: list[bytes]) -> None:
    request = await received(*pieces)
    assert (request.method, request.target, request.body) == ("POST", "/v1/x?y=1", b"hello")
    assert request.headers["openai-project"] == "a, b"
    assert not request.asks_to_upgrade


async def test_of_an_upgrade_only_the_head_is_read() -> None:
    near, far = memory_stream_pair()
    head = (
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: realtime, a.b\r\nSec-WebSocket-Protocol: c\r\n\r\n"
    )
    await near.send_all(head)
    exchange = HttpExchange(far)
    request = await exchange.receive_request()
    assert request.asks_to_upgrade
    assert request.subprotocols == ["realtime", "a.b", "c"]
    assert exchange.received == head


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no host
        (HEAD + b"Content-Length: x\r\n\r\n", 400),
        (HEAD + b"Content-Length: 5\r\n\r\nhel", 400),
        (HEAD + b"X: " + b"x" * 100_000, 431),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1) + b"x" * (MAX_BODY_BYTES + 1), 413),
    ],
)
async def test_what_breaks_the_rules_is_refused_with_the_right_status(sent: bytes, status: int) -> None:
    with pytest.raises(HttpRefusedError) as refused:
        await received(sent)
    assert refused.value.status == status
    assert json.loads(refused.value.body)["error"]["type"] == "invalid_request_error"


class Endless(trio.abc.Stream):
    """A request whose body goes on for 16 MiB."""

    def __init__(self) -> None:
        self.pieces = [b"x" * 65536] * 256 + [HEAD + b"Content-Length: 16777216\r\n\r\n"]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return self.pieces.pop()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None: ...

    async def wait_send_all_might_not_block(self) -> None: ...

    async def aclose(self) -> None: ...


async def test_a_body_that_is_too_long_is_not_kept() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(HttpRefusedError):
            await HttpExchange(Endless()).receive_request()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * MAX_BODY_BYTES


async def test_a_body_may_be_as_long_as_the_limit() -> None:
    request = await received(HEAD + b"Content-Length: %d\r\n\r\n" % MAX_BODY_BYTES, b"x" * MAX_BODY_BYTES)
    assert len(request.body) == MAX_BODY_BYTES


async def test_a_client_without_a_request_is_lost() -> None:
    with pytest.raises(ConnectionLost):
        await received()


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked() -> None:
    near, far = memory_stream_pair()
    exchange = HttpExchange(far)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def serve() -> None:
            assert (await exchange.receive_request()).body == b"hi"

        await near.send_all(HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert (await near.receive_some()).startswith(b"HTTP/1.1 100 ")
        await near.send_all(b"hi")


@pytest.mark.parametrize("method", ["POST", "HEAD"])
async def test_the_answer_is_whole_and_the_last(method: str) -> None:
    near, far = memory_stream_pair()
    exchange = HttpExchange(far)
    await near.send_all(HEAD.replace(b"POST", method.encode()) + b"\r\n")
    await exchange.receive_request()
    await exchange.respond(HttpResponse(201, b"v=0", (("location", "/there"),)))
    head, _, body = bytes(await near.receive_some()).partition(b"\r\n\r\n")
    assert body == (b"" if method == "HEAD" else b"v=0")
    assert head.split(b"\r\n")[0].startswith(b"HTTP/1.1 201 ")
    assert set(head.lower().split(b"\r\n")[1:]) == {
        b"location: /there",
        b"x-request-id: req_sim000000000000000000",
        b"content-length: 3",
        b"connection: close",
    }


async def test_a_request_that_is_refused_is_answered() -> None:
    near, far = memory_stream_pair()
    exchange = HttpExchange(far)
    await near.send_all(b"nonsense\r\n\r\n")
    await near.send_eof()
    with pytest.raises(HttpRefusedError) as refused:
        await exchange.receive_request()
    await exchange.respond(error_response(refused.value))
    assert (await near.receive_some()).startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_is_refused_and_sends_on_is_read_for_a_second(autojump_clock: MockClock) -> None:
    near, far = lockstep_stream_pair()
    exchange = HttpExchange(far)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def send() -> None:
            await near.send_all(b"nonsense\r\n\r\n")
            await near.send_all(b"more nonsense")  # waits until it is read

        with pytest.raises(HttpRefusedError):
            await exchange.receive_request()
        nursery.start_soon(near.receive_some)
        await exchange.respond(HttpResponse(400))
    assert trio.current_time() == pytest.approx(1)


def test_a_target_that_is_no_url_is_refused() -> None:
    with pytest.raises(HttpRefusedError) as refused:
        _ = HttpRequest("GET", "//[", {}).url
    assert refused.value.status == 400


pieces = st.lists(st.sampled_from([HEAD, b"\r\n", b"Content-Length: 1\r\n", b"5\r\n"]) | st.binary(max_size=20))


@given(sent=pieces | pieces.map(lambda rest: [HEAD, *rest]))
def test_whatever_comes_it_is_a_request_or_refused(sent: list[bytes]) -> None:
    async def main() -> None:
        with suppress(HttpRefusedError, ConnectionLost):
            assert isinstance(await received(*sent), HttpRequest)

    trio.run(main)


async def test_a_client_that_breaks_the_connection_is_lost() -> None:
    near, far = memory_stream_pair()
    exchange = HttpExchange(far)
    await near.send_all(HEAD + b"\r\n")
    await exchange.receive_request()
    await far.aclose()
    with pytest.raises(ConnectionLost):
        await exchange.respond(HttpResponse(200))
    with pytest.raises(ConnectionLost):
        await HttpExchange(far).receive_request()
