"""Every way to leave a turn, and what becomes of it when the session ends."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ConnectionLost,
    ErrorReported,
    ItemUpdated,
    RealtimeError,
    ResponseCancelled,
    ResponseDone,
    Turn,
    tool,
)
from trio_realtime.testing import calls, says
from trio_realtime.transport import Closed

from .scripted_server import ScriptedServer, leaving_raises, opened
from .talking import (
    CONFLICT,
    arrived,
    listed,
    push_audio,
    push_created,
    push_done,
    push_item,
    push_speech_ended,
    push_words,
    requested,
    sent_after,
    talking,
)


@tool
async def look_up() -> str:
    """Look something up."""
    await trio.sleep(1)
    return "found"


# --- leaving early ----------------------------------------------------------------------------------------------------


async def leave_by_break(turn: Turn) -> None:
    async for _ in turn.text_stream():
        break


async def leave_by_exception(turn: Turn) -> None:
    await leave_by_break(turn)
    raise ZeroDivisionError


async def leave_by_cancellation(turn: Turn) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await turn.done()


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_exception])
async def test_leaving_early_cancels_the_response_by_id_at_once(leave: Any, autojump_clock: MockClock) -> None:
    async with talking(says("A long, long story.", audio=20.0), says("Next.")) as (session, connection):
        caught: BaseException | None = None
        try:
            async with session.respond("x") as turn:
                await leave(turn)
        except ZeroDivisionError as error:
            caught = error
        assert (caught is not None) is (leave is leave_by_exception)
        assert caught is None or (caught.__context__ is None and caught.__cause__ is None)
        left = trio.current_time()
        done = await session.wait_for_reply()
        assert trio.current_time() == left
        assert done.responses[-1].status == "cancelled"
        (cancel,) = requested(connection, "response.cancel")
        assert cancel["response_id"] == done.responses[-1].id
        assert not requested(connection, "conversation.item.truncate", "conversation.item.delete")
        assert session.conversation.items[-1].status == "incomplete"
        async with session.respond("y") as turn:
            assert await turn.text() == "Next."


async def test_the_cancel_is_written_although_the_scope_is_cancelled() -> None:
    async with opened() as (session, server):
        with trio.CancelScope() as scope:
            async with session.respond("x") as turn:
                await wait_all_tasks_blocked()
                push_item(server, "resp_1", "item_1")
                await wait_all_tasks_blocked()
                scope.cancel()
                await turn.done()
        assert scope.cancelled_caught
        assert session.statistics().queued_bytes  # it waits for nothing but its turn to be written
        await wait_all_tasks_blocked()
        (cancel,) = sent_after(server, "response.cancel")
        assert cancel["response_id"] == "resp_1"


async def test_a_cancel_overtakes_audio_that_waits_to_be_written() -> None:
    async with opened() as (session, server):
        async with session.respond("x"):
            await wait_all_tasks_blocked()
            server.reads = False
            for _ in range(4):
                await session.append_audio(bytes(100_000))
            await wait_all_tasks_blocked()
        server.read_on()
        await wait_all_tasks_blocked()
        kinds = server.types()
        assert kinds.index("response.cancel") <= kinds.index("input_audio_buffer.append") + 1


async def test_leaving_before_the_response_is_known_cancels_it_when_it_is() -> None:
    server = ScriptedServer()
    server.ignore("response.create")
    async with opened(server) as (session, _):
        with session.updates(ItemUpdated) as updates:
            with trio.CancelScope() as scope:
                async with session.respond():
                    await wait_all_tasks_blocked()
                    scope.cancel()
                    await trio.sleep_forever()
            await wait_all_tasks_blocked()
            (create,) = sent_after(server, "response.create")
            assert not sent_after(server, "response.cancel")
            server.ignore("response.cancel")
            push_created(server, "resp_7", metadata=create["response"]["metadata"])
            await wait_all_tasks_blocked()
            assert [event["response_id"] for event in sent_after(server, "response.cancel")] == ["resp_7"]
            push_item(server, "resp_7", "item_7")
            push_words(server, "resp_7", "item_7", "late")
            push_done(server, "resp_7", "cancelled")
            await wait_all_tasks_blocked()
            assert [update for update in arrived(updates) if update.delta is not None] == []


async def test_a_turn_that_was_cancelled_before_it_lost_the_race_was_cancelled() -> None:
    server = ScriptedServer()
    server.ignore("response.create")
    async with opened(server, turn_detection="server_vad") as (session, _), session.respond("x") as turn:
        await wait_all_tasks_blocked()
        await session.interrupt()
        push_speech_ended(server)
        push_created(server, "resp_vad")
        server.push_error("busy", code=CONFLICT, event_id=sent_after(server, "response.create")[0]["event_id"])
        with pytest.raises(ResponseCancelled, match="before its response began"):
            await turn.done()
        push_done(server, "resp_vad")
        await wait_all_tasks_blocked()
        assert len(sent_after(server, "response.create")) == 1


@pytest.mark.parametrize("known", [True, False])
async def test_leaving_a_response_beside_the_conversation_cancels_that_one(known: bool) -> None:
    server = ScriptedServer()
    server.ignore("response.create", "response.cancel")
    async with opened(server) as (session, _), session.respond("main"):
        await wait_all_tasks_blocked()
        (create,) = sent_after(server, "response.create")
        push_created(server, "resp_main", metadata=create["response"]["metadata"])
        async with session.respond(conversation="none"):
            await wait_all_tasks_blocked()
            metadata = sent_after(server, "response.create")[-1]["response"]["metadata"]
            if known:
                push_created(server, "resp_beside", conversation_id=None, metadata=metadata)
                await wait_all_tasks_blocked()
        if not known:
            push_created(server, "resp_beside", conversation_id=None, metadata=metadata)
        await wait_all_tasks_blocked()
        assert [event["response_id"] for event in sent_after(server, "response.cancel")] == ["resp_beside"]
        push_done(server, "resp_beside", "cancelled", conversation_id=None)
        push_done(server, "resp_main")
        await wait_all_tasks_blocked()


async def test_late_deltas_of_a_turn_that_was_left_reach_nobody_until_it_is_done() -> None:
    server = ScriptedServer()
    server.ignore("response.cancel")
    async with opened(server) as (session, _):
        async with session.respond("x") as first:
            await wait_all_tasks_blocked()
            push_item(server, "resp_1", "item_1")
            push_words(server, "resp_1", "item_1", "heard")
            push_created(server, "resp_else", conversation_id=None)
            push_item(server, "resp_else", "item_else")
            await wait_all_tasks_blocked()
        async with session.respond("y") as second:
            with session.updates(ItemUpdated) as updates:
                push_words(server, "resp_1", "item_1", "late")
                push_audio(server, "resp_1", "item_1", bytes(960))
                push_words(server, "resp_else", "item_else", "untouched")
                await wait_all_tasks_blocked()
                assert len(sent_after(server, "response.create")) == 1  # waits for the `done` of the cancelled one
                push_done(server, "resp_1", "cancelled")
                await wait_all_tasks_blocked()
                push_item(server, "resp_2", "item_2")
                push_words(server, "resp_2", "item_2", "next")
                await wait_all_tasks_blocked()
                deltas = [update.delta.transcript for update in arrived(updates) if update.delta is not None]
                assert deltas == ["untouched", "next"]
            push_done(server, "resp_2")
            assert await second.text() == "next"
        assert [update.delta.transcript for update in first.deltas if update.delta is not None] == ["heard"]


async def test_a_cancel_that_crosses_the_done_is_no_error() -> None:
    async with opened() as (session, server):
        with session.updates(ErrorReported) as errors:
            server.answers["response.cancel"] = lambda event: [
                {
                    "type": "error",
                    "error": {
                        "code": "response_cancel_not_active",
                        "message": "no active response found",
                        "event_id": event["event_id"],
                    },
                }
            ]
            async with session.respond("x"):
                await wait_all_tasks_blocked()
                push_done(server, "resp_1")  # not read yet when the turn is left
            await wait_all_tasks_blocked()
            assert len(sent_after(server, "response.cancel")) == 1
            assert arrived(errors) == []
            async with session.respond():
                await wait_all_tasks_blocked()
                assert len(sent_after(server, "response.create")) == 2


async def test_a_late_done_of_a_turn_that_was_left_does_not_end_the_next() -> None:
    server = ScriptedServer()
    server.ignore("response.cancel")
    async with opened(server) as (session, _):
        async with session.respond("x"):
            await wait_all_tasks_blocked()
        push_created(server, "resp_vad")  # the `done` of the first is late
        await wait_all_tasks_blocked()
        push_done(server, "resp_1", "cancelled")
        await wait_all_tasks_blocked()
        async with session.respond("y"):
            await wait_all_tasks_blocked()
            assert len(sent_after(server, "response.create")) == 1
            await_cancel = len(sent_after(server, "response.cancel"))
            with trio.CancelScope() as scope:
                scope.cancel()
                await session.cancel_response()
            await wait_all_tasks_blocked()
            assert len(sent_after(server, "response.cancel")) == await_cancel + 1
            push_done(server, "resp_vad", "cancelled")
            await wait_all_tasks_blocked()
            assert len(sent_after(server, "response.create")) == 2


async def test_leaving_while_a_tool_runs_ends_the_turn(autojump_clock: MockClock) -> None:
    async with talking(calls("look_up", "{}"), says("never"), tools=[look_up]) as (session, connection):
        async with session.respond("x") as turn:
            await session.wait_for(ResponseDone)
            await trio.sleep(0.5)
            assert not turn.is_done
        await trio.sleep(10)
        assert len(requested(connection, "response.create")) == 1
        outputs = [event for event in requested(connection, "conversation.item.create") if "call_id" in event["item"]]
        assert len(outputs) == 1
        assert "no longer wanted" in outputs[0]["item"]["output"]


async def test_using_a_turn_that_was_left_raises_at_once(autojump_clock: MockClock) -> None:
    async with talking(says("A long, long story.", audio=20.0)) as (session, _):
        async with session.respond("x") as turn:
            stream = turn.text_stream()
            assert await anext(stream) == "A"
        began = trio.current_time()
        for wait in (turn.done, turn.text, turn.audio, stream.__anext__, turn.audio_stream().__anext__):
            with leaving_raises(ResponseCancelled, match="left before"):
                await listed(turn.audio_stream())
                await wait()
        assert trio.current_time() == began


async def test_a_stream_in_another_task_ends_when_the_turn_is_left(autojump_clock: MockClock) -> None:
    async with talking(says("A long, long story.", audio=20.0)) as (session, _):
        ended = trio.Event()

        async def read(turn: Turn) -> None:
            with leaving_raises(ResponseCancelled):
                await listed(turn.text_stream())
            ended.set()

        async with trio.open_nursery() as nursery:
            async with session.respond("x") as turn:
                nursery.start_soon(read, turn)
                await trio.sleep(1)
            with trio.fail_after(0.001):
                await ended.wait()


async def test_a_turn_that_is_done_stays_readable_after_its_scope(autojump_clock: MockClock) -> None:
    async with talking(says("Hello.")) as (session, _), session.respond("x") as turn:
        await turn.done()
    assert await turn.text() == "Hello."
    assert await listed(turn.text_stream()) == ["Hello", "."]


# --- the session ends -------------------------------------------------------------------------------------------------


async def test_a_failure_of_the_session_wakes_every_stream_with_an_instance_of_its_own() -> None:
    caught: list[RealtimeError] = []

    async def read(turn: Turn) -> None:
        words: list[str] = []
        try:
            await listed(turn.text_stream(), words)
        except ConnectionLost as error:
            caught.append(error)
        assert words == ["so far"]  # what arrived before comes first

    with leaving_raises(ConnectionLost):
        async with opened() as (session, server), session.respond("x") as turn, trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(read, turn)
            await wait_all_tasks_blocked()
            push_item(server, "resp_1", "item_1")
            push_words(server, "resp_1", "item_1", "so far")
            server.end(Closed(1011, "broken"))
            with pytest.raises(ConnectionLost) as done:
                await turn.done()
            caught.append(done.value)
    assert len({id(error) for error in caught}) == 4
    assert {error.code for error in caught if isinstance(error, ConnectionLost)} == {1011}


async def test_a_failure_of_the_session_that_nobody_saw_leaves_the_turn() -> None:
    with leaving_raises(ConnectionLost):
        async with opened() as (session, server):
            with leaving_raises(ConnectionLost):
                async with session.respond("x"):
                    await wait_all_tasks_blocked()
                    server.end(Closed(1011, "broken"))
                    await wait_all_tasks_blocked()
            with leaving_raises(ConnectionLost):
                async with session.respond("y"):
                    raise AssertionError
            assert session.failure is not None


async def test_the_end_of_the_session_in_mid_turn_is_no_success(autojump_clock: MockClock) -> None:
    turns: list[Turn] = []
    async with trio.open_nursery() as nursery:

        async def read(turn: Turn) -> None:
            with leaving_raises(trio.ClosedResourceError, match="session ended"):
                await turn.text()

        async with talking(says("A long story.", audio=20.0)) as (session, _):
            manager = session.respond("x")
            turns.append(await manager.__aenter__())
            nursery.start_soon(read, turns[0])
            await trio.sleep(1)
    await manager.__aexit__(None, None, None)
    with leaving_raises(trio.ClosedResourceError):
        async with session.respond("y"):
            raise AssertionError
