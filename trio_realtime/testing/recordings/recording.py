r"""Recordings of sessions as files: one JSON object a line, for what crossed the transport and how it ended.

```
{"recording": 1, "model": "gpt-realtime-2.1", "began": "2026-07-30T09:15:00Z", "audio": false}
{"direction": "received", "time": 0.112, "event": {"type": "session.created", ...}}
{"direction": "sent", "time": 0.113, "event": {"type": "session.update", ...}}
{"direction": "received", "time": 2.0, "event": {"type": "response.output_audio.delta", "delta": {"bytes": 4800}, ...}}
{"direction": "received", "time": 2.1, "text": "{\"type\": no JSON"}
{"direction": "received", "time": 2.2, "binary": {"bytes": 3}}
{"direction": "received", "time": 9.5, "closed": {"code": 1001, "reason": "restart"}}
```

Times are seconds since the connection was open. The last line is a `closed` of either side, or
`"lost": {"error": ..., "message": ..., "code": ..., "reason": ...}`. The first line and the times may be missing, as in
recordings of other programs.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ...errors import ConfigError, RealtimeError
from ...transport import Closed
from ..server import Json
from .redaction import KeysInDeltas, redacted_event, redacted_text

VERSION = 1

Direction = Literal["sent", "received"]


class RecordingError(RealtimeError):
    """A recording could not be written to its end: the disk is full, or does not keep up. It holds what came before."""


class NotARecording(ConfigError):
    """A file does not have the format of a recording; the message says at which line."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A connection that ended without a close frame.

    Attributes:
        error: The name of the exception, `""` when this side cut the connection.
        message: Its words.
        code: Its websocket close code, if it has one.
        reason: Its reason.
    """

    error: str = ""
    message: str = ""
    code: int | None = None
    reason: str = ""


Content = Json | str | bytes | Closed | Lost
"""An event; text that is none; a binary message; the end."""


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """One line of a recording.

    Attributes:
        line: Its number in the file, from 1.
        direction: Seen from the client.
        time: Seconds since the connection was open; None where the recording has no times.
        content: What crossed: an event as a dict, other text as a str, a binary message as bytes (zeros, as many as
            there were, where it was redacted), or how the connection ended.
        json: The line as it stands in the file.
    """

    line: int
    direction: Direction
    time: float | None
    content: Content
    json: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as it was read.

    Attributes:
        path: Where from.
        header: Its first line, `{}` where there is none.
        messages: All others, in order.
        torn: Whether the last line was cut off, as when the program was killed; it is left out.
    """

    path: Path
    header: Json
    messages: tuple[RecordedMessage, ...]
    torn: bool = False


def header_line(*, model: str, began: str, include_audio: bool) -> str:
    """The first line of a recording."""
    return json.dumps({"recording": VERSION, "model": model, "began": began, "audio": include_audio})


def message_line(
    direction: Direction,
    time: float,
    content: bytes | Closed | Lost,
    *,
    binary: bool = False,
    include_audio: bool,
    keys: KeysInDeltas | None = None,
) -> str:
    """One line about something that crossed the transport, redacted.

    Args:
        direction: Seen from the client.
        time: Seconds since the connection was open.
        content: A message as it crossed, or how the connection ended.
        binary: Whether the message was binary.
        include_audio: Whether audio stands in the recording.
        keys: What knows the deltas that came before, of the same connection.
    """
    line: Json = {"direction": direction, "time": round(time, 6)}
    match content:
        case Closed(code, reason):
            line["closed"] = {"code": code, "reason": redacted_text(reason, include_audio=include_audio)}
        case Lost():
            said = redacted_text(content.message, include_audio=include_audio)
            reason = redacted_text(content.reason, include_audio=include_audio)
            line["lost"] = {"error": content.error, "message": said, "code": content.code, "reason": reason}
        case _ if binary:
            line["binary"] = b64encode(content).decode() if include_audio else {"bytes": len(content)}
        case _:
            try:
                event = _parsed(content)
                if keys is not None:
                    event = keys.without(event)
                line["event"] = redacted_event(event, include_audio=include_audio)
                return json.dumps(line, allow_nan=False)
            except (ValueError, RecursionError):
                line.pop("event", None)
                # What is no UTF-8 stands as half characters, from which the bytes can be had again.
                line["text"] = redacted_text(content.decode("utf-8", "surrogateescape"), include_audio=include_audio)
    return json.dumps(line)


def _parsed(payload: bytes) -> Json:
    event: object = json.loads(payload.decode("utf-8"))
    if not isinstance(event, dict):
        raise ValueError("an event is an object")  # noqa: TRY004  as what the parser raises
    return cast("Json", event)


def read_recording(path: str | Path) -> Recording:
    """Read a recording: of `record_session`, or of another program in the same format.

    Raises:
        NotARecording: A line is not of the format, or there is none.
        OSError: The file cannot be read.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotARecording(f"{path} is not a recording: it is no text") from error
    header: Json = {}
    messages: list[RecordedMessage] = []
    lines = text.split("\n")
    torn = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = _fields(line)
            if number == 1 and "recording" in fields:
                header = fields
                _check_version(header)
            else:
                messages.append(_message(number, line, fields))
        except _Unfit as error:
            if number == len(lines) and messages:  # no line end: the program was killed while it wrote
                torn = True
                continue
            raise NotARecording(f"{path} is not a recording: line {number} {error}") from error
    if not (messages or header):
        raise NotARecording(f"{path} is not a recording: there is nothing in it")
    return Recording(path, header, tuple(messages), torn)


class _Unfit(Exception):
    """What is wrong with a line, as the rest of a sentence."""


def _fields(line: str) -> Json:
    try:
        fields: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _Unfit("is no JSON (each line is a JSON object)") from error
    if not isinstance(fields, dict):
        raise _Unfit("is no JSON object")
    return cast("Json", fields)


def _check_version(header: Json) -> None:
    if header["recording"] != VERSION:
        raise _Unfit(f"says version {header['recording']!r}, and this library reads version {VERSION}: update it")


def _message(number: int, line: str, fields: Json) -> RecordedMessage:
    if fields.get("direction") not in {"sent", "received"}:
        raise _Unfit('has no direction ("sent" or "received")')
    direction: Direction = "sent" if fields["direction"] == "sent" else "received"
    time: object = fields.get("time")
    if time is not None and (isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time < 1e9):
        raise _Unfit(f"has a time that is no number of seconds: {time!r}")
    return RecordedMessage(number, direction, time, _content(fields), line)


def _content(fields: Json) -> Content:
    match fields:
        case {"event": dict()}:
            return cast("Json", fields["event"])
        case {"text": str() as text}:
            try:
                text.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError as error:
                raise _Unfit("has a text with half a character that stands for no byte") from error
            return text
        case {"binary": str() as encoded}:
            try:
                return b64decode(encoded, validate=True)
            except ValueError as error:
                raise _Unfit("has a binary message that is no base64") from error
        case {"binary": {"bytes": int() as count}} if count >= 0:
            return bytes(count)
        case {"closed": {"code": int() as code, "reason": str() as reason}}:
            return Closed(code, reason)
        case {"lost": dict()}:
            return _lost(cast("Json", fields["lost"]))
        case _:
            raise _Unfit('has none of "event", "text", "binary", "closed" and "lost", or not in their shape')


def _lost(fields: Json) -> Lost:
    words: dict[str, Any] = {name: fields.get(name, "") for name in ("error", "message", "reason")}
    code: object = fields.get("code")
    if not all(isinstance(each, str) for each in words.values()) or not (code is None or isinstance(code, int)):
        raise _Unfit('has a "lost" that is not in its shape')
    return Lost(**words, code=code)
