"""Any value that the types of the wire's structs allow, made by walking the structs."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from ...wire.items import UnknownItem, UnknownPart

_S = TypeVar("_S", bound=msgspec.Struct)

Refine = Callable[[type[msgspec.Struct]], st.SearchStrategy[Any]]
"""Gives the strategies of structs inside structs, which may be narrower than what the annotations allow."""

texts: st.SearchStrategy[str] = st.text(max_size=6)
floats: st.SearchStrategy[float] = st.floats(allow_nan=False, allow_infinity=False)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
json_objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(texts, json_values, max_size=3)


def _tagged(tag: str, fields: dict[str, Any], named: dict[str, str]) -> dict[str, Any]:
    return {**fields, **named, "type": f"new_{tag}"}


unknown_objects: st.SearchStrategy[dict[str, Any]] = st.builds(
    _tagged, texts, json_objects, st.dictionaries(st.just("id"), texts, max_size=1)
)


def structs(kind: type[_S], *, unknown: bool = False) -> st.SearchStrategy[_S]:
    """Any instance of one of the structs of `trio_realtime.wire`: whatever the types of its fields allow.

    That is more than what the protocol allows: a string that is one of three words on the wire may be any string.
    `server_events`, `client_events`, `items` and `session_configs` keep to the protocol.

    Args:
        kind: The struct.
        unknown: Whether there may be `UnknownItem`s and `UnknownPart`s inside.

    Example:
        ```python
        @given(structs(Usage))
        def test_usage_is_shown(usage): ...
        ```
    """
    return cast("st.SearchStrategy[_S]", _structs(kind, unknown, None))


@cache
def _structs(kind: type[msgspec.Struct], unknown: bool, refine: Refine | None) -> st.SearchStrategy[Any]:
    if kind in {UnknownItem, UnknownPart}:
        return unknown_objects.map(lambda raw: _unknown(kind, raw))
    return build(kind, {}, unknown=unknown) if refine is None else refine(kind)


def instances(
    kind: type[_S],
    required: Mapping[str, st.SearchStrategy[Any]],
    optional: Mapping[str, st.SearchStrategy[Any]] | None = None,
) -> st.SearchStrategy[_S]:
    """Instances of a struct with fields from strategies; those that are optional are left out at times."""
    return st.fixed_dictionaries(dict(required), optional=dict(optional or {})).map(lambda fields: kind(**fields))


def build(
    kind: type[_S],
    given: Mapping[str, st.SearchStrategy[Any]],
    *,
    always: Collection[str] = (),
    unknown: bool = False,
    refine: Refine | None = None,
) -> st.SearchStrategy[_S]:
    """Instances of `kind` with some fields from strategies of their own, and some that are never absent or None."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in msgspec.structs.fields(kind):
        strategy = given.get(field.name)
        if strategy is None:
            absent = {type(None), UnsetType} if field.name in always else set[Any]()
            kinds = [each for each in _members(field.type, unknown) if each not in absent]
            strategy = st.one_of([_values(each, unknown, refine) for each in kinds])
        (required if field.required or field.name in always else optional)[field.name] = strategy
    return instances(kind, required, optional)


def _members(kind: Any, unknown: bool) -> list[Any]:
    """The members of a union, or the one type that is none."""
    members = get_args(kind) if get_origin(kind) in {Union, types.UnionType} else (kind,)
    return [member for member in members if unknown or member not in {UnknownItem, UnknownPart}]


@cache
def _values(kind: Any, unknown: bool, refine: Refine | None, metas: tuple[Meta, ...] = ()) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    meta = metas[0] if metas else Meta()
    if origin is Annotated:
        return _values(arguments[0], unknown, refine, arguments[1:])
    if origin in {Union, types.UnionType}:
        return st.one_of([_values(member, unknown, refine) for member in _members(kind, unknown)])
    if origin is list:
        return st.lists(_values(arguments[0], unknown, refine), max_size=2)
    if origin is dict:
        key, value = (_values(each, unknown, refine) for each in arguments)
        return st.dictionaries(key, value, max_size=min(meta.max_length or 3, 3))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _structs(kind, unknown, refine)
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


def _unknown(kind: type[msgspec.Struct], raw: dict[str, Any]) -> msgspec.Struct:
    fields: dict[str, Any] = {"raw": raw}
    if "id" in kind.__struct_fields__ and isinstance(raw.get("id"), str):
        fields["id"] = raw["id"]
    return kind(**fields)
