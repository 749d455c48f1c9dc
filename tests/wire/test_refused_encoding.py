"""What the protocol does not allow is refused before it is sent."""

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_realtime.errors import ConfigError
from trio_realtime.testing.strategies import structs
from trio_realtime.testing.strategies.any_values import json_objects, unknown_objects
from trio_realtime.wire.client_events import (
    ConversationItemCreate,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseCreate,
    SessionUpdate,
)
from trio_realtime.wire.codec import (
    Codec,
    decode_client_event,
    encode_server_event,
    encode_unknown,
    known_client_event,
)
from trio_realtime.wire.items import InputText, ItemReference, Message, UnknownItem, UnknownPart
from trio_realtime.wire.responses import ResponseParams
from trio_realtime.wire.server_events import ConversationItemAdded, SessionCreated, UnknownEvent
from trio_realtime.wire.session_config import (
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    FunctionTool,
    Reasoning,
    RetentionRatioTruncation,
    ServerVad,
    SessionConfig,
    Voice,
)
from trio_realtime.wire.translation import SessionInputAudioBufferAppend

ANY: Any = None


def detection(**fields: Any) -> SessionUpdate:
    vad = ServerVad(**fields)
    return SessionUpdate(session=SessionConfig(audio=AudioConfig(input=AudioInputConfig(turn_detection=vad))))


WRONG: list[Any] = [
    InputAudioBufferAppend(audio=ANY),
    InputAudioBufferAppend(audio="AAAA"),  # type: ignore[arg-type]
    InputAudioBufferAppend(audio=memoryview(b"abcd")[::2]),  # type: ignore[arg-type]
    InputAudioBufferAppend(audio=b"", event_id=ANY),
    InputAudioBufferAppend(audio=b"", event_id=5),  # type: ignore[arg-type]
    InputAudioBufferAppend(audio=b"", event_id="\ud800"),
    InputAudioBufferCommit(event_id=5),  # type: ignore[arg-type]
    InputAudioBufferCommit(event_id="\ud800"),
    ConversationItemTruncate(item_id="a", audio_end_ms=-1),
    ConversationItemTruncate(item_id="a", audio_end_ms=1.5),  # type: ignore[arg-type]
    ConversationItemTruncate(item_id="a", audio_end_ms=1, content_index=-1),
    ConversationItemTruncate(item_id=ANY, audio_end_ms=1),
    ConversationItemCreate(item=ANY),
    ConversationItemCreate(item=Message(role="user", content=["hello"])),  # type: ignore[list-item]
    ConversationItemCreate(item=Message(role="user", content=[InputText(text=5)])),  # type: ignore[arg-type]
    ConversationItemCreate(item=Message(role="user"), previous_item_id=ANY),
    SessionUpdate(session=ANY),
    SessionUpdate(session=SessionConfig(instructions=ANY)),
    SessionUpdate(session=SessionConfig(instructions=object())),  # type: ignore[arg-type]
    SessionUpdate(session=SessionConfig(tools=[ANY])),
    SessionUpdate(session=SessionConfig(tools=[FunctionTool(name="f", parameters={1j})])),
    SessionUpdate(session=SessionConfig(tools=[FunctionTool(name="f", parameters={"x": [math.nan]})])),
    SessionUpdate(session=SessionConfig(audio=AudioConfig(output=AudioOutputConfig(speed=2)))),
    SessionUpdate(session=SessionConfig(audio=AudioConfig(output=AudioOutputConfig(speed=0.2)))),
    SessionUpdate(session=SessionConfig(audio=AudioConfig(output=AudioOutputConfig(speed=math.inf)))),
    SessionUpdate(session=SessionConfig(truncation=RetentionRatioTruncation(retention_ratio=1.1))),
    detection(threshold=1.01),
    detection(threshold=math.nan),
    detection(prefix_padding_ms=-1),
    detection(idle_timeout_ms=2.5),
    detection(create_response="yes"),
    ResponseCreate(response=ResponseParams(metadata={"a": 5})),  # type: ignore[dict-item]
    ResponseCreate(response=ResponseParams(metadata={"a" * 65: "b"})),
    ResponseCreate(response=ResponseParams(metadata={"a": "b" * 513})),
    ResponseCreate(response=ResponseParams(metadata={str(n): "" for n in range(17)})),
    ResponseCreate(response=ResponseParams(input=[ItemReference(id=ANY)])),
    ResponseCreate(response=ResponseParams(reasoning=Reasoning(effort=5))),  # type: ignore[arg-type]
    SessionInputAudioBufferAppend(audio=b""),  # of the other kind of connection
    SessionCreated(),
    object(),
    None,
]


@pytest.mark.parametrize("event", WRONG, ids=lambda event: repr(event)[:60])
def test_a_wrong_event_is_refused(event: Any) -> None:
    with pytest.raises(ConfigError):
        Codec().encode(event)


def test_an_append_of_the_other_kind_of_connection_is_refused() -> None:
    with pytest.raises(ConfigError):
        Codec("translation").encode(InputAudioBufferAppend(audio=b""))


def test_a_refusal_says_which_event_and_where() -> None:
    not_finite = SessionUpdate(session=SessionConfig(tools=[FunctionTool(name="f", parameters={"x": [math.nan]})]))
    refused: list[tuple[Any, str]] = [
        (
            ConversationItemTruncate(item_id="a", audio_end_ms=-1),
            "ConversationItemTruncate is not valid: Expected `int` >= 0 - at `$.audio_end_ms`",
        ),
        (
            InputAudioBufferAppend(audio="AAAA"),  # type: ignore[arg-type]
            "InputAudioBufferAppend is not valid: audio must be bytes, got str",
        ),
        (
            InputAudioBufferAppend(audio=b"", event_id=5),  # type: ignore[arg-type]
            "InputAudioBufferAppend is not valid: event_id must be a str, got int",
        ),
        (not_finite, "SessionUpdate is not valid: nan is no number of JSON"),
    ]
    for event, words in refused:
        with pytest.raises(ConfigError) as caught:
            Codec().encode(event)
        assert str(caught.value) == words


def test_a_refused_mapping_says_what_is_wrong() -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({}, "an event needs a type: a string such as 'response.create'"),
        ({"type": "new", "x": object()}, "the event cannot be encoded as JSON: Encoding objects of type object is"),
        (
            {"type": "response.cancel", "response_id": 5},
            "response.cancel is not valid: Expected `str`, got `int` - at `$.response_id`",
        ),
    ]
    for raw, words in refused:
        with pytest.raises(ConfigError) as caught:
            known_client_event(raw)
        assert str(caught.value).startswith(words)
    with pytest.raises(ConfigError, match=r"^not a client event: Invalid value 'new' - at `\$\.type`$"):
        decode_client_event(b'{"type":"new"}')
    with pytest.raises(
        ConfigError, match=r"^SessionCreated cannot be encoded as JSON: Encoding objects of type object"
    ):
        encode_server_event(SessionCreated(session=object()))  # type: ignore[arg-type]


def test_what_is_right_is_not_refused() -> None:
    codec = Codec()
    for event in (
        detection(threshold=1, idle_timeout_ms=None),
        SessionUpdate(session=SessionConfig(prompt=None, tracing=None)),
        SessionUpdate(session=SessionConfig(audio=AudioConfig(output=AudioOutputConfig(voice=Voice(id="v"))))),
        ResponseCreate(response=ResponseParams(input=[], metadata=None)),
        ConversationItemCreate(item=Message(role="user", content=(InputText(text="null"),))),  # type: ignore[arg-type]
        SessionUpdate(session=SessionConfig(tools=[FunctionTool(name="f", parameters={"default": None, "x": 1.5})])),
    ):
        assert codec.encode(event)
    assert decode_client_event(codec.encode(InputAudioBufferAppend(audio=memoryview(b"ab")))) == (  # type: ignore[arg-type]
        InputAudioBufferAppend(audio=b"ab")
    )


@given(raw=unknown_objects, part=unknown_objects)
def test_a_new_kind_of_item_can_be_sent(raw: dict[str, Any], part: dict[str, Any]) -> None:
    import json

    encoded = Codec().encode(ConversationItemCreate(item=UnknownItem(raw=raw)))
    assert json.loads(encoded) == {"type": "conversation.item.create", "item": raw}
    message = Message(role="user", content=[UnknownPart(raw=part), InputText(text="a")])
    encoded = Codec().encode(ConversationItemCreate(item=message))
    assert json.loads(encoded)["item"]["content"] == [part, {"type": "input_text", "text": "a"}]


# --- events as mappings ------------------------------------------------------------------------------------------


def test_a_mapping_of_a_known_event_is_that_event() -> None:
    event = known_client_event(
        {"type": "conversation.item.truncate", "item_id": "a", "content_index": 0, "audio_end_ms": 5}
    )
    assert event == ConversationItemTruncate(item_id="a", audio_end_ms=5)
    assert known_client_event({"type": "session.close"}, "translation") is not None


def test_a_mapping_that_no_struct_holds_whole_is_left_as_it_is() -> None:
    assert known_client_event({"type": "response.create", "new_key": 1}) is None
    assert known_client_event({"type": "new.event"}) is None
    assert known_client_event({"type": "session.close"}) is None


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"type": 5},
        {"type": None},
        {"type": "response.create", "x": object()},
        {"type": "new", "x": "\ud800"},
        {"type": "new", (1, 2): 3},
        {"type": "conversation.item.truncate", "item_id": "a", "audio_end_ms": -5},
        {"type": "session.update", "session": {"type": "realtime", "instructions": None}},
    ],
)
def test_a_mapping_that_is_no_event_is_refused(raw: dict[Any, Any]) -> None:
    with pytest.raises(ConfigError):
        known_client_event(raw)


@given(raw=json_objects)
def test_any_other_mapping_is_encoded_as_it_is(raw: dict[str, Any]) -> None:
    import json

    raw = {**raw, "type": "new.event"}
    assert json.loads(encode_unknown(raw)) == raw


@given(payload=st.binary())
def test_bytes_that_are_no_client_event_are_refused(payload: bytes) -> None:
    with pytest.raises(ConfigError):
        decode_client_event(payload)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def test_what_cannot_be_nested_that_deep_is_refused() -> None:
    tool = FunctionTool(name="f", parameters=nested(100_000))
    with pytest.raises(ConfigError):
        Codec().encode(SessionUpdate(session=SessionConfig(tools=[tool])))
    with pytest.raises(ConfigError):
        encode_unknown({"type": "new", "x": nested(100_000)})
    with pytest.raises(ConfigError):
        encode_server_event(ConversationItemAdded(item=UnknownItem(raw=nested(100_000))))
    with pytest.raises(ConfigError):
        encode_server_event(UnknownEvent(type="new", raw={"type": "new", "x": nested(100_000)}))


@given(event=structs(SessionUpdate))
def test_encoding_leaves_the_event_as_it_was(event: SessionUpdate) -> None:
    before = repr(event)
    assert Codec().encode(event) == Codec().encode(event)
    assert repr(event) == before
