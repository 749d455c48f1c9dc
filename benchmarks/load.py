"""A server that only serves load: plain sockets, frames encoded beforehand, in a process of its own.

It speaks as much of the protocol as a client needs to get going: it accepts any upgrade, sends `session.created`,
answers the first message with `session.updated`, and the second with everything it has, as fast as the client reads.
"""

import base64
import hashlib
import json
import multiprocessing
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Message

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TIMEOUT_S = 60.0

SESSION = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_load",
    "model": "load",
    "expires_at": 4102444800,
    "audio": {
        "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": None},
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
    },
}


def frame(event: object) -> bytes:
    """One unmasked text frame."""
    payload = json.dumps(event).encode()
    length = len(payload)
    if length < 126:
        return struct.pack("!BB", 0x81, length) + payload
    if length < 2**16:
        return struct.pack("!BBH", 0x81, 126, length) + payload
    return struct.pack("!BBQ", 0x81, 127, length) + payload


def audio_turn(delta_bytes: int, deltas: int) -> list[bytes]:
    """A response whose audio comes in `deltas` deltas of `delta_bytes` bytes."""
    ids = {"response_id": "resp_load", "item_id": "item_load", "output_index": 0, "content_index": 0}
    item = {"id": "item_load", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    response = {"id": "resp_load", "object": "realtime.response", "conversation_id": "conv_load", "output": []}
    audio = base64.b64encode(os.urandom(delta_bytes)).decode()
    added = {"response_id": "resp_load", "output_index": 0, "item": item}
    delta = frame({"type": "response.output_audio.delta", "event_id": "event_delta", **ids, "delta": audio})
    return [
        frame({"type": "response.created", "event_id": "event_0", "response": {**response, "status": "in_progress"}}),
        frame({"type": "response.output_item.added", "event_id": "event_1", **added}),
        *[delta] * deltas,
        frame({"type": "response.done", "event_id": "event_2", "response": {**response, "status": "completed"}}),
    ]


@contextmanager
def serving(make_frames: Callable[..., list[bytes]], *arguments: object) -> Iterator[str]:
    """Serve `make_frames(*arguments)` in a process of its own; gives the URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    process = multiprocessing.get_context("fork").Process(
        target=_serve, args=(listener, make_frames, arguments), daemon=True
    )
    process.start()
    listener.close()
    try:
        yield f"ws://127.0.0.1:{port}/v1/realtime?model=load"
    finally:
        process.terminate()
        process.join()


def _serve(listener: socket.socket, make_frames: Callable[..., list[bytes]], arguments: tuple[object, ...]) -> None:
    frames = make_frames(*arguments)
    # As a network would deliver it: what there is, whatever the frames are.
    load = b"".join(frames)
    while True:
        client, _ = listener.accept()
        with client:
            client.settimeout(_TIMEOUT_S)
            try:
                _accept(client)
                client.sendall(frame({"type": "session.created", "event_id": "event_a", "session": SESSION}))
                messages = _messages(client)
                next(messages)
                client.sendall(frame({"type": "session.updated", "event_id": "event_b", "session": SESSION}))
                next(messages)
                client.sendall(load)
                # Whatever else the client says is read: to close on it would reset the connection under the load.
                for _ in messages:
                    pass
            except (OSError, StopIteration):
                pass  # the client has seen enough


def _messages(client: socket.socket) -> Iterator[None]:
    """One for each message of the client's, until it closes; the end of TCP is answer enough."""
    connection = Connection(ConnectionType.SERVER)
    while received := client.recv(65536):
        connection.receive_data(received)
        for event in connection.events():
            if isinstance(event, CloseConnection):
                return
            if isinstance(event, Message) and event.message_finished:
                yield


def _accept(client: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += client.recv(4096)
    lines = request.decode().split("\r\n")
    key = next(line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
    client.sendall(
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
