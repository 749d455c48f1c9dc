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


# The SDK's `send` takes references to items too, in a dictionary of their own.
SENT = [(kind, param) for kind in PARAMS for param in PARAMS[kind] if param is not sdk.ResponseCreateEventParam]


@pytest.mark.parametrize(("kind", "param"), SENT, ids=[param.__name__ for _, param in SENT])
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
