"""`replay`: a recording as a server, which says what was said and checks what it is told.

Theory of operation. A recording is two lists: what the client sent, and what it received, of which each event knows how
much had been sent before it. An event is served when the client has sent that much, and when it is due: at its time in
the recording, later by as much as the client was late. What the client sends is held against the list in its order.
Only audio is counted in bytes instead, for nobody cuts or hears the same noise twice.

Text that is no event, binary messages and the loss of a connection are faults, which the connection injects into
itself: one an advance, after the events that came before it, so that the link keeps the order.

Ids that a client makes are new in each run. Where an event that was recorded and one that is sent now stand for each
other, so do their ids, and from then on what is served names the new ones.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, cast

from ...audio import PCM16
from ...errors import ConfigError, RealtimeError
from ...transport import Closed
from ...wire.codec import Kind
from ..faults import Fault, binary, drops, malformed
from ..faulty_connection import FaultyConnection
from ..server import Json
from .recording import Lost, RecordedMessage, Recording, read_recording
from .redaction import audio_bytes, event_with_silence, redacted_event, stated_encoding
from .replay_matching import Names, assigned_item_ids, differences, renamed

_APPENDS = {"input_audio_buffer.append", "session.input_audio_buffer.append"}
_POLICY_VIOLATION = 1008
_LONGEST_REASON_BYTES = 123
_LONGEST_SESSION_S = 3600


class ReplayError(RealtimeError):
    """A client did not send what was recorded; the message says at which line, what was expected and what came.

    Attributes:
        line: The number of the line in the recording; None after its end.
    """

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class Replay:
    """A server that serves a recording, to each connection from its beginning; `replay` makes it.

    Attributes:
        recording: What is served.
        connections: Every connection that was made, oldest first.
    """

    def __init__(self, recording: Recording, pace: float) -> None:
        self.recording = recording
        self.connections: list[ReplayConnection] = []
        self._pace = pace
        self._moments = _moments(recording)

    def connect(
        self,
        query: Mapping[str, str],
        *,
        now: float,
        unix_time: float,
        kind: Kind = "realtime",
        configuration: Mapping[str, Any] | None = None,
    ) -> ReplayConnection:
        """See `Server`; whatever is asked for, the connection is the recorded one."""
        connection = ReplayConnection(self.recording, self._moments, self._pace, now=now, unix_time=unix_time)
        self.connections.append(connection)
        return connection


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that the server did, and what comes before it.

    Attributes:
        message: What was received.
        time: When, in seconds from the beginning.
        sent: How many events the client had sent, not counting audio.
        audio_bytes: How much audio it had sent.
    """

    message: RecordedMessage
    time: float
    sent: int
    audio_bytes: int


@dataclass(frozen=True, slots=True)
class _Moments:
    received: list[Moment]
    sent: list[Moment]
    appended: list[Moment]
    item_ids: dict[int, str]


def _moments(recording: Recording) -> _Moments:
    moments = _Moments([], [], [], assigned_item_ids(recording.messages))
    time, sent, audio = 0.0, 0, 0
    for message in recording.messages:
        time = time if message.time is None else message.time
        content = message.content
        if message.direction == "received":
            moments.received.append(Moment(message, time, sent, audio))
        elif isinstance(content, dict) and content.get("type") in _APPENDS:
            audio += audio_bytes(content.get("audio"))
            moments.appended.append(Moment(message, time, sent, audio))
        elif not isinstance(content, Closed | Lost):
            sent += 1
            moments.sent.append(Moment(message, time, sent, audio))
    return moments


class ReplayConnection(FaultyConnection):
    """One connection to a `Replay`; see `ServerConnection`.

    Attributes:
        closed: How the connection was closed, once it is.
        error: What the client sent otherwise than in the recording.
    """

    def __init__(self, recording: Recording, moments: _Moments, pace: float, *, now: float, unix_time: float) -> None:
        super().__init__()
        self.closed: Closed | None = None
        self.error: ReplayError | None = None
        self._path = recording.path
        self._moments = moments
        self._pace = pace
        self._start = now
        self._unix_time = unix_time
        self._began = _unix_began(recording.header)
        self._include_audio = recording.header.get("audio") is not False
        self._late = 0.0
        self._lost = False
        self._served = 0
        self._matched = 0
        self._audio_bytes = 0
        self._appended = 0
        self._names = Names()
        self._spoken = self._heard = PCM16

    def next_deadline(self) -> float:
        """See `ServerConnection`."""
        moment = self._next()
        return float("inf") if moment is None else self._due(moment.time)

    def advance(self, now: float) -> list[Json]:
        """See `ServerConnection`."""
        events: list[Json] = []
        while (moment := self._next()) is not None and self._due(moment.time) <= now:
            self._served += 1
            match moment.message.content:
                case dict() as event:
                    events.append(self._served_event(event))
                case Closed() as closed:
                    self.closed = closed
                case no_event:
                    self._lost = isinstance(no_event, Lost)
                    self.injected.append(_fault(no_event))
                    break  # what follows comes with the next advance: the fault stands after the events of this one
        return events

    def receive(self, message: str | bytes, now: float, *, binary: bool = False) -> list[Json]:
        """See `ServerConnection`."""
        if self._over:
            return []
        event = _parsed(message, binary=binary)
        if isinstance(event, dict) and event.get("type") in _APPENDS:
            self._take_audio(audio_bytes(event.get("audio")), now)
        else:
            self._take(event, now)
        return self.advance(now)

    def missing(self) -> ReplayError | None:
        """What was recorded that the client has not sent."""
        waiting = self._next_moment()
        if self._matched < len(self._moments.sent):
            expected = self._moments.sent[self._matched].message
            return self._error_at(expected, f"{_called(expected.content)} was expected, and was not sent")
        if waiting is not None and self._audio_bytes < waiting.audio_bytes:
            said = f"{waiting.audio_bytes:,} bytes of audio were expected before it, {self._audio_bytes:,} were sent"
            return self._error_at(waiting.message, said)
        return None

    # --- what is served -----------------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        return self._lost or self.closed is not None

    def _next_moment(self) -> Moment | None:
        return self._moments.received[self._served] if self._served < len(self._moments.received) else None

    def _next(self) -> Moment | None:
        """What is served next, if it waits for nothing but its time."""
        moment = self._next_moment()
        if self._over or moment is None:
            return None
        return moment if self._matched >= moment.sent and self._audio_bytes >= moment.audio_bytes else None

    def _due(self, time: float) -> float:
        return self._start + time * self._pace + self._late

    def _served_event(self, event: Json) -> Json:
        session: Any = event.get("session")
        if isinstance(session, dict):
            event = {**event, "session": self._moved(cast("Json", session))}
            self._spoken = stated_encoding(cast("Json", session), "output", self._spoken)
            self._heard = stated_encoding(cast("Json", session), "input", self._heard)
        return event_with_silence(renamed(event, self._names), spoken=self._spoken, heard=self._heard)

    def _moved(self, session: Json) -> Json:
        """The session with its end as far away as it was: by the clock of today it would have expired long ago."""
        expires_at: Any = session.get("expires_at")
        if not isinstance(expires_at, int | float):
            return session
        if self._began is None:
            self._began = expires_at - _LONGEST_SESSION_S
        return {**session, "expires_at": int(expires_at - self._began + self._unix_time)}

    # --- what is received ---------------------------------------------------------------------------------------

    def _take_audio(self, size: int, now: float) -> None:
        self._audio_bytes += size
        appended = self._moments.appended
        while self._appended < len(appended) and appended[self._appended].audio_bytes <= self._audio_bytes:
            self._wait_for_the_late(appended[self._appended], now)
            self._appended += 1

    def _take(self, event: Json | str | bytes, now: float) -> None:
        if self._matched == len(self._moments.sent):
            self._refuse(f"nothing more was sent, and {_called(event)} came", None)
            return
        moment = self._moments.sent[self._matched]
        expected = moment.message.content
        if isinstance(expected, dict) and isinstance(event, dict):
            assigned = self._moments.item_ids.get(moment.message.line)
            then, sent = (redacted_event(each, include_audio=self._include_audio) for each in (expected, event))
            wrong = differences(then, sent, self._names, assigned)
        else:
            wrong = [] if expected == event else [f"expected {_called(expected)}, got {_called(event)}"]
        if wrong:
            self._refuse("; ".join(wrong), moment.message)
            return
        self._matched += 1
        self._wait_for_the_late(moment, now)

    def _wait_for_the_late(self, moment: Moment, now: float) -> None:
        """Serve the rest later by as much as the client is late."""
        self._late = max(self._late, now - self._start - moment.time * self._pace)

    def _refuse(self, words: str, message: RecordedMessage | None) -> None:
        self.error = self._error_at(message, words)
        self.closed = _closed(_POLICY_VIOLATION, f"not as recorded: {words}")

    def _error_at(self, message: RecordedMessage | None, words: str) -> ReplayError:
        line = None if message is None else message.line
        where = f"{self._path}, at its end" if line is None else f"{self._path}, line {line}"
        return ReplayError(f"{where}: {words}", line=line)


@contextmanager
def replay(path: str | PathLike[str], *, pace: float = 1.0) -> Generator[Replay]:
    """Serve a recording, in memory or over a socket, and hold what the client sends against it.

    ```python
    with replay("talk.jsonl", pace=0) as server:
        async with simulated_transport(server) as transport, open_session(transport=transport, ...) as session:
            ...
    ```

    Each event comes when the client has sent what it had sent before it in the recording, and at the time that it came,
    on whatever clock Trio has; where the client is late, so is the rest. Text that is no event and binary messages are
    served too, and a connection that was lost ends without a close frame, whatever it was that broke it. The client has
    to send the same events in the same order, with any ids of its own. Of the audio that it appends only the length
    matters: an event that came after so much audio waits for as much; more is welcome. Redacted audio is served as
    silence, and a redacted binary message as zeros.

    A client that sends something else loses its connection, with code 1008, and leaving the block raises what was
    expected, what came, and at which line; so it does when something was not sent. Where the block raises something
    else in the latter case, the error stands in its notes.

    Args:
        path: Of `record_session`, or of another program in the same format, with or without times.
        pace: Seconds that a second of the recording takes: 1 is as it was, 0 is at once.

    Yields:
        What to give to `simulated_transport` or `serve_simulator`.

    Raises:
        ConfigError: The pace is out of range.
        NotARecording: The file is no recording.
        OSError: It cannot be read.
        ReplayError: On leaving: a client sent something else than what was recorded, or not all of it.
    """
    if not 0 <= pace < float("inf"):
        raise ConfigError(f"pace must be a number of seconds, 0 or more, not {pace}")
    server = Replay(read_recording(Path(path)), pace)
    try:
        yield server
    except Exception as error:
        _raise_first(connection.error for connection in server.connections)
        for missing in [connection.missing() for connection in server.connections]:
            if missing is not None:
                error.add_note(f"The replay was waiting: {missing}")
        raise
    for connection in server.connections:
        if (wrong := connection.error or connection.missing()) is not None:
            raise wrong


def _raise_first(errors: Generator[ReplayError | None]) -> None:
    for error in errors:
        if error is not None:
            raise error


def _fault(content: str | bytes | Lost) -> Fault:
    match content:
        case str():
            return malformed(content.encode("utf-8", "surrogateescape"))
        case bytes():
            return binary(content)
        case Lost():
            return drops()


def _closed(code: int, reason: str) -> Closed:
    return Closed(code, reason.encode("ascii", "replace")[:_LONGEST_REASON_BYTES].decode())


def _parsed(message: str | bytes, *, binary: bool) -> Json | str | bytes:
    if binary:
        return message.encode() if isinstance(message, str) else message
    text = message if isinstance(message, str) else message.decode("utf-8", "surrogateescape")
    try:
        event: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return cast("Json", event) if isinstance(event, dict) else text


def _called(content: object) -> str:
    match content:
        case {"type": str() as kind}:
            return kind
        case bytes():
            return "a binary message"
        case _:
            return "text that is no event"


def _unix_began(header: Json) -> float | None:
    try:
        return datetime.fromisoformat(header["began"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None
