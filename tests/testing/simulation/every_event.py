"""Conversations with the simulated server in which every event of the protocol is said, by the client or the server."""

from __future__ import annotations

from typing import Any

from trio_realtime.testing import ScriptedTurn, Simulator, calls, calls_mcp, fails, hears, incomplete, load_voice, says

Event = dict[str, Any]


def every_scenario(drive: Any) -> list[Any]:
    """Play them all, and return the clients, which hold what was said."""
    return [scenario(drive) for scenario in (conversation, tools, call, transcription, other_server)]


def conversation(drive: Any) -> Any:
    """A session in speech and writing, with everything that can happen to a turn, until it expires."""
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
    client.send("input_audio_buffer.commit")
    client.send("input_audio_buffer.clear")
    client.speak(load_voice("question"))
    client.send("response.cancel")
    client.send("no.such.event", event_id="mine")
    client.wait(600)
    return client


def tools(drive: Any) -> Any:
    """A session with two MCP servers, one of which cannot be reached; calls are approved, refused, and fail."""
    errors: list[Event] = [
        {"type": "protocol_error", "code": -32602, "message": "Unknown tool"},
        {"type": "tool_execution_error", "message": "No such page"},
        {"type": "http_error", "code": 503, "message": "Service Unavailable"},
    ]
    script: list[ScriptedTurn] = [
        [calls_mcp("docs", "search", {"q": "x"}, output="Found."), calls_mcp("docs", "search", {"q": "y"})],
        [calls_mcp("none", "search", error=error) for error in errors],
    ]
    offered: list[Event] = [
        {"name": "search", "input_schema": {"type": "object"}, "description": "Search.", "annotations": None}
    ]
    client = drive(Simulator(script, mcp_tools={"docs": offered}))
    location = {"type": "mcp", "server_url": "https://mcp.example"}
    client.configure(
        tools=[
            {**location, "server_label": "docs", "require_approval": "always"},
            {**location, "server_label": "none", "require_approval": "never"},
        ]
    )
    client.wait(10)
    client.respond()
    requests = [item["id"] for item in client.connection.items if item["type"] == "mcp_approval_request"]
    for request_id, approve in zip(requests, (True, False), strict=True):
        item = {"type": "mcp_approval_response", "id": f"a{request_id}"[:32], "approval_request_id": request_id}
        client.send("conversation.item.create", item={**item, "approve": approve})
    client.wait(10)
    client.respond()
    client.respond()
    return client


def call(drive: Any) -> Any:
    """A telephone call, watched on its sideband connection."""
    client = drive(Simulator([says("Welcome."), says("Please hold.", audio=20.0)]), call_id="rtc_1")
    client.respond()
    client.connection.press_key("#")
    client.respond(2)
    client.send("output_audio_buffer.clear")
    client.wait(60)
    return client


def transcription(drive: Any) -> Any:
    """A session that only transcribes, and tells speakers and languages apart."""
    client = drive(Simulator(transcripts=[hears(("A", "Hello."), ("B", "Hi.")), "Bye."]), intent="transcription")
    for model in ("gpt-4o-transcribe-diarize", "gpt-transcribe"):
        client.configure(audio={"input": {"transcription": {"model": model}}})
        client.speak(load_voice("question"))
        client.wait(10)
    return client


def other_server(drive: Any) -> Any:
    """What only compatible servers say: with all its fields, so that the official types know it."""
    client = drive(Simulator(dialect="compatible"))
    client.say("Hi")
    return client
