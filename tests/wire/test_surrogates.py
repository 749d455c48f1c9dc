"""Half characters: joined where they belong together, replaced where they do not, never passed on."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.wire.unions import SERVER_EVENTS, TRANSLATION_SERVER_EVENTS, tag_of
from trio_realtime.wire.codec import Codec, Kind, encode_server_event
from trio_realtime.wire.server_events import (
    ConversationItemAdded,
    ConversationItemInputAudioTranscriptionDelta,
    ProtocolIssue,
    ResponseCreated,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
    UnknownEvent,
)
from trio_realtime.wire.translation import SessionOutputTranscriptDelta

HIGH, LOW = "\ud83d", "\ude00"
TEXT_DELTAS = [
    (kind, tag_of(each))
    for kind, union in (("realtime", SERVER_EVENTS), ("translation", TRANSLATION_SERVER_EVENTS))
    for each in union
    if str in getattr(each.__annotations__.get("delta"), "__args__", (each.__annotations__.get("delta"),))
]

# Texts as a server that counts in UTF-16 might cut them, broken ones too.
code_units = st.sampled_from(["a", "é", "\U0001f600", HIGH, LOW, "\udfff", "\ud800", ""])
units = st.lists(code_units, max_size=8).map("".join)


def repaired(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def frame(tag: str, delta: str, **more: Any) -> bytes:
    return json.dumps({"type": tag, "item_id": "item_1", "content_index": 0, "delta": delta, **more}).encode()


def delta_of(event: Any) -> str:
    delta = event.raw["delta"] if isinstance(event, UnknownEvent) else event.delta
    assert isinstance(delta, str)
    delta.encode()
    return delta


def test_deltas_of_text_are_those_of_the_protocol() -> None:
    assert len(TEXT_DELTAS) == 7


@pytest.mark.parametrize(("kind", "tag"), [*TEXT_DELTAS, ("realtime", "response.new.delta")])
@given(pieces=st.lists(units, max_size=6))
def test_deltas_join_to_the_repaired_whole(kind: Kind, tag: str, pieces: list[str]) -> None:
    codec = Codec(kind)
    events = [codec.decode(frame(tag, piece)) for piece in [*pieces, "."]]
    assert not any(isinstance(event, ProtocolIssue) for event in events)
    assert "".join(map(delta_of, events)) == repaired("".join(pieces) + ".")
    for event in events:
        assert json.loads(encode_server_event(event)).get("delta", "") == delta_of(event)  # type: ignore[arg-type]


def test_halves_of_one_character_join_across_deltas() -> None:
    codec = Codec()
    first = codec.decode(frame("response.output_text.delta", "a" + HIGH))
    between = codec.decode(frame("response.output_text.delta", ""))
    second = codec.decode(frame("response.output_text.delta", LOW + "b"))
    assert [delta_of(event) for event in (first, between, second)] == ["a", "", "\U0001f600b"]


def test_a_half_whose_other_half_never_comes_is_replaced() -> None:
    codec = Codec()
    texts = [
        delta_of(codec.decode(frame("response.output_text.delta", piece))) for piece in ("a" + HIGH, "b", LOW + "c")
    ]
    assert texts == ["a", "\ufffdb", "\ufffdc"]


@given(order=st.lists(st.integers(0, 5), max_size=20))
def test_parts_do_not_mix(order: list[int]) -> None:
    codec = Codec()
    places: list[dict[str, Any]] = [
        {"type": "response.output_text.delta", "item_id": "a", "content_index": 0},
        {"type": "response.output_text.delta", "item_id": "a", "content_index": 1},
        {"type": "response.output_text.delta", "item_id": "b", "content_index": 0},
        {"type": "response.output_audio_transcript.delta", "item_id": "a", "content_index": 0},
        {"type": "response.function_call_arguments.delta", "item_id": "a"},
        {"type": "conversation.item.input_audio_transcription.delta", "item_id": "a", "content_index": None},
    ]
    whole = "\U0001f600" * 40
    halves = [HIGH, LOW] * 40
    taken = [0] * len(places)
    joined = [""] * len(places)
    for index in order:
        event = codec.decode(json.dumps({**places[index], "delta": halves[taken[index]]}).encode())
        joined[index] += delta_of(event)
        taken[index] += 1
    assert joined == [whole[: count // 2] for count in taken]


def test_only_so_many_halves_are_held() -> None:
    codec = Codec()
    for index in range(1000):
        codec.decode(frame("response.output_text.delta", HIGH, item_id=f"item_{index}"))
    assert len(codec._halves) <= 64
    assert delta_of(codec.decode(frame("response.output_text.delta", LOW, item_id="item_999"))) == "\U0001f600"
    assert delta_of(codec.decode(frame("response.output_text.delta", LOW, item_id="item_0"))) == "\ufffd"


def test_other_events_are_left_alone_while_a_half_is_held() -> None:
    codec = Codec()
    codec.decode(frame("response.output_text.delta", HIGH))
    other = codec.decode(b'{"type":"response.output_audio.delta","item_id":"item_1","delta":"AAAA"}')
    assert other.delta == b"\x00\x00\x00"  # type: ignore[union-attr]
    same_part_other_kind = codec.decode(frame("response.output_audio_transcript.delta", "x"))
    assert isinstance(same_part_other_kind, ResponseOutputAudioTranscriptDelta)
    assert same_part_other_kind.delta == "x"
    rest = codec.decode(frame("response.output_text.delta", LOW))
    assert isinstance(rest, ResponseOutputTextDelta)
    assert rest.delta == "\U0001f600"


@pytest.mark.parametrize("other", [{"item_id": "item_2"}, {"content_index": 1}])
def test_a_half_is_not_given_to_another_part(other: dict[str, Any]) -> None:
    codec = Codec()
    codec.decode(frame("response.output_text.delta", HIGH))
    assert delta_of(codec.decode(frame("response.output_text.delta", "x", **other))) == "x"
    assert delta_of(codec.decode(frame("response.output_text.delta", LOW))) == "\U0001f600"


@pytest.mark.parametrize("place", [{"item_id": []}, {"item_id": {}}, {"content_index": []}])
def test_a_place_that_is_none_gives_a_value_while_a_half_is_held(place: dict[str, Any]) -> None:
    codec = Codec()
    codec.decode(frame("response.output_text.delta", HIGH))
    assert isinstance(codec.decode(frame("response.output_text.delta", "x" + HIGH, **place)), ProtocolIssue)


def test_an_event_without_a_delta_passes_while_a_half_is_held() -> None:
    codec = Codec()
    codec.decode(frame("response.output_text.delta", HIGH))
    assert codec.decode(b'{"type":"response.created"}') == ResponseCreated()


@pytest.mark.parametrize("other", [{"item_id": "item_2"}, {"content_index": 1}])
def test_halves_of_different_parts_do_not_join(other: dict[str, Any]) -> None:
    codec = Codec()
    codec.decode(frame("response.output_text.delta", HIGH))
    assert delta_of(codec.decode(frame("response.output_text.delta", LOW, **other))) == "\ufffd"
    assert delta_of(codec.decode(frame("response.output_text.delta", LOW))) == "\U0001f600"


@pytest.mark.parametrize("character", ["\U00010000", "\U0001f600", "\U0010ffff"])
def test_the_halves_of_any_character_join(character: str) -> None:
    codec = Codec()
    half, other = character.encode("utf-16-be")[:2], character.encode("utf-16-be")[2:]
    pieces = [each.decode("utf-16-be", "surrogatepass") for each in (half, other)]
    assert [delta_of(codec.decode(frame("response.output_text.delta", piece))) for piece in pieces] == ["", character]


def test_a_half_in_a_translation_that_never_comes_is_replaced() -> None:
    codec = Codec("translation")
    codec.decode(json.dumps({"type": "session.output_transcript.delta", "delta": HIGH}).encode())
    event = codec.decode(b'{"type":"session.output_transcript.delta","delta":"x"}')
    assert event == SessionOutputTranscriptDelta(delta="\ufffdx")


def test_a_delta_that_is_null_stays_null_while_a_half_is_held() -> None:
    codec = Codec()
    tag = "conversation.item.input_audio_transcription.delta"
    codec.decode(frame(tag, HIGH))
    event = codec.decode(b'{"type":"%s","item_id":"item_1","content_index":0,"delta":null}' % tag.encode())
    assert isinstance(event, ConversationItemInputAudioTranscriptionDelta)
    assert event.delta is None
    assert delta_of(codec.decode(frame(tag, LOW))) == "\U0001f600"


def test_a_server_that_leaves_the_index_out_means_the_first_part() -> None:
    codec = Codec()
    tag = "response.output_text.delta"
    without = [json.dumps({"type": tag, "item_id": "a", "delta": delta}).encode() for delta in (HIGH, "x", HIGH, LOW)]
    assert [delta_of(codec.decode(payload)) for payload in without] == ["", "\ufffdx", "", "\U0001f600"]


def test_translations_join_too() -> None:
    codec = Codec("translation")
    codec.decode(json.dumps({"type": "session.output_transcript.delta", "delta": HIGH}).encode())
    event = codec.decode(json.dumps({"type": "session.output_transcript.delta", "delta": LOW}).encode())
    assert event == SessionOutputTranscriptDelta(delta="\U0001f600")


@given(text=units, key=units)
def test_halves_anywhere_else_are_mended(text: str, key: str) -> None:
    item = {"type": "message", "role": "user", "id": text, "content": [{"type": "input_text", "text": text}]}
    event = Codec().decode(json.dumps({"type": "conversation.item.added", "event_id": text, "item": item}).encode())
    assert isinstance(event, ConversationItemAdded)
    assert event.event_id == event.item.id == event.item.content[0].text == repaired(text)  # type: ignore[union-attr]
    unknown = Codec().decode(json.dumps({"type": "new" + text, "x": [{"k" + key: text}]}).encode())
    assert isinstance(unknown, UnknownEvent)
    assert unknown.type == "new" + repaired(text)
    assert unknown.raw == {"type": unknown.type, "x": [{"k" + repaired(key): repaired(text)}]}
    repr(unknown).encode()


def test_a_half_in_the_tag_makes_another_tag() -> None:
    event = Codec().decode(json.dumps({"type": "response.done" + HIGH}).encode())
    assert event == UnknownEvent(type="response.done\ufffd", raw={"type": "response.done\ufffd"})
