"""Every struct of the wire goes out and comes back the same."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from tests.wire.unions import CLIENT_EVENTS, SERVER_EVENTS, TRANSLATION_CLIENT_EVENTS, TRANSLATION_SERVER_EVENTS, tag_of
from trio_realtime.testing.strategies import structs
from trio_realtime.testing.strategies.any_values import texts
from trio_realtime.wire.client_events import InputAudioBufferAppend
from trio_realtime.wire.codec import Codec, Kind, decode_client_event, encode_server_event, known_client_event
from trio_realtime.wire.items import InputAudio, OutputAudio
from trio_realtime.wire.server_events import ProtocolIssue, ResponseOutputAudioDelta
from trio_realtime.wire.translation import SessionInputAudioBufferAppend, SessionOutputAudioDelta

KINDS: dict[Kind, tuple[tuple[type[msgspec.Struct], ...], tuple[type[msgspec.Struct], ...]]] = {
    "realtime": (CLIENT_EVENTS, SERVER_EVENTS),
    "translation": (TRANSLATION_CLIENT_EVENTS, TRANSLATION_SERVER_EVENTS),
}
CLIENT_CASES = [pytest.param(kind, each, id=each.__name__) for kind, (client, _) in KINDS.items() for each in client]
SERVER_CASES = [pytest.param(kind, each, id=each.__name__) for kind, (_, server) in KINDS.items() for each in server]


@pytest.mark.parametrize(
    ("union", "count"),
    [(CLIENT_EVENTS, 11), (SERVER_EVENTS, 46), (TRANSLATION_CLIENT_EVENTS, 3), (TRANSLATION_SERVER_EVENTS, 7)],
)
def test_the_unions_have_as_many_events_as_the_protocol(union: tuple[type[msgspec.Struct], ...], count: int) -> None:
    assert len({tag_of(each) for each in union}) == len(union) == count


def test_structs_are_named_after_their_events() -> None:
    for each in CLIENT_EVENTS + SERVER_EVENTS:
        assert each.__name__ == "".join(word.capitalize() for word in tag_of(each).replace(".", "_").split("_")), each


@pytest.mark.parametrize(("kind", "struct"), CLIENT_CASES)
@settings(max_examples=30)
@given(data=st.data())
def test_a_client_event_comes_back_the_same(kind: Kind, struct: type[msgspec.Struct], data: st.DataObject) -> None:
    event: Any = data.draw(structs(struct))
    encoded = Codec(kind).encode(event)
    assert decode_client_event(encoded, kind) == event
    raw = json.loads(encoded)
    assert raw["type"] == tag_of(struct)
    assert known_client_event(raw, kind) == event


@pytest.mark.parametrize(("kind", "struct"), SERVER_CASES)
@settings(max_examples=30)
@given(data=st.data())
def test_a_server_event_comes_back_the_same(kind: Kind, struct: type[msgspec.Struct], data: st.DataObject) -> None:
    event: Any = data.draw(structs(struct))
    encoded = encode_server_event(event)
    assert json.loads(encoded)["type"] == tag_of(struct)
    for payload in (encoded, bytearray(encoded), memoryview(encoded)):
        assert Codec(kind).decode(payload) == event


@pytest.mark.parametrize(("kind", "struct"), SERVER_CASES)
@settings(max_examples=30)
@given(data=st.data(), key=texts.map(lambda text: f"new_{text}"))
def test_an_unknown_key_changes_nothing(
    kind: Kind, struct: type[msgspec.Struct], data: st.DataObject, key: str
) -> None:
    event: Any = data.draw(structs(struct))
    raw = json.loads(encode_server_event(event))
    objects = [place for place in walk(raw) if isinstance(place, dict) and not is_free(place, raw)]
    data.draw(st.sampled_from(objects))[key] = data.draw(st.just({"x": [1]}) | st.none() | texts)
    assert Codec(kind).decode(json.dumps(raw).encode()) == event


def walk(raw: Any) -> list[Any]:
    inner = raw.values() if isinstance(raw, dict) else raw if isinstance(raw, list) else ()
    return [raw, *(place for value in inner for place in walk(value))]


FREE_KEYS = {"parameters", "metadata", "variables", "headers", "input_schema", "annotations"}


def is_free(place: Any, raw: Any) -> bool:
    """Whether `place` is inside a value whose keys are the user's own."""
    return any(
        place is inside
        for holder in walk(raw)
        if isinstance(holder, dict)
        for key in FREE_KEYS & holder.keys()
        for inside in walk(holder[key])
    )


@given(audio=st.binary(max_size=200), event_id=st.none() | st.text())
def test_appended_audio_is_encoded_as_any_other_event_is(audio: bytes, event_id: str | None) -> None:
    for kind, struct in (("realtime", InputAudioBufferAppend), ("translation", SessionInputAudioBufferAppend)):
        fields: dict[str, Any] = {"audio": audio} if event_id is None else {"audio": audio, "event_id": event_id}
        event: Any = struct(**fields)
        encoded = Codec(kind).encode(event)  # type: ignore[arg-type]
        assert json.loads(encoded) == json.loads(msgspec.json.encode(event))
        assert decode_client_event(encoded, kind) == event  # type: ignore[arg-type]


@given(audio=st.binary(max_size=200))
def test_audio_is_bytes_on_this_side(audio: bytes) -> None:
    delta = ResponseOutputAudioDelta(item_id="item_1", delta=audio)
    assert Codec().decode(encode_server_event(delta)) == delta
    translated = SessionOutputAudioDelta(delta=audio)
    assert Codec("translation").decode(encode_server_event(translated)) == translated
    assert msgspec.json.decode(msgspec.json.encode(InputAudio(audio=audio)), type=InputAudio).audio == audio
    assert msgspec.json.decode(msgspec.json.encode(OutputAudio(audio=audio)), type=OutputAudio).audio == audio


def test_each_kind_of_connection_has_tags_of_its_own() -> None:
    session = b'{"type":"session.created","session":{"id":"sess_1","type":"translation","model":"m"}}'
    assert type(Codec("translation").decode(session)) is TRANSLATION_SERVER_EVENTS[0]
    assert type(Codec("realtime").decode(session)) is ProtocolIssue
