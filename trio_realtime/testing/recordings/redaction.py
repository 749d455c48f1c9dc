"""Events without what must not be written down: audio becomes its length, credentials are replaced.

What is redacted keeps its shape as far as the protocol needs it, so that a recording can be served again: audio of
`{"bytes": n}` becomes silence as long as what was there.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Literal, cast

from ...audio import PCM16, PCMA, PCMU, Encoding
from ...wire.excerpt import KEY, without_credentials, without_data, without_keys
from ...wire.struct import SECRET_FIELDS
from ..server import Json

REDACTED = "<redacted>"
_ENCODINGS = {each.name: each for each in (PCM16, PCMU, PCMA)}
# Enough of a key to know it by: `Bearer ` and six characters.
_SHORTEST_KEY = 13
_SECRETS = SECRET_FIELDS | {"api_key", "client_secret"}


def redacted_event(event: Json, *, include_audio: bool) -> Json:
    """A copy of an event in the wire's shape without credentials, and without audio unless it is to be included.

    What was redacted before stays as it is.

    Raises:
        RecursionError: It is nested too deeply.
    """
    if not include_audio and _holds_audio(event) and isinstance(event["delta"], str):
        event = {**event, "delta": _length_of(event["delta"])}
    shown: Json = _redacted(event, include_audio=include_audio)
    return shown


class KeysInDeltas:
    """Finds the keys that go over several deltas, as when the model repeats one.

    The first characters of a key are told by nothing, and remain: five at most, behind what all keys of its kind have.
    """

    def __init__(self) -> None:
        self._ends: dict[tuple[str, ...], str] = {}

    def without(self, event: Json) -> Json:
        """The event, without the part of a key that is in its delta.

        Args:
            event: The next one in that direction, as it came.
        """
        delta: object = event.get("delta")
        if not isinstance(delta, str) or _holds_audio(event):
            return event
        stream = tuple(str(event.get(name)) for name in ("type", "item_id", "content_index"))
        # The first character is no part of a key: it says whether a word begins behind it.
        before = self._ends.get(stream, "\n")
        text = before + delta
        shown, shown_to, end = "", len(before), text[-1 - _SHORTEST_KEY :]
        for key in KEY.finditer(text, 1):
            if key.end() == len(text):  # it may go on, for how long nobody knows
                end = text[key.start() - 1 : key.start() + _SHORTEST_KEY]
            if key.end() <= shown_to:
                continue
            known = KEY.match(text, key.start(), len(before)) is not None
            shown += text[shown_to : key.start()] + ("" if known else REDACTED)
            shown_to = key.end()
        self._ends[stream] = end
        return {**event, "delta": shown + text[shown_to:]}


def redacted_text(text: str, *, include_audio: bool) -> str:
    """Text that is no event, without keys, and without long runs of base64 unless audio is to be included."""
    text = without_keys(text)
    return text if include_audio else without_data(text)


def event_with_silence(event: Json, *, spoken: Encoding, heard: Encoding) -> Json:
    """A copy of an event with silence in the place of redacted audio.

    Args:
        event: In the wire's shape, redacted or not.
        spoken: The encoding of the assistant's audio.
        heard: The encoding of the user's audio.
    """
    filled: Json = _filled(event, spoken, heard)
    if _holds_audio(event) and (count := _redacted_bytes(event["delta"])) is not None:
        filled["delta"] = _silence(count, spoken)
    return filled


def audio_bytes(audio: object) -> int:
    """How many bytes of audio a field holds, as base64 or redacted; 0 for what is no audio."""
    if isinstance(audio, str):
        return int(_length_of(audio)["bytes"])
    return _redacted_bytes(audio) or 0


def stated_encoding(session: Json, side: Literal["input", "output"], otherwise: Encoding) -> Encoding:
    """The encoding of the user's (`"input"`) or the assistant's (`"output"`) audio that a configuration states."""
    match session:
        case {"audio": {"input": {"format": {"type": str() as name}}}} if side == "input":
            return _ENCODINGS.get(name, otherwise)
        case {"audio": {"output": {"format": {"type": str() as name}}}} if side == "output":
            return _ENCODINGS.get(name, otherwise)
        case _:
            return otherwise


def _holds_audio(event: Json) -> bool:
    """Whether its `delta` is audio."""
    return "delta" in event and str(event.get("type")).endswith("audio.delta")


def _redacted(value: Any, *, include_audio: bool, secret: bool = False) -> Any:
    if isinstance(value, str):
        return REDACTED if secret and value else without_keys(value)
    if isinstance(value, list):
        return [_redacted(member, include_audio=include_audio, secret=secret) for member in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    shown: Json = {}
    for name, member in cast("Json", value).items():
        if name == "audio" and isinstance(member, str) and not secret:
            shown[name] = member if include_audio else _length_of(member)
        elif name == "server_url" and isinstance(member, str) and not secret:
            shown[name] = without_credentials(member)
        else:
            shown[name] = _redacted(member, include_audio=include_audio, secret=secret or name.lower() in _SECRETS)
    return shown


def _length_of(encoded: str) -> Json:
    return {"bytes": len(encoded) * 3 // 4 - encoded[-2:].count("=")}


def _redacted_bytes(value: object) -> int | None:
    """How much audio a redacted field stands for; None for any other field."""
    if isinstance(value, dict) and list(cast("Json", value)) == ["bytes"]:
        count: object = cast("Json", value)["bytes"]
        return count if isinstance(count, int) and count >= 0 else None
    return None


def _silence(count: int, encoding: Encoding) -> str:
    return b64encode(encoding.silent_sample[:1] * count).decode()


def _filled(value: Any, spoken: Encoding, heard: Encoding) -> Any:
    if isinstance(value, list):
        return [_filled(member, spoken, heard) for member in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("Json", value)
    filled = {name: _filled(member, spoken, heard) for name, member in fields.items()}
    if (count := _redacted_bytes(fields.get("audio"))) is not None:
        filled["audio"] = _silence(count, heard if str(fields.get("type")).startswith("input_audio") else spoken)
    return filled
