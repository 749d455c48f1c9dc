"""The traps of the protocol, each under its own name."""

import json
from typing import Any

import msgspec
import pytest

from tests.wire.unions import SERVER_EVENTS, tag_of
from trio_realtime.errors import ConfigError
from trio_realtime.wire.client_events import ConversationItemCreate, ResponseCreate, SessionUpdate
from trio_realtime.wire.codec import Codec, decode_client_event, encode_server_event
from trio_realtime.wire.items import FunctionCall, FunctionCallOutput, InputText, Message, OutputText, UnknownItem
from trio_realtime.wire.responses import ResponseParams, TranscriptDurationUsage
from trio_realtime.wire.server_events import ErrorDetails, ProtocolIssue, UnknownEvent
from trio_realtime.wire.session_config import (
    AudioConfig,
    AudioInputConfig,
    AudioPCM,
    AudioPCMU,
    McpApprovalFilter,
    McpTool,
    McpToolFilter,
    RetentionRatioTruncation,
    SemanticVad,
    ServerVad,
    SessionConfig,
    SessionInfo,
    ToolChoiceFunction,
    ToolChoiceMcp,
    TracingConfig,
    TranscriptionSessionConfig,
    TranscriptionSessionInfo,
    Voice,
)


def received(raw: dict[str, Any]) -> Any:
    event = Codec().decode(json.dumps(raw).encode())
    assert not isinstance(event, ProtocolIssue | UnknownEvent), event
    assert Codec().decode(encode_server_event(event)) == event
    return event


def sent(event: Any) -> Any:
    encoded = Codec().encode(event)
    assert decode_client_event(encoded) == event
    return json.loads(encoded)


# --- 2, 3: what is sent ------------------------------------------------------------------------------------------


def test_trap_2_a_session_update_always_has_its_type() -> None:
    assert sent(SessionUpdate(session=SessionConfig())) == {"type": "session.update", "session": {"type": "realtime"}}
    assert sent(SessionUpdate(session=TranscriptionSessionConfig()))["session"] == {"type": "transcription"}


def test_trap_3_absent_null_and_empty_are_three_things() -> None:
    assert sent(SessionUpdate(session=SessionConfig(instructions="", tools=[])))["session"] == {
        "type": "realtime",
        "instructions": "",
        "tools": [],
    }
    off = AudioInputConfig(noise_reduction=None, transcription=None, turn_detection=None)
    assert sent(SessionUpdate(session=SessionConfig(audio=AudioConfig(input=off), prompt=None, tracing=None))) == {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "audio": {"input": {"noise_reduction": None, "transcription": None, "turn_detection": None}},
            "prompt": None,
            "tracing": None,
        },
    }
    assert sent(ResponseCreate(response=ResponseParams(input=[], metadata=None, prompt=None)))["response"] == {
        "input": [],
        "metadata": None,
        "prompt": None,
    }
    assert sent(ResponseCreate()) == {"type": "response.create"}


NULLABLE_IN_TURN_DETECTION = "idle_timeout_ms"


def test_trap_3_null_is_sent_only_where_it_is_legal() -> None:
    everything_none = ServerVad(
        threshold=None, prefix_padding_ms=None, silence_duration_ms=None, idle_timeout_ms=None, create_response=None
    )
    config = SessionConfig(audio=AudioConfig(input=AudioInputConfig(turn_detection=everything_none)))
    detection = sent(SessionUpdate(session=config))["session"]["audio"]["input"]["turn_detection"]
    assert detection == {"type": "server_vad", NULLABLE_IN_TURN_DETECTION: None}
    tool = McpTool(server_label="a", headers=None, allowed_tools=None, require_approval=None, allowed_callers=None)
    assert sent(SessionUpdate(session=SessionConfig(tools=[tool])))["session"]["tools"] == [
        {
            "type": "mcp",
            "server_label": "a",
            "headers": None,
            "allowed_tools": None,
            "require_approval": None,
            "allowed_callers": None,
        }
    ]
    for field in ("model", "instructions", "output_modalities", "max_output_tokens", "audio", "tools", "tool_choice"):
        with pytest.raises(ConfigError):
            Codec().encode(SessionUpdate(session=msgspec.structs.replace(SessionConfig(), **{field: None})))
    item = Message(role="user", content=[InputText(text=None)], id=None, status=None)
    assert sent(ConversationItemCreate(item=item))["item"] == {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text"}],
    }


# --- 4 to 7: what is received ------------------------------------------------------------------------------------


def test_trap_4_what_no_published_type_has_is_kept() -> None:
    item = {"type": "message", "role": "assistant", "phase": "final_answer"}
    assert received({"type": "conversation.item.added", "item": item}).item.phase == "final_answer"
    for tag in (
        "response.output_text.delta",
        "response.output_audio_transcript.delta",
        "response.function_call_arguments.delta",
        "response.mcp_call_arguments.delta",
        "conversation.item.input_audio_transcription.delta",
    ):
        assert received({"type": tag, "item_id": "a", "delta": "b", "obfuscation": "xyz"}).obfuscation == "xyz"
    details = {"reasoning_tokens": 7}
    done = received({"type": "response.done", "response": {"usage": {"output_token_details": details}}})
    assert done.response.usage.output_token_details.reasoning_tokens == 7
    session = {"type": "realtime", "id": "sess_1", "object": "realtime.session", "expires_at": 1785217648}
    info = received({"type": "session.created", "session": session}).session
    assert (info.id, info.object, info.expires_at) == ("sess_1", "realtime.session", 1785217648)


def test_trap_5_nulls_that_were_seen_are_none() -> None:
    done = received(
        {
            "type": "response.done",
            "response": {"status_details": None, "usage": None, "metadata": None, "conversation_id": None},
        }
    )
    assert done.response.usage is done.response.status_details is done.response.metadata is None
    added = received(
        {
            "type": "conversation.item.added",
            "previous_item_id": None,
            "item": {"type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]},
        }
    )
    assert added.previous_item_id is added.item.content[0].transcript is None
    session = received(
        {
            "type": "session.updated",
            "session": {
                "type": "realtime",
                "tracing": None,
                "prompt": None,
                "include": None,
                "audio": {
                    "input": {
                        "transcription": {"model": "whisper-1", "language": None, "prompt": None},
                        "noise_reduction": None,
                        "turn_detection": {"type": "server_vad", "idle_timeout_ms": None},
                    }
                },
            },
        }
    ).session
    assert session.audio.input.turn_detection == ServerVad(idle_timeout_ms=None)
    assert session.audio.input.transcription.model == "whisper-1"


def test_trap_5_what_the_server_does_not_know_of_an_mcp_tool_is_null_and_not_sent_back() -> None:
    unsaid = dict.fromkeys(["connector_id", "tunnel_id", "server_description", "authorization", "defer_loading"])
    raw = {"type": "mcp", "server_label": "s", "server_url": "https://mcp.example"}
    event = received({"type": "session.updated", "session": {"type": "realtime", "tools": [{**raw, **unsaid}]}})
    assert event.session.tools == [McpTool(server_label="s", server_url="https://mcp.example")]
    assert sent(SessionUpdate(session=SessionConfig(tools=event.session.tools)))["session"]["tools"] == [raw]


LEAST: dict[Any, Any] = {str: "x", int: 1, bytes: "AAAA", ErrorDetails: {"message": "no"}}


@pytest.mark.parametrize("struct", SERVER_EVENTS)
def test_trap_5_null_in_an_optional_field_is_as_if_it_was_not_there(struct: type[msgspec.Struct]) -> None:
    fields = msgspec.structs.fields(struct)
    required = {field.name: LEAST.get(field.type, {"type": "new"}) for field in fields if field.required}
    nulls = {field.name: None for field in fields if field.default is None}
    assert nulls
    raw = {"type": tag_of(struct), **required}
    event = received({**raw, **nulls})
    assert type(event) is struct
    assert event == received(raw)


def test_trap_6_identifiers_that_are_not_there_are_not_needed() -> None:
    for tag in ("response.mcp_call.in_progress", "response.mcp_call.completed", "response.mcp_call.failed"):
        assert received({"type": tag, "item_id": "a", "output_index": 1}).item_id == "a"
    item = {"type": "function_call_output", "call_id": "call_1", "output": "{}"}
    assert received({"type": "conversation.item.added", "item": item}).item == FunctionCallOutput(
        call_id="call_1", output="{}"
    )
    call = {"type": "function_call", "name": "f", "arguments": ""}
    assert received({"type": "conversation.item.added", "item": call}).item == FunctionCall(name="f", arguments="")
    dtmf = received({"type": "input_audio_buffer.dtmf_event_received", "event": "#", "received_at": 1})
    assert dtmf.event_id is None


@pytest.mark.parametrize("role", ["system", "user", "assistant", "developer"])
def test_trap_7_messages_differ_by_role(role: str) -> None:
    event = received({"type": "conversation.item.added", "item": {"type": "message", "role": role, "content": []}})
    assert event.item == Message(role=role, content=[])


@pytest.mark.parametrize(
    ("field", "raw", "expected"),
    [
        ("max_output_tokens", 4096, 4096),
        ("max_output_tokens", "inf", "inf"),
        ("tool_choice", "auto", "auto"),
        ("tool_choice", {"type": "function", "name": "f"}, ToolChoiceFunction(name="f")),
        ("tool_choice", {"type": "mcp", "server_label": "s"}, ToolChoiceMcp(server_label="s")),
        ("tracing", "auto", "auto"),
        ("tracing", {"workflow_name": "w"}, TracingConfig(workflow_name="w")),
        ("truncation", "disabled", "disabled"),
        (
            "truncation",
            {"type": "retention_ratio", "retention_ratio": 1},
            RetentionRatioTruncation(retention_ratio=1.0),
        ),
    ],
)
def test_trap_7_unions_that_no_tag_tells_apart(field: str, raw: Any, expected: Any) -> None:
    event = received({"type": "session.created", "session": {"type": "realtime", field: raw}})
    assert getattr(event.session, field) == expected
    assert sent(SessionUpdate(session=SessionConfig(**{field: expected})))["session"][field] == raw


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"allowed_tools": ["a"]}, McpTool(server_label="s", allowed_tools=["a"])),
        (
            {"allowed_tools": {"read_only": True}},
            McpTool(server_label="s", allowed_tools=McpToolFilter(read_only=True)),
        ),
        ({"require_approval": "never"}, McpTool(server_label="s", require_approval="never")),
        (
            {"require_approval": {"always": {"tool_names": ["a"]}}},
            McpTool(server_label="s", require_approval=McpApprovalFilter(always=McpToolFilter(tool_names=["a"]))),
        ),
    ],
)
def test_trap_7_mcp_tools_mix_strings_lists_and_objects(fields: dict[str, Any], expected: McpTool) -> None:
    raw = {"type": "mcp", "server_label": "s", **fields}
    event = received({"type": "session.created", "session": {"type": "realtime", "tools": [raw]}})
    assert event.session.tools == [expected]
    assert sent(SessionUpdate(session=SessionConfig(tools=[expected])))["session"]["tools"] == [raw]


@pytest.mark.parametrize(("raw", "expected"), [("marin", "marin"), ({"id": "voice_1"}, Voice(id="voice_1"))])
def test_trap_7_a_voice_is_a_name_or_an_object(raw: Any, expected: Any) -> None:
    session = {"type": "realtime", "audio": {"output": {"voice": raw}}}
    assert received({"type": "session.created", "session": session}).session.audio.output.voice == expected


def test_trap_7_whole_numbers_stand_for_floats() -> None:
    event = received(
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": "a",
            "content_index": 0,
            "transcript": "b",
            "usage": {"type": "duration", "seconds": 3},
        }
    )
    assert event.usage == TranscriptDurationUsage(seconds=3.0)
    assert type(event.usage.seconds) is float
    limits = received({"type": "rate_limits.updated", "rate_limits": [{"name": "tokens", "reset_seconds": 0}]})
    assert limits.rate_limits[0].reset_seconds == 0.0
    session = {"type": "realtime", "audio": {"output": {"speed": 1}}}
    assert received({"type": "session.created", "session": session}).session.audio.output.speed == 1.0


@pytest.mark.parametrize("detection", [{"type": "server_vad"}, {"type": "semantic_vad", "eagerness": "low"}, None])
def test_trap_7_turn_detection_is_told_apart_by_its_type(detection: Any) -> None:
    session = {"type": "transcription", "audio": {"input": {"turn_detection": detection}}}
    info = received({"type": "session.created", "session": session}).session
    assert isinstance(info, TranscriptionSessionInfo)
    assert info.audio is not None
    assert info.audio.input is not None
    expected = {"server_vad": ServerVad(), "semantic_vad": SemanticVad(eagerness="low")}
    assert info.audio.input.turn_detection == (detection and expected[detection["type"]])


def test_trap_8_an_error_has_the_servers_id_outside_and_the_clients_inside() -> None:
    event = received(
        {"type": "error", "event_id": "event_server", "error": {"message": "no", "event_id": "event_client"}}
    )
    assert (event.event_id, event.error.event_id) == ("event_server", "event_client")
    assert received({"type": "error", "error": {"message": "no", "event_id": None}}).error.event_id is None


# --- 11 to 13 ----------------------------------------------------------------------------------------------------


def test_trap_11_halves_of_a_character_join_and_can_be_encoded() -> None:
    codec = Codec()
    tag = b'{"type":"response.output_audio_transcript.delta","item_id":"a","content_index":0,"delta":"%s"}'
    whole = "".join(
        codec.decode(tag % piece).delta  # type: ignore[union-attr, misc]
        for piece in (rb"hi \ud83d", rb"\ude00 \ud83d", rb"\ude00", rb"!")
    )
    assert whole == "hi \U0001f600 \U0001f600!"


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "conversation.item.created", "item": {"type": "message", "role": "user", "content": []}},
        {"type": "conversation.created", "conversation": {"id": "conv_1"}},
        {"type": "response.function_call_arguments.done", "item_id": "a", "arguments": "{}"},
        {"type": "input_audio_buffer.committed"},
        {"type": "response.content_part.added", "item_id": "a"},
        {"type": "conversation.item.input_audio_transcription.completed", "item_id": "a", "transcript": "b"},
        {"type": "response.created"},
        {"type": "session.created"},
        {"type": "session.created", "session": {"object": "realtime.session", "voice": "x", "modalities": ["text"]}},
        {"type": "rate_limits.updated"},
    ],
)
def test_trap_12_what_compatible_servers_leave_out_is_not_missed(raw: dict[str, Any]) -> None:
    assert type(received(raw)).__struct_config__.tag == raw["type"]


def test_trap_12_a_part_may_be_spelled_as_in_an_item() -> None:
    part = {"type": "output_text", "text": "a"}
    assert received({"type": "response.content_part.done", "item_id": "a", "part": part}).part == OutputText(text="a")


def test_trap_12_a_session_without_a_type_is_a_realtime_session() -> None:
    assert isinstance(received({"type": "session.updated", "session": {"id": "a"}}).session, SessionInfo)


def test_trap_12_a_format_without_a_type_is_pcm16() -> None:
    session = {
        "type": "realtime",
        "audio": {"input": {"format": {"rate": 24000}}, "output": {"format": {"type": "audio/pcmu"}}},
    }
    info = received({"type": "session.updated", "session": session}).session
    assert (info.audio.input.format, info.audio.output.format) == (AudioPCM(), AudioPCMU())


def test_trap_12_an_invented_event_is_a_value() -> None:
    event = Codec().decode(b'{"type":"input_audio_buffer.progress","event_id":"e","x":1}')
    assert event == UnknownEvent(
        type="input_audio_buffer.progress",
        event_id="e",
        raw={"type": "input_audio_buffer.progress", "event_id": "e", "x": 1},
    )


def test_trap_13_an_unknown_tag_a_bad_field_and_bad_bytes_are_told_apart() -> None:
    codec = Codec()
    assert isinstance(codec.decode(b'{"type":"response.new"}'), UnknownEvent)
    bad_field = codec.decode(b'{"type":"response.done","response":5}')
    assert isinstance(bad_field, ProtocolIssue)
    assert bad_field.event_type == "response.done"
    bad_bytes = codec.decode(b'{"type":"response.\xff"}')
    assert isinstance(bad_bytes, ProtocolIssue)
    assert bad_bytes.event_type is None


def test_trap_13_bad_base64_costs_the_audio_and_not_the_event() -> None:
    part = {"type": "output_audio", "audio": "not base64!", "transcript": "a"}
    issue = Codec().decode(json.dumps({"type": "response.content_part.done", "item_id": "a", "part": part}).encode())
    assert isinstance(issue, ProtocolIssue)
    assert issue.event is not None
    assert issue.event.part.transcript == "a"
    assert issue.event.part.audio is None
    delta = Codec().decode(b'{"type":"response.output_audio.delta","item_id":"a","delta":"not base64!"}')
    assert isinstance(delta, ProtocolIssue)
    assert delta.event is None


def test_trap_13_an_explicit_null_is_not_an_unknown_item() -> None:
    event = Codec().decode(b'{"type":"conversation.item.added","item":{"type":"message","role":"user","status":null}}')
    assert not isinstance(event.item, UnknownItem)  # type: ignore[union-attr]
