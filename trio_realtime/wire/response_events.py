"""What a server says of responses and of the tools of MCP servers: `response.*` and `mcp_list_tools.*`.

The rules of `server_events` hold here too.
"""

from .items import Item, OutputAudio, OutputText, UnknownPart
from .responses import Response
from .struct import ServerEventStruct, WireStruct


class ResponseCreated(ServerEventStruct, tag="response.created", frozen=True, kw_only=True):
    """A response is under way."""

    response: Response | None = None


class ResponseDone(ServerEventStruct, tag="response.done", frozen=True, kw_only=True):
    """A response is over, however it ended."""

    response: Response | None = None


class ResponseOutputItemAdded(ServerEventStruct, tag="response.output_item.added", frozen=True, kw_only=True):
    """The response has a new item; `conversation.item.added` follows."""

    response_id: str | None = None
    output_index: int = 0
    item: Item


class ResponseOutputItemDone(ServerEventStruct, tag="response.output_item.done", frozen=True, kw_only=True):
    """An item of the response is final; `conversation.item.done` came before."""

    response_id: str | None = None
    output_index: int = 0
    item: Item


class PartText(WireStruct, tag="text", tag_field="type", frozen=True, kw_only=True):
    """Text, as `response.content_part.*` spells `output_text`."""

    text: str | None = None


class PartAudio(WireStruct, tag="audio", tag_field="type", frozen=True, kw_only=True):
    """Audio, as `response.content_part.*` spells `output_audio`."""

    audio: bytes | None = None
    transcript: str | None = None


ResponsePart = PartText | PartAudio | OutputText | OutputAudio | UnknownPart


class ResponseContentPartAdded(ServerEventStruct, tag="response.content_part.added", frozen=True, kw_only=True):
    """An item of the response has a new content part."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: ResponsePart | None = None


class ResponseContentPartDone(ServerEventStruct, tag="response.content_part.done", frozen=True, kw_only=True):
    """A content part is final."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: ResponsePart | None = None


class ResponseOutputTextDelta(ServerEventStruct, tag="response.output_text.delta", frozen=True, kw_only=True, gc=False):
    """A piece of the assistant's text."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str
    obfuscation: str | None = None


class ResponseOutputTextDone(ServerEventStruct, tag="response.output_text.done", frozen=True, kw_only=True):
    """The whole text of a part."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    text: str | None = None


class ResponseOutputAudioDelta(
    ServerEventStruct, tag="response.output_audio.delta", frozen=True, kw_only=True, gc=False
):
    """A piece of the assistant's audio, in the session's output format (not sent on a sideband connection)."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: bytes


class ResponseOutputAudioDone(ServerEventStruct, tag="response.output_audio.done", frozen=True, kw_only=True):
    """A part has all its audio."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0


class ResponseOutputAudioTranscriptDelta(
    ServerEventStruct, tag="response.output_audio_transcript.delta", frozen=True, kw_only=True, gc=False
):
    """A piece of the transcript of the assistant's audio."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str
    obfuscation: str | None = None


class ResponseOutputAudioTranscriptDone(
    ServerEventStruct, tag="response.output_audio_transcript.done", frozen=True, kw_only=True
):
    """The whole transcript of a part."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    transcript: str | None = None


class ResponseFunctionCallArgumentsDelta(
    ServerEventStruct, tag="response.function_call_arguments.delta", frozen=True, kw_only=True, gc=False
):
    """A piece of the arguments of a function call."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    call_id: str | None = None
    delta: str
    obfuscation: str | None = None


class ResponseFunctionCallArgumentsDone(
    ServerEventStruct, tag="response.function_call_arguments.done", frozen=True, kw_only=True
):
    """The whole arguments of a function call (`name` is missing from some servers)."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    call_id: str | None = None
    arguments: str | None = None
    name: str | None = None


class ResponseMcpCallArgumentsDelta(
    ServerEventStruct, tag="response.mcp_call_arguments.delta", frozen=True, kw_only=True, gc=False
):
    """A piece of the arguments of an MCP call."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    delta: str
    obfuscation: str | None = None


class ResponseMcpCallArgumentsDone(
    ServerEventStruct, tag="response.mcp_call_arguments.done", frozen=True, kw_only=True
):
    """The whole arguments of an MCP call."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    arguments: str | None = None


class ResponseMcpCallInProgress(ServerEventStruct, tag="response.mcp_call.in_progress", frozen=True, kw_only=True):
    """An MCP call runs on the server (no `response_id`)."""

    item_id: str
    output_index: int = 0


class ResponseMcpCallCompleted(ServerEventStruct, tag="response.mcp_call.completed", frozen=True, kw_only=True):
    """An MCP call succeeded."""

    item_id: str
    output_index: int = 0


class ResponseMcpCallFailed(ServerEventStruct, tag="response.mcp_call.failed", frozen=True, kw_only=True):
    """An MCP call failed."""

    item_id: str
    output_index: int = 0


class McpListToolsInProgress(ServerEventStruct, tag="mcp_list_tools.in_progress", frozen=True, kw_only=True):
    """The server asks an MCP server for its tools."""

    item_id: str


class McpListToolsCompleted(ServerEventStruct, tag="mcp_list_tools.completed", frozen=True, kw_only=True):
    """The tools of an MCP server are known."""

    item_id: str


class McpListToolsFailed(ServerEventStruct, tag="mcp_list_tools.failed", frozen=True, kw_only=True):
    """The tools of an MCP server could not be had."""

    item_id: str
