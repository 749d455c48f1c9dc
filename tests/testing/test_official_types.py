"""What the simulated server sends is what the official SDK's types describe."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from trio_realtime.testing import ScriptedTurn, Simulator, calls, fails, incomplete, load_voice, says

openai_realtime = pytest.importorskip("openai.types.realtime")
pydantic = pytest.importorskip("pydantic")

NEVER_SENT = {
    "conversation.created",
    "conversation.item.created",
    "conversation.item.input_audio_transcription.segment",
    "input_audio_buffer.dtmf_event_received",
    "mcp_list_tools.completed",
    "mcp_list_tools.failed",
    "mcp_list_tools.in_progress",
    "response.mcp_call.completed",
    "response.mcp_call.failed",
    "response.mcp_call.in_progress",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
}


def conversation(drive: Any) -> list[Any]:
    """Play a conversation with every kind of event that a websocket session can have."""
    script: list[ScriptedTurn] = [
        says("Hello there."),
        [says("Let me see."), calls("f", {"x": [1]})],
        fails(),
        incomplete(),
        says("A long answer, which is interrupted.", audio=20.0),
    ]
    client = drive(Simulator(script, transcripts=["One", fails(), "Three"], max_duration=600))
    client.configure(
        tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        audio={
            "input": {
                "turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000},
                "transcription": {"model": "gpt-4o-transcribe"},
                "noise_reduction": {"type": "near_field"},
            }
        },
        include=["item.input_audio_transcription.logprobs"],
    )
    client.say("Hi")
    for _ in range(4):
        client.respond(2)
    client.respond(2, output_modalities=["text"], metadata={"a": "b"}, conversation="none")
    client.send("response.create")
    client.speak(load_voice("interruption"))
    client.wait(5)
    client.speak(load_voice("question"))
    client.wait(20)
    spoken = next(item["id"] for item in client.connection.items if item.get("role") == "assistant")
    client.send("conversation.item.retrieve", item_id=spoken)
    client.send("conversation.item.truncate", item_id=spoken, content_index=0, audio_end_ms=100)
    client.send("conversation.item.delete", item_id=spoken)
    client.speak(bytes(9600))
    client.send("input_audio_buffer.clear")
    client.speak(load_voice("question"))
    client.send("no.such.event", event_id="mine")
    client.wait(600)
    return list(client.events)


def test_every_event_is_one_of_the_official_types(drive: Any) -> None:
    adapter = pydantic.TypeAdapter(openai_realtime.RealtimeServerEvent)
    members = get_args(get_args(openai_realtime.RealtimeServerEvent)[0])
    events = conversation(drive)
    sideband = drive(call_id="rtc_1")
    sideband.respond()
    sideband.send("output_audio_buffer.clear")
    transcription = drive(intent="transcription")
    transcription.configure(audio={"input": {"transcription": {"model": "whisper-1"}}})
    transcription.speak(load_voice("question"))
    transcription.wait(10)
    seen = set()
    for event in [*events, *sideband.events, *transcription.events]:
        parsed = adapter.validate_python(event, strict=True)
        assert parsed.type == event["type"]
        seen.add(parsed.type)
    described = {get_args(member.model_fields["type"].annotation)[0] for member in members}
    assert described - seen == NEVER_SENT
