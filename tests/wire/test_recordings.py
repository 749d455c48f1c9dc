"""Frames of real sessions, where the recordings are at hand: nothing unknown, nothing lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from trio_realtime.wire.codec import Codec, decode_client_event, encode_server_event
from trio_realtime.wire.server_events import ProtocolIssue, UnknownEvent

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "recordings"
RECORDINGS = sorted(FOLDER.glob("*.jsonl"))

pytestmark = pytest.mark.skipif(not RECORDINGS, reason="the recordings are not part of the project")


def frames(recording: Path, direction: str) -> list[dict[str, Any]]:
    lines = map(json.loads, recording.read_text(encoding="utf-8").splitlines())
    return [line["event"] for line in lines if line["direction"] == direction]


# On the wire of one service and in no struct, because another field says the same.
REPEATED = {"response.content_part.added": {"content"}, "response.content_part.done": {"content"}}


def without_nulls(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {key: without_nulls(value) for key, value in raw.items() if value is not None}
    return [without_nulls(value) for value in raw] if isinstance(raw, list) else raw


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_every_received_frame_is_a_known_event_that_loses_nothing(recording: Path) -> None:
    codec = Codec()
    received = frames(recording, "received")
    assert received
    for raw in received:
        event = codec.decode(json.dumps(raw).encode())
        assert not isinstance(event, UnknownEvent | ProtocolIssue), raw
        assert "Unknown" not in repr(event), raw
        encoded = encode_server_event(event)
        assert codec.decode(encoded) == event
        expected = {key: value for key, value in raw.items() if key not in REPEATED.get(raw["type"], ())}
        # Everything that was there is there still; defaults that were left out may have come in.
        assert_within(without_nulls(expected), without_nulls(json.loads(encoded)), raw["type"])


def assert_within(part: Any, whole: Any, where: str) -> None:
    if isinstance(part, dict):
        assert isinstance(whole, dict), where
        for key, value in part.items():
            assert key in whole, f"{where}.{key}"
            assert_within(value, whole[key], f"{where}.{key}")
    elif isinstance(part, list):
        assert isinstance(whole, list), where
        assert len(part) == len(whole), where
        for index, value in enumerate(part):
            assert_within(value, whole[index], f"{where}[{index}]")
    else:
        assert part == whole, where


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_every_sent_frame_is_a_known_event_that_comes_out_the_same(recording: Path) -> None:
    sent = frames(recording, "sent")
    assert sent
    for raw in sent:
        event = decode_client_event(json.dumps(raw).encode())
        assert json.loads(Codec().encode(event)) == raw
