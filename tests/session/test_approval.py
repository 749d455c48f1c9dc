"""Calls that somebody has to allow: of functions with `approval=True`, and of tools of MCP servers."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ApprovalRequested,
    ConfigError,
    RealtimeSession,
    ServerError,
    ToolCallCancelled,
    ToolCallFinished,
    ToolCallStarted,
    UpdateChannel,
    open_session,
    tool,
)
from trio_realtime.testing import MemoryTransport, assert_no_leaks, calls, memory_transport_pair, says
from trio_realtime.transport import Payload

from .calling import error_in, outputs, push_call, steps
from .scripted_server import Event, opened
from .talking import arrived, push_created, push_done, talking

paid: list[int] = []


@tool(approval=True, timeout=5)
async def pay(amount: int) -> str:
    await trio.sleep(1)
    paid.append(amount)
    return f"paid {amount}"


@pytest.fixture(autouse=True)
def nothing_paid() -> None:
    paid.clear()


async def asked(updates: UpdateChannel[ApprovalRequested]) -> ApprovalRequested:
    with trio.fail_after(1000):
        return await updates.receive()


async def test_a_call_that_is_approved_runs_then(autojump_clock: MockClock) -> None:
    script = (calls("pay", {"amount": 5}, call_id="c1"), says("Paid."))
    async with talking(*script, pace=0, tools=[pay]) as (session, server):
        with session.updates(ApprovalRequested) as updates:
            async with session.respond("Pay.") as turn:
                request = await asked(updates)
                assert request == ApprovalRequested(request_id="c1", name="pay", arguments='{"amount": 5}')
                await trio.sleep(100)
                assert paid == [], "nothing happens before it is approved, and its time does not run"
                await session.approve(request.request_id)
                assert await turn.text() == "Paid."
    assert paid == [5]
    assert steps(server.received) == ["create", "output c1", "create"]
    assert outputs(server.received) == [("c1", "paid 5")]


async def test_a_call_that_is_not_approved_is_not_run_and_the_model_is_told_why(autojump_clock: MockClock) -> None:
    script = ([calls("pay", {"amount": 5}, call_id="c1"), calls("pay", {"amount": 6}, call_id="c2")], says("No."))
    async with talking(*script, pace=0, tools=[pay]) as (session, server):
        with session.updates(ApprovalRequested) as updates, session.updates(ToolCallFinished) as finished:
            async with session.respond("Pay.") as turn:
                await session.approve((await asked(updates)).request_id, approve=False, reason="too much")
                await session.approve((await asked(updates)).request_id, approve=False)
                assert await turn.text() == "No."
            errors = [update.error for update in arrived(finished)]
    assert paid == []
    told = dict(outputs(server.received))
    assert {call_id: error_in(output) for call_id, output in told.items()} == {
        "c1": "too much",
        "c2": "the user did not approve the call",
    }
    assert [type(error) for error in errors] == [PermissionError, PermissionError]


async def test_each_call_is_approved_by_itself() -> None:
    async with opened(tools=[pay]) as (session, server):
        with session.updates(ApprovalRequested) as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1", "pay", '{"amount": 1}')
            push_call(server, "r1", "c2", "pay", '{"amount": 2}')
            requests = [(await asked(updates)).request_id for _ in range(2)]
            assert sorted(requests) == ["c1", "c2"]
            await session.approve("c2", approve=False)
            await wait_all_tasks_blocked()
            assert [call_id for call_id, _ in outputs(server.received)] == ["c2"]


async def test_nobody_is_asked_about_arguments_that_are_wrong_anyway() -> None:
    async with opened(tools=[pay]) as (session, server):
        with session.updates(ApprovalRequested) as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1", "pay", '{"amount": "much"}')
            await wait_all_tasks_blocked()
            assert arrived(updates) == []
        assert "amount" in error_in(outputs(server.received)[0][1])


async def test_an_approval_settles_once_and_only_what_waits() -> None:
    async with opened(tools=[pay]) as (session, server):
        with session.updates(ApprovalRequested) as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1", "pay", '{"amount": 1}')
            await asked(updates)
            before = len(server.received)
            for unknown in ("c2", "item_c1"):
                with pytest.raises(ConfigError, match=unknown):
                    await session.approve(unknown)
            await session.approve("c1", approve=False)
            with pytest.raises(ConfigError, match="c1"):
                await session.approve("c1")
            await wait_all_tasks_blocked()
            assert len(server.received) == before + 1


async def test_an_approval_that_nobody_settles_ends_with_the_scope(autojump_clock: MockClock) -> None:
    with assert_no_leaks():
        async with opened(tools=[pay]) as (session, server):
            updates = session.updates(ToolCallStarted, ToolCallFinished, ToolCallCancelled).__enter__()
            push_created(server, "r1")
            push_call(server, "r1", "c1", "pay", '{"amount": 1}')
            push_done(server, "r1")
            await trio.sleep(3)
    assert trio.current_time() == 3
    assert steps(server.received) == []
    assert [type(update) for update in arrived(updates)] == [ToolCallStarted, ToolCallCancelled]
    with pytest.raises(trio.ClosedResourceError):
        await session.approve("c1")


async def test_an_interruption_withdraws_the_request() -> None:
    async with opened(tools=[pay]) as (session, server):
        with session.updates(ApprovalRequested) as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1", "pay", '{"amount": 1}')
            push_done(server, "r1")
            await asked(updates)
            await session.interrupt()
            await wait_all_tasks_blocked()
            with pytest.raises(ConfigError, match="no approval waits"):
                await session.approve("c1")
        assert paid == []
        assert [call_id for call_id, _ in outputs(server.received)] == ["c1"]


# --- MCP --------------------------------------------------------------------------------------------------------------

REQUEST: Event = {
    "id": "mcpr_1",
    "type": "mcp_approval_request",
    "server_label": "docs",
    "name": "search",
    "arguments": '{"q": "x"}',
}


class McpPeer:
    """The raw end of a memory transport, which does what a server with an MCP tool does."""

    def __init__(self, transport: MemoryTransport, *, refuses: bool = False) -> None:
        self.received: list[Event] = []
        self._transport = transport
        self._refuses = refuses
        self._outgoing, self._incoming = trio.open_memory_channel[Event](100)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            self.send("session.created", session={"type": "realtime"})
            await self._transport.pump(self._deliver)
            nursery.cancel_scope.cancel()

    def send(self, event_type: str, /, **fields: Any) -> None:
        self._outgoing.send_nowait({"type": event_type, **fields})

    def ask(self) -> None:
        """The model wants to call the tool."""
        self.send("response.created", response={"id": "r1", "status": "in_progress"})
        self.send("response.output_item.added", response_id="r1", item=REQUEST)
        self.send("conversation.item.added", item=REQUEST)
        self.send("conversation.item.done", item=REQUEST)
        self.send("response.output_item.done", response_id="r1", item=REQUEST)
        self.send("response.done", response={"id": "r1", "status": "completed", "output": [REQUEST]})

    async def _write(self) -> None:
        async for event in self._incoming:
            await self._transport.send(json.dumps(event).encode())

    def _deliver(self, payload: Payload, binary: bool = False) -> None:
        event = json.loads(bytes(payload))
        self.received.append(event)
        if event["type"] == "session.update":
            self.send("session.updated", session=event["session"])
        elif event["type"] == "conversation.item.create" and self._refuses:
            error = {"type": "invalid_request_error", "message": "no such request", "event_id": event["event_id"]}
            self.send("error", error=error)
        elif event["type"] == "conversation.item.create":
            self.send("conversation.item.added", item=event["item"])


@asynccontextmanager
async def with_mcp(**arguments: Any) -> AsyncGenerator[tuple[RealtimeSession, McpPeer]]:
    client, server = memory_transport_pair()
    peer = McpPeer(server, **arguments)
    definition: Any = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example"}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.run)
        async with open_session(transport=client, tools=[definition]) as session:
            yield session, peer


@pytest.mark.parametrize(("approve", "reason"), [(True, None), (False, "not today")])
async def test_a_request_of_an_mcp_server_is_an_update_and_its_answer_an_item(
    approve: bool, reason: str | None
) -> None:
    async with with_mcp() as (session, peer):
        with session.updates(ApprovalRequested) as updates:
            peer.ask()
            request = await asked(updates)
            assert request == ApprovalRequested(
                request_id="mcpr_1", name="search", arguments='{"q": "x"}', server_label="docs"
            )
            await session.approve(request.request_id, approve=approve, reason=reason)
            await wait_all_tasks_blocked()
            assert arrived(updates) == [], "however often the item is stated"
        definition, answer = peer.received[0]["session"]["tools"], peer.received[1]["item"]
        assert definition == [{"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example"}]
        said = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": approve}
        assert {key: value for key, value in answer.items() if key != "id"} == said | (
            {} if reason is None else {"reason": reason}
        )
        assert len(peer.received) == 2, "the server itself goes on"


async def test_a_server_that_refuses_the_answer_to_its_request_raises() -> None:
    async with with_mcp(refuses=True) as (session, peer):
        with session.updates(ApprovalRequested) as updates:
            peer.ask()
            with pytest.raises(ServerError, match="no such request"):
                await session.approve((await asked(updates)).request_id)
        assert session.failure is None
