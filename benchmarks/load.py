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
import os
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from urllib.parse import parse_qs, urlsplit

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK_BYTES = 2**18

SESSION = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_load",
    "model": "load",
    "expires_at": 4102444800,
    "audio": {
        "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": {"type": "server_vad"}},
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
    },
}
RESPONSE = {"object": "realtime.response", "conversation_id": "conv_load", "output": []}


# --- frames -----------------------------------------------------------------------------------------------------------


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """One unmasked frame."""
    length = len(payload)
    if length < 126:
        return struct.pack("!BB", 0x80 | opcode, length) + payload
    if length < 2**16:
        return struct.pack("!BBH", 0x80 | opcode, 126, length) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, length) + payload


def event(kind: str, **fields: object) -> bytes:
    """One event as a frame."""
    return frame(json.dumps({"type": kind, "event_id": "event_load", **fields}).encode())


def ids(number: int = 1) -> dict[str, object]:
    """What a delta of a response belongs to."""
    return {"response_id": f"resp_{number}", "item_id": f"item_{number}", "output_index": 0, "content_index": 0}


def audio_delta(audio: bytes, number: int = 1) -> bytes:
    """One delta of audio."""
    return event("response.output_audio.delta", **ids(number), delta=base64.b64encode(audio).decode())


def began(number: int = 1, metadata: dict[str, str] | None = None) -> bytes:
    """The beginning of a response that speaks."""
    item = {"id": f"item_{number}", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    response_id = f"resp_{number}"
    return b"".join(
        (
            event(
                "response.created",
                response={**RESPONSE, "id": response_id, "status": "in_progress", "metadata": metadata},
            ),
            event("response.output_item.added", response_id=response_id, output_index=0, item=item),
            event("conversation.item.added", previous_item_id=None, item=item),
        )
    )


def done(number: int = 1) -> bytes:
    """Its end."""
    return event("response.done", response={**RESPONSE, "id": f"resp_{number}", "status": "completed"})


def repeated(piece: bytes, count: int) -> Iterator[bytes]:
    """`piece` so often, in chunks as a busy network would deliver them, whatever the frames are."""
    at_once = max(1, _CHUNK_BYTES // len(piece))
    whole = piece * at_once
    yield from repeat(whole, count // at_once)
    yield piece * (count % at_once)


# --- what is played ---------------------------------------------------------------------------------------------------


class Load:
    """What one connection is served.

    Attributes:
        results: What was measured here, for `/results`.
    """

    results: list[float] = []  # noqa: RUF012  of all connections

    def __init__(self, client: Client, *numbers: int) -> None:
        self.client = client
        self.numbers = numbers
        self.responses = 0
        self.metadata: dict[str, str] | None = None  # of the last request, which some clients look for

    def respond(self) -> None:
        """A response was asked for."""

    def append(self, audio: str) -> None:
        """Audio was appended; base64."""

    def truncated(self) -> None:
        """An item was truncated."""

    def finish(self, frames: Iterable[bytes]) -> None:
        """Play one response that consists of these."""
        self.client.play(chain([began(metadata=self.metadata)], frames, [done()]))


class Deltas(Load):
    """`deltas-BYTES-COUNT`: audio deltas, as fast as the client reads."""

    def respond(self) -> None:
        size, count = self.numbers
        self.finish(repeated(audio_delta(os.urandom(size)), count))


class Transcript(Load):
    """`transcript-COUNT`: small deltas of text."""

    def respond(self) -> None:
        (count,) = self.numbers
        delta = event("response.output_audio_transcript.delta", **ids(), delta=" hello", obfuscation="x" * 10)
        self.finish(repeated(delta, count))


class Growth(Load):
    """`growth-ITEMS-SECONDS-BYTES-COUNT`: first a history of items and of audio, and then deltas."""

    def respond(self) -> None:
        items, seconds, size, count = self.numbers
        self.responses += 1
        if self.responses == 1:
            speech = repeated(audio_delta(os.urandom(size)), seconds * 48_000 // size)
            self.client.play(chain([self._items(items), began()], speech, [done()]))
        else:
            deltas = repeated(audio_delta(os.urandom(size), 2), count)
            self.client.play(chain([began(2)], deltas, [done(2)]))

    def _items(self, count: int) -> bytes:
        frames: list[bytes] = []
        previous = None
        for number in range(count):
            content = [{"type": "input_text", "text": "What is the weather like?"}]
            item = {
                "id": f"item_{number}",
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": content,
            }
            frames += [
                event(f"conversation.item.{what}", previous_item_id=previous, item=item) for what in ("added", "done")
            ]
            previous = item["id"]
        return b"".join(frames)


class Mixed(Load):
    """`mixed`: turns as they were recorded: a function call, and after its output an answer that speaks."""

    def respond(self) -> None:
        self.responses += 1
        call = self.responses % 2 == 1
        self.client.play([self._call(self.responses) if call else self._answer(self.responses)])

    def _call(self, number: int) -> bytes:
        item = {"id": f"item_{number}", "type": "function_call", "name": "get_weather", "call_id": f"call_{number}"}
        empty = {**item, "status": "in_progress", "arguments": ""}
        arguments = '{"city":"Paris"}'
        whole = {**item, "status": "completed", "arguments": arguments}
        of_call = {
            "response_id": f"resp_{number}",
            "item_id": item["id"],
            "output_index": 0,
            "call_id": item["call_id"],
        }
        response = {**RESPONSE, "id": f"resp_{number}"}
        return b"".join(
            (
                event("response.created", response={**response, "status": "in_progress"}),
                event("response.output_item.added", response_id=response["id"], output_index=0, item=empty),
                event("conversation.item.added", previous_item_id=None, item=empty),
                *[
                    event("response.function_call_arguments.delta", **of_call, delta=piece, obfuscation="x" * 12)
                    for piece in ('{"', "city", '":"', "Paris", '"}')
                ],
                event("response.function_call_arguments.done", **of_call, name="get_weather", arguments=arguments),
                event("conversation.item.done", previous_item_id=None, item=whole),
                event("response.output_item.done", response_id=response["id"], output_index=0, item=whole),
                event("response.done", response={**response, "status": "completed", "output": [whole]}),
                event(
                    "rate_limits.updated",
                    rate_limits=[{"name": "tokens", "limit": 9, "remaining": 8, "reset_seconds": 1}],
                ),
            )
        )

    def _answer(self, number: int) -> bytes:
        item = {"id": f"item_{number}", "type": "message", "role": "assistant"}
        empty = {**item, "status": "in_progress", "content": []}
        words = ["It", " is", " sunny", " in", " Paris", ",", " with", " twenty", " one", " degrees", "."]
        transcript = "".join(words)
        whole = {**item, "status": "completed", "content": [{"type": "output_audio", "transcript": transcript}]}
        part_ids = ids(number)
        response = {**RESPONSE, "id": f"resp_{number}"}
        audio = base64.b64encode(os.urandom(9600)).decode()
        part = {"type": "audio", "transcript": ""}
        speech = [
            piece
            for word in words
            for piece in (
                event("response.output_audio_transcript.delta", **part_ids, delta=word, obfuscation="x" * 10),
                event("response.output_audio.delta", **part_ids, delta=audio),
            )
        ]
        return b"".join(
            (
                event("response.created", response={**response, "status": "in_progress"}),
                event("response.output_item.added", response_id=response["id"], output_index=0, item=empty),
                event("conversation.item.added", previous_item_id=None, item=empty),
                event("response.content_part.added", **part_ids, part=part),
                *speech,
                event("response.output_audio.done", **part_ids),
                event("response.output_audio_transcript.done", **part_ids, transcript=transcript),
                event("response.content_part.done", **part_ids, part={"type": "audio", "transcript": transcript}),
                event("conversation.item.done", previous_item_id=None, item=whole),
                event("response.output_item.done", response_id=response["id"], output_index=0, item=whole),
                event("response.done", response={**response, "status": "completed", "output": [whole]}),
                event(
                    "rate_limits.updated",
                    rate_limits=[{"name": "tokens", "limit": 9, "remaining": 8, "reset_seconds": 1}],
                ),
            )
        )


MIXED_AUDIO_BYTES = 11 * 9600
"""What one answer of `Mixed` speaks."""


class Uplink(Load):
    """`uplink-MS`: a response that is done when it was asked for and that much audio has come."""

    def __init__(self, client: Client, *numbers: int) -> None:
        super().__init__(client, *numbers)
        self.left_ms = numbers[0]
        self.asked = False

    def respond(self) -> None:
        self.asked = True
        self.client.play([began()])
        self._finish()

    def append(self, audio: str) -> None:
        self.left_ms -= len(audio) * 3 // 4 // 48
        self._finish()

    def _finish(self) -> None:
        if self.asked and self.left_ms <= 0:
            self.client.play([done()])


class Paced(Load):
    """`paced-BYTES-MS-COUNT`: deltas in real time, each with the time at which it was written in its audio."""

    _connections = 0

    def respond(self) -> None:
        size, every_ms, count = self.numbers
        head, _, tail = audio_delta(bytes(9) + os.urandom(size - 9)).partition(base64.b64encode(bytes(9)))
        self._head, self._tail = head, tail
        self._every_s = every_ms / 1000
        self._left = count
        Paced._connections += 1
        self.client.play([began()])
        # Not all in the same moment: as strangers would talk.
        stagger = Paced._connections * 0.618 % 1 * self._every_s
        self._due = asyncio.get_running_loop().time() + stagger
        self._wait()

    def _wait(self) -> None:
        asyncio.get_running_loop().call_at(self._due, self._tick)

    def _tick(self) -> None:
        if self.client.transport.is_closing():
            return
        stamp = base64.b64encode(struct.pack("<dx", time.monotonic()))
        self.client.transport.write(self._head + stamp + self._tail)
        self._left -= 1
        self._due += self._every_s
        if self._left:
            self._wait()
        else:
            self.client.play([done()])


class Interrupted(Load):
    """`interrupted`: two seconds of speech, and then the user speaks; measures how soon the truncation comes."""

    def respond(self) -> None:
        self.responses += 1
        self.client.play([began(self.responses), *[audio_delta(bytes(4800), self.responses)] * 20])
        asyncio.get_running_loop().call_later(0.25, self._speak)

    def _speak(self) -> None:
        self._spoke = time.perf_counter()
        started = {"audio_start_ms": 0, "item_id": f"item_user_{self.responses}"}
        self.client.transport.write(event("input_audio_buffer.speech_started", **started))

    def truncated(self) -> None:
        Load.results.append(time.perf_counter() - self._spoke)
        self.client.play([done(self.responses)])


class Idle(Load):
    """`idle`: nothing."""


LOADS: dict[str, type[Load]] = {kind.__name__.lower(): kind for kind in Load.__subclasses__()}


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
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.load"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"ws://127.0.0.1:{int(process.stdout.readline())}/v1/realtime"
    finally:
        process.terminate()
        process.wait()


def results(url: str) -> list[float]:
    """Take what the server has measured since the last time, in seconds."""
    with urllib.request.urlopen(f"http://{urlsplit(url).netloc}/results", timeout=10) as answer:
        measured: list[float] = json.load(answer)
    return measured


if __name__ == "__main__":
    asyncio.run(_serve())
