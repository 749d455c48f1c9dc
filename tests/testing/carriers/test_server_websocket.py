"""The server's side of a websocket, over streams in memory."""

from __future__ import annotations

import pytest
import trio
from trio.testing import memory_stream_pair
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Request, TextMessage

from trio_realtime.errors import ConnectionLost, ProtocolError
from trio_realtime.testing.carriers.server_websocket import ServerWebSocket


class Client:
    """A raw client: wsproto over one end of a stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.protocol = WSConnection(ConnectionType.CLIENT)

    async def send(self, event: Event) -> None:
        await self.stream.send_all(self.protocol.send(event))

    async def receive(self) -> Event:
        while True:
            for event in self.protocol.events():
                return event
            self.protocol.receive_data(bytes(await self.stream.receive_some()) or None)


def ignore(payload: bytes | bytearray | memoryview, binary: bool = False) -> None:
    pass


async def connect() -> tuple[Client, ServerWebSocket]:
    """Open a websocket; the request comes in two pieces."""
    near, far = memory_stream_pair()
    client, server = Client(near), ServerWebSocket(far)
    request = client.protocol.send(Request(host="x", target="/v1/realtime?model=m"))
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def answer() -> None:
            assert (await server.receive_request()).target == "/v1/realtime?model=m"
            await server.accept(None)

        await near.send_all(request[:20])
        await trio.testing.wait_all_tasks_blocked()
        await near.send_all(request[20:])
        assert isinstance(await client.receive(), AcceptConnection)
    return client, server


async def test_a_close_waits_for_the_answer_and_reads_what_is_still_coming(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, server = await connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.aclose, 4000, "enough")
        assert await client.receive() == CloseConnection(code=4000, reason="enough")
        await client.send(CloseConnection(code=4000, reason="enough"))
    await server.aclose()
    assert trio.current_time() < 1
    with pytest.raises(trio.ClosedResourceError):
        await server.send(b"too late")


async def test_a_close_waits_for_the_answer_that_the_pump_reads(autojump_clock: trio.testing.MockClock) -> None:
    client, server = await connect()
    closed = trio.Event()

    async def close() -> None:
        await server.aclose()
        closed.set()

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def pump() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await server.pump(ignore)

        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(close)
        assert await client.receive() == CloseConnection(code=1000, reason="")
        await trio.testing.wait_all_tasks_blocked()
        assert not closed.is_set()
        await client.send(CloseConnection(code=1000))
        with trio.fail_after(0.9):
            await closed.wait()


async def test_a_client_that_does_not_answer_a_close_is_left(autojump_clock: trio.testing.MockClock) -> None:
    _, server = await connect()
    before = trio.current_time()
    await server.aclose()
    assert trio.current_time() - before == pytest.approx(1)


async def test_what_breaks_ends_in_named_errors() -> None:
    client, server = await connect()
    await client.stream.aclose()
    with pytest.raises(ConnectionLost):
        await server.send(b"gone")
    with pytest.raises(ConnectionLost):
        await server.pump(ignore)
    client, server = await connect()
    await client.stream.send_all(b"\xf1\x00")
    assert (await server.pump(ignore)).code == 1002
    near, far = memory_stream_pair()
    await near.send_all(b"no http\r\n\r\n")
    with pytest.raises(ProtocolError):
        await ServerWebSocket(far).receive_request()


async def test_messages_while_the_server_closes_are_read_and_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    client, server = await connect()
    await client.send(TextMessage(data="on its way"))
    await client.send(CloseConnection(code=1000))
    with trio.fail_after(0.9):
        await server.aclose()


async def test_the_stream_of_a_server_that_was_closed_elsewhere_is_lost() -> None:
    _, server = await connect()
    await server._stream.aclose()
    with pytest.raises(ConnectionLost):
        await server.pump(ignore)


async def test_nothing_is_sent_after_the_client_closed() -> None:
    client, server = await connect()
    await client.send(TextMessage(data="hi"))
    await client.send(CloseConnection(code=1000))
    assert (await server.pump(ignore)).code == 1000
    with pytest.raises(ConnectionLost):
        await server.send(b"?")


async def test_a_server_that_falls_silent_drops_even_what_it_had_read() -> None:
    client, server = await connect()
    heard: list[bytes] = []

    def hear(payload: bytes | bytearray | memoryview, binary: bool = False) -> None:
        heard.append(bytes(payload))
        server.fall_silent()

    both = b"".join(client.protocol.send(TextMessage(data=word)) for word in ("one", "two"))
    await client.stream.send_all(both)
    await client.stream.send_all(client.protocol.send(CloseConnection(code=1000)))
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def pump() -> None:
            with pytest.raises(ConnectionLost):
                await server.pump(hear)

        await trio.testing.wait_all_tasks_blocked()
        await client.stream.aclose()
    assert heard == [b"one"]


async def test_what_a_client_sends_while_nobody_answers_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    near, far = memory_stream_pair()
    await near.send_all(b"hello?")
    await near.aclose()
    with trio.fail_after(1):
        await ServerWebSocket(far).wait_gone()
