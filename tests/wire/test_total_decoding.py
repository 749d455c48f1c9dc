"""Whatever a server sends, decoding gives a value: an event, an unknown event, or an issue."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

from tests.wire.unions import SERVER_EVENTS, TRANSLATION_SERVER_EVENTS, tag_of
from trio_realtime.errors import ConfigError
from trio_realtime.testing.strategies import server_events, structs
from trio_realtime.testing.strategies.any_values import json_values, unknown_objects
from trio_realtime.wire.codec import Codec, Kind, encode_server_event
from trio_realtime.wire.items import Message, UnknownItem, UnknownPart
from trio_realtime.wire.responses import Response, Usage
from trio_realtime.wire.server_events import (
    ConversationItemAdded,
    Error,
    ErrorDetails,
    ProtocolIssue,
    RateLimit,
    RateLimitsUpdated,
    ResponseContentPartAdded,
    ResponseDone,
    ResponseOutputTextDelta,
    SessionCreated,
    UnknownEvent,
)
from trio_realtime.wire.session_config import AudioInfo, AudioInputInfo, AudioPCM, ServerVad, SessionInfo

KNOWN = {"realtime": SERVER_EVENTS, "translation": TRANSLATION_SERVER_EVENTS}
TAGS = {kind: {tag_of(each) for each in union} for kind, union in KNOWN.items()}
kinds: st.SearchStrategy[Kind] = st.sampled_from(["realtime", "translation"])

# JSON as other writers write it: lone surrogates, numbers of any size, tags in wrong places.
wild_text = st.text(st.characters(codec="utf-16", exclude_categories=()), max_size=6) | st.text(
    st.sampled_from("a\ud83d\ude00\udfff\x00"), max_size=6
)
wild_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | wild_text
    | st.sampled_from(["message", "function_call", "text", "audio", "realtime", "tokens", "<unknown>", "", "AAA"])
)
wild_keys = wild_text | st.sampled_from(["type", "id", "item", "session", "response", "delta", "content", "part"])
wild_json: st.SearchStrategy[Any] = st.recursive(
    wild_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(wild_keys, inner, max_size=4),
    max_leaves=8,
)


def decode(payload: bytes, kind: Kind = "realtime") -> Any:
    """Decode, and check what holds for whatever comes out."""
    value = Codec(kind).decode(payload)
    assert type(value) in {*KNOWN[kind], UnknownEvent, ProtocolIssue}
    repr(value).encode()
    if isinstance(value, ProtocolIssue):
        value.reason.encode()
        value.excerpt.encode()
        assert value.reason
        assert value.event is None or type(value.event) in KNOWN[kind]
    event = value.event if isinstance(value, ProtocolIssue) else value
    if event is not None:
        again = encode_server_event(event)
        assert encode_server_event(decoded := event_of(Codec(kind).decode(again))) == again, decoded
    return value


def event_of(value: Any) -> Any:
    return value.event if isinstance(value, ProtocolIssue) else value


@given(payload=st.binary(), kind=kinds)
@example(payload=b"", kind="realtime")
@example(payload=b"\xef\xbb\xbf{}", kind="realtime")
@example(payload=b'{"type":"\xff"}', kind="realtime")
def test_bytes_that_are_no_json_are_an_issue(payload: bytes, kind: Kind) -> None:
    assert isinstance(decode(payload, kind), ProtocolIssue)


@given(raw=wild_json, kind=kinds)
def test_any_json_gives_a_value(raw: Any, kind: Kind) -> None:
    value = decode(json.dumps(raw).encode(), kind)
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        assert isinstance(value, ProtocolIssue)
        assert value.event is None


@given(raw=st.dictionaries(wild_keys, wild_json, max_size=5), kind=kinds, data=st.data())
def test_any_object_with_a_known_tag_is_that_event_or_an_issue_that_names_it(
    raw: dict[str, Any], kind: Kind, data: st.DataObject
) -> None:
    struct = data.draw(st.sampled_from(KNOWN[kind]))
    value = decode(json.dumps({**raw, "type": tag_of(struct)}).encode(), kind)
    if isinstance(value, ProtocolIssue):
        assert value.event_type == tag_of(struct)
        assert value.event is None or type(value.event) is struct
    else:
        assert type(value) is struct


@given(raw=st.dictionaries(wild_keys, wild_json, max_size=3), tag=st.text(max_size=20), event_id=wild_json, kind=kinds)
def test_an_unknown_tag_is_an_unknown_event(raw: dict[str, Any], tag: str, event_id: Any, kind: Kind) -> None:
    value = decode(json.dumps({**raw, "type": tag, "event_id": event_id}).encode(), kind)
    if tag in TAGS[kind]:
        return
    assert isinstance(value, UnknownEvent)
    assert value.type == tag
    assert value.raw["type"] == tag
    if isinstance(event_id, str) and event_id.isascii():
        assert value.event_id == event_id
    elif not isinstance(event_id, str):
        assert value.event_id is None


@given(raw=unknown_objects)
def test_an_unknown_event_is_written_as_it_came(raw: dict[str, Any]) -> None:
    value = Codec().decode(json.dumps(raw).encode())
    assert isinstance(value, UnknownEvent)
    assert json.loads(encode_server_event(value)) == raw


def places_of(raw: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: Any = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return [(*path, key) for key, _ in inner] + [
        place for key, value in inner for place in places_of(value, (*path, key))
    ]


CASES = [
    pytest.param(kind, each, id=each.__name__) for kind, union in KNOWN.items() for each in union if each is not Error
] + [pytest.param("realtime", Error, id="Error")]


@pytest.mark.parametrize(("kind", "struct"), CASES)
@settings(max_examples=40)
@given(data=st.data())
def test_a_valid_event_with_one_value_replaced_gives_a_value(
    kind: Kind, struct: type[msgspec.Struct], data: st.DataObject
) -> None:
    event: Any = data.draw(structs(struct, unknown=True))
    raw = json.loads(encode_server_event(event))
    *path, last = data.draw(st.sampled_from(places_of(raw)))
    holder = raw
    for key in path:
        holder = holder[key]
    holder[last] = data.draw(wild_json)
    value = decode(json.dumps(raw).encode(), kind)
    if raw["type"] == tag_of(struct):
        assert type(value) is struct or (isinstance(value, ProtocolIssue) and value.event_type == tag_of(struct))
        if path:
            # Something inside a field of the event: the event itself is delivered, unless it is useless without it.
            required = {field.name for field in msgspec.structs.fields(struct) if field.required}
            assert type(event_of(value)) is struct or path[0] in required


@pytest.mark.parametrize(("kind", "struct"), CASES)
@settings(max_examples=20)
@given(data=st.data())
def test_a_truncated_event_is_an_issue(kind: Kind, struct: type[msgspec.Struct], data: st.DataObject) -> None:
    event: Any = data.draw(structs(struct))
    encoded = encode_server_event(event)
    length = data.draw(st.integers(0, len(encoded) - 1))
    value = decode(encoded[:length], kind)
    assert isinstance(value, ProtocolIssue)
    assert value.event is None


@given(
    event=server_events(unknown=True),
    changes=st.lists(
        st.tuples(st.integers(0, 2**12), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=4
    ),
)
def test_an_event_with_bytes_changed_gives_a_value(event: Any, changes: list[tuple[int, bytes, int]]) -> None:
    encoded = bytearray(encode_server_event(event))
    for place, put_in, taken_out in changes:
        start = place % (len(encoded) + 1)
        encoded[start : start + taken_out] = put_in
    decode(bytes(encoded))


# --- unknown items and parts -------------------------------------------------------------------------------------

WITH_ITEMS = [each for each in SERVER_EVENTS if {"item", "response", "part"} & set(each.__struct_fields__)]


@pytest.mark.parametrize("struct", WITH_ITEMS)
@settings(max_examples=40)
@given(data=st.data())
def test_unknown_items_and_parts_come_inside_their_event_and_go_out_as_they_came(
    struct: type[msgspec.Struct], data: st.DataObject
) -> None:
    event: Any = data.draw(structs(struct, unknown=True))
    written = encode_server_event(event)
    value = decode(written)
    assert json.loads(encode_server_event(value)) == json.loads(written)
    assert type(value) is struct


@given(raw=unknown_objects)
def test_an_unknown_item_keeps_its_id_its_tag_and_the_reason(raw: dict[str, Any]) -> None:
    for item, expected in (({**raw, "id": "item_1"}, "item_1"), ({**raw, "id": 5}, None)):
        event = decode(json.dumps({"type": "conversation.item.added", "item": item}).encode())
        assert isinstance(event, ConversationItemAdded)
        assert isinstance(event.item, UnknownItem)
        assert (event.item.id, event.item.type, event.item.raw) == (expected, raw["type"], item)
        assert event.item.cause


def test_what_stands_for_an_item_may_be_anything() -> None:
    raw: Any
    for raw in (None, 5, "x", [], {}, {"type": None}, {"type": []}, {"type": "message"}, {"type": "function_call"}):
        event = decode(json.dumps({"type": "conversation.item.added", "item": raw}).encode())
        assert isinstance(event, ConversationItemAdded), raw
        assert isinstance(event.item, UnknownItem)
        assert event.item.raw == raw
        assert event.item.type == (raw.get("type") if isinstance(raw, dict) and raw.get("type") != [] else None)


def test_an_unknown_part_stands_between_known_ones() -> None:
    parts = [{"type": "output_text", "text": "a"}, {"type": "video", "url": "x"}, {"type": "output_text", "text": "b"}]
    item = {"type": "message", "role": "assistant", "content": parts}
    event = decode(json.dumps({"type": "conversation.item.added", "item": item}).encode())
    assert isinstance(event, ConversationItemAdded)
    assert isinstance(event.item, Message)
    assert [type(part).__name__ for part in event.item.content] == ["OutputText", "UnknownPart", "OutputText"]
    unknown = event.item.content[1]
    assert isinstance(unknown, UnknownPart)
    assert (unknown.type, unknown.raw) == ("video", parts[1])
    assert json.loads(encode_server_event(event))["item"]["content"] == parts


def test_an_unknown_part_of_a_response_comes_inside_its_event() -> None:
    event = decode(b'{"type":"response.content_part.added","item_id":"item_1","part":{"type":"video"}}')
    assert isinstance(event, ResponseContentPartAdded)
    assert isinstance(event.part, UnknownPart)
    assert event.part.type == "video"


# --- malformed fields --------------------------------------------------------------------------------------------


def issue(raw: dict[str, Any]) -> ProtocolIssue:
    value = decode(json.dumps(raw).encode())
    assert isinstance(value, ProtocolIssue)
    assert value.event_type == raw["type"]
    return value


def test_a_malformed_usage_costs_only_itself() -> None:
    found = issue(
        {
            "type": "response.done",
            "event_id": "event_1",
            "response": {"id": "resp_1", "status": "completed", "usage": "many", "output": []},
        }
    )
    assert found.event == ResponseDone(
        event_id="event_1", response=Response(id="resp_1", status="completed", output=[])
    )
    assert "usage" in found.reason
    found = issue({"type": "response.done", "response": {"usage": {"total_tokens": 5, "input_tokens": "x"}}})
    assert found.event == ResponseDone(response=Response(usage=Usage(total_tokens=5)))
    assert "input_tokens" in found.reason


def test_a_malformed_response_costs_only_itself() -> None:
    found = issue({"type": "response.done", "event_id": "event_1", "response": [1]})
    assert found.event == ResponseDone(event_id="event_1")
    assert "response" in found.reason


def test_a_malformed_required_field_costs_the_event() -> None:
    assert issue({"type": "response.output_text.delta", "item_id": "item_1", "delta": 5}).event is None
    found = issue({"type": "response.output_text.delta", "delta": "x"})
    assert found.event is None
    assert "item_id" in found.reason
    assert issue({"type": "error"}).event is None
    assert issue({"type": "error", "error": {"message": 5, "code": "c"}}).event == Error(error=ErrorDetails(code="c"))


def test_several_losses_are_all_reported() -> None:
    found = issue({"type": "rate_limits.updated", "event_id": 5, "rate_limits": [{"name": 1}, 2, {"limit": 3}]})
    assert found.event == RateLimitsUpdated(rate_limits=[RateLimit(), RateLimit(limit=3)])
    assert found.reason.count(" - at `$") == 3
    assert "$.rate_limits[0].name" in found.reason
    assert "$.rate_limits[1]" in found.reason


def test_a_session_without_a_tag_is_a_realtime_session() -> None:
    event = decode(b'{"type":"session.created","session":{"id":"sess_1","audio":{"input":{"format":{}}}}}')
    assert event_of(event).session.id == "sess_1"
    assert event_of(event).session.audio.input.format == AudioPCM()


def test_an_object_of_another_tag_is_not_taken_for_the_only_one_known() -> None:
    found = issue(
        {
            "type": "session.created",
            "session": {"type": "realtime", "id": "a", "truncation": {"type": "new", "retention_ratio": 0.5}},
        }
    )
    assert found.event == SessionCreated(session=SessionInfo(id="a"))


def test_a_value_out_of_range_costs_only_itself() -> None:
    detection = {"type": "server_vad", "threshold": 7, "silence_duration_ms": 500}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    found = issue({"type": "session.created", "session": session})
    assert "threshold" in found.reason
    kept = AudioInfo(input=AudioInputInfo(turn_detection=ServerVad(silence_duration_ms=500)))
    assert found.event == SessionCreated(session=SessionInfo(audio=kept))


# --- depth and size ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [10, 100, 300, 450, 600, 800, 950, 1000, 5000, 100_000])
@pytest.mark.parametrize(
    "frame",
    [
        "%s",
        '{"type":"new","x":%s}',
        '{"type":"response.done","response":{"output":%s}}',
        '{"type":"conversation.item.added","item":%s}',
        (
            '{"type":"conversation.item.added","item":{"type":"mcp_list_tools","server_label":"a",'
            '"tools":[{"name":"n","input_schema":%s}]}}'
        ),
    ],
)
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"type":"message","content":[', "]}")])
def test_deep_nesting_gives_a_value(depth: int, frame: str, opening: str, closing: str) -> None:
    value = Codec().decode((frame % (opening * depth + closing * depth)).encode())
    assert type(value) in {*SERVER_EVENTS, UnknownEvent, ProtocolIssue}
    event = event_of(value)
    if event is not None:
        try:
            assert encode_server_event(event)
        except ConfigError:
            assert depth > 100


@pytest.mark.parametrize(
    "number", ["1" * 30, "-" + "9" * 400, "1" * 5000, "1e400", "-1e999", "1" * 400 + ".5", "1e-999"]
)
@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"new","x":%s}',
        '{"type":"rate_limits.updated","rate_limits":[{"limit":%s}]}',
        '{"type":"rate_limits.updated","rate_limits":[{"reset_seconds":%s}]}',
        '{"type":"response.output_text.delta","item_id":"a","delta":"b","output_index":%s}',
        '{"type":"conversation.item.added","item":{"type":"new","x":%s}}',
    ],
)
def test_huge_numbers_give_a_value(number: str, frame: str) -> None:
    value = decode((frame % number).encode())
    assert event_of(value) is not None or number == "1" * 5000


def test_a_number_that_no_float_holds_is_kept_as_its_text() -> None:
    event = Codec().decode(b'{"type":"new","x":[1e400,-1e400,1.5]}')
    assert isinstance(event, UnknownEvent)
    assert event.raw["x"] == ["1e400", "-1e400", 1.5]


def test_an_item_that_does_not_fit_says_why() -> None:
    event = Codec().decode(b'{"type":"conversation.item.added","item":{"type":"message","role":5,"id":"a"}}')
    assert isinstance(event, ConversationItemAdded)
    assert isinstance(event.item, UnknownItem)
    assert event.item.cause == "Expected `str`, got `int` - at `$.item.role`"


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_what_only_other_writers_call_a_number_is_no_json(name: str) -> None:
    value = decode(b'{"type":"new","x":%s}' % name.encode())
    assert isinstance(value, ProtocolIssue)
    assert name in value.reason


def test_an_issue_shows_the_beginning_of_the_frame() -> None:
    value = Codec().decode(b'{"type": "response.done", "response": ' + b"x" * 10_000)
    assert isinstance(value, ProtocolIssue)
    assert value.excerpt.startswith('{"type": "response.done"')
    assert len(value.excerpt) <= 203


@given(delta=json_values)
def test_a_delta_of_another_type_gives_a_value(delta: Any) -> None:
    raw = {"type": "response.output_text.delta", "item_id": "a", "delta": delta}
    value = decode(json.dumps(raw).encode())
    assert isinstance(value, ResponseOutputTextDelta) == isinstance(delta, str)
