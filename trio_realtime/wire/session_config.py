"""Sessions: what a client asks for (`*Config`) and what the server says it has (`*Info`).

In a request, `UNSET` is not sent and leaves the server's value; `None` is null, which the protocol allows in the few
fields that are typed so. What the server sends may be null anywhere.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from .struct import RequestStruct, WireStruct

# --- audio formats -----------------------------------------------------------------------------------------------


class AudioPCM(WireStruct, tag="audio/pcm", tag_field="type", frozen=True, kw_only=True):
    """PCM16, mono, little-endian; the only rate is 24,000 Hz."""

    rate: int = 24000


class AudioPCMU(WireStruct, tag="audio/pcmu", tag_field="type", frozen=True, kw_only=True):
    """G.711 mu-law at 8,000 Hz."""


class AudioPCMA(WireStruct, tag="audio/pcma", tag_field="type", frozen=True, kw_only=True):
    """G.711 A-law at 8,000 Hz."""


AudioFormat = AudioPCM | AudioPCMU | AudioPCMA


# --- input -------------------------------------------------------------------------------------------------------


class NoiseReduction(WireStruct, omit_defaults=True, frozen=True, kw_only=True):
    """Noise reduction before turn detection: `"near_field"` for headsets, `"far_field"` for rooms."""

    type: str | None = None
    strength: float | None = None


class Transcription(WireStruct, omit_defaults=True, frozen=True, kw_only=True):
    """Transcription of what the user says, by a model of its own.

    Attributes:
        model: Such as `"gpt-realtime-whisper"`; on Azure the name of a deployment.
        language: ISO 639-1.
        prompt: Words to expect.
        languages: Several languages to expect.
        keywords: Terms to expect.
        delay: `"minimal"` to `"xhigh"`.
    """

    model: str | None = None
    language: str | None = None
    prompt: str | None = None
    languages: list[str] | None = None
    keywords: list[str] | None = None
    delay: str | None = None


class ServerVad(WireStruct, tag="server_vad", tag_field="type", omit_defaults=True, frozen=True, kw_only=True):
    """Turn detection by the loudness of the audio. What is None is left to the server.

    Attributes:
        threshold: 0 to 1.
        prefix_padding_ms: Audio kept from before the speech.
        silence_duration_ms: Silence that ends the speech.
        idle_timeout_ms: Ask again after this silence; `None` is null (off).
        create_response: Whether the end of speech asks for a response.
        interrupt_response: Whether speech cancels the response under way.
    """

    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    prefix_padding_ms: Annotated[int, Meta(ge=0)] | None = None
    silence_duration_ms: Annotated[int, Meta(ge=0)] | None = None
    idle_timeout_ms: Annotated[int, Meta(ge=0)] | None | UnsetType = UNSET
    create_response: bool | None = None
    interrupt_response: bool | None = None


class SemanticVad(WireStruct, tag="semantic_vad", tag_field="type", omit_defaults=True, frozen=True, kw_only=True):
    """Turn detection by what is said; `eagerness` is `"low"`, `"medium"`, `"high"` or `"auto"`."""

    eagerness: str | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


TurnDetection = ServerVad | SemanticVad


# --- tools -------------------------------------------------------------------------------------------------------


class FunctionTool(WireStruct, tag="function", tag_field="type", omit_defaults=True, frozen=True, kw_only=True):
    """The definition of a function; `parameters` is a JSON Schema of type object."""

    name: str
    description: str | None = None
    parameters: Any = None


class McpToolFilter(WireStruct, omit_defaults=True, frozen=True, kw_only=True):
    """Tools of an MCP server, by name or by being read-only."""

    read_only: bool | None = None
    tool_names: list[str] | None = None


class McpApprovalFilter(WireStruct, omit_defaults=True, frozen=True, kw_only=True):
    """Which tools of an MCP server always and which never need an approval."""

    always: McpToolFilter | None = None
    never: McpToolFilter | None = None


class McpTool(WireStruct, tag="mcp", tag_field="type", omit_defaults=True, frozen=True, kw_only=True):
    """An MCP server whose tools the Realtime server calls itself.

    Exactly one of `server_url`, `connector_id` and `tunnel_id` says where it is. `authorization` and `headers` are
    never shown in a `repr`. What is None by default is not sent: the server may say null of it, and takes none.
    """

    server_label: str
    server_url: str | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    server_description: str | None = None
    authorization: str | None = None
    headers: dict[str, str] | None | UnsetType = UNSET
    allowed_tools: list[str] | McpToolFilter | None | UnsetType = UNSET
    require_approval: str | McpApprovalFilter | None | UnsetType = UNSET
    defer_loading: bool | None = None
    allowed_callers: list[str] | None | UnsetType = UNSET


Tool = FunctionTool | McpTool


class ToolChoiceFunction(WireStruct, tag="function", tag_field="type", frozen=True, kw_only=True):
    """The model must call this function."""

    name: str


class ToolChoiceMcp(WireStruct, tag="mcp", tag_field="type", omit_defaults=True, frozen=True, kw_only=True):
    """The model must call a tool of this MCP server."""

    server_label: str
    name: str | None = None


ToolChoice = str | ToolChoiceFunction | ToolChoiceMcp
"""`"none"`, `"auto"`, `"required"`, or one function or MCP server."""


# --- the rest of a session ---------------------------------------------------------------------------------------


class Voice(WireStruct, frozen=True, kw_only=True):
    """A custom voice."""

    id: str


class Reasoning(WireStruct, omit_defaults=True, frozen=True, kw_only=True):
    """How much a reasoning model thinks: `"minimal"`, `"low"`, `"medium"`, `"high"` or `"xhigh"`."""

    effort: str | None = None


class TracingConfig(WireStruct, omit_defaults=True, frozen=True, kw_only=True):
    """Names under which the server traces the session."""

    workflow_name: str | None = None
    group_id: str | None = None
    metadata: Any = None


class TokenLimits(WireStruct, omit_defaults=True, frozen=True, kw_only=True):
    """Limits of a truncated context."""

    post_instructions: int | None = None


class RetentionRatioTruncation(
    WireStruct, tag="retention_ratio", tag_field="type", omit_defaults=True, frozen=True, kw_only=True
):
    """When the context is full, keep this share of it (0 to 1)."""

    retention_ratio: Annotated[float, Meta(ge=0, le=1)]
    token_limits: TokenLimits | None = None


Truncation = str | RetentionRatioTruncation
"""`"auto"`, `"disabled"`, or a retention ratio."""


class Prompt(WireStruct, omit_defaults=True, frozen=True, kw_only=True):
    """A prompt that is stored on the server.

    Attributes:
        variables: Values for its variables: text, or inputs of the Responses API in their own shape, such as
            `{"type": "input_image", "image_url": "..."}`, which are passed on as they are.
    """

    id: str
    version: str | None = None
    variables: dict[str, str | dict[str, Any]] | None = None


# --- what the client asks for ------------------------------------------------------------------------------------


class AudioInputConfig(RequestStruct, frozen=True, kw_only=True):
    """How the server hears; `None` turns noise reduction, transcription or turn detection off."""

    format: AudioFormat | UnsetType = UNSET
    noise_reduction: NoiseReduction | None | UnsetType = UNSET
    transcription: Transcription | None | UnsetType = UNSET
    turn_detection: TurnDetection | None | UnsetType = UNSET


class AudioOutputConfig(RequestStruct, frozen=True, kw_only=True):
    """How the server speaks. The voice is fixed after the first audio; `speed` changes between turns only."""

    format: AudioFormat | UnsetType = UNSET
    voice: str | Voice | UnsetType = UNSET
    speed: Annotated[float, Meta(ge=0.25, le=1.5)] | UnsetType = UNSET


class AudioConfig(RequestStruct, frozen=True, kw_only=True):
    """Both directions of audio."""

    input: AudioInputConfig | UnsetType = UNSET
    output: AudioOutputConfig | UnsetType = UNSET


class SessionConfig(RequestStruct, tag="realtime", tag_field="type", frozen=True, kw_only=True):
    """The configuration of a realtime session, in the wire's own shape.

    Attributes:
        model: Only for client secrets and calls; a connected session cannot change it.
        instructions: `""` clears them.
        output_modalities: `["audio"]` or `["text"]`, never both.
        max_output_tokens: 1 to 4,096, or `"inf"`.
        include: `["item.input_audio_transcription.logprobs"]`.
        tools: `[]` clears them.
        parallel_tool_calls: Reasoning models only.
        tracing: `"auto"`, names, or None; immutable once on.
    """

    model: str | UnsetType = UNSET
    instructions: str | UnsetType = UNSET
    output_modalities: list[str] | UnsetType = UNSET
    max_output_tokens: int | str | UnsetType = UNSET
    audio: AudioConfig | UnsetType = UNSET
    include: list[str] | UnsetType = UNSET
    tools: list[Tool] | UnsetType = UNSET
    tool_choice: ToolChoice | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: Reasoning | UnsetType = UNSET
    tracing: str | TracingConfig | None | UnsetType = UNSET
    truncation: Truncation | UnsetType = UNSET
    prompt: Prompt | None | UnsetType = UNSET


class TranscriptionAudioConfig(RequestStruct, frozen=True, kw_only=True):
    """The one direction of audio that a transcription session has."""

    input: AudioInputConfig | UnsetType = UNSET


class TranscriptionSessionConfig(RequestStruct, tag="transcription", tag_field="type", frozen=True, kw_only=True):
    """The configuration of a session that only transcribes."""

    audio: TranscriptionAudioConfig | UnsetType = UNSET
    include: list[str] | UnsetType = UNSET


# --- what the server says ----------------------------------------------------------------------------------------


class AudioInputInfo(WireStruct, frozen=True, kw_only=True):
    """How the server hears, with its defaults spelled out."""

    format: AudioFormat | None = None
    noise_reduction: NoiseReduction | None = None
    transcription: Transcription | None = None
    turn_detection: TurnDetection | None = None


class AudioOutputInfo(WireStruct, frozen=True, kw_only=True):
    """How the server speaks, with its defaults spelled out."""

    format: AudioFormat | None = None
    voice: str | Voice | None = None
    speed: float | None = None


class AudioInfo(WireStruct, frozen=True, kw_only=True):
    """Both directions of audio."""

    input: AudioInputInfo | None = None
    output: AudioOutputInfo | None = None


class SessionInfo(WireStruct, tag="realtime", tag_field="type", frozen=True, kw_only=True):
    """The server's view of a realtime session.

    Attributes:
        expires_at: Unix seconds.
    """

    id: str | None = None
    object: str | None = None
    expires_at: int | None = None
    model: str | None = None
    instructions: str | None = None
    output_modalities: list[str] | None = None
    max_output_tokens: int | str | None = None
    audio: AudioInfo | None = None
    include: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    tracing: str | TracingConfig | None = None
    truncation: Truncation | None = None
    prompt: Prompt | None = None


class TranscriptionSessionInfo(WireStruct, tag="transcription", tag_field="type", frozen=True, kw_only=True):
    """The server's view of a session that only transcribes."""

    id: str | None = None
    object: str | None = None
    expires_at: int | None = None
    audio: AudioInfo | None = None
    include: list[str] | None = None
