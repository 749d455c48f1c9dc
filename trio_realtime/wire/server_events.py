"""The 46 events that a server sends, in realtime and transcription sessions, and what stands for all others.

A field without a default is one that an event is useless without; what compatible servers are known to leave out or to
send as null has a default. Strings that name one of several values are open: a new value is a value.
"""

from typing import Any

from msgspec import Struct

from .items import Item, OutputAudio, OutputText, UnknownPart
from .responses import LogProb, Response, TranscriptUsage
from .session_config import SessionInfo, TranscriptionSessionInfo
from .struct import WireStruct


class ServerEventStruct(WireStruct, tag_field="type", kw_only=True):
    """What all server events share.

    Attributes:
        event_id: The server's id of the event; None where a server sends none.
    """

    event_id: str | None = None


# --- session, errors, limits -------------------------------------------------------------------------------------


class SessionCreated(ServerEventStruct, tag="session.created", kw_only=True):
    """The first event of a connection (never sent on a sideband connection)."""

    session: SessionInfo | TranscriptionSessionInfo | None = None


class SessionUpdated(ServerEventStruct, tag="session.updated", kw_only=True):
    """The whole configuration after a `session.update`; it does not say which."""

    session: SessionInfo | TranscriptionSessionInfo | None = None


class ErrorDetails(WireStruct, kw_only=True):
    """What went wrong.

    Attributes:
        event_id: Id of the client event that it answers; often null even where the client sent one.
    """

    type: str | None = None
    message: str | None = None
    code: str | None = None
    param: str | None = None
    event_id: str | None = None


class Error(ServerEventStruct, tag="error", kw_only=True):
    """A client event was refused, or something went wrong. Most errors leave the session open."""

    error: ErrorDetails


class RateLimit(WireStruct, kw_only=True):
    """One limit: `name` is `"requests"` or `"tokens"`."""

    name: str | None = None
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


class RateLimitsUpdated(ServerEventStruct, tag="rate_limits.updated", kw_only=True):
    """What is left of the limits; observed just after `response.done`."""

    rate_limits: list[RateLimit] | None = None


class ConversationInfo(WireStruct, kw_only=True):
    """The conversation's id."""

    id: str | None = None
    object: str | None = None


class ConversationCreated(ServerEventStruct, tag="conversation.created", kw_only=True):
    """Sent by some compatible servers."""

    conversation: ConversationInfo | None = None


# --- items -------------------------------------------------------------------------------------------------------


class ConversationItemAdded(ServerEventStruct, tag="conversation.item.added", kw_only=True):
    """An item is in the conversation; the assistant's come empty and in progress."""

    item: Item
    previous_item_id: str | None = None


class ConversationItemDone(ServerEventStruct, tag="conversation.item.done", kw_only=True):
    """An item is final. Its `previous_item_id` is not to be trusted; that of `added` is."""

    item: Item
    previous_item_id: str | None = None


class ConversationItemCreated(ServerEventStruct, tag="conversation.item.created", kw_only=True):
    """What some compatible servers send instead of `added` and `done`."""

    item: Item
    previous_item_id: str | None = None


class ConversationItemRetrieved(ServerEventStruct, tag="conversation.item.retrieved", kw_only=True):
    """The answer to `conversation.item.retrieve`: the only event with an item's audio."""

    item: Item


class ConversationItemDeleted(ServerEventStruct, tag="conversation.item.deleted", kw_only=True):
    """An item is gone."""

    item_id: str


class ConversationItemTruncated(ServerEventStruct, tag="conversation.item.truncated", kw_only=True):
    """An assistant's audio was cut at `audio_end_ms`, and its transcript dropped."""

    item_id: str
    content_index: int = 0
    audio_end_ms: int


class ConversationItemInputAudioTranscriptionDelta(
    ServerEventStruct, tag="conversation.item.input_audio_transcription.delta", kw_only=True
):
    """A piece of what the user said."""

    item_id: str
    content_index: int | None = None
    delta: str | None = None
    logprobs: list[LogProb] | None = None
    obfuscation: str | None = None


class Language(WireStruct, kw_only=True):
    """A language that was heard, by its ISO 639-1 code."""

    code: str


class ConversationItemInputAudioTranscriptionCompleted(
    ServerEventStruct, tag="conversation.item.input_audio_transcription.completed", kw_only=True
):
    """All that the user said; it may come any time, even after the response."""

    item_id: str
    content_index: int | None = None
    transcript: str
    usage: TranscriptUsage | None = None
    logprobs: list[LogProb] | None = None
    languages: list[Language] | None = None


class TranscriptionError(WireStruct, kw_only=True):
    """Why a transcription failed."""

    type: str | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None


class ConversationItemInputAudioTranscriptionFailed(
    ServerEventStruct, tag="conversation.item.input_audio_transcription.failed", kw_only=True
):
    """The user's audio could not be transcribed; the turn goes on."""

    item_id: str
    content_index: int | None = None
    error: TranscriptionError | None = None


class ConversationItemInputAudioTranscriptionSegment(
    ServerEventStruct, tag="conversation.item.input_audio_transcription.segment", kw_only=True
):
    """A stretch of speech of one speaker; `start` and `end` are seconds."""

    item_id: str
    content_index: int | None = None
    id: str | None = None
    text: str | None = None
    speaker: str | None = None
    start: float | None = None
    end: float | None = None


# --- audio buffers -----------------------------------------------------------------------------------------------


class InputAudioBufferCommitted(ServerEventStruct, tag="input_audio_buffer.committed", kw_only=True):
    """The buffer became the user item `item_id` (which some servers leave out)."""

    item_id: str | None = None
    previous_item_id: str | None = None


class InputAudioBufferCleared(ServerEventStruct, tag="input_audio_buffer.cleared", kw_only=True):
    """The buffer was emptied."""


class InputAudioBufferSpeechStarted(ServerEventStruct, tag="input_audio_buffer.speech_started", kw_only=True):
    """The user began to speak, `audio_start_ms` after the start of all audio of the session, padding included."""

    item_id: str | None = None
    audio_start_ms: int


class InputAudioBufferSpeechStopped(ServerEventStruct, tag="input_audio_buffer.speech_stopped", kw_only=True):
    """The user stopped speaking, `audio_end_ms` after the start of all audio of the session."""

    item_id: str | None = None
    audio_end_ms: int


class InputAudioBufferTimeoutTriggered(ServerEventStruct, tag="input_audio_buffer.timeout_triggered", kw_only=True):
    """Nobody spoke for `idle_timeout_ms`."""

    item_id: str
    audio_start_ms: int
    audio_end_ms: int


class InputAudioBufferDtmfEventReceived(ServerEventStruct, tag="input_audio_buffer.dtmf_event_received", kw_only=True):
    """A key of a telephone: 0-9, `*`, `#`, A-D; `received_at` in Unix seconds. It has no `event_id`."""

    event: str
    received_at: int | None = None


class OutputAudioBufferStarted(ServerEventStruct, tag="output_audio_buffer.started", kw_only=True):
    """The server began to play a response (WebRTC and SIP)."""

    response_id: str


class OutputAudioBufferStopped(ServerEventStruct, tag="output_audio_buffer.stopped", kw_only=True):
    """The server has played a response (WebRTC and SIP)."""

    response_id: str


class OutputAudioBufferCleared(ServerEventStruct, tag="output_audio_buffer.cleared", kw_only=True):
    """The server dropped what it had not played of a response (WebRTC and SIP)."""

    response_id: str


# --- responses ---------------------------------------------------------------------------------------------------


class ResponseCreated(ServerEventStruct, tag="response.created", kw_only=True):
    """A response is under way."""

    response: Response | None = None


class ResponseDone(ServerEventStruct, tag="response.done", kw_only=True):
    """A response is over, however it ended."""

    response: Response | None = None


class ResponseOutputItemAdded(ServerEventStruct, tag="response.output_item.added", kw_only=True):
    """The response has a new item; `conversation.item.added` follows."""

    response_id: str | None = None
    output_index: int = 0
    item: Item


class ResponseOutputItemDone(ServerEventStruct, tag="response.output_item.done", kw_only=True):
    """An item of the response is final; `conversation.item.done` came before."""

    response_id: str | None = None
    output_index: int = 0
    item: Item


class PartText(WireStruct, tag="text", tag_field="type", kw_only=True):
    """Text, as `response.content_part.*` spells `output_text`."""

    text: str | None = None


class PartAudio(WireStruct, tag="audio", tag_field="type", kw_only=True):
    """Audio, as `response.content_part.*` spells `output_audio`."""

    audio: bytes | None = None
    transcript: str | None = None


ResponsePart = PartText | PartAudio | OutputText | OutputAudio | UnknownPart


class ResponseContentPartAdded(ServerEventStruct, tag="response.content_part.added", kw_only=True):
    """An item of the response has a new content part."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: ResponsePart | None = None


class ResponseContentPartDone(ServerEventStruct, tag="response.content_part.done", kw_only=True):
    """A content part is final."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: ResponsePart | None = None


class ResponseOutputTextDelta(ServerEventStruct, tag="response.output_text.delta", kw_only=True, gc=False):
    """A piece of the assistant's text."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str
    obfuscation: str | None = None


class ResponseOutputTextDone(ServerEventStruct, tag="response.output_text.done", kw_only=True):
    """The whole text of a part."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    text: str | None = None


class ResponseOutputAudioDelta(ServerEventStruct, tag="response.output_audio.delta", kw_only=True, gc=False):
    """A piece of the assistant's audio, in the session's output format (not sent on a sideband connection)."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: bytes


class ResponseOutputAudioDone(ServerEventStruct, tag="response.output_audio.done", kw_only=True):
    """A part has all its audio."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0


class ResponseOutputAudioTranscriptDelta(
    ServerEventStruct, tag="response.output_audio_transcript.delta", kw_only=True, gc=False
):
    """A piece of the transcript of the assistant's audio."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str
    obfuscation: str | None = None


class ResponseOutputAudioTranscriptDone(ServerEventStruct, tag="response.output_audio_transcript.done", kw_only=True):
    """The whole transcript of a part."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    content_index: int = 0
    transcript: str | None = None


class ResponseFunctionCallArgumentsDelta(
    ServerEventStruct, tag="response.function_call_arguments.delta", kw_only=True, gc=False
):
    """A piece of the arguments of a function call."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    call_id: str | None = None
    delta: str
    obfuscation: str | None = None


class ResponseFunctionCallArgumentsDone(ServerEventStruct, tag="response.function_call_arguments.done", kw_only=True):
    """The whole arguments of a function call (`name` is missing from some servers)."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    call_id: str | None = None
    arguments: str | None = None
    name: str | None = None


class ResponseMcpCallArgumentsDelta(ServerEventStruct, tag="response.mcp_call_arguments.delta", kw_only=True, gc=False):
    """A piece of the arguments of an MCP call."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    delta: str
    obfuscation: str | None = None


class ResponseMcpCallArgumentsDone(ServerEventStruct, tag="response.mcp_call_arguments.done", kw_only=True):
    """The whole arguments of an MCP call."""

    response_id: str | None = None
    item_id: str
    output_index: int = 0
    arguments: str | None = None


class ResponseMcpCallInProgress(ServerEventStruct, tag="response.mcp_call.in_progress", kw_only=True):
    """An MCP call runs on the server (no `response_id`)."""

    item_id: str
    output_index: int = 0


class ResponseMcpCallCompleted(ServerEventStruct, tag="response.mcp_call.completed", kw_only=True):
    """An MCP call succeeded."""

    item_id: str
    output_index: int = 0


class ResponseMcpCallFailed(ServerEventStruct, tag="response.mcp_call.failed", kw_only=True):
    """An MCP call failed."""

    item_id: str
    output_index: int = 0


class McpListToolsInProgress(ServerEventStruct, tag="mcp_list_tools.in_progress", kw_only=True):
    """The server asks an MCP server for its tools."""

    item_id: str


class McpListToolsCompleted(ServerEventStruct, tag="mcp_list_tools.completed", kw_only=True):
    """The tools of an MCP server are known."""

    item_id: str


class McpListToolsFailed(ServerEventStruct, tag="mcp_list_tools.failed", kw_only=True):
    """The tools of an MCP server could not be had."""

    item_id: str


# --- everything else ---------------------------------------------------------------------------------------------


class UnknownEvent(Struct, kw_only=True, frozen=True):
    """An event of a type that this library does not know.

    Attributes:
        type: Its tag.
        event_id: Its id, if it has one.
        raw: The whole event as it came.
    """

    type: str
    event_id: str | None = None
    raw: dict[str, Any]

    def __repr__(self) -> str:
        return f"UnknownEvent(type={self.type!r}, event_id={self.event_id!r}, raw=<{len(self.raw)} keys>)"


KnownServerEvent = (
    SessionCreated
    | SessionUpdated
    | Error
    | RateLimitsUpdated
    | ConversationCreated
    | ConversationItemAdded
    | ConversationItemDone
    | ConversationItemCreated
    | ConversationItemRetrieved
    | ConversationItemDeleted
    | ConversationItemTruncated
    | ConversationItemInputAudioTranscriptionDelta
    | ConversationItemInputAudioTranscriptionCompleted
    | ConversationItemInputAudioTranscriptionFailed
    | ConversationItemInputAudioTranscriptionSegment
    | InputAudioBufferCommitted
    | InputAudioBufferCleared
    | InputAudioBufferSpeechStarted
    | InputAudioBufferSpeechStopped
    | InputAudioBufferTimeoutTriggered
    | InputAudioBufferDtmfEventReceived
    | OutputAudioBufferStarted
    | OutputAudioBufferStopped
    | OutputAudioBufferCleared
    | ResponseCreated
    | ResponseDone
    | ResponseOutputItemAdded
    | ResponseOutputItemDone
    | ResponseContentPartAdded
    | ResponseContentPartDone
    | ResponseOutputTextDelta
    | ResponseOutputTextDone
    | ResponseOutputAudioDelta
    | ResponseOutputAudioDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
    | ResponseFunctionCallArgumentsDelta
    | ResponseFunctionCallArgumentsDone
    | ResponseMcpCallArgumentsDelta
    | ResponseMcpCallArgumentsDone
    | ResponseMcpCallInProgress
    | ResponseMcpCallCompleted
    | ResponseMcpCallFailed
    | McpListToolsInProgress
    | McpListToolsCompleted
    | McpListToolsFailed
)

ServerEvent = KnownServerEvent | UnknownEvent


class ProtocolIssue(Struct, kw_only=True, frozen=True):
    """A frame that is not what the protocol says.

    Attributes:
        event_type: The event's tag, as far as it could be read.
        reason: What is wrong with it.
        excerpt: Its beginning, without audio and keys.
        event: The event without what was wrong in it, when the rest makes sense; it takes effect. None otherwise.
    """

    event_type: str | None = None
    reason: str
    excerpt: str = ""
    event: Any = None
