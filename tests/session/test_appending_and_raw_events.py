"""What the server does not acknowledge: audio as it comes, and raw events."""

from __future__ import annotations

import array
import base64
from typing import Any

import pytest
import trio
import trio.testing

from trio_realtime import ConfigError, ResponseDone
from trio_realtime.wire import client_events as client

from .scripted_server import opened

# --- audio ----------------------------------------------------------------------------------------------------------


async def test_append_returns_when_the_audio_is_queued_and_waits_for_room_when_too_much_is() -> None:
    async with opened() as (session, server):
        server.reads = False
        await session.append_audio(b"\0" * 2)
        await trio.testing.wait_all_tasks_blocked()  # the writer has it
        appended = 0
        with trio.move_on_after(5, shield=False) as scope:
            scope.deadline = trio.current_time() + 0.2
            for _ in range(100):
                await session.append_audio(b"\0" * 30_000)
                appended += 1
        assert scope.cancelled_caught
        assert session.statistics().queued_bytes > 2**20
        assert 26 <= appended <= 30
        server.read_on()
        await session.clear_audio()
        sent = [event for event in server.received if event["type"] == "input_audio_buffer.append"]
        assert len(sent) == appended + 1, "what was cancelled while it waited was not sent"
        assert session.statistics().sent_audio_bytes == 30_000 * appended + 2


async def test_an_append_over_15_mib_is_split() -> None:
    audio = bytes(range(256)) * (34 * 4096)
    async with opened() as (session, server):
        await session.append_audio(audio)
        await session.clear_audio()
        pieces = [base64.b64decode(event["audio"]) for event in server.received if "audio" in event]
    assert [len(piece) for piece in pieces] == [15 * 2**20, 15 * 2**20, 4 * 2**20]
    assert b"".join(pieces) == audio


async def test_a_large_append_that_is_cancelled_is_sent_up_to_a_whole_piece() -> None:
    async with opened() as (session, server):
        server.reads = False
        await session.append_audio(b"\0\0")
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.append_audio, b"\0" * (40 * 2**20))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        server.read_on()
        await session.clear_audio()
        pieces = [len(base64.b64decode(event["audio"])) for event in server.received if "audio" in event]
        assert pieces == [2, 15 * 2**20]
        assert session.statistics().sent_audio_bytes == sum(pieces)


async def test_audio_may_be_any_buffer_and_an_empty_one_sends_nothing() -> None:
    whole = bytes(range(200))
    async with opened() as (session, server):
        await session.append_audio(whole)
        await session.append_audio(bytearray(whole))
        await session.append_audio(memoryview(whole)[100:])
        await session.append_audio(array.array("h", [1, 2]))
        await session.append_audio(b"")
        await session.clear_audio()
        sent = [base64.b64decode(event["audio"]) for event in server.received if "audio" in event]
    assert sent == [whole, whole, whole[100:], b"\1\0\2\0"]


async def test_chunks_are_collected_into_batches_when_asked_to() -> None:
    chunks = [bytes([number]) * 960 for number in range(7)]  # 20 ms each
    async with opened() as (session, server):
        for chunk in chunks:
            await session.append_audio(chunk, batch_ms=60)
        await trio.testing.wait_all_tasks_blocked()
        sent = [base64.b64decode(event["audio"]) for event in server.received if "audio" in event]
        assert sent == [b"".join(chunks[:3]), b"".join(chunks[3:6])]
        assert session.statistics().sent_audio_bytes == 6 * 960
    sent = [base64.b64decode(event["audio"]) for event in server.received if "audio" in event]
    assert sent[2:] == [chunks[6]], "leaving the session sends what is left"


@pytest.mark.parametrize("send", ["a command", "a raw event", "an unknown event", "a chunk", "a response", "a turn"])
async def test_what_is_collected_goes_out_before_anything_else(send: str) -> None:
    async with opened(turn_detection=None) as (session, server):
        await session.append_audio(b"" * 480, batch_ms=100)
        await trio.testing.wait_all_tasks_blocked()
        assert server.types()[1:] == []
        match send:
            case "a command":
                await session.update(instructions="x")
            case "a raw event":
                await session.send(client.InputAudioBufferClear())
            case "an unknown event":
                await session.send({"type": "session.frobnicate"})
            case "a chunk":
                await session.append_audio(b"")
            case "a response":
                await session.send_message([])
            case _:
                async with session.respond():
                    await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        kinds = server.types()[1:]
        assert kinds[0] == "input_audio_buffer.append"
        assert base64.b64decode(server.received[1]["audio"]) == b"" * 480
        if send in {"a response", "a turn"}:
            assert kinds[1:3] == ["input_audio_buffer.commit", "response.create"], "it is committed like all audio"


async def test_a_chunk_of_a_whole_batch_is_not_collected() -> None:
    async with opened() as (session, server):
        await session.append_audio(b"" * 10, batch_ms=20)
        await session.append_audio(b"" * 480, batch_ms=20)
        await trio.testing.wait_all_tasks_blocked()
        sent = [base64.b64decode(event["audio"]) for event in server.received if "audio" in event]
        assert sent == [b"" * 10, b"" * 480]


@pytest.mark.parametrize("batch_ms", [-1, 1001, 0.5, True])
async def test_a_batch_has_a_sensible_length(batch_ms: Any) -> None:
    async with opened() as (session, server):
        with pytest.raises(ConfigError, match="batch_ms"):
            await session.append_audio(b"", batch_ms=batch_ms)
        await session.clear_audio()
        assert server.types()[1:] == ["input_audio_buffer.clear"]


async def test_g711_has_no_odd_length() -> None:
    async with opened(input_format="audio/pcmu") as (session, server):
        await session.append_audio(b"\0" * 3)
        await session.clear_audio()
        assert server.types()[1:] == ["input_audio_buffer.append", "input_audio_buffer.clear"]


async def test_manual_turns_commit_what_was_appended_once_before_a_response() -> None:
    async with opened(turn_detection=None) as (session, server):
        await session.append_audio(b"\0" * 9600)
        response = await session.create_response()
        server.push("response.done", response={"id": response.id, "status": "completed"})
        await session.wait_for(ResponseDone)
        await session.create_response()
        assert server.types()[2:] == ["input_audio_buffer.commit", "response.create", "response.create"]


async def test_with_turn_detection_a_response_commits_nothing() -> None:
    async with opened(turn_detection="server_vad") as (session, server):
        await session.append_audio(b"\0" * 9600)
        await session.create_response()
        assert "input_audio_buffer.commit" not in server.types()


# --- raw ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        client.InputAudioBufferClear(),
        {"type": "input_audio_buffer.clear"},
        {"type": "input_audio_buffer.clear", "event_id": "event_mine"},
    ],
)
async def test_send_returns_when_the_event_is_queued(event: Any) -> None:
    async with opened() as (session, server):
        server.reads = False
        await session.send(event)
        server.read_on()
        await trio.testing.wait_all_tasks_blocked()
        assert server.types()[1:] == ["input_audio_buffer.clear"]
        assert server.received[-1]["event_id"]


async def test_send_takes_an_event_that_the_library_does_not_know() -> None:
    event = {"type": "session.frobnicate", "how": ["much", {"so": 1.5}]}
    async with opened() as (session, server):
        with session.events() as events:
            await session.send(event)
            await trio.testing.wait_all_tasks_blocked()
            assert server.received[-1] == event
            raw = await events.receive()
            assert (raw.source, raw.event) == ("client", event)


async def test_send_keeps_keys_that_the_library_does_not_know() -> None:
    event = {"type": "session.update", "session": {"type": "realtime", "shiny": True}}
    async with opened() as (session, server):
        await session.send(event)
        await trio.testing.wait_all_tasks_blocked()
        assert server.received[-1] == event


async def test_send_takes_audio_as_base64() -> None:
    async with opened() as (session, server):
        await session.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(b"\1\2").decode()})
        await trio.testing.wait_all_tasks_blocked()
        assert server.received[-1] == {"type": "input_audio_buffer.append", "audio": "AQI="}
        assert session.statistics().sent_audio_bytes == 2


async def test_send_gives_an_item_the_id_that_it_lacks() -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    async with opened() as (session, server):
        await session.send({"type": "conversation.item.create", "item": item})
        assert (await session.wait_completed_item()).text == "x"
        assert server.received[-1]["item"].pop("id").startswith("item_")
        assert server.received[-1]["item"] == item
    assert "id" not in item


async def test_raw_events_of_a_response_go_through_its_sequence() -> None:
    async with opened() as (session, server):
        for _ in range(2):
            await session.send({"type": "response.create"})
        await trio.testing.wait_all_tasks_blocked()
        assert server.types()[1:] == ["response.create"]
