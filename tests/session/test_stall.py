"""A response that stops moving ends as one that failed, and what still comes of it changes nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ConfigError,
    ErrorReported,
    RealtimeSession,
    ResponseDone,
    ResponseFailed,
    ToolCallStarted,
    TurnDone,
    open_session,
    tool,
)
from trio_realtime.testing import calls, says

from .calling import error_in, outputs, push_call, steps
from .scripted_server import ScriptedServer, leaving_raises, message, opened
from .talking import CONFLICT, MS, arrived, push_audio, push_done, push_item, push_words, talking


@asynccontextmanager
async def stalling(**arguments: Any) -> AsyncGenerator[tuple[RealtimeSession, ScriptedServer]]:
    """A session whose server never answers a cancel."""
    with trio.fail_after(1000):
        async with opened(stall_timeout=5, **arguments) as (session, server):
            server.ignore("response.cancel")
            yield session, server


async def test_a_response_that_stops_moving_fails_and_may_be_tried_again(autojump_clock: MockClock) -> None:
    async with stalling() as (session, server):
        with session.updates(ResponseDone, TurnDone) as updates:
            with pytest.raises(ResponseFailed, match="5 s") as caught:
                async with session.respond("Go.") as turn:
                    await turn.done()
            assert trio.current_time() == 5
            assert caught.value.retryable
            assert caught.value.response_id == "resp_1"
            assert [type(update) for update in arrived(updates)] == [ResponseDone, TurnDone]
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["create", "cancel"]
        assert server.received[-1]["response_id"] == "resp_1"


async def test_the_next_response_does_not_wait_for_one_that_stalled(autojump_clock: MockClock) -> None:
    async with stalling() as (session, server):
        await session.create_response()
        second = await session.create_response()
        assert second.id == "resp_2"
        assert trio.current_time() == 5
        assert steps(server.received) == ["create", "cancel", "create"], "the server is told to stop first"


async def test_each_delta_is_a_move(autojump_clock: MockClock) -> None:
    async with stalling() as (session, server):
        with session.updates(ResponseDone) as updates:
            await session.create_response()
            await trio.sleep(4)
            push_item(server, "resp_1", "i1")
            for _ in range(3):
                await trio.sleep(4)
                push_words(server, "resp_1", "i1", "word")
                await trio.sleep(4)
                push_audio(server, "resp_1", "i1", bytes(MS))
            (done,) = [await updates.receive()]
        assert done.response.status == "failed"
        assert trio.current_time() == 4 + 3 * 8 + 5


async def test_each_response_has_its_own_time(autojump_clock: MockClock) -> None:
    async with stalling() as (session, server):
        with session.updates(ResponseDone) as updates:
            await session.create_response()
            push_item(server, "resp_1", "i1")
            await trio.sleep(3)
            await session.create_response(conversation="none")
            push_words(server, "resp_1", "i1", "word")
            await trio.sleep(3)
            push_words(server, "resp_1", "i1", "word")
            assert (await updates.receive()).response.id == "resp_2"
            assert trio.current_time() == 8
            assert (await updates.receive()).response.id == "resp_1"
            assert trio.current_time() == 11


async def test_nothing_stalls_unless_asked_for(autojump_clock: MockClock) -> None:
    async with opened() as (session, server):
        await session.create_response()
        await trio.sleep(80_000)
        assert steps(server.received) == ["create"]
        assert session.failure is None


async def test_a_response_that_is_done_does_not_stall_while_its_tools_run(autojump_clock: MockClock) -> None:
    @tool
    async def slow() -> str:
        await trio.sleep(60)
        return "done"

    script = (calls("slow", call_id="c1"), says("At last."))
    async with (
        talking(*script, pace=0.1, tools=[slow], stall_timeout=5) as (session, server),
        session.respond("Go.") as turn,
    ):
        assert await turn.text() == "At last."
    assert steps(server.received) == ["create", "output c1", "create"]


async def test_what_comes_late_of_a_response_that_stalled_changes_nothing(autojump_clock: MockClock) -> None:
    @tool
    async def f() -> None: ...

    async with stalling(tools=[f]) as (session, server), session.playback() as playback:
        await session.create_response()
        push_item(server, "resp_1", "i1")
        push_words(server, "resp_1", "i1", "before")
        await trio.sleep(6)
        with session.updates() as updates:
            push_words(server, "resp_1", "i1", " and after")
            push_audio(server, "resp_1", "i1", bytes(100 * MS))
            item = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"}
            server.push("response.output_item.done", response_id="resp_1", item={"id": "i2", **item})
            push_done(server, "resp_1", output=[{"id": "i2", **item}])
            await wait_all_tasks_blocked()
            assert arrived(updates) == []
        assert [each.transcript for each in session.conversation] == ["before"]
        assert not playback.statistics().received_bytes
        second = await session.create_response()
        assert second.id == "resp_2"
        assert steps(server.received) == ["create", "cancel", "create"]


async def test_the_calls_of_a_response_that_stalls_end_with_it(autojump_clock: MockClock) -> None:
    @tool
    async def f() -> None:
        await trio.sleep(60)

    async with stalling(tools=[f]) as (session, server):
        with leaving_raises(ResponseFailed):
            async with session.respond("Go.") as turn:
                await wait_all_tasks_blocked()
                push_call(server, "resp_1", "c1")
                await turn.done()
        assert trio.current_time() == 5
        await trio.sleep(100)
        assert "no longer wanted" in error_in(dict(outputs(server.received))["c1"])
        assert steps(server.received) == ["create", "cancel", "output c1"]


async def test_a_response_beside_the_conversation_stalls_too(autojump_clock: MockClock) -> None:
    async with stalling() as (session, server):
        with leaving_raises(ResponseFailed):
            async with session.respond(conversation="none") as turn:
                await wait_all_tasks_blocked()
                push_item(server, "resp_1", "i1")
                await turn.done()
        assert trio.current_time() == 5
        with session.updates() as updates, session.updates(ToolCallStarted):
            push_item(server, "resp_1", "i2")
            server.push("response.output_item.done", response_id="resp_1", item=message("i2", "assistant"))
            push_done(server, "resp_1")
            await wait_all_tasks_blocked()
            assert arrived(updates) == []
        assert len(session.conversation) == 0
        assert steps(server.received) == ["create", "cancel"]


async def test_a_request_that_the_server_refuses_because_of_a_stalled_response_goes_out_after_it(
    autojump_clock: MockClock,
) -> None:
    async with stalling() as (session, server):
        await session.create_response()
        await trio.sleep(6)
        answer = server.answers["response.create"]
        server.refuse("response.create", code=CONFLICT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.create_response)
            await wait_all_tasks_blocked()
            server.answers["response.create"] = answer
            push_done(server, "resp_1", "cancelled")
        assert steps(server.received) == ["create", "cancel", "create", "create"]


async def test_the_refusal_of_the_cancel_of_a_stalled_response_is_no_error(autojump_clock: MockClock) -> None:
    async with opened(stall_timeout=5) as (session, server):
        server.refuse("response.cancel", code="response_cancel_not_active")
        with session.updates(ErrorReported) as updates:
            await session.create_response()
            await trio.sleep(6)
            assert arrived(updates) == []


async def test_a_simulated_response_in_real_time_does_not_stall(autojump_clock: MockClock) -> None:
    async with (
        talking(says("A story.", audio=60.0), stall_timeout=1) as (session, _),
        session.respond("Go.") as turn,
    ):
        await turn.done()
        assert [response.status for response in turn.responses] == ["completed"]


@pytest.mark.parametrize("stall_timeout", [0, -1, "5", True])
async def test_a_stall_timeout_that_means_nothing_is_refused(stall_timeout: Any) -> None:
    server = ScriptedServer()
    with pytest.raises(ConfigError, match="stall_timeout"):
        async with open_session(transport=server, stall_timeout=stall_timeout):
            raise AssertionError
    assert server.received == []
