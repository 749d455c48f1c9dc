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
from trio.testing import MockClock, memory_stream_pair
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from trio_realtime.testing import Simulator, SimulatorServer, Switchboard, load_voice, says, serve_simulator
from trio_realtime.testing.carriers.simulator_server import _serve_client
from trio_realtime.testing.http.keys import Keys
from trio_realtime.testing.http.rest_api import RestApi


@asynccontextmanager
async def connected(
    server: SimulatorServer[Simulator],
    query: str = "model=gpt-realtime-2.1",
    *,
    path: str = "/v1/realtime",
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
                    f"{path}?{query}",
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


async def test_a_transcription_session_is_another_kind_of_connection() -> None:
    async with serve_simulator(Simulator()) as server, connected(server, "intent=transcription") as websocket:
        (created,) = await receive_until(websocket, "session.created")
        assert created["session"]["type"] == "transcription"


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
        ("realtime?call_id=rtc_unknown", [("api-key", "sk-simulated")], 404, "call_id_not_found"),
        ("realtime/translations?model=m", [], 401, None),
        ("realtime/translations", [("api-key", "sk-simulated")], 400, None),
        ("realtime/translations?intent=transcription", [("api-key", "sk-simulated")], 400, None),
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
        assert b"x-request-id: req_" in head
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["type"], error["code"]) == ("invalid_request_error", code)
        assert "sk-wrong" not in error["message"]
        assert server.simulator.connections == []


BROWSER = ["openai-organization.org-1", "openai-project.proj_1"]


@pytest.mark.parametrize("path", ["/v1/realtime", "/openai/v1/realtime", "/v1/realtime/translations"])
@pytest.mark.parametrize(
    ("headers", "subprotocols"),
    [
        ([("Authorization", "Bearer sk-simulated"), ("OpenAI-Organization", "o"), ("OpenAI-Project", "p")], None),
        ([("Authorization", "bearer sk-simulated"), ("OpenAI-Safety-Identifier", "user")], ["realtime"]),
        ([("api-key", "sk-simulated")], None),
        ([], ["realtime", "openai-insecure-api-key.sk-simulated"]),
        ([], ["realtime", "openai-insecure-api-key.sk-simulated", *BROWSER]),
        ([], [*BROWSER, "openai-insecure-api-key.sk-simulated", "realtime"]),
    ],
)
async def test_a_key_comes_as_a_header_or_as_browsers_send_it(
    path: str, headers: list[tuple[str, str]], subprotocols: list[str] | None
) -> None:
    async with (
        serve_simulator(Simulator()) as server,
        connected(server, path=path, extra_headers=headers, subprotocols=subprotocols) as websocket,
    ):
        assert websocket.subprotocol == (None if subprotocols is None else "realtime")
        await receive_until(websocket, "session.created")


async def post(
    server: SimulatorServer[Simulator], path: str, body: Any = None, *, key: str | None = None
) -> tuple[int, dict[str, str], Any]:
    """Send an HTTP request and return the status, the headers and the body of the answer."""
    content, content_type = (body.encode(), "application/sdp") if isinstance(body, str) else (json.dumps(body), "")
    request = (
        f"POST /v1/realtime/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key or server.api_key}\r\n"
        f"Content-Type: {content_type or 'application/json'}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    text = content if isinstance(content, str) else content.decode()
    head, _, answer = (await exchange(server, (request + text).encode())).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["connection"] == "close"
    is_json = headers.get("content-type") == "application/json"
    return int(status.split()[1]), headers, json.loads(answer) if is_json else answer.decode()


@pytest.mark.parametrize("in_subprotocol", [False, True])
async def test_an_ephemeral_key_opens_the_session_that_it_was_made_for(in_subprotocol: bool) -> None:
    async with serve_simulator(Simulator()) as server:
        session = {"type": "realtime", "model": "gpt-realtime", "instructions": "Rhyme."}
        status, _, answer = await post(server, "client_secrets", {"session": session})
        assert status == 200
        key = answer["value"]
        subprotocols = ["realtime", f"openai-insecure-api-key.{key}"] if in_subprotocol else None
        headers = [] if in_subprotocol else [("Authorization", f"Bearer {key}")]
        for _ in range(2):
            async with connected(server, extra_headers=headers, subprotocols=subprotocols) as websocket:
                (created,) = await receive_until(websocket, "session.created")
                assert created["session"]["instructions"] == "Rhyme."
                assert created["session"]["model"] == "gpt-realtime-2.1"


async def test_an_ephemeral_key_for_translations_opens_one() -> None:
    async with serve_simulator(Simulator()) as server:
        session = {"model": "gpt-realtime-translate", "audio": {"output": {"language": "fr"}}}
        _, _, answer = await post(server, "translations/client_secrets", {"session": session})
        headers = [("Authorization", f"Bearer {answer['value']}")]
        path = "/v1/realtime/translations"
        async with connected(server, "model=m", path=path, extra_headers=headers) as websocket:
            (created,) = await receive_until(websocket, "session.created")
            assert created["session"]["audio"]["output"]["language"] == "fr"
            assert created["session"]["model"] == "m"


async def test_a_call_is_made_joined_and_hung_up() -> None:
    offer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
    async with serve_simulator(Simulator([says("Hello.")], pace=0)) as server:
        key = (await post(server, "client_secrets", {}))[2]["value"]
        status, headers, answer = await post(server, "calls", offer, key=key)
        assert (status, answer[:3]) == (201, "v=0")
        call_id = headers["location"].removeprefix("/v1/realtime/calls/")
        query = f"call_id={call_id}"
        async with connected(server, query) as one, connected(server, query) as other:
            await send(one, type="response.create")
            for websocket in (one, other):
                types = [event["type"] for event in await receive_until(websocket, "output_audio_buffer.stopped")]
                assert types[0] == "response.created"
            assert (await post(server, f"calls/{call_id}/hangup"))[0] == 200
            for websocket in (one, other):
                assert (await close_reason(websocket))[0] == 1000
        status, _, answer = await post(server, f"calls/{call_id}/hangup")
        assert (status, answer["error"]["code"]) == (404, "call_id_not_found")


async def test_http_is_where_the_websockets_are() -> None:
    async with serve_simulator(Simulator()) as server:
        assert server.http_url == server.url.replace("ws://", "http://")


@pytest.mark.parametrize("in_subprotocol", [False, True])
async def test_the_beta_protocol_is_told_that_it_is_over(in_subprotocol: bool) -> None:
    async with serve_simulator(Simulator()) as server:
        key = f"openai-insecure-api-key.{server.api_key}"
        subprotocols = ["realtime", key, "openai-beta.realtime-v1"] if in_subprotocol else None
        headers = [("Authorization", f"Bearer {server.api_key}"), ("OpenAI-Beta", "realtime=v1")]
        async with connected(
            server, extra_headers=[] if in_subprotocol else headers, subprotocols=subprotocols
        ) as websocket:
            (event,) = await receive_until(websocket, "error")
            error = event["error"]
            assert (error["type"], error["code"]) == ("invalid_request_error", "beta_api_shape_disabled")
            assert (error["param"], error["event_id"]) == (None, None)
            assert await close_reason(websocket) == (4000, "invalid_request_error.beta_api_shape_disabled")


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
    monkeypatch.setattr("trio_realtime.testing.carriers.server_websocket._MAX_MESSAGE_BYTES", 1000)
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
        assert server.http_url.startswith("https://")
        async with connected(server, ssl_context=client_context) as websocket:
            await receive_until(websocket, "session.created")
        tcp = await trio.open_tcp_stream("127.0.0.1", port_of(server))
        async with trio.SSLStream(tcp, client_context, server_hostname="127.0.0.1") as stream:
            await stream.send_all(b"nonsense\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 400 ")


HANDSHAKE = (
    b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Authorization: Bearer sk-simulated\r\n\r\n"
)


@pytest.mark.parametrize(
    ("request_", "frames", "answer"),
    [
        (b"", b"", b""),
        (b"nonsense\r\n\r\n", b"", b"HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"", b"HTTP/1.1 404 "),
        (HANDSHAKE[:40], b"", b"HTTP/1.1 400 "),
        (b"GET //[ HTTP/1.1\r\nHost: x\r\n\r\n", b"", b"HTTP/1.1 400 "),
        (b"X" * 200_000, b"", b"HTTP/1.1 431 "),
        (HANDSHAKE.replace(b"GET", b"POST"), b"", b"HTTP/1.1 400 "),
        (HANDSHAKE.replace(b"Version: 13", b"Version: 12"), b"", b"HTTP/1.1 400 "),
        (HANDSHAKE.replace(b"Host: x", b"Host: \xff"), b"", b"HTTP/1.1 400 "),
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


@pytest.mark.parametrize("sent", [b"", HANDSHAKE[:40], b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"])
async def test_a_client_that_does_not_finish_its_request_is_left(sent: bytes, autojump_clock: MockClock) -> None:
    near, far = memory_stream_pair()
    await near.send_all(sent)
    await _serve_client(RestApi(Switchboard(Simulator()), Keys("sk-1")), far)
    assert trio.current_time() == pytest.approx(10)


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
