"""Responses: what a client asks for, what the server says of them, what they cost."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from .items import Item
from .session_config import AudioFormat, Prompt, Reasoning, Tool, ToolChoice, Voice
from .struct import RequestStruct, WireStruct


class ResponseAudioOutputParams(RequestStruct, frozen=True, kw_only=True):
    """How one response sounds."""

    format: AudioFormat | UnsetType = UNSET
    voice: str | Voice | UnsetType = UNSET


class ResponseAudioParams(RequestStruct, frozen=True, kw_only=True):
    """The audio of one response."""

    output: ResponseAudioOutputParams | UnsetType = UNSET


MetadataKey = Annotated[str, Meta(max_length=64)]
MetadataValue = Annotated[str, Meta(max_length=512)]


class ResponseParams(RequestStruct, frozen=True, kw_only=True):
    """What one response does differently from the session's configuration.

    Attributes:
        conversation: `"auto"`, or `"none"` for a response beside the conversation.
        input: What the model sees instead of the conversation; `[]` is an empty context.
        metadata: At most 16 pairs; the server echoes them in `response.created` and `response.done`.
    """

    audio: ResponseAudioParams | UnsetType = UNSET
    conversation: str | UnsetType = UNSET
    input: list[Item] | UnsetType = UNSET
    instructions: str | UnsetType = UNSET
    max_output_tokens: int | str | UnsetType = UNSET
    metadata: Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=16)] | None | UnsetType = UNSET
    output_modalities: list[str] | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    prompt: Prompt | None | UnsetType = UNSET
    reasoning: Reasoning | UnsetType = UNSET
    tool_choice: ToolChoice | UnsetType = UNSET
    tools: list[Tool] | UnsetType = UNSET


class StatusError(WireStruct, frozen=True, kw_only=True):
    """Why a response failed."""

    type: str | None = None
    code: str | None = None
    message: str | None = None


class StatusDetails(WireStruct, frozen=True, kw_only=True):
    """Why a response did not complete.

    Attributes:
        type: `"cancelled"`, `"incomplete"` or `"failed"` (the details of a completed response are null).
        reason: `"turn_detected"`, `"client_cancelled"`, `"max_output_tokens"` or `"content_filter"`.
    """

    type: str | None = None
    reason: str | None = None
    error: StatusError | None = None


class CachedTokensDetails(WireStruct, frozen=True, kw_only=True):
    """Cached input tokens, by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class InputTokenDetails(WireStruct, frozen=True, kw_only=True):
    """Input tokens, by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cached_tokens: int | None = None
    cached_tokens_details: CachedTokensDetails | None = None


class OutputTokenDetails(WireStruct, frozen=True, kw_only=True):
    """Output tokens, by kind (`reasoning_tokens` is on the wire, in no published type)."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None


class Usage(WireStruct, frozen=True, kw_only=True):
    """Tokens that one response cost."""

    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: InputTokenDetails | None = None
    output_token_details: OutputTokenDetails | None = None


class TranscriptTokenDetails(WireStruct, frozen=True, kw_only=True):
    """Input tokens of a transcription, by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None


class TranscriptTokenUsage(WireStruct, tag="tokens", tag_field="type", frozen=True, kw_only=True):
    """What a transcription cost, for models that count tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_token_details: TranscriptTokenDetails | None = None


class TranscriptDurationUsage(WireStruct, tag="duration", tag_field="type", frozen=True, kw_only=True):
    """What a transcription cost, for models that count seconds."""

    seconds: float


TranscriptUsage = TranscriptTokenUsage | TranscriptDurationUsage


class LogProb(WireStruct, frozen=True, kw_only=True):
    """How sure the transcription is of one token."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class ResponseAudioOutput(WireStruct, frozen=True, kw_only=True):
    """How a response sounds."""

    format: AudioFormat | None = None
    voice: str | Voice | None = None


class ResponseAudio(WireStruct, frozen=True, kw_only=True):
    """The audio of a response."""

    output: ResponseAudioOutput | None = None


class Response(WireStruct, frozen=True, kw_only=True):
    """The server's view of a response.

    Attributes:
        status: `"in_progress"`, `"completed"`, `"cancelled"`, `"incomplete"` or `"failed"`.
        output: Its items, without audio.
        conversation_id: None for a response beside the conversation.
        usage: None until it is done, and after some failures.
    """

    id: str | None = None
    object: str | None = None
    status: str | None = None
    status_details: StatusDetails | None = None
    output: list[Item] | None = None
    conversation_id: str | None = None
    output_modalities: list[str] | None = None
    max_output_tokens: int | str | None = None
    audio: ResponseAudio | None = None
    usage: Usage | None = None
    metadata: dict[str, str] | None = None
