"""The simulator on a real socket, with trio-websocket as a raw client, and with bytes of no websocket at all."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trustme
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from trio_realtime.testing import Simulator, SimulatorServer, load_voice, says, serve_simulator


@asynccontextmanager
async def connected(
    server: SimulatorServer[Simulator],
    query: str = "model=gpt-realtime-2.1",
    *,
    extra_headers: list[tuple[str, str]] | None = None,
    subprotocols: list[str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncGenerator[WebSocketConnection]:
    """Connect with trio-websocket, over a stream of our own: it does not close the one that it opens when we leave."""
    headers = [("Authorization", f"Bearer {server.api_key}")] if extra_headers is None else extra_headers
    with trio.fail_after(10):
        tcp = await trio.open_tcp_stream("127.0.0.1", port_of(server))
        stream = tcp if ssl_context is None else trio.SSLStream(tcp, ssl_context, server_hostname="127.0.0.1")
        try:
            async with trio.open_nursery() as nursery:
                websocket = await wrap_client_stream(
                    nursery,
                    stream,
                    "127.0.0.1",
                    f"/v1/realtime?{query}",
                    extra_headers=[(name.encode(), value.encode()) for name, value in headers],
                    subprotocols=subprotocols,
                    max_message_size=2**25,
                )
                try:
                    yield websocket
                finally:
                    nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(tcp)


def port_of(server: SimulatorServer[Simulator]) -> int:
    return int(server.url.split(":")[2].split("/")[0])


async def receive_until(websocket: WebSocketConnection, kind: str) -> list[Any]:
    events: list[Any] = []
    while not events or events[-1]["type"] != kind:
        events.append(json.loads(await websocket.get_message()))
    return events


async def close_reason(websocket: WebSocketConnection) -> tuple[int, str]:
    """Read until the server closes, and return its code and reason."""
    while True:
        try:
            await websocket.get_message()
        except ConnectionClosed as closed:
            reason: Any = closed.reason
            return reason.code, reason.reason or ""


async def send(websocket: WebSocketConnection, **event: Any) -> None:
    await websocket.send_message(json.dumps(event))


async def test_a_spoken_turn_over_the_network() -> None:
    voice = load_voice("interruption")
    async with serve_simulator(Simulator([says("Fine.")], pace=0)) as server, connected(server) as websocket:
        for start in range(0, len(voice), 4800):
            audio = base64.b64encode(voice[start : start + 4800]).decode()
            await send(websocket, type="input_audio_buffer.append", audio=audio)
        types = [event["type"] for event in await receive_until(websocket, "rate_limits.updated")]
        assert types[:2] == ["session.created", "input_audio_buffer.speech_started"]
        assert types[-2] == "response.done"


async def exchange(server: SimulatorServer[Simulator], request: bytes, frames: bytes = b"") -> bytes:
    """Send a request, then frames, and then nothing more, and return all that comes back after the first reply."""
    with trio.fail_after(10):
        async with await trio.open_tcp_stream("127.0.0.1", port_of(server)) as stream:
            await stream.send_all(request)
            if frames:
                await stream.receive_some()
                await stream.send_all(frames)
            await stream.send_eof()
            return b"".join([chunk async for chunk in stream])


async def test_connections_have_conversations_of_their_own() -> None:
    simulator = Simulator([says("First.")], pace=0)
    async with serve_simulator(simulator) as server, connected(server) as one, connected(server) as other:
        for websocket in (one, other):
            await send(websocket, type="response.create")
            events = await receive_until(websocket, "response.done")
            assert events[-1]["response"]["output"][0]["content"][0]["transcript"] == "First."
        assert [len(connection.items) for connection in simulator.connections] == [1, 1]


@pytest.mark.parametrize("format_", ["sideband", "transcription"])
async def test_other_kinds_of_connection(format_: str) -> None:
    query = "call_id=rtc_1" if format_ == "sideband" else "intent=transcription"
    async with serve_simulator(Simulator()) as server, connected(server, query) as websocket:
        await send(websocket, type="input_audio_buffer.clear")
        types = [event["type"] for event in await receive_until(websocket, "input_audio_buffer.cleared")]
        assert ("session.created" in types) is (format_ == "transcription")


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("realtime?model=m", [], 401, None),
        ("realtime?model=m", [("Authorization", "Basic abc")], 401, None),
        ("realtime?model=m", [("Authorization", "Bearer sk-wrong")], 401, "invalid_api_key"),
        ("realtime?model=m", [("api-key", "sk-wrong")], 401, "invalid_api_key"),
        ("realtime", [("api-key", "sk-simulated")], 400, None),
        ("realtime?intent=talk", [("api-key", "sk-simulated")], 400, None),
        ("realtime?model=m&call_id=c", [("api-key", "sk-simulated")], 400, None),
        ("chat?model=m", [("api-key", "sk-simulated")], 404, None),
    ],
)
async def test_a_client_that_may_not_enter_gets_a_json_error(
    path: str, headers: list[tuple[str, str]], status: int, code: str | None
) -> None:
    # By hand: trio-websocket leaks the socket of a rejected client.
    lines = ["Host: x", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", *(f"{name}: {value}" for name, value in headers)]
    request = "\r\n".join([f"GET /v1/{path} HTTP/1.1", *lines, "", ""])
    async with serve_simulator(Simulator()) as server:
        reply = await exchange(server, request.encode())
        head, _, body = reply.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"content-length: %d" % len(body) in head
        error = json.loads(body)["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", code)
        assert "sk-wrong" not in error["message"]
        assert server.simulator.connections == []


async def test_browsers_send_the_key_as_a_subprotocol() -> None:
    async with serve_simulator(Simulator(), api_key="ek_1") as server:
        subprotocols = ["realtime", "openai-insecure-api-key.ek_1"]
        async with connected(server, extra_headers=[], subprotocols=subprotocols) as websocket:
            assert websocket.subprotocol == "realtime"
            await receive_until(websocket, "session.created")


async def test_the_beta_protocol_is_told_that_it_is_over() -> None:
    async with serve_simulator(Simulator()) as server:
        headers = [("Authorization", f"Bearer {server.api_key}"), ("OpenAI-Beta", "realtime=v1")]
        async with connected(server, extra_headers=headers) as websocket:
            (error,) = await receive_until(websocket, "error")
            assert error["error"]["code"] == "beta_api_shape_disabled"
            assert (await close_reason(websocket))[0] == 4000


async def test_a_client_that_closes_politely_is_answered() -> None:
    async with serve_simulator(Simulator()) as server, connected(server) as websocket:
        await receive_until(websocket, "session.created")
        await websocket.aclose(1000, "bye")
        assert websocket.closed is not None
        assert (websocket.closed.code, websocket.closed.reason) == (1000, "bye")


async def test_a_message_in_fragments_is_one() -> None:
    text = b'{"type":"input_audio_buffer.clear"}'
    parts = ((0x01, text[:9]), (0x80, text[9:]))
    frames = [bytes([opcode, 0x80 | len(part), 0, 0, 0, 0]) + part for opcode, part in parts]
    async with serve_simulator(Simulator()) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", port_of(server))
        async with stream:
            await stream.send_all(HANDSHAKE)
            received = bytearray()
            with trio.fail_after(10):
                await stream.receive_some()
                await stream.send_all(b"".join(frames))
                while b"input_audio_buffer.cleared" not in received:
                    received += await stream.receive_some()


async def test_a_message_over_the_limit_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_realtime.testing.server_websocket._MAX_MESSAGE_BYTES", 1000)
    async with serve_simulator(Simulator()) as server, connected(server) as websocket:
        await receive_until(websocket, "session.created")
        await websocket.send_message("x" * 1001)
        assert (await close_reason(websocket))[0] == 1009


async def test_an_expired_session_is_closed_with_1001() -> None:
    async with serve_simulator(Simulator(max_duration=0.05)) as server, connected(server) as websocket:
        await receive_until(websocket, "error")
        code, reason = await close_reason(websocket)
        assert code == 1001
        assert "maximum duration" in reason


async def test_pings_and_binary_messages_are_answered() -> None:
    async with serve_simulator(Simulator()) as server, connected(server) as websocket:
        await receive_until(websocket, "session.created")
        await websocket.ping(b"?")
        await websocket.pong(b"unasked")
        await websocket.send_message(b"\x00\x01")
        (error,) = await receive_until(websocket, "error")
        assert "Binary" in error["error"]["message"]


async def test_over_tls() -> None:
    authority = trustme.CA()
    server_context, client_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    authority.configure_trust(client_context)
    async with serve_simulator(Simulator(), ssl_context=server_context) as server:
        assert server.url.startswith("wss://")
        async with connected(server, ssl_context=client_context) as websocket:
            await receive_until(websocket, "session.created")


HANDSHAKE = (
    b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Authorization: Bearer sk-simulated\r\n\r\n"
)


@pytest.mark.parametrize(
    ("request_", "frames", "answer"),
    [
        (b"", b"", b""),
        (b"nonsense\r\n\r\n", b"", b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"", b""),
        (HANDSHAKE[:40], b"", b""),
        (HANDSHAKE, b"\x81\x05hello", b"\x03\xea"),  # a frame that is not masked: close code 1002
        (HANDSHAKE, b"\xf1\x80\0\0\0\0", b"\x03\xea"),  # reserved bits
        (HANDSHAKE, b"\x88\x80\0\0\0\0", b"\x88\x00"),  # a close frame without a code
    ],
)
async def test_whatever_one_client_sends_the_server_goes_on(request_: bytes, frames: bytes, answer: bytes) -> None:
    async with serve_simulator(Simulator()) as server:
        assert answer in await exchange(server, request_, frames)
        async with connected(server) as websocket:
            await receive_until(websocket, "session.created")


async def test_a_client_that_resets_the_connection_is_forgotten() -> None:
    async with serve_simulator(Simulator([says("Long.", audio=60.0)], pace=0)) as server:
        with trio.fail_after(10):
            stream = await trio.open_tcp_stream("127.0.0.1", port_of(server))
            payload = b'{"type":"response.create"}'
            await stream.send_all(HANDSHAKE)
            await stream.receive_some()
            await stream.send_all(bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
            await stream.receive_some(100)
            await stream.aclose()  # with bytes unread, which resets it
            async with connected(server) as websocket:
                await receive_until(websocket, "session.created")


async def test_what_the_block_raises_leaves_as_itself() -> None:
    with pytest.raises(KeyError):
        async with serve_simulator(Simulator()):
            raise KeyError
