"""The format of a recording: what is written can be read again, and what is none is told by its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_realtime.testing import Lost, NotARecording, Recording, read_recording
from trio_realtime.testing.recordings.recording import header_line, message_line
from trio_realtime.transport import Closed

EVENT = '{"direction": "received", "event": {"type": "session.created"}}'


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "talk.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(tmp_path: Path, *lines: str, end: str = "\n") -> Recording:
    return read_recording(written(tmp_path, "\n".join(lines) + end))


# Numbers that JSON holds exactly; anything may stand in a text, half a character too.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(event=st.dictionaries(st.text(max_size=5), json_values, max_size=4), time=st.floats(0, 1e6))
def test_any_event_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, event: dict[str, Any], time: float
) -> None:
    line = message_line("received", time, json.dumps(event).encode(), include_audio=True)
    (message,) = read(tmp_path_factory.mktemp("r"), line).messages
    assert message.content == event
    assert message.time == pytest.approx(time, abs=1e-6)
    assert (message.line, message.direction, message.json) == (1, "received", line)


@given(payload=st.binary(max_size=60))
def test_any_message_that_is_no_event_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, payload: bytes
) -> None:
    payload = b"[" + payload  # no object, whatever follows
    line = message_line("sent", 0, payload, include_audio=True)
    (message,) = read(tmp_path_factory.mktemp("r"), line).messages
    assert isinstance(message.content, str)
    assert message.content.encode("utf-8", "surrogateescape") == payload or "<redacted>" in message.content


@pytest.mark.parametrize(
    "payload", [b"{", b"[1]", b"\xff", b'{"a": NaN}', b'{"a": 1e999}', b'{"a": ' * 5000, b'"\\ud83d"']
)
def test_what_is_no_event_is_recorded_as_text(tmp_path: Path, payload: bytes) -> None:
    (message,) = read(tmp_path, message_line("received", 0, payload, include_audio=True)).messages
    assert message.content == payload.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("include_audio", "expected"), [(True, b"\x00\xff\x01"), (False, bytes(3))], ids=["with", "without"]
)
def test_a_binary_message_is_recorded_by_its_length_or_whole(
    tmp_path: Path, include_audio: bool, expected: bytes
) -> None:
    line = message_line("received", 0, b"\x00\xff\x01", binary=True, include_audio=include_audio)
    (message,) = read(tmp_path, line).messages
    assert message.content == expected


@pytest.mark.parametrize(
    "end",
    [
        Closed(1001, "restart"),
        Closed(1005),
        Lost(),
        Lost("ConnectionLost", "the connection broke", None, "reset"),
        Lost(code=1009),
    ],
)
def test_how_the_connection_ended_comes_back(tmp_path: Path, end: Closed | Lost) -> None:
    (message,) = read(tmp_path, message_line("received", 3, end, include_audio=False)).messages
    assert message.content == end


def test_a_key_in_the_reason_of_a_close_is_not_written() -> None:
    closed = message_line("received", 0, Closed(4001, "bad key sk-abcdefgh"), include_audio=True)
    lost = message_line(
        "received", 0, Lost("ConnectionLost", "key sk-abcdefgh", None, "sk-abcdefgh"), include_audio=True
    )
    assert "abcdefgh" not in closed + lost


def test_the_header_is_apart_from_the_messages(tmp_path: Path) -> None:
    header = header_line(model="gpt-realtime-2.1", began="2026-07-30T09:15:00+00:00", include_audio=False)
    recording = read(tmp_path, header, EVENT)
    assert recording.header == {
        "recording": 1,
        "model": "gpt-realtime-2.1",
        "began": "2026-07-30T09:15:00+00:00",
        "audio": False,
    }
    assert [message.line for message in recording.messages] == [2]


def test_a_recording_of_another_program_needs_neither_header_nor_times(tmp_path: Path) -> None:
    recording = read(tmp_path, EVENT, "", EVENT)
    assert recording.header == {}
    assert [(message.line, message.time) for message in recording.messages] == [(1, None), (3, None)]


def test_the_last_line_may_be_torn(tmp_path: Path) -> None:
    recording = read(tmp_path, EVENT, EVENT[:30], end="")
    assert recording.torn
    assert len(recording.messages) == 1
    assert not read(tmp_path, EVENT, end="").torn
    with pytest.raises(NotARecording, match="line 2"):
        read(tmp_path, EVENT, EVENT[:30])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no JSON", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "no JSON object"),
        ("{}", "no direction"),
        ('{"direction": "up", "event": {}}', "no direction"),
        ('{"direction": "sent"}', "has none of"),
        ('{"direction": "sent", "event": []}', "has none of"),
        ('{"direction": "sent", "binary": {"bytes": -1}}', "has none of"),
        ('{"direction": "sent", "binary": "%"}', "no base64"),
        ('{"direction": "received", "text": "\\ud83d"}', "half a character"),
        ('{"direction": "sent", "closed": {"code": "1000", "reason": ""}}', "has none of"),
        ('{"direction": "sent", "lost": {"code": "x"}}', '"lost"'),
        ('{"direction": "sent", "lost": {"reason": 3}}', '"lost"'),
        ('{"direction": "sent", "time": "now", "event": {}}', "number of seconds"),
        ('{"direction": "sent", "time": true, "event": {}}', "number of seconds"),
        ('{"direction": "sent", "time": -1, "event": {}}', "number of seconds"),
        ('{"direction": "sent", "time": NaN, "event": {}}', "number of seconds"),
    ],
)
def test_what_is_no_recording_is_told_by_its_line(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(NotARecording, match=words) as caught:
        read(tmp_path, EVENT, line)
    assert "talk.jsonl is not a recording: line 2 " in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b"RIFF\x00\x80"])
def test_a_file_of_something_else_is_none(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(NotARecording, match="is not a recording"):
        read_recording(written(tmp_path, content))


def test_a_recording_of_a_later_version_asks_for_an_update(tmp_path: Path) -> None:
    with pytest.raises(NotARecording, match=r"version 2.*update"):
        read(tmp_path, '{"recording": 2}', EVENT)


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_recording(tmp_path / "nowhere.jsonl")
