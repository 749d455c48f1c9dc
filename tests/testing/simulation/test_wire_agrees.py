"""The client's structs and the simulator, written apart, mean the same protocol."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from trio_realtime.testing import Simulator, calls, fails, load_voice, says
from trio_realtime.wire.client_events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
)
from trio_realtime.wire.codec import Codec
from trio_realtime.wire.items import FunctionCallOutput, InputText, Message, OutputText
from trio_realtime.wire.responses import ResponseParams
from trio_realtime.wire.session_config import (
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    AudioPCM,
    FunctionTool,
    NoiseReduction,
    SemanticVad,
    ServerVad,
    SessionConfig,
    ToolChoiceFunction,
    Transcription,
)

from .agreement import check_kept


def message(role: str, text: str) -> Message:
    part = OutputText(text=text) if role == "assistant" else InputText(text=text)
    return Message(role=role, content=[part])


COMMANDS: list[tuple[ClientEvent, str | None]] = [
    (
        SessionUpdate(
            session=SessionConfig(
                instructions="Be brief.",
                output_modalities=["audio"],
                tools=[FunctionTool(name="f", description="d", parameters={"type": "object"})],
                tool_choice=ToolChoiceFunction(name="f"),
                audio=AudioConfig(
                    input=AudioInputConfig(
                        format=AudioPCM(),
                        noise_reduction=NoiseReduction(type="far_field"),
                        transcription=Transcription(model="gpt-realtime-whisper", language="en"),
                        turn_detection=ServerVad(threshold=0.6, silence_duration_ms=400, idle_timeout_ms=None),
                    ),
                    output=AudioOutputConfig(voice="cedar", speed=1.1),
                ),
            )
        ),
        "session.updated",
    ),
    (
        SessionUpdate(
            session=SessionConfig(
                tracing=None,
                prompt=None,
                audio=AudioConfig(
                    input=AudioInputConfig(
                        turn_detection=SemanticVad(eagerness="high"), transcription=None, noise_reduction=None
                    )
                ),
            )
        ),
        "session.updated",
    ),
    (InputAudioBufferAppend(audio=load_voice("question")), "input_audio_buffer.speech_started"),
    (InputAudioBufferClear(), "input_audio_buffer.cleared"),
    (InputAudioBufferAppend(audio=bytes(48 * 300)), None),
    (InputAudioBufferCommit(), "input_audio_buffer.committed"),
    (ConversationItemCreate(item=message("user", "Hi"), previous_item_id="root"), "conversation.item.added"),
    (ConversationItemCreate(item=message("assistant", "Hello")), "conversation.item.added"),
    (ConversationItemCreate(item=message("system", "Be kind.")), "conversation.item.added"),
    (ConversationItemCreate(item=FunctionCallOutput(call_id="call_1", output="{}")), "conversation.item.added"),
    (ConversationItemRetrieve(item_id="ITEM"), "conversation.item.retrieved"),
    (ConversationItemTruncate(item_id="ITEM", audio_end_ms=10), "conversation.item.truncated"),
    (ConversationItemDelete(item_id="ITEM"), "conversation.item.deleted"),
    (
        ResponseCreate(response=ResponseParams(conversation="none", metadata={"k": "v"}, input=[message("user", "?")])),
        "response.created",
    ),
    (ResponseCreate(), "response.created"),
    (ResponseCancel(), "response.done"),
]


@pytest.mark.parametrize(("command", "answer"), COMMANDS, ids=lambda value: type(value).__name__)
def test_the_simulator_takes_what_the_codec_writes(drive: Any, command: ClientEvent, answer: str | None) -> None:
    client = drive(Simulator([[calls("f", call_id="call_1"), says("Some words.")]], transcripts=["x"]))
    client.configure(audio={"output": {"voice": "cedar"}})
    client.respond()
    if isinstance(command, ResponseCancel):
        client.send("response.create")
    elif isinstance(command, InputAudioBufferCommit):
        client.speak(bytes(48 * 300))
    spoken = client.connection.items[1]["id"]
    encoded = Codec().encode(command).replace(b'"ITEM"', json.dumps(spoken).encode())
    events = client.send_raw(encoded)
    kinds = [event["type"] for event in events]
    assert "error" not in kinds, events
    assert kinds == [] if answer is None else answer in kinds


def test_the_codec_reads_what_the_simulator_sends(drive: Any) -> None:
    client = drive(
        Simulator([says("One."), [says("Two."), calls("f", {"x": 1})], fails()], transcripts=["Hi", fails()])
    )
    client.configure(audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}})
    for _ in range(3):
        client.respond()
    client.speak(load_voice("question"))
    client.wait(0.3)
    client.speak(load_voice("interruption"))
    client.wait(60)
    client.send("response.cancel", event_id="mine")
    for event in client.events:
        decoded: Any = Codec().decode(json.dumps(event).encode())
        assert type(decoded).__struct_config__.tag == event["type"]
        known = msgspec.to_builtins(decoded)
        check_kept(known, event)
