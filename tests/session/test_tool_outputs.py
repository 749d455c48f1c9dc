"""Calls that the program answers itself, with `send_tool_output`, also beside functions of the session."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import ConfigError, ItemCompleted, ServerError, ToolCallCancelled, TurnDone, tool
from trio_realtime.testing import calls, says
from trio_realtime.tools import MAX_OUTPUT_BYTES

from .calling import outputs, push_call, steps
from .scripted_server import leaving_raises, opened
from .talking import arrived, push_created, push_done, talking

PLAIN: dict[str, Any] = {"type": "function", "name": "plain", "parameters": {"type": "object"}}


@tool
async def slow() -> str:
    await trio.sleep(10)
    return "slow"


async def test_a_definition_without_a_function_waits_for_the_program(autojump_clock: MockClock) -> None:
    script = (calls("plain", call_id="c1"), says("Done."))
    async with talking(*script, pace=0, tools=[PLAIN]) as (session, server), session.respond("Go.") as turn:
        await trio.sleep(60)
        assert steps(server.received) == ["create"]
        item = await session.send_tool_output("c1", {"a": 1})
        assert (item.type, item.call_id, item.output) == ("function_call_output", "c1", '{"a":1}')
        assert await turn.text() == "Done."
        assert len(turn.responses) == 2, "the follow-up belongs to the turn"
    assert steps(server.received) == ["create", "output c1", "create"]


@pytest.mark.parametrize(("output", "text"), [("as it is", "as it is"), (None, "null"), ([1], "[1]"), ("", "")])
async def test_an_output_is_text_as_it_is_or_json(output: Any, text: str) -> None:
    async with opened(tools=[PLAIN]) as (session, server):
        push_created(server, "r1")
        push_call(server, "r1", "c1", "plain")
        await wait_all_tasks_blocked()
        await session.send_tool_output("c1", output)
        assert outputs(server.received) == [("c1", text)]


async def test_an_output_that_wants_no_response_gets_none(autojump_clock: MockClock) -> None:
    async with talking(calls("plain", call_id="c1"), pace=0, tools=[PLAIN]) as (session, server):
        async with session.respond("Go.") as turn:
            await trio.sleep(1)
            await session.send_tool_output("c1", "x", respond=False)
            await turn.done()
        await trio.sleep(10)
    assert steps(server.received) == ["create", "output c1"]


async def test_an_output_may_be_sent_before_its_response_is_done() -> None:
    async with opened(tools=[PLAIN]) as (session, server):
        await session.create_response()
        push_call(server, "resp_1", "c1", "plain")
        await wait_all_tasks_blocked()
        await session.send_tool_output("c1", "x")
        assert steps(server.received) == ["create", "output c1"], "the follow-up waits"
        push_done(server, "resp_1")
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["create", "output c1", "create"]


@pytest.mark.parametrize("others", [False, True])
async def test_an_output_that_overtakes_the_end_of_its_output_item_is_the_one(others: bool) -> None:
    """`conversation.item.done` comes before `response.output_item.done`, and a program may be quick."""
    async with opened(tools=[PLAIN, slow]) as (session, server):
        with session.updates(ItemCompleted, TurnDone) as updates:
            push_created(server, "r1")
            item = {"id": "i1", "type": "function_call", "call_id": "c1", "name": "plain"}
            final = {**item, "status": "completed", "arguments": "{}"}
            server.push("response.output_item.added", response_id="r1", item={**item, "status": "in_progress"})
            server.push("conversation.item.done", item=final)
            assert isinstance(await updates.receive(), ItemCompleted)
            await session.send_tool_output("c1", "quick")
            assert steps(server.received) == ["output c1"]
            server.push("response.output_item.done", response_id="r1", item=final)
            if others:
                push_call(server, "r1", "c2", "plain")
            push_done(server, "r1")
            await wait_all_tasks_blocked()
            if others:
                assert steps(server.received) == ["output c1"]
                await session.send_tool_output("c2", "slower")
                await wait_all_tasks_blocked()
            assert steps(server.received)[-1] == "create"
            assert steps(server.received).count("create") == 1
            push_done(server, "resp_1")  # as the server called the follow-up
            await wait_all_tasks_blocked()
            (turn,) = [update for update in arrived(updates) if isinstance(update, TurnDone)]
        assert [response.id for response in turn.responses] == ["r1", "resp_1"]


async def test_a_second_output_is_refused_and_nothing_is_sent() -> None:
    async with opened(tools=[PLAIN, slow]) as (session, server):
        push_created(server, "r1")
        push_call(server, "r1", "c1", "plain")
        push_call(server, "r1", "c2", "nope")
        push_done(server, "r1")
        await wait_all_tasks_blocked()
        await session.send_tool_output("c1", "x")
        before = len(server.received)
        for call_id in ("c1", "c2"):
            with pytest.raises(ConfigError, match="already"):
                await session.send_tool_output(call_id, "y")
        await wait_all_tasks_blocked()
        assert len(server.received) == before


@pytest.mark.parametrize(
    ("output", "words"), [(object(), "encoded"), ("x" * (MAX_OUTPUT_BYTES + 1), "too large"), (1e999, "")]
)
async def test_an_output_that_cannot_be_sent_is_refused_and_may_be_sent_right(output: Any, words: str) -> None:
    async with opened(tools=[PLAIN]) as (session, server):
        push_created(server, "r1")
        push_call(server, "r1", "c1", "plain")
        await wait_all_tasks_blocked()
        if words:
            with pytest.raises(ConfigError, match=words):
                await session.send_tool_output("c1", output)
            assert outputs(server.received) == []
        await session.send_tool_output("c1", "fine")
        assert outputs(server.received) == [("c1", "fine")]


async def test_an_output_for_a_call_that_is_unknown_is_refused() -> None:
    async with opened(tools=[PLAIN]) as (session, server):
        with pytest.raises(ConfigError, match="no function call with the id 'c9'"):
            await session.send_tool_output("c9", "x")
        assert outputs(server.received) == []


async def test_an_output_that_the_server_refuses_raises() -> None:
    async with opened(tools=[PLAIN]) as (session, server):
        push_created(server, "r1")
        push_call(server, "r1", "c1", "plain")
        await wait_all_tasks_blocked()
        server.refuse("conversation.item.create")
        with pytest.raises(ServerError, match=r"no conversation\.item\.create"):
            await session.send_tool_output("c1", "x")
        assert session.failure is None


async def test_an_output_is_sent_whole_in_a_cancelled_scope() -> None:
    async with opened(tools=[PLAIN]) as (session, server):
        push_created(server, "r1")
        push_call(server, "r1", "c1", "plain")
        push_done(server, "r1")
        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.send_tool_output("c1", "x")
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["output c1", "create"]


@pytest.mark.parametrize("by_hand_first", [True, False])
async def test_manual_and_automatic_calls_of_one_response_have_one_follow_up(
    by_hand_first: bool, autojump_clock: MockClock
) -> None:
    both = [calls("plain", call_id="c1"), calls("slow", call_id="c2")]
    async with (
        talking(both, says("Done."), pace=0, tools=[PLAIN, slow]) as (session, server),
        session.respond("Go.") as turn,
    ):
        await trio.sleep(1 if by_hand_first else 20)
        await session.send_tool_output("c1", "x")
        assert await turn.text() == "Done."
    order = ["output c1", "output c2"] if by_hand_first else ["output c2", "output c1"]
    assert steps(server.received) == ["create", *order, "create"]


async def test_a_response_that_has_unanswered_calls_is_not_followed_up(autojump_clock: MockClock) -> None:
    both = [calls("plain", call_id="c1"), calls("slow", call_id="c2")]
    async with talking(both, pace=0, tools=[PLAIN, slow]) as (session, server):
        await session.send_message("Go.")
        await trio.sleep(1000)
    assert steps(server.received) == ["create", "output c2"]


async def test_the_programs_own_output_cancels_the_function_that_runs_for_it(autojump_clock: MockClock) -> None:
    script = (calls("slow", call_id="c1"), says("Done."))
    async with talking(*script, pace=0, tools=[slow]) as (session, server):
        with session.updates(ToolCallCancelled) as updates:
            async with session.respond("Go.") as turn:
                await trio.sleep(3)
                await session.send_tool_output("c1", "quicker")
                assert await turn.text() == "Done."
            assert arrived(updates) == [ToolCallCancelled(call_id="c1", name="slow", seconds=3)]
    assert outputs(server.received) == [("c1", "quicker")]


async def test_leaving_a_turn_leaves_its_unanswered_calls_to_the_program(autojump_clock: MockClock) -> None:
    async with talking(calls("plain", call_id="c1"), says("New."), pace=0, tools=[PLAIN]) as (session, server):
        with session.updates(TurnDone) as turns:
            async with session.respond("Go."):
                await trio.sleep(1)
            assert len(arrived(turns)) == 1, "nothing more comes of it"
            await session.send_tool_output("c1", "x")
            async with session.respond("And now?") as turn:
                assert await turn.text() == "New."
    assert steps(server.received) == ["create", "output c1", "create"]


async def test_a_call_that_the_program_made_itself_is_answered_and_followed_up_at_once(
    autojump_clock: MockClock,
) -> None:
    async with talking(says("I see."), pace=0) as (session, server):
        call: Any = {"type": "function_call", "call_id": "c1", "name": "old", "arguments": "{}"}
        await session.send({"type": "conversation.item.create", "item": call})
        await trio.sleep(1)
        await session.send_tool_output("c1", "x")
        assert (await session.wait_for_reply()).responses[0].status == "completed"
        with pytest.raises(ConfigError, match="already"):
            await session.send_tool_output("c1", "y")
    assert steps(server.received) == ["output c1", "create"]


async def test_after_the_scope_an_output_is_refused(autojump_clock: MockClock) -> None:
    async with opened(tools=[PLAIN]) as (session, server):
        push_created(server, "r1")
        push_call(server, "r1", "c1", "plain")
        await wait_all_tasks_blocked()
    with leaving_raises(trio.ClosedResourceError):
        await session.send_tool_output("c1", "x")
    assert outputs(server.received) == []
    assert cast("Any", session.conversation.items[0]).output is None
