"""What faults do to a socket, frame by frame, as a client sees it that frames by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from trio_realtime.testing import (
    Fault,
    Simulator,
    binary,
    closes,
    drops,
    duplicate,
    expires,
    fragmented,
    half_open,
    malformed,
    refuses,
    says,
    serve_simulator,
    silent_handshake,
    stops_reading,
    unknown_event,
)

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
REQUEST = (
    b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Authorization: Bearer sk-simulated\r\n\r\n"
)
Frame = tuple[bool, int, bytes]


class RawClient:
    """One end of a TCP connection."""

    def __init__(self, stream: trio.SocketStream, simulator: Simulator) -> None:
        self.stream = stream
        self.simulator = simulator
        self.unread = bytearray()

    async def read(self, count: int) -> bytes:
        while len(self.unread) < count:
            data = await self.stream.receive_some()
            if not data:
                raise EOFError
            self.unread += data
        taken = bytes(self.unread[:count])
        del self.unread[:count]
        return taken

    async def head(self) -> bytes:
        while b"\r\n\r\n" not in self.unread:
            self.unread += await self.stream.receive_some()
        return await self.read(self.unread.index(b"\r\n\r\n") + 4)

    async def frame(self) -> Frame:
        """Read one frame: whether it is final, its opcode, its payload."""
        first, length = await self.read(2)
        if length > 125:
            length = int.from_bytes(await self.read(2 if length == 126 else 8), "big")
        return bool(first & 0x80), first & 0x7F, await self.read(length)

    async def send(self, opcode: int, payload: bytes = b"") -> None:
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        await self.stream.send_all(bytes([0x80 | opcode]) + length + b"\0\0\0\0" + payload)

    async def is_quiet(self) -> bool:
        """Whether the connection is open and nothing comes, for as long as a loopback could need by far."""
        with trio.move_on_after(0.05) as scope:
            await self.read(1)
        return scope.cancelled_caught


@asynccontextmanager
async def raw_client(*faults: Fault, upgrades: bool = True) -> AsyncGenerator[RawClient]:
    simulator = Simulator([says("Ж" * 50, audio=0.0)], pace=0, faults=faults)
    with trio.fail_after(10):
        async with serve_simulator(simulator) as server:
            stream = await trio.open_tcp_stream("127.0.0.1", int(server.url.split(":")[2].split("/")[0]))
            async with stream:
                await stream.send_all(REQUEST)
                client = RawClient(stream, simulator)
                if upgrades:
                    assert (await client.head()).startswith(b"HTTP/1.1 101")
                yield client


def type_of(frame: Frame) -> str:
    return str(json.loads(frame[2])["type"])


async def test_an_event_comes_in_fragments_that_cut_characters() -> None:
    async with raw_client(fragmented(3, on="response.output_audio_transcript.done")) as client:
        await client.send(TEXT, b'{"type":"response.create"}')
        frames: list[Frame] = []
        while not frames or b"response.done" not in frames[-1][2]:
            frames.append(await client.frame())
        whole = [frame for frame in frames if frame[:2] == (True, TEXT)]
        parts = [frame for frame in frames if frame not in whole]
        assert parts[0][:2] == (False, TEXT)
        assert {frame[:2] for frame in parts[1:-1]} == {(False, CONTINUATION)}
        assert parts[-1][:2] == (True, CONTINUATION)
        assert {len(frame[2]) for frame in parts[:-1]} == {3}
        assert json.loads(b"".join(frame[2] for frame in parts))["transcript"] == "Ж" * 50
        with pytest.raises(UnicodeDecodeError):
            [frame[2].decode() for frame in parts]


async def test_frames_come_as_they_are_told() -> None:
    async with raw_client(malformed(b"{"), binary(b"\0"), unknown_event("a.b"), duplicate()) as client:
        frames = [await client.frame() for _ in range(5)]
        assert frames[:2] == [(True, TEXT, b"{"), (True, BINARY, b"\0")]
        assert [type_of(frame) for frame in frames[2:]] == ["a.b", "session.created", "session.created"]
        assert frames[3] == frames[4]


async def test_a_half_open_connection_answers_no_ping_and_no_close_and_is_forgotten_when_the_client_goes() -> None:
    async with raw_client(half_open(on="session.created")) as client:
        await client.frame()
        await client.send(PING, b"there?")
        await client.send(TEXT, b'{"type":"input_audio_buffer.clear"}')
        await client.send(CLOSE, b"\x03\xe8")
        assert await client.is_quiet()
        tasks = trio.lowlevel.current_statistics().tasks_living
        await client.stream.send_eof()
        assert await client.stream.receive_some() == b""
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert trio.lowlevel.current_statistics().tasks_living < tasks


async def test_a_server_that_stops_reading_answers_nothing_and_reads_it_later() -> None:
    async with raw_client(stops_reading(seconds=0.15, on="session.created")) as client:
        await client.frame()
        await client.send(PING, b"there?")
        await client.send(TEXT, b'{"type":"input_audio_buffer.clear"}')
        assert await client.is_quiet()
        assert await client.frame() == (True, PONG, b"there?")
        assert type_of(await client.frame()) == "input_audio_buffer.cleared"


async def test_a_close_is_followed_by_the_end_once_it_is_answered() -> None:
    async with raw_client(closes(4321, "why")) as client:
        assert await client.frame() == (True, CLOSE, b"\x10\xe1why")
        assert await client.is_quiet()
        await client.send(CLOSE, b"\x10\xe1why")
        with pytest.raises(EOFError):
            await client.frame()


async def test_a_close_that_lingers_leaves_the_connection_open() -> None:
    async with raw_client(closes(None, lingers=True), unknown_event()) as client:
        assert await client.frame() == (True, CLOSE, b"")
        await client.send(CLOSE, b"")
        await client.send(PING, b"there?")
        assert await client.is_quiet()
        client.simulator.connections[0].inject(drops())
        with pytest.raises(EOFError):
            await client.read(1)


@pytest.mark.parametrize("fault", [drops(), expires(report=False, close_frame=False)], ids=repr)
async def test_a_drop_is_the_end_of_the_stream(fault: Fault) -> None:
    async with raw_client(fault) as client:
        with pytest.raises(EOFError):
            await client.frame()


async def refused(client: RawClient) -> None:
    head = await client.head()
    assert head == b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 3\r\ncontent-length: 4\r\n\r\n"
    assert await client.read(4) == b"busy"
    with pytest.raises(EOFError):
        await client.read(1)


async def unanswered(client: RawClient) -> None:
    assert await client.is_quiet()
    await client.stream.send_eof()
    with pytest.raises(EOFError):
        await client.read(1)


@pytest.mark.parametrize(
    ("fault", "check"),
    [(refuses(503, headers={"retry-after": "3"}, body=b"busy"), refused), (silent_handshake(), unanswered)],
    ids=repr,
)
async def test_a_handshake_ends_as_it_is_told(fault: Fault, check: Callable[[RawClient], Awaitable[None]]) -> None:
    async with raw_client(fault, upgrades=False) as client:
        await check(client)
        assert client.simulator.connections == []
