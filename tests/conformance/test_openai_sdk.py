"""The official SDK's types and ours describe the same protocol.

Its unions are read at run time, so that an event that a new release adds fails here until it has a struct.
"""

import base64
import json
import types
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from tests.wire.strategies import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    TRANSLATION_CLIENT_EVENTS,
    TRANSLATION_SERVER_EVENTS,
    build,
    json_objects,
    structs,
    tag_of,
    texts,
)
from trio_realtime.wire.client_events import ResponseCreate
from trio_realtime.wire.codec import Codec, Kind, decode_client_event, encode_server_event
from trio_realtime.wire.items import (
    InputAudio,
    InputImage,
    InputText,
    Item,
    ItemReference,
    Message,
    OutputAudio,
    OutputText,
    UnknownItem,
)
from trio_realtime.wire.response_events import PartAudio, PartText
from trio_realtime.wire.responses import ResponseParams
from trio_realtime.wire.session_config import (
    McpApprovalFilter,
    RetentionRatioTruncation,
    ToolChoiceFunction,
    ToolChoiceMcp,
    TracingConfig,
)

pytest.importorskip("openai")
pytest.importorskip("pydantic")

import pydantic
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


@cache
def raw_objects(kind: Any, *, nulls: bool) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that are instances of a model or of a TypedDict; with null in fields that allow it for `nulls`."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    fields = fields_of(kind)
    for name, (annotation, is_required) in fields.items():
        is_audio = name == "audio" or (name == "delta" and tag_of_theirs(kind) in AUDIO_DELTAS)
        needed = is_required or (kind, name) in REQUIRED_HERE
        if is_audio and str in {annotation, *get_args(annotation)}:
            strategy = st.binary(max_size=9).map(lambda audio: base64.b64encode(audio).decode())
        else:
            strategy = raw_values(annotation, nulls=nulls and not needed)
        (required if needed else optional)[name] = strategy
    raws = st.fixed_dictionaries(required, optional=optional)
    if {"type"} < fields.keys() <= {"type"}.union(*FIELDS_OF_PARTS.values()):
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


# Parts of a value that it does not have: null says so as absence does. In settings null turns something off.
NULL_IS_ABSENCE = {"approval_request_id", "error", "name", "output", "reason", "variables", "version"}


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


@pytest.mark.parametrize(("kind", "model", "struct"), cases("server"))
@settings(max_examples=40)
@given(data=st.data())
def test_a_server_event_of_the_sdk_loses_nothing_here(
    kind: Kind, model: Model, struct: type[msgspec.Struct], data: st.DataObject
) -> None:
    raw = data.draw(raw_objects(model, nulls=True))
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
    raw = data.draw(raw_objects(model, nulls=False))
    event = decode_client_event(json.dumps(raw).encode(), kind)
    assert type(event) is struct
    assert "Unknown" not in repr(event)
    assert_kept(raw, json.loads(Codec(kind).encode(event)), "$")


dictionaries = pytest.mark.parametrize(
    ("kind", "param"), [pytest.param(kind, param, id=param.__name__) for kind in PARAMS for param in PARAMS[kind]]
)


@dictionaries
@given(data=st.data())
def test_a_dictionary_that_the_sdk_sends_means_the_same_here_with_every_null(
    kind: Kind, param: Any, data: st.DataObject
) -> None:
    raw = data.draw(raw_objects(param, nulls=True))
    event = decode_client_event(json.dumps(raw).encode(), kind)
    assert "Unknown" not in repr(event)
    assert_kept(raw, json.loads(Codec(kind).encode(event)), "$", nulls=True)


# --- from here to there ------------------------------------------------------------------------------------------

# Strings that are open here, since a new value is a value, and closed there.
MODALITIES = st.lists(st.sampled_from(["text", "audio"]), max_size=2)
TOKENS = st.integers(1, 4096) | st.just("inf")
EFFORTS = st.sampled_from(["minimal", "low", "medium", "high", "xhigh"])
STATUSES = st.sampled_from(["completed", "incomplete", "in_progress"])
ITEM = {"status": STATUSES, "object": st.just("realtime.item")}
CHOICES = st.sampled_from(["none", "auto", "required"]) | structs(ToolChoiceFunction) | structs(ToolChoiceMcp)
INCLUDE = st.lists(st.just("item.input_audio_transcription.logprobs"), max_size=1)
CALLERS = st.lists(st.sampled_from(["direct", "programmatic"]), max_size=2)
SESSION = {
    "output_modalities": MODALITIES,
    "max_output_tokens": TOKENS,
    "tool_choice": CHOICES,
    "include": INCLUDE,
    "tracing": st.just("auto") | structs(TracingConfig),
    "truncation": st.sampled_from(["auto", "disabled"]) | structs(RetentionRatioTruncation),
}
CLOSED: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "FunctionCall": ITEM,
    "FunctionCallOutput": ITEM,
    "InputImage": {"detail": st.sampled_from(["auto", "low", "high"])},
    "AudioPCM": {"rate": st.just(24000)},
    "ResponseParams": {"output_modalities": MODALITIES, "max_output_tokens": TOKENS, "tool_choice": CHOICES},
    "Reasoning": {"effort": EFFORTS},
    "McpTool": {
        "connector_id": st.just("connector_gmail"),
        "allowed_callers": CALLERS | st.none(),
        "require_approval": st.sampled_from(["always", "never", None]) | structs(McpApprovalFilter),
    },
    "McpToolInfo": {"input_schema": json_objects},
    "NoiseReduction": {"type": st.sampled_from(["near_field", "far_field"])},
    "Transcription": {"delay": EFFORTS},
    "SemanticVad": {"eagerness": st.sampled_from(["low", "medium", "high", "auto"])},
    "Prompt": {
        "variables": st.dictionaries(
            texts, texts | st.builds(lambda text: {"type": "input_text", "text": text}, texts), max_size=2
        )
    },
    "ResponseAudioOutput": {"voice": texts},
    "SessionConfig": SESSION,
    "SessionInfo": SESSION,
    "TranscriptionSessionConfig": {"include": INCLUDE},
    "TranscriptionSessionInfo": {"include": INCLUDE},
    "ConversationInfo": {"object": st.just("realtime.conversation")},
    "RateLimit": {"name": st.sampled_from(["requests", "tokens"])},
    "Response": {
        "object": st.just("realtime.response"),
        "output_modalities": MODALITIES,
        "max_output_tokens": TOKENS,
        "status": STATUSES | st.sampled_from(["failed", "cancelled"]),
    },
    "StatusDetails": {
        "type": st.sampled_from(["completed", "cancelled", "incomplete", "failed"]),
        "reason": st.sampled_from(["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"]),
    },
    "TranslationSessionInfo": {"type": st.just("translation")},
    "ResponseContentPartAdded": {"part": structs(PartText) | structs(PartAudio)},
    "ResponseContentPartDone": {"part": structs(PartText) | structs(PartAudio)},
    "SessionOutputAudioDelta": {"format": st.just("pcm16")},
}


# Optional here, because compatible servers (or the official JS client) leave them out.
NEEDED_THERE: dict[str, set[str]] = {
    "McpCall": {"id"},
    "McpApprovalRequest": {"id"},
    "McpApprovalResponse": {"id"},
    "ErrorDetails": {"type", "message"},
    "LogProb": {"bytes"},
    "McpToolInfo": {"input_schema"},
    "TranscriptTokenUsage": {"input_tokens", "output_tokens", "total_tokens"},
    "TranslationSessionInfo": {"id", "type", "model", "expires_at", "audio"},
    "NoiseReduction": {"type"},
    "Transcription": {"model"},
}


@cache
def refined(kind: type[msgspec.Struct], needed: frozenset[str] = frozenset()) -> st.SearchStrategy[Any]:
    """Instances of a kind that the SDK accepts, where that is less than its struct does."""
    name = kind.__name__
    if kind is Message:
        return st.one_of(
            [
                build(kind, ITEM | {"role": st.just(role), "content": st.lists(st.one_of(parts), max_size=2)})
                for role, parts in PARTS.items()
            ]
        )
    given = dict(CLOSED.get(name, {}))
    if "item" in kind.__struct_fields__:
        given["item"] = ITEMS
    return build(kind, given, always=needed | NEEDED_THERE.get(name, set()), refine=refined)


PARTS: dict[str, list[st.SearchStrategy[Any]]] = {
    "system": [refined(InputText)],
    "user": [refined(InputText), refined(InputAudio), refined(InputImage)],
    "assistant": [refined(OutputText), refined(OutputAudio)],
}
# A reference is an item only in the input of a response, and there only in what the SDK lets a client write.
ITEMS = st.one_of([refined(kind) for kind in get_args(Item) if kind not in {ItemReference, UnknownItem}])
CLOSED["Response"]["output"] = CLOSED["ResponseParams"]["input"] = st.lists(ITEMS, max_size=2)


def accepted(struct: type[msgspec.Struct], model: Model) -> st.SearchStrategy[Any]:
    """Events with everything that the model requires."""
    return refined(struct, frozenset(name for name, field in model.model_fields.items() if field.is_required()))


@pytest.mark.parametrize(("kind", "model", "struct"), cases("client"))
@settings(max_examples=60)
@given(data=st.data())
def test_a_client_event_of_ours_is_valid_there(
    kind: Kind, model: Model, struct: type[msgspec.Struct], data: st.DataObject
) -> None:
    event: Any = data.draw(accepted(struct, model))
    raw = json.loads(Codec(kind).encode(event))
    model.model_validate(raw)


@pytest.mark.parametrize(("kind", "model", "struct"), cases("server"))
@settings(max_examples=40)
@given(data=st.data())
def test_a_server_event_of_ours_is_valid_there(
    kind: Kind, model: Model, struct: type[msgspec.Struct], data: st.DataObject
) -> None:
    event: Any = data.draw(accepted(struct, model))
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


@dictionaries
@given(data=st.data())
def test_what_is_sent_is_a_dictionary_of_the_sdk(kind: Kind, param: Any, data: st.DataObject) -> None:
    """Also where its models are lax: null only where it is allowed, and no field that they do not know."""
    models, ours = UNIONS[kind, "client"]
    tag = tag_of_theirs(param)
    (model,) = [each for each in models if tag_of_theirs(each) == tag]
    (struct,) = [each for each in ours if tag_of(each) == tag]
    event: Any = data.draw(accepted(struct, model))
    raw = described(json.loads(Codec(kind).encode(event)))
    if kind == "translation":
        # The struct of a transcription is that of all sessions.
        transcription = raw.get("session", {}).get("audio", {}).get("input", {}).get("transcription", {})
        for name in transcription.keys() - {"model"}:
            del transcription[name]
    read_all(validator(param)([raw]))


@given(item_id=texts)
def test_a_reference_to_an_item_is_the_same_there(item_id: str) -> None:
    event = ResponseCreate(response=ResponseParams(input=[ItemReference(id=item_id)]))
    raw = json.loads(Codec().encode(event))
    (reference,) = raw["response"]["input"]
    assert sdk.ResponseItemReference.model_validate(reference).id == item_id
    read_all(validator(sdk.ResponseCreateEventWithReferencesParam)([raw]))
