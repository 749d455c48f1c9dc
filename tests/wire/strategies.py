"""Hypothesis strategies for the wire's structs, made from the structs themselves."""

import types
from collections.abc import Callable, Collection, Mapping
from functools import cache, reduce
from operator import or_
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


Refine = Callable[[type[msgspec.Struct]], st.SearchStrategy[Any]]
"""Gives the strategies of structs inside structs, which may be narrower than what the annotations allow."""


@cache
def structs(
    kind: type[msgspec.Struct], *, unknown: bool = False, refine: Refine | None = None
) -> st.SearchStrategy[Any]:
    """Any instance of `kind`; with unknown items and parts inside where `unknown` is true."""
    if kind in {UnknownItem, UnknownPart}:
        return unknown_objects.map(lambda raw: _unknown(kind, raw))
    return build(kind, {}, unknown=unknown) if refine is None else refine(kind)


def build(
    kind: type[msgspec.Struct],
    given: Mapping[str, st.SearchStrategy[Any]],
    *,
    always: Collection[str] = (),
    unknown: bool = False,
    refine: Refine | None = None,
) -> st.SearchStrategy[Any]:
    """Instances of `kind` with some fields from strategies of their own, and some that are never absent or None."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in msgspec.structs.fields(kind):
        kinds = get_args(field.type) if get_origin(field.type) in {Union, types.UnionType} else (field.type,)
        if field.name in always:
            kinds = tuple(each for each in kinds if each not in {type(None), UnsetType})
        strategy = given.get(field.name, values(reduce(or_, kinds), unknown=unknown, refine=refine))
        (required if field.required or field.name in always else optional)[field.name] = strategy
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: kind(**fields))


@cache
def values(
    kind: Any, *, unknown: bool = False, refine: Refine | None = None, metas: tuple[Meta, ...] = ()
) -> st.SearchStrategy[Any]:
    """Any value of an annotation of the wire."""
    origin, arguments = get_origin(kind), get_args(kind)
    meta = metas[0] if metas else Meta()
    if origin is Annotated:
        return values(arguments[0], unknown=unknown, refine=refine, metas=arguments[1:])
    if origin in {Union, types.UnionType}:
        members = [member for member in arguments if unknown or member not in {UnknownItem, UnknownPart}]
        return st.one_of([values(member, unknown=unknown, refine=refine) for member in members])
    if origin is list:
        return st.lists(values(arguments[0], unknown=unknown, refine=refine), max_size=2)
    if origin is dict:
        key, value = (values(each, unknown=unknown, refine=refine) for each in arguments)
        return st.dictionaries(key, value, max_size=min(meta.max_length or 3, 3))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structs(kind, unknown=unknown, refine=refine)
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
