"""What the simulated server accepts: the shape of each client event, written from the protocol alone."""

from __future__ import annotations

from .json_shape import (
    Shape,
    any_json,
    array,
    boolean,
    by_type,
    decimal,
    integer,
    mapping,
    nullable,
    record,
    string,
    tagged,
)

MAX_APPEND_BYTES = 15 * 1024 * 1024

_ID = string(max_length=512)
_NEW_ID = string(max_length=32)
_TEXT = string()
_EFFORT = string(choices=("minimal", "low", "medium", "high", "xhigh"))

# --- audio and turns -------------------------------------------------------------------------------------------------

_FORMAT = tagged(
    {
        "audio/pcm": record({"type": any_json, "rate": integer(24000, 24000)}),
        "audio/pcmu": record({"type": any_json}),
        "audio/pcma": record({"type": any_json}),
    }
)
_TURN_DETECTION = tagged(
    {
        "server_vad": record(
            {
                "type": any_json,
                "threshold": decimal(0, 1),
                "prefix_padding_ms": integer(0, 60_000),
                "silence_duration_ms": integer(0, 60_000),
                "idle_timeout_ms": nullable(integer(5_000, 30_000)),
                "create_response": boolean,
                "interrupt_response": boolean,
            }
        ),
        "semantic_vad": record(
            {
                "type": any_json,
                "eagerness": string(choices=("low", "medium", "high", "auto")),
                "create_response": boolean,
                "interrupt_response": boolean,
            }
        ),
    }
)
_AUDIO_INPUT = record(
    {
        "format": _FORMAT,
        "noise_reduction": nullable(
            record({"type": string(choices=("near_field", "far_field")), "strength": decimal(0, 1)})
        ),
        "transcription": nullable(
            record(
                {
                    "model": _TEXT,
                    "language": _TEXT,
                    "prompt": _TEXT,
                    "languages": array(_TEXT),
                    "keywords": array(_TEXT),
                    "delay": _EFFORT,
                }
            )
        ),
        "turn_detection": nullable(_TURN_DETECTION),
    }
)
_VOICE = by_type({"string": _TEXT, "object": record({"id": _TEXT}, required=["id"])})
_AUDIO = record(
    {"input": _AUDIO_INPUT, "output": record({"format": _FORMAT, "voice": _VOICE, "speed": decimal(0.25, 1.5)})}
)

# --- tools -----------------------------------------------------------------------------------------------------------

_MCP_FILTER = record({"read_only": boolean, "tool_names": array(_TEXT)})
_TOOL = tagged(
    {
        "function": record(
            {"type": any_json, "name": string(max_length=64), "description": _TEXT, "parameters": any_json},
            required=["name"],
        ),
        "mcp": record(
            {
                "type": any_json,
                "server_label": _TEXT,
                "server_url": _TEXT,
                "connector_id": _TEXT,
                "tunnel_id": _TEXT,
                "server_description": _TEXT,
                "authorization": _TEXT,
                "headers": nullable(mapping(_TEXT)),
                "allowed_tools": nullable(by_type({"array": array(_TEXT), "object": _MCP_FILTER})),
                "require_approval": nullable(
                    by_type(
                        {
                            "string": string(choices=("always", "never")),
                            "object": record({"always": _MCP_FILTER, "never": _MCP_FILTER}),
                        }
                    )
                ),
                "defer_loading": boolean,
                "allowed_callers": nullable(array(string(choices=("direct", "programmatic")))),
            },
            required=["server_label"],
            one_of=["server_url", "connector_id", "tunnel_id"],
        ),
    }
)
_TOOL_CHOICE = by_type(
    {
        "string": string(choices=("none", "auto", "required")),
        "object": tagged(
            {
                "function": record({"type": any_json, "name": _TEXT}, required=["name"]),
                "mcp": record({"type": any_json, "server_label": _TEXT, "name": _TEXT}, required=["server_label"]),
            }
        ),
    }
)

# --- items -----------------------------------------------------------------------------------------------------------

_INPUT_TEXT = record({"type": any_json, "text": _TEXT}, required=["text"])
_INPUT_IMAGE = record(
    {"type": any_json, "image_url": _TEXT, "detail": string(choices=("auto", "low", "high"))}, required=["image_url"]
)
_SHARED: dict[str, Shape] = {
    "type": any_json,
    "id": _NEW_ID,
    "object": string(choices=("realtime.item",)),
    "status": string(choices=("completed", "incomplete", "in_progress")),
}


def _message(parts: dict[str, Shape]) -> Shape:
    fields: dict[str, Shape] = {**_SHARED, "role": any_json, "content": array(tagged(parts)), "phase": _TEXT}
    return record(fields, required=["content"])


_MESSAGE = tagged(
    {
        "system": _message({"input_text": _INPUT_TEXT}),
        "user": _message(
            {
                "input_text": _INPUT_TEXT,
                "input_audio": record(
                    {"type": any_json, "audio": _TEXT, "transcript": nullable(_TEXT)}, required=["audio"]
                ),
                "input_image": _INPUT_IMAGE,
            }
        ),
        # Assistant audio cannot be seeded: `output_audio` is a part that only the server makes.
        "assistant": _message({"output_text": _INPUT_TEXT}),
    },
    tag="role",
)
_MCP_CALL: dict[str, Shape] = {
    "type": any_json,
    "id": _NEW_ID,
    "server_label": _TEXT,
    "name": _TEXT,
    "arguments": _TEXT,
}
_MCP_FAILURE: dict[str, Shape] = {"type": any_json, "message": _TEXT}
_MCP_CODED_FAILURE = record({**_MCP_FAILURE, "code": integer()}, required=["code", "message"])
_MCP_ERROR = tagged(
    {
        "protocol_error": _MCP_CODED_FAILURE,
        "tool_execution_error": record(_MCP_FAILURE, required=["message"]),
        "http_error": _MCP_CODED_FAILURE,
    }
)
_ITEMS: dict[str, Shape] = {
    "message": _MESSAGE,
    "function_call": record(
        {**_SHARED, "name": _TEXT, "arguments": _TEXT, "call_id": _NEW_ID}, required=["name", "arguments"]
    ),
    "function_call_output": record({**_SHARED, "call_id": _NEW_ID, "output": _TEXT}, required=["call_id", "output"]),
    "mcp_list_tools": record(
        {
            "type": any_json,
            "id": _NEW_ID,
            "server_label": _TEXT,
            "tools": array(
                record(
                    {
                        "name": _TEXT,
                        "input_schema": any_json,
                        "description": nullable(_TEXT),
                        "annotations": any_json,
                    },
                    required=["name", "input_schema"],
                )
            ),
        },
        required=["server_label", "tools"],
    ),
    "mcp_call": record(
        {**_MCP_CALL, "output": nullable(_TEXT), "approval_request_id": nullable(_TEXT), "error": nullable(_MCP_ERROR)},
        required=["id", "server_label", "name", "arguments"],
    ),
    "mcp_approval_request": record(_MCP_CALL, required=["id", "server_label", "name", "arguments"]),
    # The official JavaScript client leaves out the id that the types demand.
    "mcp_approval_response": record(
        {"type": any_json, "id": _NEW_ID, "approval_request_id": _TEXT, "approve": boolean, "reason": nullable(_TEXT)},
        required=["approval_request_id", "approve"],
    ),
}
_ITEM = tagged(_ITEMS)
_CONTEXT_ITEM = tagged({**_ITEMS, "item_reference": record({"type": any_json, "id": _ID}, required=["id"])})

# --- sessions and responses ------------------------------------------------------------------------------------------

_PROMPT = nullable(
    record(
        {
            "id": _TEXT,
            "version": _TEXT,
            "variables": mapping(
                by_type(
                    {
                        "string": _TEXT,
                        "object": tagged(
                            {
                                "input_text": _INPUT_TEXT,
                                "input_image": _INPUT_IMAGE,
                                "input_file": record(
                                    {
                                        "type": any_json,
                                        "file_id": _TEXT,
                                        "file_url": _TEXT,
                                        "filename": _TEXT,
                                        "file_data": _TEXT,
                                    }
                                ),
                            }
                        ),
                    }
                )
            ),
        },
        required=["id"],
    )
)
_MAX_OUTPUT_TOKENS = by_type({"integer": integer(1, 32_768), "string": string(choices=("inf",))})


_REASONING = record({"effort": _EFFORT})
_INCLUDE = array(string(choices=("item.input_audio_transcription.logprobs",)))
_TRUNCATION = by_type(
    {
        "string": string(choices=("auto", "disabled")),
        "object": tagged(
            {
                "retention_ratio": record(
                    {
                        "type": any_json,
                        "retention_ratio": decimal(0, 1),
                        "token_limits": record({"post_instructions": integer(0)}),
                    },
                    required=["retention_ratio"],
                )
            }
        ),
    }
)
# The two modalities exclude each other: audio brings its transcript along.
_MODALITIES = array(string(choices=("text", "audio")), exactly=1)
_TRACING = nullable(
    by_type(
        {
            "string": string(choices=("auto",)),
            "object": record({"workflow_name": _TEXT, "group_id": _TEXT, "metadata": any_json}),
        }
    )
)
SESSION = tagged(
    {
        "realtime": record(
            {
                "type": any_json,
                "model": _TEXT,
                "instructions": _TEXT,
                "output_modalities": _MODALITIES,
                "max_output_tokens": _MAX_OUTPUT_TOKENS,
                "audio": _AUDIO,
                "include": _INCLUDE,
                "tools": array(_TOOL),
                "tool_choice": _TOOL_CHOICE,
                "parallel_tool_calls": boolean,
                "reasoning": _REASONING,
                "tracing": _TRACING,
                "truncation": _TRUNCATION,
                "prompt": _PROMPT,
            }
        ),
        "transcription": record({"type": any_json, "audio": record({"input": _AUDIO_INPUT}), "include": _INCLUDE}),
    }
)
_RESPONSE = record(
    {
        "audio": record({"output": record({"format": _FORMAT, "voice": _VOICE})}),
        "conversation": _TEXT,
        "input": array(_CONTEXT_ITEM),
        "instructions": _TEXT,
        "max_output_tokens": _MAX_OUTPUT_TOKENS,
        "metadata": nullable(mapping(string(max_length=512), max_entries=16, max_key_length=64)),
        "output_modalities": _MODALITIES,
        "parallel_tool_calls": boolean,
        "prompt": _PROMPT,
        "reasoning": _REASONING,
        "tool_choice": _TOOL_CHOICE,
        "tools": array(_TOOL),
    }
)


def _event(fields: dict[str, Shape] | None = None, *, optional: tuple[str, ...] = ()) -> Shape:
    fields = fields or {}
    required = [name for name in fields if name not in optional]
    return record({"type": any_json, "event_id": _ID, **fields}, required=required)


CLIENT_EVENT = tagged(
    {
        "session.update": _event({"session": SESSION}),
        "input_audio_buffer.append": _event({"audio": _TEXT}),
        "input_audio_buffer.commit": _event(),
        "input_audio_buffer.clear": _event(),
        "conversation.item.create": _event({"item": _ITEM, "previous_item_id": _ID}, optional=("previous_item_id",)),
        "conversation.item.retrieve": _event({"item_id": _ID}),
        "conversation.item.truncate": _event({"item_id": _ID, "content_index": integer(0), "audio_end_ms": integer(0)}),
        "conversation.item.delete": _event({"item_id": _ID}),
        "response.create": _event({"response": _RESPONSE}, optional=("response",)),
        "response.cancel": _event({"response_id": _ID}, optional=("response_id",)),
        "output_audio_buffer.clear": _event(),
    }
)
"""The shape of any of the 11 client events; its path is `""`."""
