"""Items of a conversation and their content parts.

Facts: `type` tells items apart, `role` the three kinds of message. All optional fields are None when absent, and None
is never written: in no field of an item does null mean anything that absence does not.
"""

from typing import Any

from msgspec import field

from .struct import WireStruct

UNKNOWN_TAG = "<unknown>"
"""Tag of the structs that stand for a type this library does not know; it never appears on the wire."""


class ContentPart(WireStruct, tag_field="type", omit_defaults=True, frozen=True, kw_only=True):
    """What all content parts share: nothing but the tag."""


class InputText(ContentPart, tag="input_text", frozen=True, kw_only=True):
    """Text written by the user or the system."""

    text: str | None = None


class InputAudio(ContentPart, tag="input_audio", frozen=True, kw_only=True):
    """Audio spoken by the user.

    Attributes:
        audio: The audio, in the session's input format; the server sends it only in `conversation.item.retrieved`.
        transcript: None while the transcription is pending or off.
    """

    audio: bytes | None = None
    transcript: str | None = None


class InputImage(ContentPart, tag="input_image", frozen=True, kw_only=True):
    """An image shown by the user.

    Attributes:
        image_url: A `data:image/png;base64,...` or `data:image/jpeg;base64,...` URI.
        detail: `"auto"`, `"low"` or `"high"`.
    """

    image_url: str | None = None
    detail: str | None = None


class OutputText(ContentPart, tag="output_text", frozen=True, kw_only=True):
    """Text written by the assistant."""

    text: str | None = None


class OutputAudio(ContentPart, tag="output_audio", frozen=True, kw_only=True):
    """Audio spoken by the assistant, in the session's output format, with its transcript."""

    audio: bytes | None = None
    transcript: str | None = None


class UnknownPart(ContentPart, tag=UNKNOWN_TAG, frozen=True, kw_only=True):
    """A content part of an unknown type, or one that does not have the shape of its type.

    Attributes:
        raw: The part as it came.
        cause: Why it is not one of the known parts.
    """

    raw: Any = None
    cause: str = ""

    @property
    def type(self) -> str | None:
        """The part's own tag, or None when it has none."""
        return _tag(self.raw)


Part = InputText | InputAudio | InputImage | OutputText | OutputAudio | UnknownPart


# Not `list` and `str` themselves: their empty values would be left out of what is sent, and these fields must be there.
def _no_parts() -> list[Part]:
    return []


def _no_tools() -> "list[McpToolInfo]":
    return []


def _no_text() -> str:
    return ""


class ConversationObject(WireStruct, tag_field="type", omit_defaults=True, frozen=True, kw_only=True):
    """What all items share.

    Attributes:
        id: The item's id. A client may choose it.
    """

    id: str | None = None


class Message(ConversationObject, tag="message", frozen=True, kw_only=True):
    """A message of the system, the user or the assistant.

    Attributes:
        role: `"system"`, `"user"` or `"assistant"`.
        content: Its parts, in order.
        status: `"in_progress"`, `"completed"` or `"incomplete"`.
        phase: `"commentary"` or `"final_answer"` (on the wire of the reasoning models, in no published type).
    """

    role: str
    content: list[Part] = field(default_factory=_no_parts)
    status: str | None = None
    object: str | None = None
    phase: str | None = None


class FunctionCall(ConversationObject, tag="function_call", frozen=True, kw_only=True):
    """A call of a function by the model.

    Attributes:
        arguments: JSON text; `""` when the item is added.
        call_id: What the output must name. At most 32 characters.
    """

    name: str
    arguments: str = field(default_factory=_no_text)
    call_id: str | None = None
    status: str | None = None
    object: str | None = None


class FunctionCallOutput(ConversationObject, tag="function_call_output", frozen=True, kw_only=True):
    """The result of a function call; `output` is free text, JSON by custom."""

    call_id: str
    output: str
    status: str | None = None
    object: str | None = None


class McpToolInfo(WireStruct, omit_defaults=True, frozen=True, kw_only=True):
    """A tool that an MCP server offers."""

    name: str
    input_schema: Any = None
    description: str | None = None
    annotations: Any = None


class McpListTools(ConversationObject, tag="mcp_list_tools", frozen=True, kw_only=True):
    """The tools that one MCP server offers."""

    server_label: str
    tools: list[McpToolInfo] = field(default_factory=_no_tools)


class McpProtocolError(WireStruct, tag="protocol_error", tag_field="type", frozen=True, kw_only=True):
    """The MCP server broke its protocol."""

    code: int
    message: str


class McpToolExecutionError(WireStruct, tag="tool_execution_error", tag_field="type", frozen=True, kw_only=True):
    """The tool of an MCP server failed."""

    message: str


class McpHttpError(WireStruct, tag="http_error", tag_field="type", frozen=True, kw_only=True):
    """The MCP server answered with an HTTP error."""

    code: int
    message: str


McpError = McpProtocolError | McpToolExecutionError | McpHttpError


class McpCall(ConversationObject, tag="mcp_call", frozen=True, kw_only=True):
    """A call of a tool of an MCP server, which the Realtime server runs itself."""

    server_label: str
    name: str
    arguments: str = field(default_factory=_no_text)
    output: str | None = None
    approval_request_id: str | None = None
    error: McpError | None = None


class McpApprovalRequest(ConversationObject, tag="mcp_approval_request", frozen=True, kw_only=True):
    """The server asks whether it may call a tool of an MCP server."""

    server_label: str
    name: str
    arguments: str = field(default_factory=_no_text)


class McpApprovalResponse(ConversationObject, tag="mcp_approval_response", frozen=True, kw_only=True):
    """The answer to a `McpApprovalRequest`."""

    approval_request_id: str
    approve: bool
    reason: str | None = None


class ItemReference(WireStruct, tag="item_reference", tag_field="type", frozen=True, kw_only=True):
    """An existing item, by id; only in the input of `response.create`."""

    id: str


class UnknownItem(ConversationObject, tag=UNKNOWN_TAG, frozen=True, kw_only=True):
    """An item of an unknown type, or one that does not have the shape of its type.

    Attributes:
        raw: The item as it came.
        cause: Why it is not one of the known items.
    """

    raw: Any = None
    cause: str = ""

    @property
    def type(self) -> str | None:
        """The item's own tag, or None when it has none."""
        return _tag(self.raw)


Item = (
    Message
    | FunctionCall
    | FunctionCallOutput
    | McpListTools
    | McpCall
    | McpApprovalRequest
    | McpApprovalResponse
    | ItemReference
    | UnknownItem
)


def _tag(raw: Any) -> str | None:
    tag: object = raw.get("type") if isinstance(raw, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  any JSON
    return tag if isinstance(tag, str) else None
