"""Translation sessions: a protocol of its own, whose `session.*` tags collide with those of realtime sessions."""

from msgspec import UNSET, UnsetType

from .client_events import ClientEventStruct
from .server_events import Error, ServerEventStruct, UnknownEvent
from .session_config import NoiseReduction, Transcription
from .struct import RequestStruct, WireStruct

# --- client ------------------------------------------------------------------------------------------------------


class TranslationInputConfig(RequestStruct, frozen=True, kw_only=True):
    """How the server hears; None turns noise reduction or transcription off."""

    noise_reduction: NoiseReduction | None | UnsetType = UNSET
    transcription: Transcription | None | UnsetType = UNSET


class TranslationOutputConfig(RequestStruct, frozen=True, kw_only=True):
    """The language to translate into."""

    language: str | UnsetType = UNSET


class TranslationAudioConfig(RequestStruct, frozen=True, kw_only=True):
    """Both directions of audio."""

    input: TranslationInputConfig | UnsetType = UNSET
    output: TranslationOutputConfig | UnsetType = UNSET


class TranslationSessionConfig(RequestStruct, frozen=True, kw_only=True):
    """The configuration of a translation session; it has no `type` and no `model`."""

    audio: TranslationAudioConfig | UnsetType = UNSET


class TranslationSessionUpdate(ClientEventStruct, tag="session.update", frozen=True, kw_only=True):
    """Change the configuration."""

    session: TranslationSessionConfig


class SessionInputAudioBufferAppend(
    ClientEventStruct, tag="session.input_audio_buffer.append", frozen=True, kw_only=True
):
    """Append PCM16 at 24,000 Hz; the server works in frames of 200 ms, and silence must be sent too."""

    audio: bytes


class SessionClose(ClientEventStruct, tag="session.close", frozen=True, kw_only=True):
    """Translate what is left; `session.closed` follows."""


TranslationClientEvent = TranslationSessionUpdate | SessionInputAudioBufferAppend | SessionClose

# --- server ------------------------------------------------------------------------------------------------------


class TranslationInputInfo(WireStruct, frozen=True, kw_only=True):
    """How the server hears."""

    noise_reduction: NoiseReduction | None = None
    transcription: Transcription | None = None


class TranslationOutputInfo(WireStruct, frozen=True, kw_only=True):
    """The language that it translates into."""

    language: str | None = None


class TranslationAudioInfo(WireStruct, frozen=True, kw_only=True):
    """Both directions of audio."""

    input: TranslationInputInfo | None = None
    output: TranslationOutputInfo | None = None


class TranslationSessionInfo(WireStruct, frozen=True, kw_only=True):
    """The server's view of a translation session; `type` is `"translation"`, `expires_at` in Unix seconds."""

    id: str | None = None
    type: str | None = None
    model: str | None = None
    expires_at: int | None = None
    audio: TranslationAudioInfo | None = None


class TranslationSessionCreated(ServerEventStruct, tag="session.created", frozen=True, kw_only=True):
    """The first event of a connection."""

    session: TranslationSessionInfo | None = None


class TranslationSessionUpdated(ServerEventStruct, tag="session.updated", frozen=True, kw_only=True):
    """The whole configuration after an update."""

    session: TranslationSessionInfo | None = None


class SessionClosed(ServerEventStruct, tag="session.closed", frozen=True, kw_only=True):
    """Everything was translated; the connection ends."""


class SessionInputTranscriptDelta(ServerEventStruct, tag="session.input_transcript.delta", frozen=True, kw_only=True):
    """A piece of what was said; nothing marks the end."""

    delta: str
    elapsed_ms: int | None = None


class SessionOutputTranscriptDelta(ServerEventStruct, tag="session.output_transcript.delta", frozen=True, kw_only=True):
    """A piece of the translation; nothing marks the end."""

    delta: str
    elapsed_ms: int | None = None


class SessionOutputAudioDelta(ServerEventStruct, tag="session.output_audio.delta", frozen=True, kw_only=True):
    """A piece of the spoken translation; `format` is `"pcm16"`, `sample_rate` in Hz."""

    delta: bytes
    sample_rate: int | None = None
    channels: int | None = None
    format: str | None = None
    elapsed_ms: int | None = None


KnownTranslationServerEvent = (
    TranslationSessionCreated
    | TranslationSessionUpdated
    | SessionClosed
    | SessionInputTranscriptDelta
    | SessionOutputTranscriptDelta
    | SessionOutputAudioDelta
    | Error
)

TranslationServerEvent = KnownTranslationServerEvent | UnknownEvent
