"""A recording as rows for a reader: what flows is joined, and audio is told by its length."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..audio import PCM16, Encoding
from ..testing.recordings.recording import Lost, RecordedMessage
from ..testing.recordings.redaction import audio_bytes, stated_encoding
from ..testing.server import Json
from ..transport import Closed
from .event_words import Tone, described, json_object, number

_APPENDS = {"input_audio_buffer.append", "session.input_audio_buffer.append"}


@dataclass
class Row:
    """One line of the timeline, for one event or for several that flowed together.

    Attributes:
        time: Of the first of them, in seconds, or None where the recording has no times.
        sent: Whether the client sent them.
        kind: The type of the event, or `"text"`, `"binary"`, `"closed"`, `"lost"` for what is none.
        count: How many there are.
        words: What of them matters.
        audio_ms: How much audio they hold.
        tone: How much it wants to be seen.
    """

    time: float | None
    sent: bool
    kind: str
    words: str = ""
    count: int = 1
    audio_ms: int = 0
    tone: Tone = "plain"


@dataclass
class Totals:
    """What a recording comes to."""

    sent: int = 0
    received: int = 0
    seconds: float | None = None
    responses: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass
class Timeline:
    """Makes rows of messages, and adds them up."""

    totals: Totals = field(default_factory=Totals)

    def __post_init__(self) -> None:
        self._spoken: Encoding = PCM16
        self._heard: Encoding = PCM16
        self._flowing: dict[tuple[object, ...], _Flow] = {}

    def rows(self, messages: Iterable[RecordedMessage], wanted: Callable[[str], bool]) -> list[Row]:
        """Rows of the messages that are wanted, by their kind; the totals are of all."""
        rows: list[Row] = []
        for message in messages:
            kind = kind_of(message)
            self._count(message)
            if not wanted(kind):
                continue
            if isinstance(message.content, dict) and (kind.endswith(".delta") or kind in _APPENDS):
                self._flow(message, kind, message.content, rows)
                continue
            # A microphone goes on through everything else, up to what the server says of it.
            ends_input = "input_audio_buffer" in kind
            self._flowing = {key: flow for key, flow in self._flowing.items() if key[1] in _APPENDS and not ends_input}
            rows.append(_row(message, kind))
        return rows

    def _count(self, message: RecordedMessage) -> None:
        totals = self.totals
        if message.time is not None:
            totals.seconds = message.time
        if isinstance(message.content, Closed | Lost):
            return
        if message.direction == "sent":
            totals.sent += 1
        else:
            totals.received += 1
        match message.content:
            case {"type": "session.created" | "session.updated", "session": session}:
                session = json_object(session)
                self._spoken = stated_encoding(session, "output", self._spoken)
                self._heard = stated_encoding(session, "input", self._heard)
            case {"type": "response.done", "response": response}:
                usage = json_object(json_object(response).get("usage"))
                totals.responses += 1
                totals.input_tokens += number(usage.get("input_tokens"))
                totals.output_tokens += number(usage.get("output_tokens"))
            case {"type": "error"}:
                totals.errors += 1
            case _:
                pass

    def _flow(self, message: RecordedMessage, kind: str, event: Json, rows: list[Row]) -> None:
        key = (message.direction, kind, event.get("item_id"), event.get("content_index"))
        flow = self._flowing.get(key)
        if flow is None:
            flow = self._flowing[key] = _Flow(Row(message.time, message.direction == "sent", kind, count=0))
            rows.append(flow.row)
        flow.row.count += 1
        if kind.endswith("audio.delta"):
            flow.add_audio(event.get("delta"), self._spoken)
        elif kind in _APPENDS:
            flow.add_audio(event.get("audio"), self._heard)
        else:
            flow.row.words += str(event.get("delta", ""))


class _Flow:
    """Deltas of one part, or audio of a microphone, on their way into one row."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self._audio_bytes = 0

    def add_audio(self, audio: object, encoding: Encoding) -> None:
        self._audio_bytes += audio_bytes(audio)
        self.row.audio_ms = encoding.bytes_to_ms(self._audio_bytes)


def kind_of(message: RecordedMessage) -> str:
    """The type of an event, or what it is instead."""
    match message.content:
        case dict() as event:
            return str(event.get("type", "event"))
        case str():
            return "text"
        case bytes():
            return "binary"
        case Closed():
            return "closed"
        case _:
            return "lost"


def _row(message: RecordedMessage, kind: str) -> Row:
    row = Row(message.time, message.direction == "sent", kind)
    match message.content:
        case dict() as event:
            row.words, row.tone = described(kind, event)
        case str() as text:
            row.words, row.tone = text, "error"
        case bytes() as data:
            row.words, row.tone = f"{len(data):,} bytes; the protocol has no binary messages", "error"
        case Closed(code, reason):
            row.words = f"code {code}{f', {reason}' if reason else ''}"
            row.tone = "plain" if row.sent else "warning"
        case lost:
            row.words = f"{lost.error}: {lost.message}" if lost.error else lost.message
            row.tone = "warning" if row.sent else "error"
    return row
