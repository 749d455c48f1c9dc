"""The 46 events that a server sends, in realtime and transcription sessions, and what stands for all others.

A field without a default is one that an event is useless without; what compatible servers are known to leave out or to
send as null has a default. Strings that name one of several values are open: a new value is a value.
"""
# ruff: noqa: PLC0414  every event is imported from here, wherever it is written

from typing import Any

from msgspec import Struct

from .items import Item
from .response_events import (
    McpListToolsCompleted as McpListToolsCompleted,
    McpListToolsFailed as McpListToolsFailed,
    McpListToolsInProgress as McpListToolsInProgress,
    PartAudio as PartAudio,
    PartText as PartText,
    ResponseContentPartAdded as ResponseContentPartAdded,
    ResponseContentPartDone as ResponseContentPartDone,
    ResponseCreated as ResponseCreated,
    ResponseDone as ResponseDone,
    ResponseFunctionCallArgumentsDelta as ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone as ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta as ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone as ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted as ResponseMcpCallCompleted,
    ResponseMcpCallFailed as ResponseMcpCallFailed,
    ResponseMcpCallInProgress as ResponseMcpCallInProgress,
    ResponseOutputAudioDelta as ResponseOutputAudioDelta,
    ResponseOutputAudioDone as ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta as ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone as ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded as ResponseOutputItemAdded,
    ResponseOutputItemDone as ResponseOutputItemDone,
    ResponseOutputTextDelta as ResponseOutputTextDelta,
    ResponseOutputTextDone as ResponseOutputTextDone,
    ResponsePart as ResponsePart,
)
from .responses import LogProb, TranscriptUsage
from .session_config import SessionInfo, TranscriptionSessionInfo
from .struct import ServerEventStruct as ServerEventStruct, WireStruct

# --- session, errors, limits -------------------------------------------------------------------------------------


class SessionCreated(ServerEventStruct, tag="session.created", frozen=True, kw_only=True):
    """The first event of a connection (never sent on a sideband connection)."""

    session: SessionInfo | TranscriptionSessionInfo | None = None


class SessionUpdated(ServerEventStruct, tag="session.updated", frozen=True, kw_only=True):
    """The whole configuration after a `session.update`; it does not say which."""

    session: SessionInfo | TranscriptionSessionInfo | None = None


class ErrorDetails(WireStruct, frozen=True, kw_only=True):
    """What went wrong.

    Attributes:
        event_id: Id of the client event that it answers; often null even where the client sent one.
    """

    type: str | None = None
    message: str | None = None
    code: str | None = None
    param: str | None = None
    event_id: str | None = None


class Error(ServerEventStruct, tag="error", frozen=True, kw_only=True):
    """A client event was refused, or something went wrong. Most errors leave the session open."""

    error: ErrorDetails


class RateLimit(WireStruct, frozen=True, kw_only=True):
    """One limit: `name` is `"requests"` or `"tokens"`."""

    name: str | None = None
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


class RateLimitsUpdated(ServerEventStruct, tag="rate_limits.updated", frozen=True, kw_only=True):
    """What is left of the limits; observed just after `response.done`."""

    rate_limits: list[RateLimit] | None = None


class ConversationInfo(WireStruct, frozen=True, kw_only=True):
    """The conversation's id."""

    id: str | None = None
    object: str | None = None


class ConversationCreated(ServerEventStruct, tag="conversation.created", frozen=True, kw_only=True):
    """Sent by some compatible servers."""

    conversation: ConversationInfo | None = None


# --- items -------------------------------------------------------------------------------------------------------


class ConversationItemAdded(ServerEventStruct, tag="conversation.item.added", frozen=True, kw_only=True):
    """An item is in the conversation; the assistant's come empty and in progress."""

    item: Item
    previous_item_id: str | None = None


class ConversationItemDone(ServerEventStruct, tag="conversation.item.done", frozen=True, kw_only=True):
    """An item is final. Its `previous_item_id` is not to be trusted; that of `added` is."""

    item: Item
    previous_item_id: str | None = None


class ConversationItemCreated(ServerEventStruct, tag="conversation.item.created", frozen=True, kw_only=True):
    """What some compatible servers send instead of `added` and `done`."""

    item: Item
    previous_item_id: str | None = None


class ConversationItemRetrieved(ServerEventStruct, tag="conversation.item.retrieved", frozen=True, kw_only=True):
    """The answer to `conversation.item.retrieve`: the only event with an item's audio."""

    item: Item


class ConversationItemDeleted(ServerEventStruct, tag="conversation.item.deleted", frozen=True, kw_only=True):
    """An item is gone."""

    item_id: str


class ConversationItemTruncated(ServerEventStruct, tag="conversation.item.truncated", frozen=True, kw_only=True):
    """An assistant's audio was cut at `audio_end_ms`, and its transcript dropped."""

    item_id: str
    content_index: int = 0
    audio_end_ms: int


class ConversationItemInputAudioTranscriptionDelta(
    ServerEventStruct, tag="conversation.item.input_audio_transcription.delta", frozen=True, kw_only=True
):
    """A piece of what the user said."""

    item_id: str
    content_index: int | None = None
    delta: str | None = None
    logprobs: list[LogProb] | None = None
    obfuscation: str | None = None


class Language(WireStruct, frozen=True, kw_only=True):
    """A language that was heard, by its ISO 639-1 code."""

    code: str


class ConversationItemInputAudioTranscriptionCompleted(
    ServerEventStruct, tag="conversation.item.input_audio_transcription.completed", frozen=True, kw_only=True
):
    """All that the user said; it may come any time, even after the response."""

    item_id: str
    content_index: int | None = None
    transcript: str
    usage: TranscriptUsage | None = None
    logprobs: list[LogProb] | None = None
    languages: list[Language] | None = None


class TranscriptionError(WireStruct, frozen=True, kw_only=True):
    """Why a transcription failed."""

    type: str | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None


class ConversationItemInputAudioTranscriptionFailed(
    ServerEventStruct, tag="conversation.item.input_audio_transcription.failed", frozen=True, kw_only=True
):
    """The user's audio could not be transcribed; the turn goes on."""

    item_id: str
    content_index: int | None = None
    error: TranscriptionError | None = None


class ConversationItemInputAudioTranscriptionSegment(
    ServerEventStruct, tag="conversation.item.input_audio_transcription.segment", frozen=True, kw_only=True
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


class InputAudioBufferCommitted(ServerEventStruct, tag="input_audio_buffer.committed", frozen=True, kw_only=True):
    """The buffer became the user item `item_id` (which some servers leave out)."""

    item_id: str | None = None
    previous_item_id: str | None = None


class InputAudioBufferCleared(ServerEventStruct, tag="input_audio_buffer.cleared", frozen=True, kw_only=True):
    """The buffer was emptied."""


class InputAudioBufferSpeechStarted(
    ServerEventStruct, tag="input_audio_buffer.speech_started", frozen=True, kw_only=True
):
    """The user began to speak, `audio_start_ms` after the start of all audio of the session, padding included."""

    item_id: str | None = None
    audio_start_ms: int


class InputAudioBufferSpeechStopped(
    ServerEventStruct, tag="input_audio_buffer.speech_stopped", frozen=True, kw_only=True
):
    """The user stopped speaking, `audio_end_ms` after the start of all audio of the session."""

    item_id: str | None = None
    audio_end_ms: int


class InputAudioBufferTimeoutTriggered(
    ServerEventStruct, tag="input_audio_buffer.timeout_triggered", frozen=True, kw_only=True
):
    """Nobody spoke for `idle_timeout_ms`."""

    item_id: str
    audio_start_ms: int
    audio_end_ms: int


class InputAudioBufferDtmfEventReceived(
    ServerEventStruct, tag="input_audio_buffer.dtmf_event_received", frozen=True, kw_only=True
):
    """A key of a telephone: 0-9, `*`, `#`, A-D; `received_at` in Unix seconds. It has no `event_id`."""

    event: str
    received_at: int | None = None


class OutputAudioBufferStarted(ServerEventStruct, tag="output_audio_buffer.started", frozen=True, kw_only=True):
    """The server began to play a response (WebRTC and SIP)."""

    response_id: str


class OutputAudioBufferStopped(ServerEventStruct, tag="output_audio_buffer.stopped", frozen=True, kw_only=True):
    """The server has played a response (WebRTC and SIP)."""

    response_id: str


class OutputAudioBufferCleared(ServerEventStruct, tag="output_audio_buffer.cleared", frozen=True, kw_only=True):
    """The server dropped what it had not played of a response (WebRTC and SIP)."""

    response_id: str


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
