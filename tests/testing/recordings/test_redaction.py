"""What is written down of an event: no credentials, and of audio its length, from which silence can be made."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_realtime.audio import PCM16, PCMA, PCMU, Encoding
from trio_realtime.testing.recordings.redaction import (
    KeysInDeltas,
    audio_bytes,
    event_with_silence,
    redacted_event,
    redacted_text,
    stated_encoding,
)
from trio_realtime.wire.excerpt import KEY

SECRET = "not-to-be-written"
Event = dict[str, Any]


def encoded(audio: bytes) -> str:
    return b64encode(audio).decode()


def silent(event: Event, spoken: Encoding = PCM16, heard: Encoding = PCM16) -> Event:
    return event_with_silence(event, spoken=spoken, heard=heard)


EVENTS_WITH_AUDIO: list[tuple[Event, tuple[str | int, ...]]] = [
    ({"type": "input_audio_buffer.append", "audio": 0}, ("audio",)),
    ({"type": "response.output_audio.delta", "item_id": "item_1", "delta": 0}, ("delta",)),
    ({"type": "session.output_audio.delta", "delta": 0}, ("delta",)),
    ({"type": "response.content_part.done", "part": {"type": "audio", "audio": 0}}, ("part", "audio")),
    (
        {"type": "conversation.item.retrieved", "item": {"content": [{"type": "input_audio", "audio": 0}]}},
        ("item", "content", 0, "audio"),
    ),
]


def put(event: Event, path: tuple[str | int, ...], value: object) -> Event:
    event = json.loads(json.dumps(event))
    place: Any = event
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return event


@pytest.mark.parametrize(("event", "path"), EVENTS_WITH_AUDIO)
@given(audio=st.binary(max_size=50))
def test_audio_becomes_its_length_and_then_silence_as_long(
    event: Event, path: tuple[str | int, ...], audio: bytes
) -> None:
    event = put(event, path, encoded(audio))
    shown = redacted_event(event, include_audio=False)
    assert shown == put(event, path, {"bytes": len(audio)})
    assert redacted_event(shown, include_audio=False) == shown
    assert silent(shown) == put(event, path, encoded(bytes(len(audio))))
    assert redacted_event(event, include_audio=True) == event
    assert silent(event) == event


def test_silence_is_silent_in_the_encoding_of_whoever_speaks() -> None:
    delta = {"type": "response.output_audio.delta", "delta": {"bytes": 3}}
    part = {
        "type": "conversation.item.retrieved",
        "item": {"content": [{"type": "input_audio", "audio": {"bytes": 3}}]},
    }
    assert b64decode(silent(delta, spoken=PCMU, heard=PCMA)["delta"]) == b"\xff" * 3
    assert b64decode(silent(part, spoken=PCMU, heard=PCMA)["item"]["content"][0]["audio"]) == b"\xd5" * 3


@pytest.mark.parametrize("value", [{"bytes": -1}, {"bytes": "3"}, {"bytes": 3, "more": 1}, {"input": {}}, None, 3])
def test_what_is_no_redacted_audio_stays(value: object) -> None:
    event = {"type": "session.update", "audio": value, "delta": value}
    assert silent(event) == event
    assert audio_bytes(value) == 0


def test_text_of_a_delta_stays() -> None:
    event = {"type": "response.output_audio_transcript.delta", "delta": "aGVsbG8="}
    assert redacted_event(event, include_audio=False) == event


@pytest.mark.parametrize(
    "secret",
    [
        {"tools": [{"type": "mcp", "authorization": SECRET}]},
        {"tools": [{"type": "mcp", "headers": {"X-Api-Key": SECRET, "Cookie": [SECRET]}}]},
        {"Authorization": SECRET},
        {"client_secret": {"value": SECRET, "expires_at": 3}},
        {"client_secret": SECRET},
        {"api_key": SECRET},
        {"tools": [{"type": "mcp", "server_url": f"https://user:{SECRET}@mcp.example/a"}]},
        {"tools": [{"type": "mcp", "server_url": f"https://mcp.example/a?key={SECRET}"}]},
        {"tools": [{"type": "mcp", "server_url": f"https://user:p@{SECRET}@mcp.example/a"}]},
        {"headers": {"server_url": SECRET}},
        {"headers": {"audio": SECRET}},
    ],
)
@pytest.mark.parametrize("include_audio", [False, True])
def test_credentials_are_replaced_wherever_they_stand(secret: Event, include_audio: bool) -> None:
    event = {"type": "session.update", "session": secret}
    shown = redacted_event(event, include_audio=include_audio)
    assert SECRET not in json.dumps(shown)
    assert redacted_event(shown, include_audio=include_audio) == shown


@pytest.mark.parametrize("key", ["sk-proj-abcdefgh0123", "ek_68af296e8e40", "Bearer abcdefgh.ijkl"])
def test_what_looks_like_a_key_is_replaced_in_any_text(key: str) -> None:
    event = {"type": "error", "error": {"message": f"Incorrect API key provided: {key}, no"}}
    assert redacted_event(event, include_audio=True)["error"]["message"] == "Incorrect API key provided: <redacted>, no"
    assert redacted_text(f"\n{key}", include_audio=True) == "\n<redacted>"


def spelled(text: str, sizes: list[int], item_id: str | None = "item_1") -> list[Event]:
    """`text` in deltas of these sizes, and what is left in one."""
    deltas: list[Event] = []
    for size in [*sizes, len(text)]:
        deltas.append({"type": "response.function_call_arguments.delta", "item_id": item_id, "delta": text[:size]})
        text = text[size:]
    return deltas


@given(sizes=st.lists(st.integers(0, 12)), before=st.sampled_from(["", '{"key": "', "one\n"]))
@pytest.mark.parametrize("key", ["sk-proj-abcdefgh0123", "ek_68af296e8e40", "Bearer abcdefgh.ijkl"])
def test_a_key_in_pieces_is_not_written_either(key: str, sizes: list[int], before: str) -> None:
    keys = KeysInDeltas()
    written = "".join(keys.without(event)["delta"] for event in spelled(f'{before}{key}" and on', sizes))
    assert written.startswith(before)
    assert written.endswith('<redacted>" and on')
    assert key.startswith(written.removeprefix(before).removesuffix('<redacted>" and on')[:13])
    assert len(written) <= len(f'{before}Bearer abcde<redacted>" and on')


def test_a_key_of_any_length_ends_where_it_ends() -> None:
    keys = KeysInDeltas()
    deltas = spelled(f"It is Bearer {'ab.' * 500}, and on", [100] * 15)
    assert "".join(keys.without(event)["delta"] for event in deltas) == "It is <redacted>, and on"


@given(sizes=st.lists(st.integers(0, 12)), length=st.integers(0, 30) | st.integers(500, 520))
def test_a_word_that_ends_as_a_key_begins_is_none(sizes: list[int], length: int) -> None:
    keys = KeysInDeltas()
    text = f"risk-{'a' * length}"
    deltas = [*spelled(text, sizes), *spelled("verse", [])]
    assert "".join(keys.without(event)["delta"] for event in deltas) == f"{text}verse"


def test_the_pieces_of_two_parts_of_an_item_are_apart() -> None:
    keys = KeysInDeltas()
    pieces = [(0, "sk-pr"), (1, "a tas"), (0, "oj-abcdefgh"), (1, "k-force")]
    events: list[Event] = [
        {"type": "response.output_text.delta", "item_id": "item_1", "content_index": index, "delta": piece}
        for index, piece in pieces
    ]
    assert [keys.without(event)["delta"] for event in events] == ["sk-pr", "a tas", "<redacted>", "k-force"]


def test_the_pieces_of_two_items_are_apart() -> None:
    keys = KeysInDeltas()
    one, other = spelled("sk-proj-abcdefgh", [5], "item_1"), spelled("a task-force", [5], "item_2")
    written = [keys.without(event)["delta"] for pair in zip(one, other, strict=True) for event in pair]
    assert written == ["sk-pr", "a tas", "<redacted>", "k-force"]


def holds_no_key(deltas: list[str]) -> bool:
    return KEY.search("".join(deltas)) is None


@given(
    st.lists(st.text()).filter(holds_no_key),
    st.sampled_from(["response.output_text.delta", "session.output_transcript.delta"]),
)
def test_deltas_without_a_key_stay_as_they_are(deltas: list[str], kind: str) -> None:
    keys = KeysInDeltas()
    events: list[Event] = [{"type": kind, "delta": delta} for delta in deltas]
    assert [keys.without(event) for event in events] == events


def test_audio_is_searched_for_no_keys() -> None:
    event = {"type": "response.output_audio.delta", "item_id": "item_1", "delta": "sk+abcdefgh"}
    assert KeysInDeltas().without(event) is event


def test_empty_and_absent_credentials_stay_as_they_are() -> None:
    event = {"type": "session.update", "authorization": "", "headers": None, "tools": [{"headers": {"limit": 3}}]}
    assert redacted_event(event, include_audio=False) == event


def test_broken_frames_hold_no_audio_either() -> None:
    torn = '{"type": "response.output_audio.delta", "delta": "' + encoded(bytes(range(256)))
    assert encoded(bytes(range(256)))[:40] not in redacted_text(torn, include_audio=False)
    assert redacted_text(torn, include_audio=True) == torn


def test_the_encoding_is_what_the_configuration_states() -> None:
    session: Event = {
        "audio": {"input": {"format": {"type": "audio/pcma"}}, "output": {"format": {"type": "audio/pcmu"}}}
    }
    assert stated_encoding(session, "input", PCM16) == PCMA
    assert stated_encoding(session, "output", PCM16) == PCMU
    for other in ({}, {"audio": None}, {"audio": {"output": {"format": {"type": "audio/new"}}}}):
        assert stated_encoding(other, "output", PCMU) == PCMU
        assert stated_encoding(other, "input", PCMA) == PCMA
