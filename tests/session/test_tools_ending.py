"""How tools end before their time: the session fails or its scope is left, or nobody wants their turn any more."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ConnectionLost,
    ToolCallCancelled,
    ToolCallFinished,
    ToolCallStarted,
    ToolContext,
    ToolError,
    ToolProgress,
    tool,
)
from trio_realtime.testing import assert_no_leaks, calls, says

from .calling import error_in, outputs, push_call, steps
from .scripted_server import ScriptedServer, leaving_raises, opened
from .talking import arrived, push_created, push_done, talking


@tool
async def weather(city: str, days: Annotated[int, msgspec.Meta(ge=1)] = 1) -> dict[str, Any]:
    """Weather at a place."""
    await trio.sleep(1)
    return {"city": city, "days": days}


@tool
async def book(people: int) -> str:
    """Book a table."""
    await trio.sleep(3)
    return f"a table for {people}"


# --- errors that end the session ----------------------------------------------------------------------------------


async def test_a_tool_that_raises_ends_the_session_if_it_says_so(autojump_clock: MockClock) -> None:
    cause = LookupError("no such city")

    @tool(on_error="raise")
    async def f() -> None:
        await trio.sleep(1)
        raise cause

    told: list[BaseException] = []
    server = ScriptedServer()
    with leaving_raises(ToolError, match="no such city") as caught:
        async with opened(server, tools=[f]) as (session, _):
            push_created(server, "r1")
            push_call(server, "r1", "c1")
            push_done(server, "r1")
            try:
                await session.wait_item()
                await session.wait_item()
            except ToolError as error:
                told.append(error)
            assert session.failure is not None
    assert (caught.value.name, caught.value.call_id, caught.value.__cause__) == ("f", "c1", cause)
    assert [error.__cause__ for error in told] == [cause]
    assert told[0] is not caught.value
    assert steps(server.received) == [], "nothing more is asked of a session that is over"
    assert trio.current_time() == 1


async def test_a_tool_that_raises_cancels_a_body_that_does_not_listen(autojump_clock: MockClock) -> None:
    @tool(on_error="raise")
    async def f() -> None:
        raise LookupError

    with leaving_raises(ToolError):
        async with talking(calls("f"), pace=0, tools=[f]) as (session, _):
            await session.send_message("Go.")
            await trio.sleep_forever()
    assert trio.current_time() == 1


# --- the end of the scope -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["normal", "exception", "cancelled"])
async def test_leaving_the_scope_cancels_the_tools_and_sends_nothing(way: str, autojump_clock: MockClock) -> None:
    ended: list[float] = []

    @tool
    async def f() -> None:
        try:
            await trio.sleep(60)
        finally:
            ended.append(trio.current_time())

    server = ScriptedServer()
    updates = None
    with assert_no_leaks(), trio.CancelScope() as scope:
        try:
            async with opened(server, tools=[f]) as (session, _):
                updates = session.updates(ToolCallFinished, ToolCallCancelled).__enter__()
                push_created(server, "r1")
                push_call(server, "r1", "c1")
                push_done(server, "r1")
                await trio.sleep(2)
                if way == "exception":
                    raise LookupError
                if way == "cancelled":
                    scope.cancel()
        except LookupError:
            pass
    assert ended == [2]
    assert trio.current_time() == 2
    assert steps(server.received) == []
    assert updates is not None
    told = [] if way == "cancelled" else [ToolCallCancelled(call_id="c1", name="f", seconds=2)]
    assert arrived(updates) == told


async def test_a_tool_that_ends_exactly_with_the_scope_sends_nothing() -> None:
    released = trio.Event()

    @tool
    async def f() -> str:
        await released.wait()
        return "too late"

    async with opened(tools=[f]) as (session, server):
        updates = session.updates(ToolCallFinished, ToolCallCancelled).__enter__()
        push_created(server, "r1")
        push_call(server, "r1", "c1")
        push_done(server, "r1")
        await wait_all_tasks_blocked()
        released.set()
    assert steps(server.received) == []
    assert [type(update) for update in arrived(updates)] == [ToolCallCancelled]


async def test_what_a_tool_raises_while_it_is_cancelled_is_logged_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @tool(on_error="raise")
    async def f() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise LookupError("cannot clean up")

    async with opened(tools=[f]) as (session, server):
        push_created(server, "r1")
        push_call(server, "r1", "c1")
        await wait_all_tasks_blocked()
    assert session.failure is None
    assert "cannot clean up" in caplog.text


async def test_a_tool_that_outlives_a_failure_changes_nothing(autojump_clock: MockClock) -> None:
    @tool
    async def f() -> str:
        await trio.sleep(0.5)
        return "too late"

    server = ScriptedServer()
    with leaving_raises(ConnectionLost):
        async with opened(server, tools=[f]) as (session, _):
            updates = session.updates(ToolCallFinished).__enter__()
            push_created(server, "r1")
            push_call(server, "r1", "c1")
            await wait_all_tasks_blocked()
            server.end(trio.ClosedResourceError())
            await trio.sleep(0.9)
            assert session.failure is not None
            with pytest.raises(ConnectionLost):
                updates.receive_nowait()


async def test_a_function_in_a_thread_is_abandoned_when_the_scope_is_left() -> None:
    began, release = threading.Event(), threading.Event()
    came_back: list[str] = []

    @tool
    def block(context: ToolContext) -> str:
        began.set()
        context.progress("here")
        release.wait(10)
        came_back.append("late")
        return "late"

    server = ScriptedServer()
    async with opened(server, tools=[block]) as (session, _):
        with session.updates(ToolProgress) as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1", "block")
            assert (await updates.receive()).value == "here"
        assert began.is_set()
        assert not came_back
    assert steps(server.received) == []
    assert not came_back
    release.set()


async def test_a_function_in_a_thread_does_not_delay_the_stream() -> None:
    release = threading.Event()

    @tool
    def block() -> int:
        assert release.wait(10)
        return 5

    async with opened(tools=[block]) as (session, server):
        with session.updates(ToolCallFinished) as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1", "block")
            push_done(server, "r1")
            await session.clear_audio()
            assert outputs(server.received) == []
            release.set()
            assert (await updates.receive()).result == 5
        await session.clear_audio()
        assert outputs(server.received) == [("c1", "5")]


# --- turns that are left ------------------------------------------------------------------------------------------


async def test_the_tools_of_a_turn_that_is_left_are_cancelled_without_a_follow_up(autojump_clock: MockClock) -> None:
    both = [calls("weather", {"city": "x"}, call_id="c1"), calls("book", {"people": 2}, call_id="c2")]
    async with talking(both, pace=0, tools=[weather, book]) as (session, server):
        with session.updates(ToolCallFinished, ToolCallCancelled) as updates:
            async with session.respond("Go."):
                await trio.sleep(2)
            await trio.sleep(5)
            finished, cancelled = arrived(updates)
    assert (finished.call_id, type(cancelled), cancelled.call_id) == ("c1", ToolCallCancelled, "c2")
    assert steps(server.received) == ["create", "output c1", "output c2"]
    assert "no longer wanted" in error_in(outputs(server.received)[1][1])


async def test_a_call_that_comes_after_its_turn_was_left_is_not_run() -> None:
    async with opened(tools=[weather]) as (session, server):
        server.ignore("response.cancel")
        async with session.respond("Go."):
            await wait_all_tasks_blocked()
        with session.updates(ToolCallStarted) as updates:
            push_call(server, "resp_1", "c1", "weather", '{"city": "x"}')
            push_done(server, "resp_1", "cancelled")
            await wait_all_tasks_blocked()
            assert arrived(updates) == []
        assert steps(server.received) == ["create", "cancel", "output c1"]


async def test_a_turn_of_the_one_response_leaves_its_tools_alone(autojump_clock: MockClock) -> None:
    script = (calls("weather", {"city": "x"}, call_id="c1"), says("Done."))
    async with talking(*script, pace=0, tools=[weather]) as (session, server):
        async with session.respond("Go.", follow=False) as turn:
            await turn.done()
            assert trio.current_time() == 0
        await trio.sleep(5)
    assert steps(server.received) == ["create", "output c1", "create"]
