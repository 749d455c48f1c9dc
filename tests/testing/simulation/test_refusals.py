"""What the simulated server refuses, in the real one's words, and that a refusal changes nothing."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from trio_realtime.testing import Simulator, calls, says

MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
VAD = "session.audio.input.turn_detection"


def session(**fields: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **fields}}


def turn_detection(**fields: Any) -> dict[str, Any]:
    return session(audio={"input": {"turn_detection": {"type": "server_vad", **fields}}})


def item(**fields: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": {**MESSAGE, **fields}}


def content(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return item(role=role, content=list(parts))


def response(**fields: Any) -> dict[str, Any]:
    return {"type": "response.create", "response": fields}


def audio(data: bytes | str) -> dict[str, Any]:
    encoded = data if isinstance(data, str) else base64.b64encode(data).decode()
    return {"type": "input_audio_buffer.append", "audio": encoded}


REFUSALS: list[tuple[dict[str, Any], str, str | None]] = [
    # events
    ({"type": "no.such.event"}, "invalid_value", "type"),
    ({"type": "transcription_session.update", "session": {}}, "invalid_value", "type"),
    ({}, "missing_required_parameter", "type"),
    ({"type": 7}, "invalid_type", "type"),
    ({"type": None}, "invalid_type", "type"),
    ({"type": "input_audio_buffer.clear", "extra": 1}, "unknown_parameter", "extra"),
    ({"type": "session.update"}, "missing_required_parameter", "session"),
    ({"type": "session.update", "session": None}, "invalid_type", "session"),
    # sessions
    ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
    ({"type": "session.update", "session": {"type": "other"}}, "invalid_value", "session.type"),
    ({"type": "session.update", "session": {"type": "transcription"}}, "invalid_parameter", "session.type"),
    (session(voice="marin"), "unknown_parameter", "session.voice"),
    (session(temperature=0.8), "unknown_parameter", "session.temperature"),
    (session(modalities=["text"]), "unknown_parameter", "session.modalities"),
    (session(model="gpt-realtime"), "invalid_value", "session.model"),
    (session(instructions=None), "invalid_type", "session.instructions"),
    (session(instructions=3), "invalid_type", "session.instructions"),
    (session(output_modalities=["text", "audio"]), "invalid_value", "session.output_modalities"),
    (session(output_modalities=[]), "invalid_value", "session.output_modalities"),
    (session(output_modalities=["smell"]), "invalid_value", "session.output_modalities[0]"),
    (session(output_modalities="text"), "invalid_type", "session.output_modalities"),
    (session(max_output_tokens=0), "invalid_value", "session.max_output_tokens"),
    (session(max_output_tokens="lots"), "invalid_value", "session.max_output_tokens"),
    (session(max_output_tokens=1.5), "invalid_type", "session.max_output_tokens"),
    (session(max_output_tokens=True), "invalid_type", "session.max_output_tokens"),
    (session(audio={"output": {"speed": 2}}), "invalid_value", "session.audio.output.speed"),
    (session(audio={"output": {"speed": True}}), "invalid_type", "session.audio.output.speed"),
    (session(audio={"output": {"voice": {}}}), "missing_required_parameter", "session.audio.output.voice.id"),
    (session(audio={"input": {"format": {"type": "audio/mp3"}}}), "invalid_value", "session.audio.input.format.type"),
    (
        session(audio={"input": {"format": {"type": "audio/pcm", "rate": 16000}}}),
        "invalid_value",
        "session.audio.input.format.rate",
    ),
    (session(audio={"input": {"format": None}}), "invalid_type", "session.audio.input.format"),
    (
        session(audio={"input": {"turn_detection": {"threshold": 0.5}}}),
        "missing_required_parameter",
        f"{VAD}.type",
    ),
    (turn_detection(threshold=1.1), "invalid_value", f"{VAD}.threshold"),
    (turn_detection(create_response=None), "invalid_type", f"{VAD}.create_response"),
    (turn_detection(eagerness="low"), "unknown_parameter", f"{VAD}.eagerness"),
    (turn_detection(prefix_padding_ms=-1), "invalid_value", f"{VAD}.prefix_padding_ms"),
    (session(tools=None), "invalid_type", "session.tools"),
    (session(tools=[{"type": "function"}]), "missing_required_parameter", "session.tools[0].name"),
    (
        session(tools=[{"type": "function", "name": "f", "strict": True}]),
        "unknown_parameter",
        "session.tools[0].strict",
    ),
    (session(tools=[{"type": "mcp", "server_label": "s"}]), "invalid_value", "session.tools[0]"),
    (
        session(tools=[{"type": "mcp", "server_label": "s", "server_url": "u", "tunnel_id": "t"}]),
        "invalid_value",
        "session.tools[0]",
    ),
    (session(tool_choice="maybe"), "invalid_value", "session.tool_choice"),
    (session(reasoning={"effort": "none"}), "invalid_value", "session.reasoning.effort"),
    (
        session(truncation={"type": "retention_ratio"}),
        "missing_required_parameter",
        "session.truncation.retention_ratio",
    ),
    (session(include=["everything"]), "invalid_value", "session.include[0]"),
    (session(prompt={"version": "1"}), "missing_required_parameter", "session.prompt.id"),
    # audio
    (audio("not base64!"), "invalid_value", "audio"),
    (audio("\N{SNOWMAN}"), "invalid_value", "audio"),
    (audio(b"odd"), "invalid_value", "audio"),
    ({"type": "input_audio_buffer.append", "audio": None}, "invalid_type", "audio"),
    ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
    ({"type": "output_audio_buffer.clear"}, "invalid_value", "type"),
    # items
    ({"type": "conversation.item.create"}, "missing_required_parameter", "item"),
    (item(type="message", role="robot"), "invalid_value", "item.role"),
    (item(type="poem"), "invalid_value", "item.type"),
    (item(type="item_reference", id="x"), "invalid_value", "item.type"),
    (item(id="x" * 33), "invalid_value", "item.id"),
    (item(id="taken"), "invalid_value", "item.id"),
    ({**item(), "previous_item_id": "item_x"}, "invalid_value", "previous_item_id"),
    ({**item(), "previous_item_id": None}, "invalid_type", "previous_item_id"),
    (content({"type": "text", "text": "beta"}), "invalid_value", "item.content[0].type"),
    (content({"type": "input_text"}), "missing_required_parameter", "item.content[0].text"),
    (content({"type": "input_audio", "audio": "?"}), "invalid_value", "item.content[0].audio"),
    (content({"type": "input_text", "text": ""}, role="assistant"), "invalid_value", "item.content[0].type"),
    (content({"type": "output_audio", "audio": ""}, role="assistant"), "invalid_value", "item.content[0].type"),
    (
        {
            "type": "conversation.item.create",
            "item": {"type": "function_call_output", "call_id": "call_x", "output": ""},
        },
        "invalid_tool_call_id",
        "item.call_id",
    ),
    (
        {
            "type": "conversation.item.create",
            "item": {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
        },
        "invalid_value",
        "item.approval_request_id",
    ),
    ({"type": "conversation.item.retrieve", "item_id": "item_x"}, "item_retrieve_invalid_item_id", None),
    ({"type": "conversation.item.delete", "item_id": "item_x"}, "item_delete_invalid_item_id", None),
    (
        {"type": "conversation.item.truncate", "item_id": "item_x", "content_index": 0, "audio_end_ms": 0},
        "item_truncate_invalid_item_id",
        None,
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "taken", "content_index": 0, "audio_end_ms": 0},
        "unsupported_content_type",
        None,
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "taken", "content_index": 0, "audio_end_ms": -1},
        "invalid_value",
        "audio_end_ms",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "taken", "content_index": 0, "audio_end_ms": "1"},
        "invalid_type",
        "audio_end_ms",
    ),
    # responses
    (response(temperature=1), "unknown_parameter", "response.temperature"),
    (response(metadata={"k": 1}), "invalid_type", "response.metadata.k"),
    (response(metadata={"k" * 65: ""}), "invalid_value", "response.metadata"),
    (response(metadata={"k": "v" * 513}), "invalid_value", "response.metadata.k"),
    (response(metadata={str(n): "" for n in range(17)}), "invalid_value", "response.metadata"),
    (response(metadata=[]), "invalid_type", "response.metadata"),
    (response(input=[{"type": "item_reference"}]), "missing_required_parameter", "response.input[0].id"),
    (response(conversation=None), "invalid_type", "response.conversation"),
    ({"type": "response.create", "response": None}, "invalid_type", "response"),
    ({"type": "response.cancel", "response_id": 1}, "invalid_type", "response_id"),
]


@pytest.mark.parametrize(
    ("event", "code", "param"), REFUSALS, ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None
)
def test_the_error_names_the_event_the_code_and_the_parameter(
    drive: Any, event: dict[str, Any], code: str, param: str | None
) -> None:
    client = drive()
    client.say("Hi")
    client.send("conversation.item.create", item={**MESSAGE, "id": "taken"})
    session_before, items_before = json.dumps(client.connection.session), client.connection.items
    (error,) = client.send_raw(json.dumps({**event, "event_id": "event_of_mine"}))
    assert error["type"] == "error"
    details = error["error"]
    assert (details["code"], details["param"], details["event_id"]) == (code, param, "event_of_mine")
    assert details["type"] == "invalid_request_error"
    assert details["message"]
    assert error["event_id"].startswith("event_Sim")
    assert (json.dumps(client.connection.session), client.connection.items) == (session_before, items_before)
    assert client.wait(1) == []


@pytest.mark.parametrize(
    "message", ["", "{", "nonsense", "[" * 100_000, '{"type": NaN}', '{"type": 1e999}', b"\xff\xfe\xfa", "9" * 5000]
)
def test_what_is_no_json_is_refused(drive: Any, message: str | bytes) -> None:
    (error,) = drive().send_raw(message)
    assert (error["error"]["type"], error["error"]["event_id"]) == ("invalid_request_error", None)


@pytest.mark.parametrize(("message", "name"), [("[]", "array"), ("null", "null"), ("1", "integer"), ("1.5", "decimal")])
def test_an_event_is_an_object(drive: Any, message: str, name: str) -> None:
    (error,) = drive().send_raw(message)
    assert error["error"]["code"] == "invalid_type"
    assert name in error["error"]["message"]


def test_binary_messages_are_refused(drive: Any) -> None:
    (error,) = drive().send_raw(b'{"type": "response.create"}', binary=True)
    assert "Binary" in error["error"]["message"]


def test_an_event_id_that_is_no_string_is_not_repeated(drive: Any) -> None:
    (error,) = drive().send("response.cancel", event_id=5)
    assert (error["error"]["param"], error["error"]["event_id"]) == ("event_id", None)


def test_an_append_may_hold_15_mib_and_no_more(drive: Any) -> None:
    client = drive()
    client.configure(audio={"input": {"turn_detection": None}})
    limit = 15 * 1024 * 1024
    assert client.send(**audio_event(bytes(limit))) == []
    (error,) = client.send(**audio_event(bytes(limit + 2)))
    assert error["error"]["param"] == "audio"


def audio_event(data: bytes) -> dict[str, Any]:
    event = audio(data)
    return {"event_type": event["type"], "audio": event["audio"]}


def test_g711_may_have_an_odd_number_of_bytes(drive: Any) -> None:
    client = drive()
    client.configure(audio={"input": {"format": {"type": "audio/pcmu"}}})
    assert client.send(**audio_event(b"odd")) == []


def test_the_voice_is_fixed_once_it_was_heard(drive: Any) -> None:
    client = drive()
    client.configure(audio={"output": {"voice": "cedar"}})
    client.respond()
    update = {"type": "realtime", "audio": {"output": {"voice": "marin"}}}
    error = client.refused("session.update", session=update)
    assert (error["code"], error["param"]) == ("cannot_update_voice", None)
    client.configure(audio={"output": {"voice": "cedar"}})


def test_a_response_has_the_voice_that_was_heard(drive: Any) -> None:
    client = drive(Simulator([says("Long before it ends it is heard.")], pace=1))
    other = {"output": {"voice": "cedar"}}
    client.respond(conversation="none", audio=other)  # beside the conversation any voice may speak, at any time
    client.send("response.create")
    client.wait(0.1)
    client.configure(audio={"output": {"voice": "ash"}})
    client.wait(0.2)
    session = {"type": "realtime", "audio": other}
    assert client.refused("session.update", session=session)["code"] == "cannot_update_voice"
    client.wait(60)
    assert client.refused("response.create", response={"audio": other})["code"] == "cannot_update_voice"
    heard, of_the_session = ({"output": {"voice": voice}} for voice in ("marin", "ash"))
    for response in ({"audio": other, "conversation": "none"}, {"audio": heard}, {"audio": of_the_session}):
        assert client.respond(**response)[-2]["response"]["status"] == "completed"


def test_tracing_is_fixed_once_it_is_on(drive: Any) -> None:
    client = drive()
    client.configure(tracing="auto")
    client.configure(tracing="auto", instructions="Something else may change.")
    client.configure(instructions="Without naming it.")
    assert client.refused("session.update", session={"type": "realtime", "tracing": None})["param"] == "session.tracing"


def test_truncating_beyond_the_audio_is_refused(drive: Any) -> None:
    client = drive(Simulator([says("Some speech.", audio=1.0), calls("f")]))
    client.respond()
    spoken = client.connection.items[-1]["id"]
    error = client.refused("conversation.item.truncate", item_id=spoken, content_index=0, audio_end_ms=1001)
    assert "1000ms is already shorter than 1001ms" in error["message"]
    assert (error["code"], error["param"]) == ("invalid_value", "audio_end_ms")
    client.respond()
    call = client.connection.items[-1]["id"]
    for item_id, index in ((spoken, 1), (call, 0)):
        error = client.refused("conversation.item.truncate", item_id=item_id, content_index=index, audio_end_ms=0)
        assert error["message"] == "Only model output audio messages can be truncated"


def test_what_was_not_spoken_yet_cannot_be_truncated(drive: Any) -> None:
    client = drive(Simulator([says("Some speech.", audio=1.0)], pace=1))
    client.send("response.create")
    client.wait(0.1)
    (item,) = client.connection.items
    truncate = {"item_id": item["id"], "content_index": 0, "audio_end_ms": 0}
    assert client.refused("conversation.item.truncate", **truncate)["code"] == "unsupported_content_type"
    client.wait(0.2)
    for _ in range(2):
        (event,) = client.send("conversation.item.truncate", **truncate)
        assert event["type"] == "conversation.item.truncated"


@pytest.mark.parametrize(("command", "doing"), [("delete", "deleting"), ("retrieve", "retrieving")])
def test_an_item_that_is_not_there_is_named(drive: Any, command: str, doing: str) -> None:
    error = drive().refused(f"conversation.item.{command}", item_id="item_x")
    assert error["message"] == f"Error {doing} item: the item with id 'item_x' does not exist."


def test_a_transcription_session_makes_no_responses(drive: Any) -> None:
    client = drive(intent="transcription")
    assert client.refused("response.create")["code"] == "invalid_value"
    update = {"type": "realtime"}
    assert client.refused("session.update", session=update)["code"] == "invalid_parameter"


def test_shapes_say_what_they_expected(drive: Any) -> None:
    error = drive().refused(
        "session.update",
        session={
            "type": "realtime",
            "audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": None}}},
        },
    )
    expected = "Invalid type for 'session.audio.input.turn_detection.create_response': expected boolean, got null"
    assert error["message"].startswith(expected)
