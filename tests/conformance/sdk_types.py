"""The official SDK's models and dictionaries, and values of them: any, and for each field one that has it."""

import base64
import types
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin, get_type_hints

import pydantic
from hypothesis import strategies as st
from openai.types import realtime as sdk
from typing_extensions import is_typeddict

Model = type[pydantic.BaseModel]


def members(union: Any) -> list[Model]:
    """The models of one of the SDK's unions, which are annotated."""
    return [each for each in get_args(get_args(union)[0]) if issubclass(each, pydantic.BaseModel)]


@cache
def fields_of(kind: Any) -> dict[str, tuple[Any, bool]]:
    """The names of the fields of a model or of a TypedDict, with their annotations and whether they are needed.

    A tag is: an object that does not say what it is can be nothing.
    """
    if not is_typeddict(kind):
        fields: dict[str, pydantic.fields.FieldInfo] = kind.model_fields
        return {
            field.alias or name: (field.annotation, field.is_required() or name == "type")
            for name, field in fields.items()
        }
    # What the class itself says of its required keys is wrong where its annotations are strings.
    hints: dict[str, Any] = get_type_hints(kind, include_extras=True)
    needed: Any = Required
    required = {name for name, hint in hints.items() if get_origin(hint) is needed}
    return {
        name: (get_args(hint)[0] if name in required else hint, name in required or name == "type")
        for name, hint in hints.items()
    }


def tag_of_theirs(kind: Any) -> str:
    """The tag of a model or of a TypedDict."""
    (tag,) = get_args(fields_of(kind)["type"][0])
    assert isinstance(tag, str)
    return tag


AUDIO_DELTAS = {"response.output_audio.delta", "session.output_audio.delta"}

# The SDK types the parts of a user's or an assistant's message as one model with the fields of all of them.
FIELDS_OF_PARTS = {
    "input_text": {"text"},
    "input_audio": {"audio", "transcript"},
    "input_image": {"image_url", "detail"},
    "output_text": {"text"},
    "output_audio": {"audio", "transcript"},
    "text": {"text"},
    "audio": {"audio", "transcript"},
}

# Optional there and not here: a function that has no name cannot be called.
REQUIRED_HERE = {(sdk.RealtimeFunctionTool, "name"), (sdk.RealtimeFunctionToolParam, "name")}


# What a server always spells out.
NEVER_NULL = {(sdk.realtime_audio_formats.AudioPCM, "rate")}


@cache
def raw_objects(kind: Any, *, nulls: bool) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that are instances of a model or of a TypedDict; with null in fields that allow it for `nulls`."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, (annotation, is_required) in fields_of(kind).items():
        needed = is_required or (kind, name) in REQUIRED_HERE
        if is_audio(kind, name):
            strategy = st.binary(max_size=9).map(lambda audio: base64.b64encode(audio).decode())
        else:
            strategy = raw_values(annotation, nulls=nulls and not needed and (kind, name) not in NEVER_NULL)
        (required if needed else optional)[name] = strategy
    raws = st.fixed_dictionaries(required, optional=optional)
    return raws.map(fields_of_its_tag) if is_part(kind) else raws


def is_part(kind: Any) -> bool:
    """Whether this is the one model of the parts of a message."""
    return {"type"} < fields_of(kind).keys() <= {"type"}.union(*FIELDS_OF_PARTS.values())


def fields_of_its_tag(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key == "type" or key in FIELDS_OF_PARTS[raw["type"]]}


@cache
def raw_values(kind: Any, *, nulls: bool) -> st.SearchStrategy[Any]:
    """JSON values of an annotation."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return raw_values(arguments[0], nulls=nulls)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in {Union, types.UnionType}:
        return st.one_of([raw_values(each, nulls=nulls) for each in arguments if nulls or each is not type(None)])
    if origin in {list, Iterable, Sequence}:
        return st.lists(raw_values(arguments[0], nulls=nulls), max_size=2)
    if origin is dict:
        return st.dictionaries(st.text(max_size=6), raw_values(arguments[1], nulls=nulls), max_size=2)
    if is_typeddict(kind) or (isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)):
        return raw_objects(kind, nulls=nulls)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        type(None): st.none(),
        bool: st.booleans(),
        str: st.text(max_size=6),
        int: st.integers(0, 2**53),
        # In the ranges that the protocol has for a speed, a threshold and a ratio, which the SDK does not know.
        float: st.floats(0.25, 1) | st.just(1),
        object: st.dictionaries(st.text(max_size=3), st.integers() | st.none(), max_size=2),
    }
    return plain[kind]


def is_audio(kind: Any, name: str) -> bool:
    annotation = fields_of(kind)[name][0]
    named = name == "audio" or (name == "delta" and tag_of_theirs(kind) in AUDIO_DELTAS)
    return named and str in {annotation, *get_args(annotation)}


SAMPLES: dict[Any, Any] = {bool: True, str: "x", int: 1, float: 0.5, object: {"x": 1}}


def one_by_one(kind: Any, *, nulls: bool) -> Iterator[Any]:
    """Values of an annotation: for each field and each choice anywhere inside, one that has it and little else."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from one_by_one(arguments[0], nulls=nulls)
    elif origin is Literal:
        yield from arguments
    elif origin in {Union, types.UnionType}:
        for each in arguments:
            yield from one_by_one(each, nulls=nulls)
    elif origin in {list, Iterable, Sequence}:
        yield from ([value] for value in one_by_one(arguments[0], nulls=nulls))
    elif origin is dict:
        yield from ({"x": value} for value in one_by_one(arguments[1], nulls=nulls))
    elif kind is type(None):
        yield from [None] if nulls else []
    elif kind in SAMPLES:
        yield SAMPLES[kind]
    else:
        yield from objects_one_by_one(kind, nulls=nulls)


def objects_one_by_one(kind: Any, *, nulls: bool) -> Iterator[dict[str, Any]]:
    fields = fields_of(kind)
    values = {
        name: ["AAAA"]
        if is_audio(kind, name)
        else list(one_by_one(annotation, nulls=nulls and (kind, name) not in NEVER_NULL))
        for name, (annotation, _) in fields.items()
    }
    needed = {name for name, (_, needed) in fields.items() if needed or (kind, name) in REQUIRED_HERE}
    least = {name: next(value for value in values[name] if value is not None) for name in needed}
    for tag in values.get("type", [None]):
        tagged = least if tag is None else {**least, "type": tag}
        for name in fields.keys() - {"type"}:
            for value in values[name]:
                if name not in needed or value is not None:
                    raw = {**tagged, name: value}
                    yield fields_of_its_tag(raw) if is_part(kind) else raw
        yield tagged
