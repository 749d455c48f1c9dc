"""Recorded of real servers: the simulated one, asked the same, answers with events of the same shape and order.

What may differ: Azure repeats a `part` as `content`, and sends no rate limits; recordings end before those, and one has
none at all. Words, ids, times and counts are not compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trio_realtime.testing import Output, Simulator, calls, says

FOLDER = Path(__file__).resolve().parents[3].parent / "shared" / "recordings"
RECORDINGS = sorted(FOLDER.glob("*.jsonl"))

pytestmark = pytest.mark.skipif(not RECORDINGS, reason="the recordings are not part of the project")

# 2 s of a loud tone, and then silence.
SPEECH = b"\x00\x20\x00\xe0" * 24_000 + bytes(48_000)

Event = dict[str, Any]


def events(path: Path, direction: str) -> list[Event]:
    frames: list[Any] = [json.loads(line) for line in path.read_text().splitlines()]
    return [frame["event"] for frame in frames if frame["direction"] == direction]


def said(response: Event) -> list[Output]:
    """What the model has to be told to say, for a response like a recorded one."""
    return [
        calls(item["name"], item["arguments"], call_id=item["call_id"])
        if item["type"] == "function_call"
        else says(item["content"][0].get("text") or item["content"][0]["transcript"], audio=1.0)
        for item in response["output"]
    ]


def answers(drive: Any, path: Path, received: list[Event]) -> list[Event]:
    """What the simulated server sends to a client that sends what was recorded."""
    script = [said(event["response"]) for event in received if event["type"] == "response.done"]
    session = next(event["session"] for event in received if "session" in event)
    heard = [event["transcript"] for event in received if event["type"].endswith("transcription.completed")]
    simulator = Simulator(script, transcripts=heard)
    if received[0]["type"] == "session.created":
        client = drive(simulator, model=session["model"])
    else:
        configuration = {"configuration": {"type": "realtime", "model": session["model"]}}
        client = drive(simulator, connecting=configuration, call_id="rtc_1")
    spoken = False
    for event in events(path, "sent"):
        if event["type"] != "input_audio_buffer.append":
            client.send_raw(json.dumps(event))
        elif not spoken:
            client.speak(SPEECH)
            spoken = True
        if event["type"] == "response.create":
            client.wait(60)
    client.wait(60)
    return list(client.events)


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.stem)
def both(drive: Any, request: pytest.FixtureRequest) -> tuple[list[Event], list[Event]]:
    """The recorded events and the simulated ones, without rate limits and what Azure adds."""
    received = events(request.param, "received")
    simulated = answers(drive, request.param, received)
    for event in received:
        event.pop("content", None)
    recorded, made = (
        [event for event in each if event["type"] != "rate_limits.updated"] for each in (received, simulated)
    )
    return recorded, made


def order(sent: list[Event]) -> list[str]:
    """List the types of events; of deltas that come in turns, one each."""
    names: list[str] = []
    for event in sent:
        if not (event["type"].endswith(".delta") and event["type"] in names[-3:]):
            names.append(event["type"])
    return names


def shapes(value: Any, path: str = "") -> Iterator[str]:
    """Describe the keys and the types of a JSON value."""
    if isinstance(value, dict):
        yield f"{path}{{{','.join(sorted(value))}}}"
        for key, content in value.items():
            yield from shapes(content, f"{path}.{key}")
    elif isinstance(value, list):
        for entry in value:
            yield from shapes(entry, f"{path}[]")
    else:
        yield f"{path}: {type(value).__name__}"


def test_events_come_in_the_same_order(both: tuple[list[Event], list[Event]]) -> None:
    # A transcription goes on beside everything else.
    for is_transcription in (False, True):
        recorded, simulated = (
            order([event for event in sent if ("transcription" in event["type"]) is is_transcription]) for sent in both
        )
        assert simulated == recorded


def test_events_have_the_same_keys(both: tuple[list[Event], list[Event]]) -> None:
    recorded, simulated = ({(event["type"], shape) for event in sent for shape in shapes(event)} for sent in both)
    assert simulated == recorded


def test_items_stand_behind_the_same_items(both: tuple[list[Event], list[Event]]) -> None:
    recorded, simulated = map(predecessors, both)
    assert simulated == recorded


def predecessors(sent: list[Event]) -> list[tuple[str, int, int | None]]:
    """Say of each event of an item which items it names, by number, in the order of the conversation."""
    numbers: dict[str | None, Any] = {None: None}
    named: list[tuple[str, int, int | None]] = []
    for event in sent:
        if "previous_item_id" in event:
            item_id = event["item"]["id"] if "item" in event else event["item_id"]
            number = numbers.setdefault(item_id, len(numbers))
            named.append((event["type"], number, numbers[event["previous_item_id"]]))
    return named


def test_sessions_have_the_same_values(both: tuple[list[Event], list[Event]]) -> None:
    recorded, simulated = (
        [event["session"] | {"id": "", "expires_at": 0} for event in sent if "session" in event] for sent in both
    )
    default = simulated[0]["instructions"], recorded[0]["instructions"]
    for session in simulated:
        if session["instructions"] == default[0]:
            session["instructions"] = default[1]
    assert simulated == recorded


def test_responses_begin_with_the_same_values(both: tuple[list[Event], list[Event]]) -> None:
    recorded, simulated = (
        [event["response"] | {"id": "", "conversation_id": ""} for event in sent if event["type"] == "response.created"]
        for sent in both
    )
    assert simulated == recorded
