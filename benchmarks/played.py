"""What the load server plays: a class for each load, with frames that are encoded beforehand where they can be."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
import time
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import Protocol

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


class Client(Protocol):
    """Who is played to."""

    @property
    def transport(self) -> asyncio.Transport:
        """For what is written at once."""
        ...

    def play(self, frames: Iterable[bytes]) -> None:
        """Write it all, as fast as the client reads."""


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
