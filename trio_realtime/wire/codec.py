"""Bytes to events and events to bytes: the only encoder and decoders of the library.

Theory of operation. One pass of msgspec decodes nearly every frame straight into its struct, with audio as bytes.
What that pass refuses is repaired, which is slow and rare: the frame is read as plain JSON, an unknown event told from
a bad one, and what fits is built. Items and parts that do not fit become `UnknownItem` and `UnknownPart`; any other
field that does not fit falls back to its default, and then the event comes inside a `ProtocolIssue`, because something
of it was lost. No byte string makes `decode` raise.
"""

import json
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import msgspec
import pybase64

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
_structs: dict[Kind, dict[str, type[msgspec.Struct]]] = {
    kind: {cls.__struct_config__.tag: cls for cls in get_args(union)}
    for kind, union in (("realtime", KnownServerEvent), ("translation", KnownTranslationServerEvent))
}

_APPEND_HEAD = {
    InputAudioBufferAppend: b'{"type":"input_audio_buffer.append","audio":"',
    SessionInputAudioBufferAppend: b'{"type":"session.input_audio_buffer.append","audio":"',
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
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return self._repair(payload, str(error))
        if self._halves:
            event = self._after_half(event)
        return cast("ServerEvent | TranslationServerEvent", event)

    def encode(self, event: ClientEvent | TranslationClientEvent) -> bytes:
        """Encode one event of the client, checked against the protocol's types and ranges.

        Raises:
            ConfigError: A field has a type or value that the protocol does not allow, or cannot be encoded.
        """
        head = _APPEND_HEAD.get(cast("Any", type(event)))
        if head is not None:
            return _encode_append(head, cast("InputAudioBufferAppend", event))
        try:
            encoded = _encoder.encode(event)
            _client_decoders[self._kind].decode(encoded)
            if f'"{UNKNOWN_TAG}"'.encode() in encoded:
                encoded = _encoder.encode(_restore_unknown(msgspec.to_builtins(event)))
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError, OverflowError) as error:
            raise ConfigError(f"{type(event).__name__} is not valid: {error}") from error
        return encoded

    def _repair(self, payload: Payload, cause: str) -> ServerEvent | TranslationServerEvent | ProtocolIssue:
        try:
            raw: object = json.loads(bytes(payload).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            return ProtocolIssue(reason=f"not JSON: {error}", excerpt=excerpt(payload))
        if not isinstance(raw, dict):
            return ProtocolIssue(reason=f"expected an object, got {type(raw).__name__}", excerpt=excerpt(payload))
        fields = cast("dict[str, Any]", raw)
        tag = fields.get("type")
        if not isinstance(tag, str):
            return ProtocolIssue(reason="an event without a type", excerpt=excerpt(payload))
        self._join_halves(tag, fields)
        fields = _mend_text(fields)
        struct = _structs[self._kind].get(fields["type"])
        if struct is None:
            event_id = fields.get("event_id")
            return UnknownEvent(
                type=fields["type"], event_id=event_id if isinstance(event_id, str) else None, raw=fields
            )
        losses: list[str] = []
        try:
            event = _build(struct, fields, losses, "$")
        except _UNFIT as error:
            return ProtocolIssue(event_type=struct.__struct_config__.tag, reason=str(error), excerpt=excerpt(payload))
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
        key = _part_key(tag, fields.get("item_id"), fields.get("content_index"))
        delta = self._halves.pop(key, "") + delta
        if delta and "\ud800" <= delta[-1] <= "\udbff":
            if len(self._halves) >= _MAX_HELD_HALVES:
                self._halves.pop(next(iter(self._halves)))
            self._halves[key] = delta[-1]
            delta = delta[:-1]
        fields["delta"] = delta

    def _after_half(self, event: Any) -> Any:
        """Put what stands for a lost half before a delta that does not go on where the last one stopped."""
        if not isinstance(getattr(event, "delta", None), str):
            return event
        tag = type(event).__struct_config__.tag
        key = _part_key(tag, getattr(event, "item_id", None), getattr(event, "content_index", None))
        if self._halves.pop(key, None) is None:
            return event
        return msgspec.structs.replace(event, delta="\N{REPLACEMENT CHARACTER}" + event.delta)


def decode_client_event(payload: Payload, kind: Kind = "realtime") -> ClientEvent | TranslationClientEvent:
    """Decode one event of a client, as a server or a recording needs it.

    Raises:
        ConfigError: It is no event of the protocol; the message says where it differs.
    """
    try:
        return cast("ClientEvent | TranslationClientEvent", _client_decoders[kind].decode(payload))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(f"not a client event: {error}") from error


def convert_client_event(raw: Mapping[str, Any], kind: Kind = "realtime") -> ClientEvent | TranslationClientEvent:
    """Make an event of a mapping in the wire's own shape.

    Raises:
        ConfigError: It is no event of the protocol, or has values that JSON does not know.
    """
    try:
        return decode_client_event(_encoder.encode(raw), kind)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"not a client event: {error}") from error


def encode_server_event(event: ServerEvent | TranslationServerEvent) -> bytes:
    """Encode one event of a server, as a simulator or a recording needs it; unknown values are written as they came."""
    if isinstance(event, UnknownEvent):
        return _encoder.encode(event.raw)
    return _encoder.encode(_restore_unknown(msgspec.to_builtins(event)))


def _encode_append(head: bytes, event: InputAudioBufferAppend) -> bytes:
    try:
        audio = pybase64.b64encode(event.audio)
    except (TypeError, ValueError, BufferError) as error:
        raise ConfigError(f"audio must be bytes, got {type(event.audio).__name__}") from error
    if isinstance(event.event_id, str):
        return b"".join((head, audio, b'","event_id":', _encoder.encode(event.event_id), b"}"))
    return b"".join((head, audio, b'"}'))


_UNFIT = (msgspec.ValidationError, UnicodeEncodeError, RecursionError)


def _build(kind: Any, raw: Any, losses: list[str], where: str) -> Any:
    """Make a `kind` of plain JSON, giving up as little of it as possible.

    Raises one of `_UNFIT` when it does not fit at all.
    """
    try:
        return msgspec.convert(raw, kind)
    except _UNFIT as error:
        origin = get_origin(kind)
        if origin is Annotated:
            return _build(get_args(kind)[0], raw, losses, where)
        if origin in {types.UnionType, Union}:
            return _build_union(get_args(kind), raw, error, losses, where)
        if origin is list and isinstance(raw, list):
            return _build_list(get_args(kind)[0], cast("list[Any]", raw), losses, where)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(raw, dict):
            return _build_struct(kind, cast("dict[str, Any]", raw), losses, where)
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
                raise
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
    structs = {cls.__struct_config__.tag: cls for cls in members if hasattr(cls, "__struct_config__")}
    unknown = structs.pop(UNKNOWN_TAG, None)
    if isinstance(raw, list):
        for member in members:
            if get_origin(member) is list:
                return _build_list(get_args(member)[0], cast("list[Any]", raw), losses, where)
    chosen = None
    if isinstance(raw, dict) and structs:
        fields = cast("dict[str, Any]", raw)
        first = next(iter(structs.values()))
        if len(structs) == 1 or ("type" not in fields and unknown is None):
            chosen = first  # not a choice, or a session whose tag a clone leaves out: the first kind is the usual one
        else:
            chosen = structs.get(fields.get("type"))
    if chosen is not None:
        inner: list[str] = []
        try:
            built = _build_struct(chosen, cast("dict[str, Any]", raw), inner, where)
        except _UNFIT as error:
            cause = error
        else:
            losses.extend(inner)
            return built
    if unknown is not None:
        return _unknown(unknown, raw, str(cause))
    raise cause


def _unknown(kind: type[msgspec.Struct], raw: Any, cause: str) -> msgspec.Struct:
    item_id: object = cast("dict[str, Any]", raw).get("id") if isinstance(raw, dict) else None
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
        content_index if isinstance(content_index, int) else None,
    )


def _mend_text(raw: Any) -> Any:
    """Join surrogate halves that stand together and replace those that stand alone."""
    if isinstance(raw, str):
        try:
            raw.encode()
        except UnicodeEncodeError:
            return raw.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return raw
    if isinstance(raw, list):
        return [_mend_text(value) for value in cast("list[Any]", raw)]
    if isinstance(raw, dict):
        return {_mend_text(key): _mend_text(value) for key, value in cast("dict[str, Any]", raw).items()}
    return raw


def _restore_unknown(raw: Any) -> Any:
    """Put the original JSON in the place of each unknown item and part."""
    if isinstance(raw, list):
        return [_restore_unknown(value) for value in cast("list[Any]", raw)]
    if isinstance(raw, dict):
        fields = cast("dict[str, Any]", raw)
        if fields.get("type") == UNKNOWN_TAG:
            return fields.get("raw")
        return {key: _restore_unknown(value) for key, value in fields.items()}
    return raw
