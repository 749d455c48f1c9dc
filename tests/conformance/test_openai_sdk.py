"""The official SDK's types and ours describe the same protocol.

Its unions are read at run time, so that an event that a new release adds fails here until it has a struct.
"""

import base64
import json
import types
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from tests.wire.unions import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    TRANSLATION_CLIENT_EVENTS,
    TRANSLATION_SERVER_EVENTS,
    tag_of,
)
from trio_realtime.testing.strategies import client_events, server_events
from trio_realtime.wire.codec import Codec, Kind, decode_client_event, encode_server_event

pytest.importorskip("openai")
pytest.importorskip("pydantic")

import pydantic
from openai.types import realtime as sdk

Model = type[pydantic.BaseModel]


def members(union: Any) -> list[Model]:
    """The models of one of the SDK's unions, which are annotated."""
    return [each for each in get_args(get_args(union)[0]) if issubclass(each, pydantic.BaseModel)]


def tag_of_model(model: Model) -> str:
    (tag,) = get_args(model.model_fields["type"].annotation)
    assert isinstance(tag, str)
    return tag


UNIONS: dict[tuple[Kind, str], tuple[list[Model], tuple[type[msgspec.Struct], ...]]] = {
    ("realtime", "client"): (members(sdk.RealtimeClientEvent), CLIENT_EVENTS),
    ("realtime", "server"): (members(sdk.RealtimeServerEvent), SERVER_EVENTS),
    ("translation", "client"): (members(sdk.RealtimeTranslationClientEvent), TRANSLATION_CLIENT_EVENTS),
    ("translation", "server"): (members(sdk.RealtimeTranslationServerEvent), TRANSLATION_SERVER_EVENTS),
}


@pytest.mark.parametrize("which", UNIONS, ids="-".join)
def test_the_unions_have_the_same_events(which: tuple[Kind, str]) -> None:
    models, ours = UNIONS[which]
    assert {tag_of_model(model) for model in models} == {tag_of(struct) for struct in ours}
    assert len(models) == len(ours)


def cases(direction: str) -> list[Any]:
    found: list[Any] = []
    for (kind, side), (models, ours) in UNIONS.items():
        by_tag = {tag_of(struct): struct for struct in ours}
        if side == direction:
            found.extend(
                pytest.param(kind, model, by_tag.get(tag_of_model(model)), id=f"{kind}-{tag_of_model(model)}")
                for model in models
            )
    return found


# --- from there to here ------------------------------------------------------------------------------------------

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
REQUIRED_HERE = {(sdk.RealtimeFunctionTool, "name")}


@cache
def raw_models(model: Model, *, nulls: bool) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that are instances of a model; with null in its optional fields where `nulls` is true."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        is_audio = name == "audio" or (name == "delta" and tag_of_model(model) in AUDIO_DELTAS)
        needed = field.is_required() or name == "type" or (model, name) in REQUIRED_HERE
        if is_audio and str in {field.annotation, *get_args(field.annotation)}:
            strategy = st.binary(max_size=9).map(lambda audio: base64.b64encode(audio).decode())
        else:
            annotation: Any = field.annotation
            strategy = raw_values(annotation, nulls=nulls and not needed)
        (required if needed else optional)[field.alias or name] = strategy
    raws = st.fixed_dictionaries(required, optional=optional)
    if {"type"} < model.model_fields.keys() <= {"type"}.union(*FIELDS_OF_PARTS.values()):
        raws = raws.map(fields_of_its_tag)
    return raws


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
    if origin is list:
        return st.lists(raw_values(arguments[0], nulls=nulls), max_size=2)
    if origin is dict:
        return st.dictionaries(st.text(max_size=6), raw_values(arguments[1], nulls=nulls), max_size=2)
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        return raw_models(kind, nulls=nulls)
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


def assert_kept(part: Any, whole: Any, where: str) -> None:
    """Everything in `part` is in `whole` too; null and absence are the same."""
    if isinstance(part, dict):
        assert isinstance(whole, dict), where
        for key, value in part.items():
            if value is not None:
                assert key in whole, f"{where}.{key} is lost"
                assert_kept(value, whole[key], f"{where}.{key}")
    elif isinstance(part, list):
        assert isinstance(whole, list), where
        assert len(part) == len(whole), where
        for index, value in enumerate(part):
            assert_kept(value, whole[index], f"{where}[{index}]")
    else:
        assert part == whole, where


@pytest.mark.parametrize(("kind", "model", "struct"), cases("server"))
@settings(max_examples=40)
@given(data=st.data())
def test_a_server_event_of_the_sdk_loses_nothing_here(
    kind: Kind, model: Model, struct: type[msgspec.Struct], data: st.DataObject
) -> None:
    raw = data.draw(raw_models(model, nulls=True))
    event: Any = Codec(kind).decode(json.dumps(raw).encode())
    assert_kept(raw, json.loads(encode_server_event(event)), "$")
    assert type(event) is struct, event
    assert "Unknown" not in repr(event)


@pytest.mark.parametrize(("kind", "model", "struct"), cases("client"))
@settings(max_examples=60)
@given(data=st.data())
def test_a_client_event_of_the_sdk_loses_nothing_here(
    kind: Kind, model: Model, struct: type[msgspec.Struct], data: st.DataObject
) -> None:
    raw = data.draw(raw_models(model, nulls=False))
    event = decode_client_event(json.dumps(raw).encode(), kind)
    assert type(event) is struct
    assert "Unknown" not in repr(event)
    assert_kept(raw, json.loads(Codec(kind).encode(event)), "$")


# --- from here to there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "model", "struct"), cases("client"))
@settings(max_examples=60)
@given(data=st.data())
def test_a_client_event_of_ours_is_valid_there(
    kind: Kind, model: Model, struct: type[msgspec.Struct], data: st.DataObject
) -> None:
    event: Any = data.draw(client_events([struct], session=kind))
    raw = json.loads(Codec(kind).encode(event))
    context = raw.get("response", {}).get("input", [])
    for reference in [item for item in context if item["type"] == "item_reference"]:
        # The SDK's own type of `input` leaves them out, although it has the type.
        sdk.ResponseItemReference.model_validate(reference)
        context.remove(reference)
    model.model_validate(raw)


@pytest.mark.parametrize(("kind", "model", "struct"), cases("server"))
@settings(max_examples=40)
@given(data=st.data())
def test_a_server_event_of_ours_is_valid_there(
    kind: Kind, model: Model, struct: type[msgspec.Struct], data: st.DataObject
) -> None:
    event: Any = data.draw(server_events([struct], session=kind))
    raw = json.loads(encode_server_event(event))
    model.model_validate(raw)
