"""Whole sessions with a server that is compatible, but states each item once and leaves fields out."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from trio_realtime import Delta, ItemAppended, ItemCompleted, ItemUpdated, tool
from trio_realtime.testing import QUESTION, calls, load_voice, says

from .calling import outputs
from .talking import arrived, talking


@tool
async def add(a: int, b: int) -> int:
    return a + b


async def test_words_of_both_sides(autojump_clock: MockClock) -> None:
    async with talking(says("Hello there."), dialect="compatible") as (session, server):
        with session.updates(ItemAppended, ItemCompleted) as updates:
            async with session.respond("Hi") as turn:
                assert await turn.text() == "Hello there."
            told = [(type(update).__name__, update.item.role) for update in arrived(updates)]
        assert told == [
            ("ItemAppended", "user"),
            ("ItemCompleted", "user"),
            ("ItemAppended", "assistant"),
            ("ItemCompleted", "assistant"),
        ]
        assert [item.id for item in session.conversation.items] == [item["id"] for item in server.items]
        assert session.conversation.items[-1].transcript == "Hello there."
        assert len(session.conversation.items[-1].audio) == len("Hello there.") * 60 * 48
        assert session.statistics().malformed_frames == 0


async def test_a_tool_is_run_once(autojump_clock: MockClock) -> None:
    script = ([says("Let me see."), calls("add", {"a": 1, "b": 2}, call_id="c1")], says("Three."))
    async with talking(*script, dialect="compatible", tools=[add]) as (session, server):
        async with session.respond("What is 1 + 2?") as turn:
            assert "Three." in await turn.text()
        assert outputs(server.received) == [("c1", "3")]


async def test_speech_is_written_down(autojump_clock: MockClock) -> None:
    arguments: dict[str, Any] = {"turn_detection": {"type": "server_vad"}, "transcription": {"model": "whisper-1"}}
    async with talking(says("It will rain."), dialect="compatible", **arguments) as (session, server):
        with session.updates(ItemUpdated) as updates:
            await session.append_audio(load_voice("question"))
            await trio.sleep(20)
            heard = [update.delta for update in arrived(updates) if update.item.role == "user"]
        user, assistant = session.conversation.items
        assert (user.transcript, assistant.transcript) == (QUESTION, "It will rain.")
        assert [item["id"] for item in server.items] == [user.id, assistant.id]
        assert "".join(delta.transcript for delta in heard if isinstance(delta, Delta) and delta.transcript) == QUESTION


async def test_commands_are_acknowledged(autojump_clock: MockClock) -> None:
    async with talking(says("Something long enough.", audio=2.0), dialect="compatible") as (session, server):
        item = await session.send_message("First", respond=False)
        assert item is not None
        await session.send_message("Before", respond=False, previous_item_id="root")
        assert [each.text for each in session.conversation.items] == ["Before", "First"]
        await session.delete_item(item.id)
        await session.append_audio(bytes(48 * 200))
        with trio.fail_after(10):
            await session.commit_audio()
        async with session.respond() as turn:
            await turn.text()
        assert [each.id for each in session.conversation.items] == [each["id"] for each in server.items]
        assert session.failure is None
