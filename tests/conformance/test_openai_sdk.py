"""The official SDK's types and ours describe the same protocol.

Its unions are read at run time, so that an event that a new release adds fails here until it has a struct.
"""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any, get_args

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

from tests.conformance.sdk_types import Model, fields_of, members, one_by_one, raw_objects, tag_of_theirs

UNIONS: dict[tuple[Kind, str], tuple[list[Model], tuple[type[msgspec.Struct], ...]]] = {
    ("realtime", "client"): (members(sdk.RealtimeClientEvent), CLIENT_EVENTS),
    ("realtime", "server"): (members(sdk.RealtimeServerEvent), SERVER_EVENTS),
    ("translation", "client"): (members(sdk.RealtimeTranslationClientEvent), TRANSLATION_CLIENT_EVENTS),
    ("translation", "server"): (members(sdk.RealtimeTranslationServerEvent), TRANSLATION_SERVER_EVENTS),
}


# What a client writes as dictionaries, with null only where the SDK allows it.
PARAMS: dict[Kind, list[Any]] = {
    "realtime": [*get_args(sdk.RealtimeClientEventParam), sdk.ResponseCreateEventWithReferencesParam],
    "translation": list(get_args(sdk.RealtimeTranslationClientEventParam)),
}


@pytest.mark.parametrize("which", UNIONS, ids="-".join)
def test_the_unions_have_the_same_events(which: tuple[Kind, str]) -> None:
    models, ours = UNIONS[which]
    theirs, known = {tag_of_theirs(model): model for model in models}, {tag_of(struct) for struct in ours}
    for tag in theirs.keys() - known:
        pytest.fail(
            f"the SDK has a new event, {tag!r} ({theirs[tag].__name__}): give it a struct in trio_realtime/wire, and "
            f"the union of the {which[1]} events that; its fields are {', '.join(fields_of(theirs[tag]))}"
        )
    assert known <= theirs.keys(), "the SDK has these no more: say so where they are kept"
    assert len(models) == len(ours)


@pytest.mark.parametrize("kind", PARAMS)
def test_the_dictionaries_are_of_the_same_events_as_the_models(kind: Kind) -> None:
    models, _ = UNIONS[kind, "client"]
    assert {tag_of_theirs(param) for param in PARAMS[kind]} == {tag_of_theirs(model) for model in models}


def cases(direction: str) -> list[Any]:
    found: list[Any] = []
    for (kind, side), (models, ours) in UNIONS.items():
        by_tag = {tag_of(struct): struct for struct in ours}
        if side == direction:
            found.extend(
                pytest.param(kind, model, by_tag.get(tag_of_theirs(model)), id=f"{kind}-{tag_of_theirs(model)}")
                for model in models
            )
    return found


# --- from there to here ------------------------------------------------------------------------------------------

# Parts of a value that it does not have: null says so as absence does. In settings null turns something off.
NULL_IS_ABSENCE = {
    "annotations",
    "approval_request_id",
    "description",
    "error",
    "name",
    "output",
    "reason",
    "variables",
    "version",
}


def assert_kept(part: Any, whole: Any, where: str, *, nulls: bool = False) -> None:
    """Everything in `part` is in `whole` too, and null where `nulls` is true and it is not absence."""
    if isinstance(part, dict):
        assert isinstance(whole, dict), where
        for key, value in part.items():
            if value is not None or (nulls and key not in NULL_IS_ABSENCE):
                assert key in whole, f"{where}.{key} is lost: give the struct this field"
                assert_kept(value, whole[key], f"{where}.{key}", nulls=nulls)
    elif isinstance(part, list):
        assert isinstance(whole, list), where
        assert len(part) == len(whole), where
        for index, value in enumerate(part):
            assert_kept(value, whole[index], f"{where}[{index}]", nulls=nulls)
    else:
        assert part == whole, where


def check_server_event(kind: Kind, struct: type[msgspec.Struct], raw: dict[str, Any]) -> None:
    event: Any = Codec(kind).decode(json.dumps(raw).encode())
    encoded = encode_server_event(event)
    assert type(event) is struct, event
    assert_kept(raw, json.loads(encoded), "$")
    assert "Unknown" not in repr(event)


def check_client_event(kind: Kind, raw: dict[str, Any], *, nulls: bool = False) -> None:
    event = decode_client_event(json.dumps(raw).encode(), kind)
    assert "Unknown" not in repr(event)
    assert_kept(raw, json.loads(Codec(kind).encode(event)), "$", nulls=nulls)


@pytest.mark.parametrize(("kind", "model", "struct"), cases("server"))
def test_no_field_of_a_server_event_of_the_sdk_is_lost_here(
    kind: Kind, model: Model, struct: type[msgspec.Struct]
) -> None:
    for raw in one_by_one(model, nulls=True):
        check_server_event(kind, struct, raw)


@pytest.mark.parametrize(("kind", "model", "struct"), cases("server"))
@settings(max_examples=40)
@given(data=st.data())
def test_a_server_event_of_the_sdk_loses_nothing_here(
    kind: Kind, model: Model, struct: type[msgspec.Struct], data: st.DataObject
) -> None:
    check_server_event(kind, struct, data.draw(raw_objects(model, nulls=True)))


@pytest.mark.parametrize(("kind", "model", "struct"), cases("client"))
@settings(max_examples=60)
@given(data=st.data())
def test_a_client_event_of_the_sdk_loses_nothing_here(
    kind: Kind, model: Model, struct: type[msgspec.Struct], data: st.DataObject
) -> None:
    check_client_event(kind, data.draw(raw_objects(model, nulls=False)))


dictionaries = pytest.mark.parametrize(
    ("kind", "param"), [pytest.param(kind, param, id=param.__name__) for kind in PARAMS for param in PARAMS[kind]]
)


@dictionaries
def test_no_field_and_no_null_of_a_dictionary_of_the_sdk_is_lost_here(kind: Kind, param: Any) -> None:
    for raw in one_by_one(param, nulls=True):
        check_client_event(kind, raw, nulls=True)


@dictionaries
@settings(max_examples=60)
@given(data=st.data())
def test_a_dictionary_of_the_sdk_loses_nothing_here(kind: Kind, param: Any, data: st.DataObject) -> None:
    check_client_event(kind, data.draw(raw_objects(param, nulls=True)), nulls=True)


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


# Documented as what turns them off, and typed as if they could not be.
NULL_BY_DESCRIPTION = {"noise_reduction", "transcription"}

# On the wire, and in no type of the SDK.
UNTYPED = {"phase"}


def described(raw: Any) -> Any:
    """What is sent, without what the SDK describes and does not type."""
    if isinstance(raw, list):
        return [described(each) for each in raw]
    if not isinstance(raw, dict):
        return raw
    return {
        key: described(value)
        for key, value in raw.items()
        if key not in UNTYPED and not (key in NULL_BY_DESCRIPTION and value is None)
    }


@cache
def validator(param: Any) -> Any:
    # Of a list, because pydantic takes no configuration for a TypedDict itself.
    return pydantic.TypeAdapter(list[param], config=pydantic.ConfigDict(extra="forbid", strict=True)).validate_python


def read_all(validated: Any) -> None:
    """Take everything out of what pydantic validates lazily."""
    if isinstance(validated, dict):
        validated = validated.values()
    if isinstance(validated, Iterable) and not isinstance(validated, str):
        for each in validated:
            read_all(each)


# The SDK's `send` takes references to items too, in a dictionary of their own.
SENT = [(kind, param) for kind in PARAMS for param in PARAMS[kind] if param is not sdk.ResponseCreateEventParam]


@pytest.mark.parametrize(("kind", "param"), SENT, ids=[param.__name__ for _, param in SENT])
@given(data=st.data())
def test_what_is_sent_is_a_dictionary_of_the_sdk(kind: Kind, param: Any, data: st.DataObject) -> None:
    """Also where its models are lax: null only where it is allowed, and no field that they do not know."""
    _, ours = UNIONS[kind, "client"]
    tag = tag_of_theirs(param)
    (struct,) = [each for each in ours if tag_of(each) == tag]
    event: Any = data.draw(client_events([struct], session=kind))
    raw = described(json.loads(Codec(kind).encode(event)))
    if kind == "translation":
        # The struct of a transcription is that of all sessions.
        transcription = raw.get("session", {}).get("audio", {}).get("input", {}).get("transcription", {})
        for name in transcription.keys() - {"model"}:
            del transcription[name]
    read_all(validator(param)([raw]))
