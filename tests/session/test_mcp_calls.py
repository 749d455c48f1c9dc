"""Sessions with MCP servers, whose tools the Realtime server itself calls: listing, approval, call, answer."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trio_realtime import (
    ApprovalRequested,
    ConfigError,
    ItemCompleted,
    RealtimeSession,
    ResponseIncomplete,
    ToolCallStarted,
    UpdateChannel,
    tool,
)
from trio_realtime.testing import SimulatedConnection, calls, calls_mcp, incomplete, says

from .calling import steps
from .talking import arrived, talking

TOOLS: dict[str, list[dict[str, Any]]] = {"docs": [{"name": "search"}, {"name": "delete"}]}
CALL = calls_mcp("docs", "search", {"q": "trio"}, output="Found it.")


def docs(approval: str) -> Any:
    return {
        "type": "mcp",
        "server_label": "docs",
        "server_url": "https://mcp.example",
        "require_approval": approval,
    }


def mcp_talk(*script: Any, approval: str = "always", **arguments: Any) -> Any:
    return talking(
        *script,
        mcp_tools=TOOLS,
        tools=[docs(approval), *arguments.pop("tools", [])],
        output_modalities=["text"],
        **arguments,
    )


def item_of(session: RealtimeSession, kind: str) -> Any:
    (item,) = [item for item in session.conversation.items if item.type == kind]
    return item


@tool
async def own() -> str:
    return "mine"


async def look_up(session: RealtimeSession) -> None:
    """Ask for something of which the model says nothing, but calls a tool."""
    async with session.respond("Look it up.") as turn:
        assert await turn.text() == ""


async def call_ended(updates: UpdateChannel[ItemCompleted]) -> Any:
    """The next call of an MCP tool that is over."""
    with trio.fail_after(1000):
        async for update in updates:
            if update.item.type == "mcp_call":
                return update.item.wire
    raise AssertionError


async def test_the_tools_of_a_server_are_an_item(autojump_clock: MockClock) -> None:
    async with mcp_talk() as (session, _):
        await trio.sleep(10)
        listing = item_of(session, "mcp_list_tools").wire
        assert [tool.name for tool in listing.tools] == ["search", "delete"]


@pytest.mark.parametrize("pace", [0, 1])
async def test_a_call_that_is_approved_runs_and_the_model_speaks_of_it(autojump_clock: MockClock, pace: float) -> None:
    async with mcp_talk(CALL, pace=pace) as (session, server):
        with session.updates(ApprovalRequested) as requests, session.updates(ItemCompleted) as completed:
            await look_up(session)
            request = await requests.receive()
            assert (request.server_label, request.name, request.arguments) == ("docs", "search", '{"q": "trio"}')
            await trio.sleep(100)
            assert item_of(session, "mcp_call").wire.output is None, "nothing happens before it is approved"
            await session.approve(request.request_id)
            call = await call_ended(completed)
            assert (call.output, call.approval_request_id) == ("Found it.", request.request_id)
            assert arrived(requests) == []
        async with session.respond() as answer:
            assert await answer.text() == "The tool says: Found it."
        assert [item.type for item in session.conversation.items if item.type != "mcp_list_tools"] == [
            item["type"] for item in server.items if item["type"] != "mcp_list_tools"
        ]
        assert session.failure is None


async def test_a_call_that_is_not_approved_fails_with_the_reason(autojump_clock: MockClock) -> None:
    async with mcp_talk(CALL) as (session, server):
        with session.updates(ApprovalRequested) as requests, session.updates(ItemCompleted) as completed:
            await look_up(session)
            await session.approve((await requests.receive()).request_id, approve=False, reason="not today")
            call = await call_ended(completed)
        assert (call.output, call.error.message) == (None, "The call was not approved: not today")
        assert server.items[-1]["reason"] == "not today"


async def test_a_call_that_needs_no_approval_runs_by_itself(autojump_clock: MockClock) -> None:
    async with mcp_talk(CALL, approval="never") as (session, server):
        with session.updates(ApprovalRequested) as requests, session.updates(ItemCompleted) as completed:
            await look_up(session)
            assert (await call_ended(completed)).output == "Found it."
            assert arrived(requests) == []
        assert steps(server.received) == ["create"], "the session sends nothing of its own"


@pytest.mark.parametrize("kind", ["protocol_error", "tool_execution_error", "http_error"])
async def test_a_call_that_fails_says_how(autojump_clock: MockClock, kind: str) -> None:
    error = {"type": kind, "message": "Gone"} | ({} if kind == "tool_execution_error" else {"code": 410})
    async with mcp_talk(calls_mcp("docs", "search", error=error), approval="never") as (session, _):
        with session.updates(ItemCompleted) as completed:
            await look_up(session)
            call = await call_ended(completed)
        assert (call.output, call.error.message) == (None, "Gone")
        assert session.failure is None


async def test_a_request_that_is_answered_waits_no_more(autojump_clock: MockClock) -> None:
    async with mcp_talk(CALL) as (session, _):
        with session.updates(ApprovalRequested) as requests:
            await look_up(session)
            request = await requests.receive()
        await session.approve(request.request_id)
        with pytest.raises(ConfigError, match="no approval waits"):
            await session.approve("mcpr_other")


async def test_calls_of_both_kinds_in_one_response(autojump_clock: MockClock) -> None:
    script = ([CALL, calls("own", call_id="c1")], says("Both are done."))
    async with mcp_talk(*script, approval="never", tools=[own]) as (session, server):
        with session.updates(ToolCallStarted) as started:
            async with session.respond("Do both.") as turn:
                assert await turn.text() == "Both are done."
            assert [update.name for update in arrived(started)] == ["own"]
        assert steps(server.received) == ["create", "output c1", "create"]
        await trio.sleep(10)
        assert item_of(session, "mcp_call").wire.output == "Found it."


async def test_a_call_beside_the_conversation_is_no_item_of_it_when_it_ends(autojump_clock: MockClock) -> None:
    async with mcp_talk(CALL, approval="never") as (session, server):
        with session.events() as events:
            async with session.respond(conversation="none") as turn:
                assert await turn.text() == ""
            await trio.sleep(10)
            names = [type(event.event).__name__ for event in arrived(events)]
        assert names.count("ResponseMcpCallCompleted") == 1
        _check_the_same(session, server)


async def test_a_call_of_a_response_that_was_cut_short_is_over_with_it(autojump_clock: MockClock) -> None:
    async with mcp_talk([CALL, incomplete()], approval="always") as (session, _):
        with session.updates(ItemCompleted) as completed:
            with pytest.raises(ResponseIncomplete):
                await look_up(session)
            assert (await call_ended(completed)).output is None


async def test_what_is_heard_of_a_call_is_in_the_updates(autojump_clock: MockClock) -> None:
    async with mcp_talk(CALL, approval="never") as (session, server):
        with session.events() as events:
            await look_up(session)
            await trio.sleep(10)
            names = [type(event.event).__name__ for event in arrived(events)]
        for name in ("ResponseMcpCallArgumentsDone", "ResponseMcpCallInProgress", "ResponseMcpCallCompleted"):
            assert names.count(name) == 1
        assert item_of(session, "mcp_call").arguments == '{"q": "trio"}'
        _check_the_same(session, server)


def _check_the_same(session: RealtimeSession, server: SimulatedConnection) -> None:
    assert [item.id for item in session.conversation.items] == [item["id"] for item in server.items]
