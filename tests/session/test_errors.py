"""Guarantee 2: which exception leaves the scope, and who hears of a failure in what order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trio_realtime import (
    ConnectionLost,
    ItemAppended,
    RealtimeSession,
    ServerError,
    SessionExpired,
)
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
        async with opened(server, close_timeout=2) as (session, _):
            server.send_error = ConnectionLost("a write failed")
            await session.append_audio(b"\0\0")
            await trio.sleep_forever()
    assert trio.current_time() == 4, "the server may have something to say first; then the body has its time"


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
