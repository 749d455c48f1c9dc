"""Hypothesis strategies for the wire's structs, made from the structs themselves."""

import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from trio_realtime.wire.client_events import ClientEvent
from trio_realtime.wire.items import UNKNOWN_TAG, UnknownItem, UnknownPart
from trio_realtime.wire.server_events import KnownServerEvent
from trio_realtime.wire.translation import KnownTranslationServerEvent, TranslationClientEvent

CLIENT_EVENTS: tuple[type[msgspec.Struct], ...] = get_args(ClientEvent)
SERVER_EVENTS: tuple[type[msgspec.Struct], ...] = get_args(KnownServerEvent)
TRANSLATION_CLIENT_EVENTS: tuple[type[msgspec.Struct], ...] = get_args(TranslationClientEvent)
TRANSLATION_SERVER_EVENTS: tuple[type[msgspec.Struct], ...] = get_args(KnownTranslationServerEvent)

texts = st.text(max_size=6)
int64s = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | int64s | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)
new_tags = texts.map(lambda text: f"new_{text}")
unknown_objects = st.builds(lambda tag, rest: {**rest, "type": tag}, new_tags, json_objects)


@cache
def structs(kind: type[msgspec.Struct], *, unknown: bool = False) -> st.SearchStrategy[Any]:
    """Any instance of `kind`; with unknown items and parts inside where `unknown` is true."""
    if kind in {UnknownItem, UnknownPart}:
        return unknown_objects.map(lambda raw: _unknown(kind, raw))
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in msgspec.structs.fields(kind):
        (required if field.required else optional)[field.name] = values(field.type, unknown=unknown)
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: kind(**fields))


@cache
def values(kind: Any, *, unknown: bool = False, metas: tuple[Meta, ...] = ()) -> st.SearchStrategy[Any]:
    """Any value of an annotation of the wire."""
    origin, arguments = get_origin(kind), get_args(kind)
    meta = metas[0] if metas else Meta()
    if origin is Annotated:
        return values(arguments[0], unknown=unknown, metas=arguments[1:])
    if origin in {Union, types.UnionType}:
        members = [member for member in arguments if unknown or member not in {UnknownItem, UnknownPart}]
        return st.one_of([values(member, unknown=unknown) for member in members])
    if origin is list:
        return st.lists(values(arguments[0], unknown=unknown), max_size=2)
    if origin is dict:
        key, value = (values(each, unknown=unknown) for each in arguments)
        return st.dictionaries(key, value, max_size=min(meta.max_length or 3, 3))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structs(kind, unknown=unknown)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        Any: json_values,
        None: st.none(),
        type(None): st.none(),
        UnsetType: st.just(UNSET),
        bool: st.booleans(),
        str: st.text(max_size=min(meta.max_length or 6, 6)),
        bytes: st.binary(max_size=9),
        int: st.integers(-(2**63) if meta.ge is None else int(meta.ge), 2**63 - 1 if meta.le is None else int(meta.le)),
        float: st.floats(meta.ge, meta.le, allow_nan=False, allow_infinity=False),
    }
    return plain[kind]


def tag_of(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str)
    assert tag != UNKNOWN_TAG
    return tag


def _unknown(kind: type[msgspec.Struct], raw: dict[str, Any]) -> msgspec.Struct:
    fields: dict[str, Any] = {"raw": raw}
    if "id" in kind.__struct_fields__ and isinstance(raw.get("id"), str):
        fields["id"] = raw["id"]
    return kind(**fields)
