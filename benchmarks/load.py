"""A server that only serves load: plain sockets, frames encoded beforehand, in a process of its own.

It speaks as much of the protocol as clients need to get going: it accepts any upgrade, sends `session.created`, answers
every `session.update`, and every `response.create` with what the model in the URL says, a name and numbers such as
`deltas-4800-10000`. A client that does not ask to upgrade but sends `raw MODEL` gets the same frames without any
handshake, for programs that show what sockets and timers alone cost. `/results` gives what was measured here.

Run as `python -m benchmarks.load`; it prints its port.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from .played import LOADS, SESSION, Load, Uplink, event, frame

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# --- connections ------------------------------------------------------------------------------------------------------


class Client(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._upgraded = False
        self._raw = False
        self._load: Load
        self._unplayed: list[Iterator[bytes]] = []
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        if self._raw:
            return
        self._buffer += data
        if not self._upgraded and not self._open():
            return
        for opcode, payload in self._frames():
            self._take(opcode, payload)

    def _open(self) -> bool:
        request, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not end:
            return False
        self._buffer[:] = rest
        lines = request.decode().split("\r\n")
        if lines[0].startswith("raw "):
            self._raw = True
            self._choose(lines[0].removeprefix("raw "))
            self._load.respond()
            return False
        target = urlsplit(lines[0].split()[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if target.path == "/results":
            body = json.dumps(Load.results).encode()
            Load.results.clear()
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
            )
            self.transport.close()
            return False
        self._choose(parse_qs(target.query)["model"][0])
        accept = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + _GUID).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + event("session.created", session=SESSION)
        )
        self._upgraded = True
        return True

    def _choose(self, model: str) -> None:
        name, *numbers = model.split("-")
        self._load = LOADS[name](self, *map(int, numbers))

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        buffer, position = self._buffer, 0
        while len(buffer) - position >= 6:
            length, start = buffer[position + 1] & 0x7F, position + 2
            if length >= 126:
                size = 2 if length == 126 else 8
                length = int.from_bytes(buffer[start : start + size], "big")
                start += size
            end = start + 4 + length
            if end > len(buffer):
                break
            mask, masked = buffer[start : start + 4], buffer[start + 4 : end]
            pad = (mask * (length // 4 + 1))[:length]
            plain = int.from_bytes(masked, "little") ^ int.from_bytes(pad, "little")
            yield buffer[position] & 0x0F, plain.to_bytes(length, "little")
            position = end
        del buffer[:position]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self.transport.write(frame(payload, 10))
        elif opcode == 8:
            self.transport.write(frame(payload[:2], 8))
            self.transport.close()
        elif b'"input_audio_buffer.append"' in payload:
            if isinstance(self._load, Uplink):  # elsewhere nobody needs what is in it
                self._load.append(json.loads(payload)["audio"])
        elif b'"session.update"' in payload:
            self.play([event("session.updated", session=SESSION)])
        elif b'"response.create"' in payload:
            self._load.metadata = json.loads(payload).get("response", {}).get("metadata")
            self._load.respond()
        elif b'"conversation.item.truncate"' in payload:
            truncation = json.loads(payload)
            self.play(
                [
                    event(
                        "conversation.item.truncated",
                        **{k: truncation[k] for k in ("item_id", "content_index", "audio_end_ms")},
                    )
                ]
            )
            self._load.truncated()
        elif b'"conversation.item.create"' in payload:
            item = {"id": "item_of_client", **json.loads(payload)["item"]}
            self.play(
                [event(f"conversation.item.{what}", previous_item_id=None, item=item) for what in ("added", "done")]
            )

    def play(self, frames: Iterable[bytes]) -> None:
        """Write it all, as fast as the client reads."""
        self._unplayed.append(iter(frames))
        self._play_on()

    def _play_on(self) -> None:
        while self._unplayed and not self._paused:
            piece = next(self._unplayed[0], None)
            if piece is None:
                self._unplayed.pop(0)
            elif not self.transport.is_closing():
                self.transport.write(piece)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._play_on()


# --- the process ------------------------------------------------------------------------------------------------------


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def serving() -> Iterator[str]:
    """Run the server in a process of its own; gives the URL to which `?model=...` is added."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.load"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"ws://127.0.0.1:{int(process.stdout.readline())}/v1/realtime"
        finally:
            process.terminate()


def results(url: str) -> list[float]:
    """Take what the server has measured since the last time, in seconds."""
    with urllib.request.urlopen(f"http://{urlsplit(url).netloc}/results", timeout=10) as answer:
        measured: list[float] = json.load(answer)
    return measured


if __name__ == "__main__":
    asyncio.run(_serve())
