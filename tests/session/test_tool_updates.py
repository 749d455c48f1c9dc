"""Tools that come and go while the session runs: what the model has, what the session takes, and who is refused."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ConfigError,
    FunctionTool,
    ServerError,
    SessionConfig,
    ToolCallFinished,
    ToolCallStarted,
    tool,
)
from trio_realtime.testing import calls, says

from .calling import error_in, outputs, push_call, steps
from .scripted_server import Event, ScriptedServer, opened
from .talking import arrived, push_created, push_done, talking


@tool
async def first() -> str:
    return "the first"


@tool
async def second() -> str:
    return "the second"


PLAIN: dict[str, Any] = {"type": "function", "name": "plain", "parameters": {"type": "object"}}
MCP: dict[str, Any] = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example"}


def names_of(tools: Any) -> list[str]:
    return [each.get("name") or each["server_label"] for each in tools]


def updates_of(server: ScriptedServer) -> list[list[str]]:
    """The names of the tools in each update of the session, the first one left out."""
    changes = [event["session"] for event in server.received[1:] if event["type"] == "session.update"]
    return [names_of(change["tools"]) for change in changes]


async def told_after_a_call(server: ScriptedServer, name: str, call_id: str = "c1") -> str | None:
    """What the model is told when it calls a function: its output, or None."""
    push_created(server, f"of {call_id}")
    push_call(server, f"of {call_id}", call_id, name)
    push_done(server, f"of {call_id}")
    await wait_all_tasks_blocked()
    return dict(outputs(server.received)).get(call_id)


def as_servers_do(event: Event) -> list[Event]:
    """A server that states its tools and takes none that is named `bad`."""
    if "bad" in names_of(event["session"].get("tools", [])):
        error = {"type": "invalid_request_error", "message": "bad tool", "event_id": event["event_id"]}
        return [{"type": "error", "error": error}]
    return [{"type": "session.updated", "session": event["session"]}]


@tool
async def bad() -> str:
    return "bad"


async def test_functions_and_definitions_live_side_by_side(autojump_clock: MockClock) -> None:
    script = ([calls("first", call_id="c1"), calls("plain", call_id="c2")],)
    async with talking(*script, pace=0, tools=[first, PLAIN]) as (session, server):
        await session.send_message("Go.")
        await trio.sleep(5)
        assert names_of(server.session["tools"]) == ["first", "plain"]
        assert outputs(server.received) == [("c1", "the first")]
        assert steps(server.received) == ["create", "output c1"], "the other is the program's to answer"


async def test_a_tool_that_is_added_is_sent_with_the_others_and_runs(autojump_clock: MockClock) -> None:
    script = (calls("second", call_id="c1"), says("Done."))
    async with talking(*script, pace=0, tools=[first, PLAIN]) as (session, server):
        await session.add_tool(second)
        assert names_of(server.session["tools"]) == ["first", "second", "plain"]
        async with session.respond("Go.") as turn:
            await turn.done()
        assert outputs(server.received) == [("c1", "the second")]


async def test_removing_a_tool_tells_the_server(autojump_clock: MockClock) -> None:
    async with talking(tools=[first, PLAIN, MCP]) as (session, server):
        for name, left in (("first", ["plain", "docs"]), ("docs", ["plain"]), ("plain", [])):
            await session.remove_tool(name)
            assert names_of(server.session["tools"]) == left


@pytest.mark.parametrize("given", [[second], [PLAIN], [second, PLAIN], []])
async def test_updating_the_functions_keeps_the_definitions_and_the_other_way_round(given: list[Any]) -> None:
    other: dict[str, Any] = {"type": "function", "name": "other"}
    async with opened(tools=[first, other]) as (session, server):
        await session.update(tools=given)
        expected = {
            0: [],
            1: ["second", "other"] if given == [second] else ["first", "plain"],
            2: ["second", "plain"],
        }[len(given)]
        assert updates_of(server) == [expected]
        answered = await told_after_a_call(server, "first")
        assert answered is not None
        assert ("there is no tool named 'first'" in answered) == ("first" not in expected)


async def test_updating_something_else_keeps_the_tools() -> None:
    async with opened(tools=[first]) as (session, server):
        await session.update(instructions="Be brief.")
        assert "tools" not in server.received[1]["session"]
        assert await told_after_a_call(server, "first") == "the first"


async def test_tools_may_be_updated_with_a_struct() -> None:
    async with opened(tools=[first]) as (session, server):
        await session.update(SessionConfig(tools=[FunctionTool(name="plain")], instructions="Be brief."))
        assert updates_of(server) == [["first", "plain"]]
        assert server.received[1]["session"]["instructions"] == "Be brief."
        assert await told_after_a_call(server, "plain") is None


async def refused_here(server: ScriptedServer, change: Awaitable[object]) -> None:
    before = len(server.received)
    with pytest.raises(ConfigError):
        await change
    await wait_all_tasks_blocked()
    assert len(server.received) == before


async def test_what_is_no_tool_or_there_twice_or_unknown_is_refused_and_nothing_is_sent() -> None:
    async with opened(tools=[first, PLAIN]) as (session, server):
        await refused_here(server, session.add_tool(first))
        await refused_here(server, session.add_tool(cast("Any", PLAIN)))
        await refused_here(server, session.add_tool(cast("Any", print)))
        await refused_here(server, session.add_tool(cast("Any", {"type": "function"})))
        await refused_here(server, session.update(tools=[second, second]))
        await refused_here(server, session.remove_tool("second"))
        with pytest.raises(ConfigError, match="'second'; there are: 'first', 'plain'"):
            await session.remove_tool("second")
        assert await told_after_a_call(server, "first") == "the first"


async def test_two_tools_of_one_name_open_no_session() -> None:
    server = ScriptedServer()
    with pytest.raises(ConfigError, match="two tools named 'first'"):
        async with opened(server, tools=[first, {**PLAIN, "name": "first"}]):
            raise AssertionError
    assert server.received == []


# --- refused, cancelled, two at once ----------------------------------------------------------------------------------


async def test_a_change_that_the_server_refuses_leaves_the_tools_as_they_were() -> None:
    server = ScriptedServer()
    server.answers["session.update"] = as_servers_do
    async with opened(server, tools=[first, PLAIN]) as (session, _):
        with pytest.raises(ServerError, match="bad tool"):
            await session.add_tool(bad)
        with pytest.raises(ServerError, match="bad tool"):
            await session.update(tools=[bad])
        assert isinstance(session.config, SessionConfig)
        assert await told_after_a_call(server, "first", "c1") == "the first"
        assert await told_after_a_call(server, "plain", "c2") is None
        assert "no tool named 'bad'" in error_in(await told_after_a_call(server, "bad", "c3") or "")
        await session.add_tool(second)
        assert updates_of(server)[-1] == ["first", "second", "plain"]


async def test_until_the_server_confirms_calls_of_old_and_new_tools_are_taken() -> None:
    async with opened(tools=[first]) as (session, server):
        server.ignore("session.update")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: session.update(tools=[second]))
            await wait_all_tasks_blocked()
            assert await told_after_a_call(server, "first", "c1") == "the first"
            assert await told_after_a_call(server, "second", "c2") == "the second"
            server.push("session.updated", session=server.received[1]["session"])
        assert "no tool named 'first'" in error_in(await told_after_a_call(server, "first", "c3") or "")
        assert await told_after_a_call(server, "second", "c4") == "the second"


async def test_a_change_that_nobody_waits_for_any_more_happens_all_the_same() -> None:
    async with opened(tools=[first]) as (session, server):
        server.ignore("session.update")
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.add_tool(second)
        assert scope.cancelled_caught
        await wait_all_tasks_blocked()
        server.push("session.updated", session=server.received[1]["session"])
        assert await told_after_a_call(server, "second") == "the second"
        with pytest.raises(ConfigError, match="two tools named 'second'"):
            await session.add_tool(second)


async def test_two_changes_at_once_both_count_in_every_order_of_waking() -> None:
    async with opened(tools=[first]) as (session, server):
        server.ignore("session.update")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.add_tool, second)
            await wait_all_tasks_blocked()
            nursery.start_soon(session.add_tool, FunctionTool(name="plain"))
            await wait_all_tasks_blocked()
            assert updates_of(server) == [["first", "second"], ["first", "second", "plain"]]
            server.push("session.updated", session=server.received[1]["session"])
            await wait_all_tasks_blocked()
            # In one batch, before any task wakes up.
            server.push("session.updated", session=server.received[2]["session"])
            assert await told_after_a_call(server, "second", "c1") == "the second"
            assert await told_after_a_call(server, "plain", "c2") is None


async def test_of_two_changes_at_once_the_refusal_of_the_first_takes_nothing_from_the_second() -> None:
    async with opened(tools=[first]) as (session, server):
        server.ignore("session.update")

        async def refused() -> None:
            with pytest.raises(ServerError):
                await session.remove_tool("first")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused)
            await wait_all_tasks_blocked()
            nursery.start_soon(session.add_tool, second)
            await wait_all_tasks_blocked()
            server.push_error(event_id=server.received[1]["event_id"])
            server.push("session.updated", session=server.received[2]["session"])
        assert await told_after_a_call(server, "second", "c1") == "the second"
        assert "no tool named" in (await told_after_a_call(server, "first", "c2") or ""), (
            "the second change left it out"
        )


# --- calls under way --------------------------------------------------------------------------------------------------


async def test_removing_a_tool_leaves_its_open_calls_alone(autojump_clock: MockClock) -> None:
    @tool
    async def slow() -> str:
        await trio.sleep(10)
        return "at last"

    script = (calls("slow", call_id="c1"), says("Done."))
    async with talking(*script, pace=0, tools=[slow]) as (session, server):
        async with session.respond("Go.") as turn:
            await trio.sleep(5)
            await session.remove_tool("slow")
            assert await turn.text() == "Done."
        assert outputs(server.received) == [("c1", "at last")]


async def test_a_call_of_a_tool_that_was_removed_meanwhile_is_told_to_the_model() -> None:
    async with opened(tools=[first]) as (session, server):
        push_created(server, "r1")
        await session.remove_tool("first")
        push_call(server, "r1", "c1", "first")
        push_done(server, "r1")
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["output c1", "create"]
        assert error_in(outputs(server.received)[0][1]) == "there is no tool named 'first'; there are: none"


async def test_a_tool_that_replaces_another_brings_its_own_limit(autojump_clock: MockClock) -> None:
    running = most = 0

    async def count() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1

    wide, narrow = tool(count, max_concurrency=3), tool(count, max_concurrency=1)
    async with opened(tools=[wide]) as (session, server):
        for given, expected in (([], 3), ([narrow], 1)):
            if given:
                await session.update(tools=given)
            most = 0
            push_created(server, f"of {expected}")
            for n in range(3):
                push_call(server, f"of {expected}", f"c{expected}{n}", "count")
            push_done(server, f"of {expected}")
            await trio.sleep(5)
            assert most == expected


async def test_a_tool_that_stays_keeps_its_limit_over_an_update(autojump_clock: MockClock) -> None:
    @tool(max_concurrency=1)
    async def one() -> None:
        await trio.sleep(4)

    async with opened(tools=[one]) as (session, server):
        with session.updates(ToolCallStarted, ToolCallFinished) as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1", "one")
            await trio.sleep(1)
            await session.add_tool(second)
            push_call(server, "r1", "c2", "one")
            await trio.sleep(20)
            finished = [update for update in arrived(updates) if isinstance(update, ToolCallFinished)]
        assert [(update.call_id, update.seconds) for update in finished] == [("c1", 4), ("c2", 7)]


# --- tools of somebody else -------------------------------------------------------------------------------------------


async def test_a_function_that_only_the_server_knows_of_is_somebody_elses_to_answer() -> None:
    """The session may have been configured with its client secret, on its main connection, or by a raw event."""
    async with opened(tools=[first]) as (session, server):
        server.push("session.updated", session={"type": "realtime", "tools": [PLAIN]})
        assert await told_after_a_call(server, "plain", "c1") is None
        await session.send_tool_output("c1", "by hand")
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["output c1", "create"]
        assert await told_after_a_call(server, "first", "c2") == "the first"


async def test_a_definition_that_was_sent_raw_is_the_programs_to_answer() -> None:
    async with opened(tools=[first]) as (session, server):
        await session.send({"type": "session.update", "session": {"type": "realtime", "tools": [PLAIN]}})
        await wait_all_tasks_blocked()
        assert await told_after_a_call(server, "plain", "c1") is None
        await session.add_tool(second)
        assert updates_of(server)[-1] == ["first", "second", "plain"]
