"""Recordings of real sessions, made by another program: they replay as our own do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from trio_realtime import ResponseDone
from trio_realtime.testing import Recording, read_recording, record_session, replay, simulated_transport
from trio_realtime.wire.session_config import SessionConfig

FOLDER = Path(__file__).resolve().parents[3].parent / "shared" / "recordings"
RECORDINGS = sorted(FOLDER.glob("*.jsonl"))

pytestmark = pytest.mark.skipif(not RECORDINGS, reason="the recordings are not part of the project")


def events(recording: Recording, direction: str) -> list[dict[str, Any]]:
    return [
        message.content
        for message in recording.messages
        if message.direction == direction and isinstance(message.content, dict)
    ]


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
async def test_a_session_of_this_library_hears_what_was_said(
    path: Path, tmp_path: Path, autojump_clock: MockClock
) -> None:
    recording = read_recording(path)
    update, *sent = events(recording, "sent")
    received = events(recording, "received")
    config = msgspec.convert(update["session"], SessionConfig)
    done = [event["response"] for event in received if event["type"] == "response.done"]
    again = tmp_path / "again.jsonl"
    with replay(path) as server:
        async with (
            simulated_transport(server) as transport,
            record_session(
                again,
                include_audio=True,
                transport=transport,
                config=config,
                call_id=None if received[0]["type"] == "session.created" else "call_1",
            ) as session,
        ):
            with session.updates(ResponseDone) as responses:
                for event in sent:
                    await session.send(event)
                for _ in done:
                    await responses.receive()
            await trio.sleep(1)
            for item in (item for response in done for item in response["output"]):
                held = session.conversation[item["id"]]
                parts = item.get("content", [])
                assert (held.status, held.arguments) == (item["status"], item.get("arguments", ""))
                assert held.text + held.transcript == "".join(
                    part.get("text") or part.get("transcript") or "" for part in parts
                )
            audio = [event for event in received if event["type"] == "response.output_audio.delta"]
            assert sum(len(item.audio) for item in session.conversation if item.role == "assistant") == 33 * len(audio)
    # What was heard of it, recorded once more, is the same but for the ids of the items that the client made.
    heard_again = events(read_recording(again), "received")
    assert [event["type"] for event in heard_again] == [event["type"] for event in received]
    assert [event["event_id"] for event in heard_again] == [event["event_id"] for event in received]
