"""What a demo came to, as values: the table on the terminal and the JSON object are two views of them."""

import json
import math
from operator import mul
from typing import Any, cast

import msgspec
from msgspec import Struct

from ..audio import PCM16, pcm16_to_floats
from ..realtime_session import RealtimeSession
from ..state.item import ConversationItem


class ItemReport(Struct, frozen=True, kw_only=True):
    """One item of the conversation.

    Attributes:
        role: None for what is no message.
        words: Its text, or the transcript of its audio; name and arguments of a call, what a function gave.
        streamed: Its words put together from the deltas as they came; `""` where the server sent none.
        audio_bytes: Audio of the assistant as the server holds it, audio of the user as it was cut out of the input.
        truncated: Whether its audio was cut where it was interrupted; its transcript is gone then.
    """

    id: str
    type: str
    role: str | None
    status: str | None
    words: str
    streamed: str
    audio_bytes: int
    audio_ms: int
    truncated: bool


class TurnReport(Struct, frozen=True, kw_only=True):
    """One turn that the server found in the microphone's audio.

    Attributes:
        start_ms: Where it begins, after the start of all audio sent; with the padding before the speech.
        end_ms: Where it ends, with the silence that told so.
        audio_bytes: What was cut out of the audio sent.
        level_dbfs: How loud that is (RMS, against full scale); None for silence.
        transcript: What was understood, None if that is not known.
    """

    item_id: str | None
    start_ms: int
    end_ms: int | None
    audio_bytes: int
    audio_ms: int
    level_dbfs: float | None
    transcript: str | None


class ToolReport(Struct, frozen=True, kw_only=True):
    """One call of a function.

    Attributes:
        arguments: As the model wrote them, parsed; a string where that is no JSON.
        result: What the function returned, None if it failed.
        error: Why it failed, or None.
        seconds: How long it took; None if it had not ended when the demo did.
    """

    call_id: str
    name: str
    arguments: Any
    result: Any = None
    error: str | None = None
    seconds: float | None = None


class InterruptionReport(Struct, frozen=True, kw_only=True):
    """What became of the item over which the user spoke.

    Attributes:
        heard_ms: How much of it was heard, as `Interrupted` says.
        played_bytes: What the loudspeaker had played of it by its own count.
        played_ms: The same in whole milliseconds.
        audio_end_ms: Where the server has cut it, as it confirmed with `ItemTruncated`.
        received_bytes: What was received of it.
        kept_bytes: What the conversation kept of that.
    """

    item_id: str
    heard_ms: int
    played_bytes: int
    played_ms: int
    audio_end_ms: int
    received_bytes: int
    kept_bytes: int


class AudioReport(Struct, frozen=True, kw_only=True):
    """Audio in both directions, mono PCM16 at 24,000 Hz; `wav` is the file with all that was received."""

    sent_bytes: int
    sent_ms: int
    received_bytes: int
    received_ms: int
    wav: str


class EventReport(Struct, frozen=True, kw_only=True):
    """How many events crossed the wire since the session was open, by type."""

    sent: dict[str, int]
    received: dict[str, int]


class TokenReport(Struct, frozen=True, kw_only=True):
    """Tokens of all responses; what the server did not state counts as 0."""

    total: int
    input: int
    input_text: int
    input_audio: int
    input_cached: int
    output: int
    output_text: int
    output_audio: int


class DemoReport(Struct, frozen=True, kw_only=True):
    """A whole demo.

    Attributes:
        server: Where it was held: the URL of the simulator, or `"OpenAI"`.
        session_id: The server's id of the session.
        model: The server's.
        voice: The server's; None where it does not say.
        tools: The calls, in the order in which they began.
        interruption: The last one; None if there was none.
        notes: What did not happen of what a demo is to show.
        seconds: How long the session was open.
    """

    server: str
    session_id: str | None
    model: str | None
    voice: str | None
    items: list[ItemReport]
    turns: list[TurnReport]
    tools: list[ToolReport]
    interruption: InterruptionReport | None
    notes: list[str]
    audio: AudioReport
    events: EventReport
    tokens: TokenReport
    seconds: float


def item_report(item: ConversationItem, streamed: str) -> ItemReport:
    """One item as it stands."""
    audio_bytes = item.audio_held_bytes + item.audio_evicted_bytes
    return ItemReport(
        id=item.id,
        type=item.type,
        role=item.role,
        status=item.status,
        words=_words(item),
        streamed=streamed,
        audio_bytes=audio_bytes,
        audio_ms=item.encoding.bytes_to_ms(audio_bytes),
        truncated=any(part.truncated for part in item.content),
    )


def _words(item: ConversationItem) -> str:
    if item.type == "function_call":
        return call_words(item.name or "", parsed(item.arguments))
    return item.text or item.transcript or item.output or ""


def parsed(arguments: str) -> Any:
    """JSON as a value; as it is, where it is no JSON."""
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments


def call_words(name: str, arguments: Any) -> str:
    """A call as one writes it in Python."""
    if isinstance(arguments, dict):
        pairs = [f"{key}={_json(value)}" for key, value in cast("dict[str, Any]", arguments).items()]
        return f"{name}({', '.join(pairs)})"
    return f"{name}({arguments})"


def tool_words(report: ToolReport) -> str:
    """How a call ended, in a line."""
    outcome = _json(report.result) if report.error is None else report.error
    return f"{report.name}: {outcome} in {report.seconds or 0:.2f} s"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def token_report(session: RealtimeSession) -> TokenReport:
    """The session's usage, flat."""
    usage: Any = msgspec.to_builtins(session.usage)

    def count(*path: str) -> int:
        place: Any = usage
        for name in path:
            place = place[name] if place else None
        return place or 0

    return TokenReport(
        total=count("total_tokens"),
        input=count("input_tokens"),
        input_text=count("input_token_details", "text_tokens"),
        input_audio=count("input_token_details", "audio_tokens"),
        input_cached=count("input_token_details", "cached_tokens"),
        output=count("output_tokens"),
        output_text=count("output_token_details", "text_tokens"),
        output_audio=count("output_token_details", "audio_tokens"),
    )


def level_dbfs(pcm: bytes) -> float | None:
    """How loud PCM16 is: its RMS against full scale, in decibels; None for silence."""
    samples = pcm16_to_floats(pcm[: len(pcm) // 2 * 2])
    power = math.fsum(map(mul, samples, samples)) / max(1, len(samples))
    return round(10 * math.log10(power), 1) if power else None


def audio_report(*, sent_bytes: int, received_bytes: int, wav: str) -> AudioReport:
    """The audio of both directions."""
    return AudioReport(
        sent_bytes=sent_bytes,
        sent_ms=PCM16.bytes_to_ms(sent_bytes),
        received_bytes=received_bytes,
        received_ms=PCM16.bytes_to_ms(received_bytes),
        wav=wav,
    )
