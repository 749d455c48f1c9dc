"""Guarantee 2: which exception leaves the scope, and who hears of a failure in what order."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trio_realtime import (
    ConnectionLost,
    InternalError,
    ItemAppended,
    ItemUpdated,
    ProtocolError,
    RealtimeSession,
    ServerError,
    SessionExpired,
)
from trio_realtime.state.machine import Machine
from trio_realtime.transport import Closed
from trio_realtime.wire import server_events

from .scripted_server import ScriptedServer, leaving_raises, message, opened


def fail(server: ScriptedServer) -> None:
    server.end(Closed(1011, "oops"))


# --- the body's own exception ---------------------------------------------------------------------------------------


class OwnError(Exception):
    """The body's."""


class OwnBaseError(BaseException):
    """The body's, and no `Exception`."""


@pytest.mark.parametrize("kind", [OwnError, OwnBaseError, StopIteration, StopAsyncIteration, KeyboardInterrupt])
async def test_the_bodys_exception_leaves_as_itself(kind: type[BaseException]) -> None:
    own = kind("mine")
    with pytest.raises(kind) as caught:
        async with opened():
            raise own
    assert caught.value is own
    assert own.__context__ is None


async def test_a_group_of_the_bodys_leaves_as_itself() -> None:
    own = BaseExceptionGroup("mine", [OwnError(), OwnBaseError()])
    with pytest.raises(BaseExceptionGroup) as caught:
        async with opened():
            raise own
    assert caught.value is own


async def test_a_close_that_hangs_does_not_mask_the_bodys_exception(autojump_clock: MockClock) -> None:
    server, own = ScriptedServer(), OwnError()
    server.close_hangs = True
    with pytest.raises(OwnError) as caught:
        async with opened(server):
            raise own
    assert caught.value is own
    assert trio.current_time() == 1


async def test_a_close_that_fails_does_not_mask_the_bodys_exception() -> None:
    class Broken(ScriptedServer):
        async def aclose(self, code: int = 1000, reason: str = "") -> None:
            await super().aclose(code, reason)
            raise OSError("the close failed")

    own = OwnError()
    with pytest.raises(OwnError) as caught:
        async with opened(Broken()):
            raise own
    assert caught.value is own


async def test_a_close_that_is_cancelled_does_not_mask_the_bodys_exception(autojump_clock: MockClock) -> None:
    server, own = ScriptedServer(), OwnError()
    server.close_hangs = True
    with trio.move_on_after(0.5), pytest.raises(OwnError) as caught:
        async with opened(server):
            raise own
    assert caught.value is own
    assert trio.current_time() == 0.5


async def test_a_failure_at_the_same_time_is_the_context_of_the_bodys_exception() -> None:
    server, own = ScriptedServer(), OwnError()
    with leaving_raises(OwnError) as caught:
        async with opened(server) as (session, _):
            fail(server)
            await trio.testing.wait_all_tasks_blocked()
            raise own
    assert caught.value is own
    assert isinstance(own.__context__, ConnectionLost)
    assert own.__context__ is session.failure


async def test_a_failure_is_the_context_of_a_servers_refusal_too() -> None:
    server = ScriptedServer()
    server.refuse("input_audio_buffer.clear")
    with leaving_raises(ServerError) as caught:
        async with opened(server) as (session, _):
            refused: ServerError | None = None
            try:
                await session.clear_audio()
            except ServerError as error:
                refused = error
            fail(server)
            await trio.testing.wait_all_tasks_blocked()
            assert refused is not None
            raise refused
    assert caught.value.__context__ is session.failure


async def test_a_failure_comes_after_the_context_that_there_is() -> None:
    server = ScriptedServer()
    with leaving_raises(OwnError) as caught:
        async with opened(server) as (session, _):
            fail(server)
            await trio.testing.wait_all_tasks_blocked()
            try:
                raise LookupError
            except LookupError:
                raise OwnError  # noqa: B904  its context is what is tested
    assert isinstance(caught.value.__context__, LookupError)
    assert caught.value.__context__.__context__ is session.failure


@pytest.mark.parametrize("chained", [True, False])
async def test_an_exception_that_tells_of_the_failure_already_gets_no_second_context(*, chained: bool) -> None:
    server = ScriptedServer()
    with leaving_raises(OwnError) as caught:
        async with opened(server) as (session, _):
            fail(server)
            try:
                await session.wait_item()
            except ConnectionLost as error:
                raise OwnError from error if chained else None
    told = caught.value.__context__
    assert isinstance(told, ConnectionLost)
    assert told is not session.failure
    assert told.__context__ is None


async def test_the_failure_in_a_group_of_the_bodys_is_not_told_twice() -> None:
    server = ScriptedServer()
    with leaving_raises(BaseExceptionGroup) as caught:
        async with opened(server) as (session, _), trio.open_nursery() as nursery:
            nursery.start_soon(session.wait_item)
            await trio.testing.wait_all_tasks_blocked()
            fail(server)
    assert caught.group_contains(ConnectionLost)
    assert caught.value.__context__ is None


async def test_what_is_left_of_a_group_when_the_body_is_cancelled_keeps_its_failure_as_context(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer()

    async def fails_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise OwnError

    with leaving_raises(BaseExceptionGroup) as caught:
        async with opened(server) as (session, _), trio.open_nursery() as nursery:
            nursery.start_soon(fails_when_cancelled)
            nursery.start_soon(trio.sleep_forever)
            fail(server)
    assert caught.group_contains(OwnError)
    assert not caught.group_contains(trio.Cancelled)
    last: BaseException | None = caught.value
    while last is not None and last.__context__ is not None:
        last = last.__context__
    assert last is session.failure


# --- who hears of a failure -----------------------------------------------------------------------------------------


async def test_subscribers_get_what_arrived_before_and_then_the_failure() -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost):
        async with opened(server) as (session, _):
            with session.updates(ItemAppended) as updates:
                for item_id in ("item_a", "item_b"):
                    server.push("conversation.item.added", item=message(item_id))
                fail(server)
                got = []
                with leaving_raises(ConnectionLost) as caught:
                    while True:
                        got.append((await updates.receive()).item.id)
                assert got == ["item_a", "item_b"]
                assert (caught.value.code, caught.value.reason) == (1011, "oops")


async def test_everybody_gets_an_instance_of_the_failure_of_their_own(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    server.ignore("input_audio_buffer.clear", "input_audio_buffer.commit")
    errors: list[BaseException] = []

    async def hear(wait: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(ConnectionLost) as caught:
            await wait()
        errors.append(caught.value)

    with leaving_raises(ConnectionLost) as left:
        async with opened(server) as (session, _), trio.open_nursery() as nursery:
            with session.updates(ItemAppended) as one, session.updates(ItemAppended) as other:
                waits: list[Callable[[], Awaitable[object]]] = [
                    session.clear_audio,
                    session.commit_audio,
                    session.wait_item,
                    session.wait_completed_item,
                    lambda: session.wait_for(server_events.ResponseDone),
                    one.receive,
                    other.receive,
                ]
                for wait in waits:
                    nursery.start_soon(hear, wait)
                await trio.testing.wait_all_tasks_blocked()
                fail(server)
                await trio.testing.wait_all_tasks_blocked()
                for late in (one.receive, session.clear_audio, session.wait_item, lambda: enter(session)):
                    await hear(late)
    errors += [left.value, session.failure or left.value]
    assert len({id(error) for error in errors}) == len(errors) == len(waits) + 6
    assert {str(error) for error in errors} == {"the server closed the connection: code 1011, oops"}
    assert {getattr(error, "code", None) for error in errors} == {1011}


async def enter(session: RealtimeSession) -> None:
    with session.updates():
        raise AssertionError("a failed session has nothing to subscribe to")


async def test_a_write_that_fails_does_not_overtake_what_the_server_had_said(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with leaving_raises(SessionExpired):
        async with opened(server) as (session, _):
            server.send_error = ConnectionLost("a write failed")
            await session.append_audio(b"\0\0")
            await trio.sleep(0.5)
            assert session.failure is None
            server.push_error("Your session hit the maximum duration of 60 minutes.", code="session_expired")
            fail(server)
            await trio.sleep_forever()
    assert trio.current_time() == 1.5


async def test_a_write_that_fails_is_a_failure_even_if_reading_does_not_fail(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost, match="a write failed"):
        async with opened(server) as (session, _):
            server.send_error = ConnectionLost("a write failed")
            await session.append_audio(b"\0\0")
            await trio.sleep_forever()


async def test_a_transport_that_is_closed_under_the_session_is_a_failure(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost, match="closed on this side"):
        async with opened(server):
            await server.aclose()
            await trio.sleep_forever()


# --- the body after a failure ---------------------------------------------------------------------------------------


async def test_the_body_has_close_timeout_to_act_and_is_then_cancelled(autojump_clock: MockClock) -> None:
    server, acted = ScriptedServer(), False
    with leaving_raises(ConnectionLost) as caught:
        async with opened(server, close_timeout=3) as (session, _):
            await trio.sleep(5)
            fail(server)
            with pytest.raises(ConnectionLost):
                await session.wait_item()
            await trio.sleep(2.9)
            acted = True
            await trio.sleep_forever()
    assert acted
    assert trio.current_time() == 8
    assert caught.value.__context__ is None, "that the body was cancelled is no news"


async def test_a_failure_leaves_the_scope_of_a_body_that_caught_it() -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost):
        async with opened(server) as (session, _):
            fail(server)
            with pytest.raises(ConnectionLost):
                await session.wait_item()


async def test_a_failure_leaves_the_scope_of_a_body_that_never_listened(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost):
        async with opened(server) as (session, _):
            fail(server)
            for _ in range(100):
                await trio.sleep(0.1)
    del session


async def test_a_failure_leaves_the_scope_of_a_body_that_ended_normally() -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost):
        async with opened(server):
            fail(server)
            await trio.testing.wait_all_tasks_blocked()


async def test_a_failure_between_the_acknowledgement_and_the_body_is_the_bodys_as_well(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer()
    server.answers["session.update"] = lambda event: (
        fail(server) or [{"type": "session.updated", "session": event["session"]}]  # type: ignore[func-returns-value]
    )
    with leaving_raises(ConnectionLost):
        async with opened(server) as (session, _):
            assert session.info is not None
            await trio.sleep_forever()
    assert trio.current_time() == 1


async def test_a_cancellation_from_outside_wins_and_the_session_keeps_the_failure() -> None:
    server = ScriptedServer()
    with trio.CancelScope() as scope:
        async with opened(server) as (session, _):
            fail(server)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert isinstance(session.failure, ConnectionLost)


async def test_a_cancellation_wins_over_the_failure_of_a_body_that_ended_normally(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with trio.CancelScope() as scope:
        async with opened(server) as (session, _):
            fail(server)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    assert isinstance(session.failure, ConnectionLost)


# --- after the scope ------------------------------------------------------------------------------------------------


async def test_what_is_known_stays_readable_after_the_scope() -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost):
        async with opened(server) as (session, _):
            server.push("conversation.item.added", item=message("item_a", "assistant", status="in_progress"))
            server.push("response.done", response={"id": "resp_1", "status": "completed", "usage": {"total_tokens": 7}})
            fail(server)
            await trio.testing.wait_all_tasks_blocked()
    assert [(item.id, item.status) for item in session.conversation] == [("item_a", "incomplete")]
    assert session.usage.total_tokens == 7
    assert session.last_usage is not None
    assert session.info is not None
    assert session.info.id is None
    assert isinstance(session.failure, ConnectionLost)
    assert session.statistics().received_frames == 4
    assert session.statistics().sent_events == 1


async def test_a_channel_gives_what_is_left_after_the_scope_and_then_ends() -> None:
    async with opened() as (session, server):
        updates = session.updates(ItemAppended)
        updates.__enter__()
        server.push("conversation.item.added", item=message("item_a"))
        await trio.testing.wait_all_tasks_blocked()
    assert [update.item.id async for update in updates] == ["item_a"]


async def test_a_channel_raises_the_failure_after_the_scope() -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost):
        async with opened(server) as (session, _):
            updates = session.updates(ItemAppended)
            updates.__enter__()
            server.push("conversation.item.added", item=message("item_a"))
            fail(server)
            await trio.testing.wait_all_tasks_blocked()
    assert updates.receive_nowait().item.id == "item_a"
    with pytest.raises(ConnectionLost):
        updates.receive_nowait()


async def test_using_the_session_after_the_scope_is_an_error() -> None:
    async with opened() as (session, server):
        pass
    sent = len(server.received)
    for command in (
        session.clear_audio,
        session.commit_audio,
        session.cancel_response,
        session.create_response,
        session.wait_item,
        lambda: session.append_audio(b"\0\0"),
        lambda: session.send({"type": "input_audio_buffer.clear"}),
        lambda: session.send_message("x"),
        lambda: session.send_message([]),
        lambda: session.update(instructions="x"),
        lambda: session.delete_item("x"),
        lambda: enter(session),
    ):
        with pytest.raises(trio.ClosedResourceError):
            await command()
    assert len(server.received) == sent


async def test_using_the_session_after_it_failed_raises_the_failure() -> None:
    server = ScriptedServer()
    with leaving_raises(ConnectionLost):
        async with opened(server) as (session, _):
            fail(server)
            await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(ConnectionLost):
        await session.clear_audio()


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
