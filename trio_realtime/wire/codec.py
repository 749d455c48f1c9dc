"""Bytes to events and events to bytes: the only encoder and decoders of the library.

Theory of operation. One pass of msgspec decodes nearly every frame straight into its struct, with audio as bytes.
What that pass refuses is repaired, which is slow and rare: the frame is read as plain JSON, an unknown event told from
a bad one, and what fits is built. Items and parts that do not fit become `UnknownItem` and `UnknownPart`; any other
field that does not fit falls back to its default, and then the event comes inside a `ProtocolIssue`, because something
of it was lost. No byte string makes `decode` raise.
"""

import json
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeGuard, Union, cast, get_args, get_origin

import msgspec
import pybase64
from msgspec import UNSET

from ..errors import ConfigError
from .client_events import ClientEvent, InputAudioBufferAppend
from .excerpt import excerpt
from .items import UNKNOWN_TAG
from .server_events import KnownServerEvent, ProtocolIssue, ServerEvent, UnknownEvent
from .translation import (
    KnownTranslationServerEvent,
    SessionInputAudioBufferAppend,
    TranslationClientEvent,
    TranslationServerEvent,
)

Payload = bytes | bytearray | memoryview
Kind = Literal["realtime", "translation"]

_MAX_HELD_HALVES = 64
"""Deltas that may end in half a character at one time; a server has a handful of parts under way."""

_encoder = msgspec.json.Encoder()
_server_decoders: dict[Kind, msgspec.json.Decoder[Any]] = {
    "realtime": msgspec.json.Decoder(KnownServerEvent),
    "translation": msgspec.json.Decoder(KnownTranslationServerEvent),
}
_client_decoders: dict[Kind, msgspec.json.Decoder[Any]] = {
    "realtime": msgspec.json.Decoder(ClientEvent),
    "translation": msgspec.json.Decoder(TranslationClientEvent),
}


def _by_tag(structs: tuple[Any, ...]) -> dict[str | None, type[msgspec.Struct]]:
    return {cls.__struct_config__.tag: cls for cls in structs if hasattr(cls, "__struct_config__")}


_server_structs: dict[Kind, dict[str | None, type[msgspec.Struct]]] = {
    "realtime": _by_tag(get_args(KnownServerEvent)),
    "translation": _by_tag(get_args(KnownTranslationServerEvent)),
}
_client_structs: dict[Kind, dict[str | None, type[msgspec.Struct]]] = {
    "realtime": _by_tag(get_args(ClientEvent)),
    "translation": _by_tag(get_args(TranslationClientEvent)),
}

_APPEND: dict[Kind, tuple[type[msgspec.Struct], bytes]] = {
    "realtime": (InputAudioBufferAppend, b'{"type":"input_audio_buffer.append","audio":"'),
    "translation": (SessionInputAudioBufferAppend, b'{"type":"session.input_audio_buffer.append","audio":"'),
}


class Codec:
    """Encodes and decodes the events of one connection.

    It remembers only the half characters at the end of deltas, so that what it returns can always be encoded as UTF-8.

    Args:
        kind: `"realtime"` (also for transcription sessions) or `"translation"`, whose tags collide.
    """

    def __init__(self, kind: Kind = "realtime") -> None:
        self._kind: Kind = kind
        self._decode = _server_decoders[kind].decode
        self._append, self._append_head = _APPEND[kind]
        self._halves: dict[tuple[object, ...], str] = {}

    def decode(self, payload: Payload) -> ServerEvent | TranslationServerEvent | ProtocolIssue:
        """Decode one message of the server; total: any bytes give a value.

        Args:
            payload: The text of the message, as UTF-8. Nothing of the result refers to it.

        Returns:
            The event; an `UnknownEvent` for a tag that this library does not know; a `ProtocolIssue` for what is no
            event at all, or for an event of which something was lost (then with the rest in `event`).
        """
        try:
            event = self._decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self._repair(payload)
        if self._halves:
            event = self._after_half(event)
        return cast("ServerEvent | TranslationServerEvent", event)

    def encode(self, event: ClientEvent | TranslationClientEvent) -> bytes:
        """Encode one event of the client, checked against the protocol's types and ranges.

        Raises:
            ConfigError: A field has a type or value that the protocol does not allow, or cannot be encoded.
        """
        try:
            if type(event) is self._append:
                return _encode_append(self._append_head, cast("InputAudioBufferAppend", event))
            encoded = _encoder.encode(event)
            _client_decoders[self._kind].decode(encoded)
            if b"null" in encoded:
                _check_finite(msgspec.to_builtins(event))
            encoded = _with_unknown(event, encoded)
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError, OverflowError) as error:
            raise ConfigError(f"{type(event).__name__} is not valid: {error}") from error
        return encoded

    def _repair(self, payload: Payload) -> ServerEvent | TranslationServerEvent | ProtocolIssue:
        try:
            raw: object = json.loads(
                bytes(payload).decode("utf-8"), parse_constant=_refuse_constant, parse_float=_parse_float
            )
            return self._repaired(raw, payload)
        except RecursionError:
            return ProtocolIssue(reason="nested too deeply", excerpt=excerpt(payload))
        except ValueError as error:
            return ProtocolIssue(reason=f"not JSON: {error}", excerpt=excerpt(payload))

    def _repaired(self, raw: object, payload: Payload) -> ServerEvent | TranslationServerEvent | ProtocolIssue:
        if not _is_object(raw):
            return ProtocolIssue(reason=f"expected an object, got {type(raw).__name__}", excerpt=excerpt(payload))
        fields = raw
        tag = fields.get("type")
        if not isinstance(tag, str):
            return ProtocolIssue(reason="an event without a type", excerpt=excerpt(payload))
        self._join_halves(tag, fields)
        fields = _mend_text(fields)
        struct = _server_structs[self._kind].get(fields["type"])
        if struct is None:
            event_id = fields.get("event_id")
            return UnknownEvent(
                type=fields["type"], event_id=event_id if isinstance(event_id, str) else None, raw=fields
            )
        losses: list[str] = []
        try:
            event = _build(struct, fields, losses, "$")
        except _UNFIT as error:
            return ProtocolIssue(event_type=fields["type"], reason=str(error), excerpt=excerpt(payload))
        if losses:
            return ProtocolIssue(
                event_type=fields["type"], reason="; ".join(losses), excerpt=excerpt(payload), event=event
            )
        return cast("ServerEvent | TranslationServerEvent", event)

    def _join_halves(self, tag: str, fields: dict[str, Any]) -> None:
        """Hold back half a character at the end of a delta, and put it before the next one of the same part."""
        delta = fields.get("delta")
        if not isinstance(delta, str):
            return
        struct = _server_structs[self._kind].get(tag)
        seen = fields if struct is None else {name: fields.get(name) for name in struct.__struct_fields__}
        key = _part_key(tag, seen.get("item_id"), seen.get("content_index"))
        delta = self._halves.pop(key, "") + delta
        if delta and "\ud800" <= delta[-1] <= "\udbff":
            if len(self._halves) >= _MAX_HELD_HALVES:
                self._halves.pop(next(iter(self._halves)))
            self._halves[key] = delta[-1]
            delta = delta[:-1]
        fields["delta"] = delta

    def _after_half(self, event: Any) -> Any:
        """Put what stands for a lost half before a delta that does not go on where the last one stopped."""
        delta = getattr(event, "delta", None)
        if not isinstance(delta, str) or not delta:
            return event
        tag = event.__struct_config__.tag
        key = _part_key(tag, getattr(event, "item_id", None), getattr(event, "content_index", None))
        if self._halves.pop(key, None) is None:
            return event
        return msgspec.structs.replace(event, delta="\N{REPLACEMENT CHARACTER}" + delta)


def decode_client_event(payload: Payload, kind: Kind = "realtime") -> ClientEvent | TranslationClientEvent:
    """Decode one event of a client, as a server or a recording needs it.

    Raises:
        ConfigError: It is no event of the protocol; the message says where it differs.
    """
    try:
        return cast("ClientEvent | TranslationClientEvent", _client_decoders[kind].decode(payload))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(f"not a client event: {error}") from error


def known_client_event(raw: Mapping[str, Any], kind: Kind = "realtime") -> ClientEvent | TranslationClientEvent | None:
    """The event that a mapping in the wire's own shape stands for; None if no struct holds all of it.

    Raises:
        ConfigError: It cannot be encoded as JSON, or its type is known and its values are not what the protocol allows.
    """
    encoded = encode_unknown(raw)
    try:
        event = _client_decoders[kind].decode(encoded)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if raw["type"] not in _client_structs[kind]:
            return None
        raise ConfigError(f"{raw['type']} is not valid: {error}") from error
    return event if msgspec.to_builtins(event) == msgspec.json.decode(encoded) else None


def encode_unknown(raw: Mapping[str, Any]) -> bytes:
    """Encode an event of a client that no struct holds.

    Raises:
        ConfigError: It has no type, or cannot be encoded as JSON.
    """
    if not isinstance(raw.get("type"), str):
        raise ConfigError("an event needs a type: a string such as 'response.create'")
    try:
        return _encoder.encode(raw)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"the event cannot be encoded as JSON: {error}") from error


def encode_server_event(event: ServerEvent | TranslationServerEvent) -> bytes:
    """Encode one event of a server, as a simulator or a recording needs it; unknown values are written as they came.

    Raises:
        ConfigError: It holds what JSON cannot say.
    """
    if isinstance(event, UnknownEvent):
        return encode_unknown(event.raw)
    try:
        return _with_unknown(event, _encoder.encode(event))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"{type(event).__name__} cannot be encoded as JSON: {error}") from error


def _encode_append(head: bytes, event: InputAudioBufferAppend) -> bytes:
    try:
        audio = pybase64.b64encode(event.audio)
    except (TypeError, ValueError, BufferError) as error:
        raise ConfigError(f"audio must be bytes, got {type(event.audio).__name__}") from error
    if event.event_id is UNSET:
        return b"".join((head, audio, b'"}'))
    if not isinstance(event.event_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
        raise ConfigError(f"event_id must be a str, got {type(event.event_id).__name__}")
    return b"".join((head, audio, b'","event_id":', _encoder.encode(event.event_id), b"}"))


def _with_unknown(event: Any, encoded: bytes) -> bytes:
    """`encoded`, with the original JSON in the place of each unknown item and part of `event`."""
    if f'"{UNKNOWN_TAG}"'.encode() not in encoded:
        return encoded
    return _encoder.encode(_restore_unknown(msgspec.to_builtins(event)))


def _check_finite(raw: Any) -> None:
    """Refuse what would be written as null, which means something else."""
    if isinstance(raw, float) and not math.isfinite(raw):
        raise ValueError(f"{raw} is no number of JSON")
    if _is_object(raw):
        raw = list(raw.values())
    if isinstance(raw, list | tuple):
        for value in cast("list[Any]", raw):
            _check_finite(value)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _parse_float(text: str) -> float | str:
    """A float, or the text of a number that is too large for one: it could not be written again."""
    number = float(text)
    return number if math.isfinite(number) else text


_UNFIT = (msgspec.ValidationError, UnicodeEncodeError, RecursionError)


def _build(kind: Any, raw: Any, losses: list[str], where: str) -> Any:
    """Make a `kind` of plain JSON, giving up as little of it as possible.

    Raises one of `_UNFIT` when it does not fit at all.
    """
    try:
        return msgspec.convert(raw, kind)
    except _UNFIT as error:
        origin = get_origin(kind)
        if origin in {types.UnionType, Union}:
            return _build_union(get_args(kind), raw, error, losses, where)
        if origin is list and _is_list(raw):
            return _build_list(get_args(kind)[0], raw, losses, where)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and _is_object(raw):
            return _build_struct(kind, raw, losses, where)
        raise


def _build_struct(kind: type[msgspec.Struct], raw: dict[str, Any], losses: list[str], where: str) -> msgspec.Struct:
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in raw:
            if field.required:
                raise msgspec.ValidationError(f"Object missing required field `{field.encode_name}` - at `{where}`")
            continue
        place = f"{where}.{field.encode_name}"
        try:
            values[field.name] = _build(field.type, raw[field.encode_name], losses, place)
        except _UNFIT as error:
            if field.required:
                raise msgspec.ValidationError(_located(error, place)) from error
            losses.append(_located(error, place))
    return kind(**values)


def _build_list(member: Any, raw: list[Any], losses: list[str], where: str) -> list[Any]:
    built: list[Any] = []
    for index, value in enumerate(raw):
        place = f"{where}[{index}]"
        try:
            built.append(_build(member, value, losses, place))
        except _UNFIT as error:
            losses.append(_located(error, place))
    return built


def _build_union(members: tuple[Any, ...], raw: Any, cause: Exception, losses: list[str], where: str) -> Any:
    structs = _by_tag(members)
    unknown = structs.pop(UNKNOWN_TAG, None)
    if _is_list(raw):
        for member in members:
            if get_origin(member) is list:
                return _build_list(get_args(member)[0], raw, losses, where)
    if _is_object(raw):
        chosen = _choose(structs, raw, or_first=unknown is None)
        if chosen is not None:
            inner: list[str] = []
            try:
                built = _build_struct(chosen, raw, inner, where)
            except _UNFIT as error:
                cause = error
            else:
                losses.extend(inner)
                return built
    if unknown is not None:
        return _unknown(unknown, raw, str(cause))
    raise cause


def _choose(
    structs: dict[str | None, type[msgspec.Struct]], raw: dict[str, Any], *, or_first: bool
) -> type[msgspec.Struct] | None:
    """The struct that `raw` should be, or None."""
    if None in structs:
        return structs[None]  # one without a tag is the only one of its union
    if or_first and "type" not in raw:
        return next(iter(structs.values()), None)  # a tag that a clone leaves out: the first kind is the usual one
    tag = raw.get("type")
    return structs.get(tag) if isinstance(tag, str) else None


def _unknown(kind: type[msgspec.Struct], raw: Any, cause: str) -> msgspec.Struct:
    item_id = raw.get("id") if _is_object(raw) else None
    if "id" in kind.__struct_fields__ and isinstance(item_id, str):
        return kind(id=item_id, raw=raw, cause=cause)
    return kind(raw=raw, cause=cause)


def _located(error: Exception, place: str) -> str:
    text = str(error)
    return text if " - at `$" in text and place in text else f"{text.split(' - at ', maxsplit=1)[0]} - at `{place}`"


def _part_key(tag: str, item_id: object, content_index: object) -> tuple[object, ...]:
    return (
        tag,
        item_id if isinstance(item_id, str) else None,
        content_index if isinstance(content_index, int) else 0,
    )


def _mend_text(raw: Any) -> Any:
    """Join surrogate halves that stand together and replace those that stand alone."""
    if isinstance(raw, str):
        try:
            raw.encode()
        except UnicodeEncodeError:
            return raw.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return raw
    if _is_list(raw):
        return [_mend_text(value) for value in raw]
    if _is_object(raw):
        return {_mend_text(key): _mend_text(value) for key, value in raw.items()}
    return raw


def _restore_unknown(raw: Any) -> Any:
    """Put the original JSON in the place of each unknown item and part."""
    if _is_list(raw):
        return [_restore_unknown(value) for value in raw]
    if _is_object(raw):
        if raw.get("type") == UNKNOWN_TAG:
            return raw.get("raw")
        return {key: _restore_unknown(value) for key, value in raw.items()}
    return raw


def _is_object(raw: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(raw, dict)


def _is_list(raw: object) -> TypeGuard[list[Any]]:
    return isinstance(raw, list)
