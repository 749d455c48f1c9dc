"""What the protocol allows in each field: narrower than the structs' types, which take what a later server may say.

Theory of operation: `valid` makes instances of any struct. What the protocol says of a field is found by the struct and
the field's name in `_FIELDS`, or by the name alone in `_NAMED`, since names mean the same all over the wire. What
neither knows is whatever its type allows. Null is never drawn for a request's field that may not be null.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast, get_args

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET

from ...wire import items as wire_items, responses, server_events, session_config as config, translation
from ...wire.client_events import ConversationItemCreate, InputAudioBufferAppend
from ...wire.items import Item, ItemReference, Message, UnknownItem
from .any_values import build, json_objects, texts

_S = TypeVar("_S", bound=msgspec.Struct)
Strategy = st.SearchStrategy[Any]

# --- words and numbers -----------------------------------------------------------------------------------------------

ids: st.SearchStrategy[str] = st.text("abc012_-", min_size=1, max_size=8)
names: st.SearchStrategy[str] = st.text("abcXYZ012_-", min_size=1, max_size=8)
_tokens = st.integers(0, 128_000)
_milliseconds = st.integers(0, 3_600_000)
_efforts = st.sampled_from(["minimal", "low", "medium", "high", "xhigh"])
_statuses = st.sampled_from(["completed", "incomplete", "in_progress"])
_modalities = st.sampled_from(["audio", "text"]).map(lambda modality: [modality])
_max_tokens = st.integers(1, 4096) | st.just("inf")
_include = st.lists(st.just("item.input_audio_transcription.logprobs"), max_size=1)
_json_text = json_objects.map(lambda value: msgspec.json.encode(value).decode())
_image_urls = st.sampled_from(["data:image/png;base64,iVBORw0KGgo=", "data:image/jpeg;base64,/9j/"])
pcm: st.SearchStrategy[bytes] = st.binary(max_size=8).map(lambda audio: audio[: len(audio) // 2 * 2])

_NAMED: dict[str, Strategy] = {
    **dict.fromkeys(
        ["id", "event_id", "item_id", "response_id", "call_id", "previous_item_id", "approval_request_id"], ids
    ),
    **dict.fromkeys(["content_index", "output_index"], st.integers(0, 3)),
    **dict.fromkeys(["audio_start_ms", "audio_end_ms", "elapsed_ms"], _milliseconds),
    **dict.fromkeys(["expires_at", "received_at"], st.integers(0, 2**32)),
    **dict.fromkeys(["start", "end", "seconds", "reset_seconds"], st.floats(0, 3600)),
    **{
        f"{kind}_tokens": _tokens
        for kind in ("total", "input", "output", "text", "audio", "image", "cached", "reasoning")
    },
    "arguments": _json_text,
    "delay": _efforts,
    "effort": _efforts,
    "include": _include,
    "max_output_tokens": _max_tokens,
    "output_modalities": _modalities,
    "sample_rate": st.just(24_000),
    "channels": st.just(1),
}

# --- tools -----------------------------------------------------------------------------------------------------------

_property = st.sampled_from(["string", "number", "integer", "boolean"]).map(lambda kind: {"type": kind})
_schemas: Strategy = st.dictionaries(names, _property, max_size=2).map(
    lambda properties: {"type": "object", "properties": properties, "required": sorted(properties)}
)

_where: st.SearchStrategy[dict[str, str]] = st.one_of(
    texts.map(lambda path: {"server_url": f"https://mcp.example/{path}"}),
    st.sampled_from(["gmail", "dropbox", "sharepoint"]).map(lambda name: {"connector_id": f"connector_{name}"}),
    names.map(lambda name: {"tunnel_id": name}),
)


def _mcp_tools() -> st.SearchStrategy[config.McpTool]:
    """Exactly one of three fields says where the server is."""
    absent = {field.name: st.just(field.default) for field in msgspec.structs.fields(config.McpTool)}
    nowhere = {name: absent[name] for name in ("server_url", "connector_id", "tunnel_id")}
    rest = build(config.McpTool, {**_FIELDS[config.McpTool], **nowhere}, refine=valid)
    return st.tuples(rest, _where).map(lambda pair: msgspec.structs.replace(pair[0], **pair[1]))


def _tool_name(tool: config.Tool) -> tuple[str, str]:
    return ("function", tool.name) if isinstance(tool, config.FunctionTool) else ("mcp", tool.server_label)


def _with_own_choice(given: _S) -> _S:
    """Let the choice of a function or a server be one of the tools that are there."""
    settings = cast("Any", given)  # a session or a response
    if not isinstance(settings.tool_choice, config.ToolChoiceFunction | config.ToolChoiceMcp):
        return given
    chosen: config.ToolChoice = "auto"
    for tool in settings.tools or ():
        if isinstance(tool, config.FunctionTool):
            chosen = config.ToolChoiceFunction(name=tool.name)
        else:
            chosen = config.ToolChoiceMcp(server_label=tool.server_label)
    return msgspec.structs.replace(given, tool_choice=chosen)


# --- items -----------------------------------------------------------------------------------------------------------

_ITEM = {"status": _statuses, "object": st.just("realtime.item")}
ITEM_KINDS: tuple[type[msgspec.Struct], ...] = tuple(
    kind for kind in get_args(Item) if kind not in {ItemReference, UnknownItem}
)
"""The kinds of items that stand in a conversation."""

PART_KINDS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "system": (wire_items.InputText,),
    "user": (wire_items.InputText, wire_items.InputAudio, wire_items.InputImage),
    "assistant": (wire_items.OutputText, wire_items.OutputAudio),
}
"""The content parts that a message of each role is made of."""


def messages(role: str) -> st.SearchStrategy[Message]:
    """Messages of a role, as a server states them."""
    return _messages(role, st.one_of([valid(kind) for kind in PART_KINDS[role]]))


def _messages(role: str, parts: Strategy) -> st.SearchStrategy[Message]:
    phases = st.sampled_from(["commentary", "final_answer"]) if role == "assistant" else st.none()
    fields = {**_ITEM, "id": ids, "role": st.just(role), "content": st.lists(parts, max_size=2), "phase": phases}
    return build(Message, fields)


def creatable_messages(role: str) -> st.SearchStrategy[Message]:
    """Messages of a role that a client may create: it says what is in them, and no audio of the assistant's."""
    spoken = build(wire_items.InputAudio, {"audio": pcm}, always={"audio"})
    kinds = [kind for kind in PART_KINDS[role] if kind is not wire_items.OutputAudio]
    parts = st.one_of([spoken if kind is wire_items.InputAudio else valid(kind) for kind in kinds])
    return _messages(role, parts)


CREATABLE_KINDS: tuple[type[msgspec.Struct], ...] = (
    Message,
    wire_items.FunctionCall,
    wire_items.FunctionCallOutput,
    wire_items.McpApprovalResponse,
)
"""The kinds of items that a client may create."""


def creatable_items() -> Strategy:
    """Any item that a client may create."""
    others = [valid(kind) for kind in CREATABLE_KINDS if kind is not Message]
    return st.one_of([*map(creatable_messages, PART_KINDS), *others])


# --- the structs -----------------------------------------------------------------------------------------------------

_TOOLS = {
    "tools": st.deferred(
        lambda: st.lists(valid(config.FunctionTool) | valid(config.McpTool), max_size=2, unique_by=_tool_name)
    ),
    "tool_choice": st.deferred(
        lambda: st.one_of(
            st.sampled_from(["auto", "none", "required"]),
            valid(config.ToolChoiceFunction),
            valid(config.ToolChoiceMcp),
        )
    ),
    "prompt": st.none() | st.deferred(lambda: valid(config.Prompt)),
}
_SESSION = {
    **_TOOLS,
    "tracing": st.none() | st.just("auto") | st.deferred(lambda: valid(config.TracingConfig)),
    "truncation": st.sampled_from(["auto", "disabled"]) | st.deferred(lambda: valid(config.RetentionRatioTruncation)),
}
_VOICES = st.sampled_from(["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"])
_PARTS: Strategy = st.deferred(lambda: valid(server_events.PartText) | valid(server_events.PartAudio))
_SERVER_ITEMS: Strategy = st.deferred(lambda: st.one_of([valid(kind) for kind in ITEM_KINDS]))
_OUTPUTS: Strategy = st.deferred(
    lambda: st.lists(messages("assistant") | valid(wire_items.FunctionCall) | valid(wire_items.McpCall), max_size=2)
)

_FIELDS: dict[type[msgspec.Struct], Mapping[str, Strategy]] = {
    # items
    wire_items.FunctionCall: {**_ITEM, "name": names},
    wire_items.FunctionCallOutput: _ITEM,
    wire_items.InputImage: {"image_url": _image_urls, "detail": st.sampled_from(["auto", "low", "high"])},
    wire_items.InputAudio: {"audio": pcm},
    wire_items.OutputAudio: {"audio": pcm},
    wire_items.McpToolInfo: {"input_schema": _schemas, "annotations": json_objects},
    # sessions
    config.AudioPCM: {"rate": st.just(24_000)},
    config.NoiseReduction: {"type": st.sampled_from(["near_field", "far_field"]), "strength": st.floats(0, 1)},
    config.Transcription: {
        "model": st.sampled_from(["gpt-realtime-whisper", "gpt-transcribe", "gpt-4o-transcribe", "whisper-1"]),
        "language": st.sampled_from(["en", "fr", "ja"]),
        "languages": st.lists(st.sampled_from(["en", "fr", "ja"]), max_size=2, unique=True),
        "delay": _efforts,
    },
    config.ServerVad: {
        "threshold": st.floats(0, 1),
        "prefix_padding_ms": st.integers(0, 60_000),
        "silence_duration_ms": st.integers(0, 60_000),
        "idle_timeout_ms": st.none() | st.integers(5_000, 30_000),
    },
    config.SemanticVad: {"eagerness": st.sampled_from(["low", "medium", "high", "auto"])},
    config.FunctionTool: {"name": names, "parameters": _schemas},
    config.McpTool: {
        "server_label": names,
        "headers": st.none() | st.dictionaries(names, texts, max_size=2),
        "allowed_tools": st.none() | st.lists(names, max_size=2) | st.deferred(lambda: valid(config.McpToolFilter)),
        "require_approval": st.sampled_from([None, "always", "never"])
        | st.deferred(lambda: valid(config.McpApprovalFilter)),
        "allowed_callers": st.none() | st.lists(st.sampled_from(["direct", "programmatic"]), max_size=2),
    },
    config.ToolChoiceFunction: {"name": names},
    config.TracingConfig: {"metadata": json_objects},
    config.TokenLimits: {"post_instructions": _tokens},
    config.Prompt: {
        "variables": st.dictionaries(
            names, texts | texts.map(lambda text: {"type": "input_text", "text": text}), max_size=2
        )
    },
    config.AudioOutputConfig: {
        "voice": _VOICES | st.deferred(lambda: valid(config.Voice)),
        "speed": st.floats(0.25, 1.5),
    },
    config.AudioOutputInfo: {"voice": _VOICES, "speed": st.floats(0.25, 1.5)},
    config.SessionConfig: {**_SESSION, "model": st.just(UNSET)},
    config.SessionInfo: {**_SESSION, "object": st.just("realtime.session")},
    config.TranscriptionSessionInfo: {"object": st.just("realtime.transcription_session")},
    translation.TranslationOutputConfig: {"language": st.sampled_from(["de", "en", "fr", "ja"])},
    translation.TranslationSessionInfo: {"type": st.just("translation")},
    # responses
    responses.ResponseAudioOutputParams: {"voice": _VOICES | st.deferred(lambda: valid(config.Voice))},
    responses.ResponseAudioOutput: {"voice": _VOICES},
    responses.ResponseParams: {
        **_TOOLS,
        "conversation": st.sampled_from(["auto", "none"]),
        "input": st.deferred(lambda: st.lists(creatable_items() | valid(ItemReference), max_size=2)),
    },
    responses.Response: {
        "object": st.just("realtime.response"),
        "status": _statuses | st.sampled_from(["failed", "cancelled"]),
        "output": _OUTPUTS,
    },
    responses.StatusDetails: {
        "type": st.sampled_from(["cancelled", "incomplete", "failed"]),
        "reason": st.sampled_from(["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"]),
    },
    responses.LogProb: {"bytes": st.lists(st.integers(0, 255), max_size=3), "logprob": st.floats(-100, 0)},
    # events
    InputAudioBufferAppend: {"audio": pcm},
    ConversationItemCreate: {"item": st.deferred(creatable_items)},
    server_events.RateLimit: {
        "name": st.sampled_from(["requests", "tokens"]),
        "limit": st.integers(0, 2**31),
        "remaining": st.integers(0, 2**31),
    },
    server_events.ConversationInfo: {"object": st.just("realtime.conversation")},
    server_events.InputAudioBufferDtmfEventReceived: {"event": st.sampled_from("0123456789*#ABCD")},
    server_events.ResponseContentPartAdded: {"part": _PARTS},
    server_events.ResponseContentPartDone: {"part": _PARTS},
    server_events.ResponseOutputAudioDelta: {"delta": pcm},
    translation.SessionInputAudioBufferAppend: {"audio": pcm},
    translation.SessionOutputAudioDelta: {"delta": pcm, "format": st.just("pcm16")},
}

_ALWAYS: dict[type[msgspec.Struct], set[str]] = {
    # Optional in the structs, because compatible servers leave them out.
    wire_items.InputText: {"text"},
    wire_items.InputImage: {"image_url"},
    wire_items.OutputText: {"text"},
    wire_items.McpCall: {"id"},
    wire_items.McpApprovalRequest: {"id"},
    wire_items.McpApprovalResponse: {"id"},
    wire_items.McpToolInfo: {"input_schema"},
    config.NoiseReduction: {"type"},
    config.Transcription: {"model"},
    server_events.ErrorDetails: {"type", "message"},
    responses.LogProb: {"bytes"},
    responses.TranscriptTokenUsage: {"input_tokens", "output_tokens", "total_tokens"},
    translation.TranslationSessionInfo: {"id", "type", "model", "expires_at", "audio"},
}

_MAY_BE_MISSING = {
    "channels",
    "elapsed_ms",
    "format",
    "languages",
    "logprobs",
    "obfuscation",
    "previous_item_id",
    "sample_rate",
}
"""Fields of events that a server leaves out or states as null; it states all others."""


@cache
def _valid(kind: type[msgspec.Struct]) -> Strategy:
    if kind is Message:
        return st.one_of([messages(role) for role in PART_KINDS])
    if kind is config.McpTool:
        return _mcp_tools()
    fields = {name: _NAMED[name] for name in kind.__struct_fields__ if name in _NAMED} | dict(_FIELDS.get(kind, {}))
    always = _ALWAYS.get(kind, set[str]())
    if issubclass(kind, server_events.ServerEventStruct):
        always |= set(kind.__struct_fields__) - _MAY_BE_MISSING
        if "item" in kind.__struct_fields__:
            fields["item"] = _SERVER_ITEMS
    made = build(kind, fields, always=always, refine=valid)
    return made.map(_with_own_choice) if "tool_choice" in kind.__struct_fields__ else made


def valid(kind: type[_S]) -> st.SearchStrategy[_S]:
    """Instances of a struct that the protocol allows."""
    return cast("st.SearchStrategy[_S]", _valid(kind))
