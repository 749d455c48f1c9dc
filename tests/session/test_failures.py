"""Which error a session ends with: how the connection ended, what the server did, or a bug."""

from __future__ import annotations

import traceback

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trio_realtime import (
    ConnectionLost,
    InternalError,
    ItemUpdated,
    ProtocolError,
    SessionExpired,
)
from trio_realtime.state.machine import Machine
from trio_realtime.transport import Closed

from .scripted_server import ScriptedServer, leaving_raises, message, opened


def fail(server: ScriptedServer) -> None:
    server.end(Closed(1011, "oops"))


# --- which error ----------------------------------------------------------------------------------------------------


async def test_an_end_in_the_middle_of_a_response_marks_its_item_incomplete_and_says_so() -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost):
        async with opened(server) as (session, _):
            with session.updates() as updates:
                server.push("conversation.item.added", item=message("item_a", "assistant", status="in_progress"))
                server.end(ConnectionLost("the connection broke", reason="reset"))
                seen = []
                with leaving_raises(ConnectionLost, match="broke") as caught:
                    while True:
                        seen.append(await updates.receive())
                assert caught.value.code is None
                last = seen[-1]
                assert isinstance(last, ItemUpdated)
                assert last.item.status == "incomplete"


@pytest.mark.parametrize(
    ("closed", "kind"),
    [
        (Closed(1000), ConnectionLost),
        (Closed(1001, "restart"), ConnectionLost),
        (Closed(1005), ConnectionLost),
        (Closed(1001, "Your session hit the maximum duration of 60 minutes."), SessionExpired),
        (Closed(4000, "session_expired"), SessionExpired),
    ],
)
async def test_every_close_by_the_server_is_an_error_with_its_code_and_reason(
    closed: Closed, kind: type[ConnectionLost]
) -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost) as caught:
        async with opened(server):
            server.end(closed)
            await trio.testing.wait_all_tasks_blocked()
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.reason) == (closed.code, closed.reason)


async def test_a_close_after_expires_at_is_an_expiry() -> None:
    server = ScriptedServer()
    with leaving_raises(SessionExpired):
        async with opened(server):
            server.push("session.updated", session={"type": "realtime", "expires_at": 1_000_000_000})
            server.end(Closed(1001))
            await trio.testing.wait_all_tasks_blocked()


async def test_a_transport_that_refuses_a_frame_is_a_protocol_error() -> None:
    server = ScriptedServer()
    with leaving_raises(ProtocolError, match="too long") as caught:
        async with opened(server):
            server.end(ProtocolError("the message is too long", code=1009))
            await trio.testing.wait_all_tasks_blocked()
    assert caught.value.code == 1009


async def test_a_run_of_malformed_frames_is_a_protocol_error_and_a_few_are_not() -> None:
    server = ScriptedServer()
    with leaving_raises(ProtocolError, match="4 malformed frames"):
        async with opened(server, malformed_run_limit=4) as (session, _):
            for _ in range(5):
                for payload in (None, b"\xff", b"[1]"):
                    server.push_raw(payload)
                server.push("rate_limits.updated", rate_limits=[])
            await trio.testing.wait_all_tasks_blocked()
            assert session.statistics().malformed_frames == 15
            for _ in range(4):
                server.push_raw(b"{")
            await trio.testing.wait_all_tasks_blocked()


# --- bugs -----------------------------------------------------------------------------------------------------------


async def test_a_bug_in_the_machine_ends_the_session_and_shows_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(self: Machine, event: object) -> None:
        raise ZeroDivisionError("a bug")

    server = ScriptedServer()
    with leaving_raises(InternalError, match="report") as caught:
        async with opened(server):
            monkeypatch.setattr(Machine, "receive", buggy)
            server.push("rate_limits.updated", rate_limits=[])
            await trio.testing.wait_all_tasks_blocked()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "in buggy" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("ended", [Closed(1000), ConnectionLost("broke")])
async def test_a_bug_while_the_connection_ends_is_not_swallowed(
    monkeypatch: pytest.MonkeyPatch, ended: Closed | Exception
) -> None:
    def buggy(self: Machine, **_: object) -> None:
        raise ZeroDivisionError("a bug")

    server = ScriptedServer()
    with leaving_raises(InternalError) as caught:
        async with opened(server):
            monkeypatch.setattr(Machine, "connection_ended", buggy)
            server.end(ended)
            await trio.testing.wait_all_tasks_blocked()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_a_transport_that_breaks_its_promises_is_not_the_bodys_error(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with leaving_raises(InternalError) as caught:
        async with opened(server):
            server.end(OSError("a foreign exception"))
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, OSError)


async def test_the_first_failure_is_the_one_that_counts(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost, match="broke"):
        async with opened(server, close_timeout=3) as (session, _):
            server.send_error = OSError("the writer's")
            await session.append_audio(b"\0\0")
            await trio.sleep(1)
            server.end(ConnectionLost("broke"))
            await trio.sleep_forever()


async def test_what_arrives_after_the_failure_changes_nothing_any_more(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with leaving_raises(ProtocolError):
        async with opened(server, malformed_run_limit=1) as (session, _):
            server.push_raw(b"{")
            server.push("conversation.item.added", item=message("item_late"))
            await trio.testing.wait_all_tasks_blocked()
            assert len(session.conversation) == 0


async def test_ctrl_c_in_a_task_of_the_session_leaves_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Machine, event: object) -> None:
        raise KeyboardInterrupt

    server = ScriptedServer()
    with leaving_raises(KeyboardInterrupt):
        async with opened(server):
            monkeypatch.setattr(Machine, "receive", interrupted)
            server.push("rate_limits.updated", rate_limits=[])
            await trio.sleep_forever()
