"""Events and commands, in few words, and what came of them."""

from typing import Any

import msgspec

from tests.state.talks import (
    added,
    assistant_item,
    audio_delta,
    item_done,
    sent,
)
from trio_realtime.audio import Encoding
from trio_realtime.state.machine import Machine
from trio_realtime.state.response_events import PRIVATE_KEY
from trio_realtime.wire import client_events as client
from trio_realtime.wire.responses import ResponseParams

MALFORMED_DONE = [
    b'{"type": "response.done"}',
    b'{"type": "response.done", "response": null}',
    b'{"type": "response.done", "response": 7}',
    b'{"type": "response.done", "response": {"id": "resp_1", "usage": "many"}}',
    b'{"type": "response.done", "response": {"id": "resp_1", "usage": {"total_tokens": []}, "status": 7}}',
    b'{"type": "response.done", "response": {"id": null, "usage": null}}',
]


def ids(machine: Machine) -> list[str]:
    return [item.id for item in machine.conversation]


def kinds(effects: Any, *, without: tuple[type, ...] = ()) -> list[str]:
    """The names of the updates, in order."""
    return [type(update).__name__ for each in effects for update in each.publish if not isinstance(update, without)]


def create(machine: Machine, event_id: str, **params: Any) -> list[Any]:
    response: Any = ResponseParams(**params) if params else msgspec.UNSET
    return sent(machine.command(client.ResponseCreate(event_id=event_id, response=response)))


def cancel(machine: Machine, event_id: str, response_id: str | None = None) -> Any:
    named = {} if response_id is None else {"response_id": response_id}
    return machine.command(client.ResponseCancel(event_id=event_id, **named))


def created(response_id: str, request: str | None = None, conversation_id: str | None = "conv_1") -> dict[str, Any]:
    metadata = None if request is None else {PRIVATE_KEY: request}
    response = {"id": response_id, "conversation_id": conversation_id, "status": "in_progress", "metadata": metadata}
    return {"type": "response.created", "response": response}


def done(response_id: str, status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"type": "response.done", "response": {"id": response_id, "status": status, **more}}


def error(code: str, event_id: str | None = None) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "invalid_request_error", "code": code, "event_id": event_id}}


def speech(item_id: str | None, start_ms: int, end_ms: int | None = None) -> list[dict[str, Any]]:
    named = {} if item_id is None else {"item_id": item_id}
    started = {"type": "input_audio_buffer.speech_started", "audio_start_ms": start_ms, **named}
    stopped = {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": end_ms, **named}
    return [started] if end_ms is None else [started, stopped]


def committed(item_id: str | None = None, previous_item_id: str | None = None) -> dict[str, Any]:
    event = {"type": "input_audio_buffer.committed", "previous_item_id": previous_item_id}
    return event if item_id is None else {**event, "item_id": item_id}


def transcription(kind: str, item_id: str, **more: Any) -> dict[str, Any]:
    return {"type": f"conversation.item.input_audio_transcription.{kind}", "item_id": item_id, **more}


def append(machine: Machine, audio: bytes) -> None:
    machine.command(client.InputAudioBufferAppend(audio=audio))


def sound(encoding: Encoding, ms: int) -> bytes:
    return bytes(index * 7 % 251 for index in range(encoding.ms_to_bytes(ms)))


def answer(*, status: str = "completed") -> list[dict[str, Any]]:
    """One spoken answer, in the order that was observed."""
    content = [{"type": "output_audio", "transcript": "Hello"}]
    final = assistant_item("item_1", status) | {"content": content}
    where = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    return [
        created("resp_1"),
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_1")},
        added(assistant_item("item_1")),
        {"type": "response.content_part.added", "part": {"type": "audio", "transcript": ""}, **where},
        {"type": "response.output_audio_transcript.delta", "delta": "Hel", **where},
        audio_delta("item_1", b"abcd", response_id="resp_1"),
        {"type": "response.output_audio_transcript.delta", "delta": "lo", **where},
        audio_delta("item_1", b"efgh", response_id="resp_1"),
        {"type": "response.output_audio.done", **where},
        {"type": "response.output_audio_transcript.done", "transcript": "Hello", **where},
        {"type": "response.content_part.done", "part": {"type": "audio", "transcript": "Hello"}, **where},
        item_done(final),
        {"type": "response.output_item.done", "response_id": "resp_1", "item": final},
        done("resp_1", status, output=[final], usage={"total_tokens": 7}),
    ]
