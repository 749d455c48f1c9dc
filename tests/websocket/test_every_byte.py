"""A session over a websocket whose connection ends after each byte of the server's; nothing crosses a network."""

from __future__ import annotations

import base64
import json
import socket
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import settings
from trio.testing import MockClock

from trio_realtime import ConnectError, ConnectionLost, OpenAI, RealtimeError, RealtimeSession, open_session, websocket

from ..session.scripted_server import leaving_raises
from .hostile_peers import PING, TEXT, Peer, close, frame

ITEM = {"id": "item_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
DELTA = {"type": "response.output_audio.delta", "item_id": "item_1", "content_index": 0}
LONG = {
    "type": "conversation.item.added",
    "item": {**ITEM, "id": "item_2", "content": [{"type": "output_text", "text": "üü"}]},
}


def text(event: dict[str, Any]) -> bytes:
    return frame(TEXT, json.dumps(event, ensure_ascii=False).encode())


def fragments(event: dict[str, Any]) -> bytes:
    payload = json.dumps(event).encode()
    return frame(TEXT, payload[:20], fin=False) + frame(PING, b"?") + frame(0, payload[20:])


CREATED = text({"type": "session.created", "session": {"type": "realtime"}})
ANSWER = [
    text({"type": "session.updated", "session": {"type": "realtime"}}),
    text({"type": "conversation.item.added", "item": ITEM}),
    fragments({**DELTA, "delta": base64.b64encode(bytes(6)).decode()}),
    text(LONG),
    close(1001, "restart"),
]
WHOLE = len(Peer(trio.testing.memory_stream_pair()[0]).upgrade_response() + CREATED + b"".join(ANSWER))


class ClientStream(trio.abc.Stream):
    """The client's end of a connection, which may break where another would end."""

    def __init__(self, inside: trio.SocketStream, *, breaks: bool) -> None:
        self.socket = inside.socket
        self._inside = inside
        self._breaks = breaks

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._inside.receive_some(max_bytes)
        if self._breaks and not data:
            raise trio.BrokenResourceError("reset") from ConnectionResetError("Connection reset by peer")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inside.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inside.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._inside.aclose()


class Line:
    """A connection that takes only so many bytes from the server, and is gone then.

    Attributes:
        client: The client's end.
    """

    def __init__(self, after: int, *, breaks: bool) -> None:
        client, self._server = (trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in socket.socketpair())
        self.client = ClientStream(client, breaks=breaks)
        self._left = after

    async def serve(self) -> None:
        peer = Peer(self._server)
        await peer.read_request()
        await self._send(peer.upgrade_response() + CREATED)
        if self._left:
            await peer.frame()  # the update
            await self._send(b"".join(ANSWER))
        await self._server.aclose()

    async def _send(self, data: bytes) -> None:
        data = data[: self._left]
        self._left -= len(data)
        await self._server.send_all(data)


async def cut(
    monkeypatch: pytest.MonkeyPatch, after: int, *, breaks: bool
) -> tuple[RealtimeError, RealtimeSession | None]:
    """How a session ends whose server was cut, and the session, if there was one."""
    line = Line(after, breaks=breaks)
    session: RealtimeSession | None = None

    async def open_stream(*_: object) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return line.client

    monkeypatch.setattr(websocket, "open_stream", open_stream)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.serve)
            with leaving_raises(RealtimeError) as caught:
                async with open_session(endpoint=OpenAI("sk-test", base_url="ws://127.0.0.1:9/v1")) as session:
                    with session.updates() as updates:
                        async for _ in updates:
                            pass
                    pytest.fail("the channel ended without an error")
            nursery.cancel_scope.cancel()
    return caught.value, session


async def test_a_connection_may_end_after_any_byte(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    ends = [WHOLE - len(b"".join(ANSWER[index + 1 :])) for index in range(len(ANSWER))]
    # In the ordinary profile it ends or breaks by turns; in the nightly one both after each byte.
    both = settings().max_examples > 100
    for after, breaks in [(after, breaks) for after in range(WHOLE + 1) for breaks in (False, True)]:
        if not (both or breaks == after % 2):
            continue
        error, session = await cut(monkeypatch, after, breaks=breaks)
        updated, added, delta, second, closed = (after >= end for end in ends)
        if not updated:
            assert type(error) is ConnectError
            assert session is None
            continue
        assert type(error) is ConnectionLost
        assert (error.code, error.reason == "restart") == ((1001, True) if closed else (None, False))
        assert session is not None
        assert {item.id: (len(item.audio), item.text) for item in session.conversation} == {
            **({"item_1": (6 if delta else 0, "")} if added else {}),
            **({"item_2": (0, "üü")} if second else {}),
        }
        assert {item.status for item in session.conversation} <= {"incomplete"}
