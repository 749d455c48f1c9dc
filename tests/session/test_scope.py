"""Guarantee 1: when the scope ends, every task, socket and channel of it has ended, whatever the peer does."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trio_realtime import ConnectionLost, ConnectTimeout, Endpoint, SessionRefused, open_session
from trio_realtime.endpoint import ConnectRequest
from trio_realtime.testing import (
    Simulator,
    assert_no_leaks,
    memory_transport_pair,
    open_simulated_session,
)
from trio_realtime.transport import Closed

from .scripted_server import ScriptedServer, leaving_raises, message, opened


class NeverDialled(Endpoint):
    """Its credentials never come."""

    async def connect_request(self, *, path: str = "realtime", query: Mapping[str, str]) -> ConnectRequest:
        await trio.sleep_forever()
        raise AssertionError


def silent() -> ScriptedServer:
    return ScriptedServer(created=False)


def unconfirmed() -> ScriptedServer:
    server = ScriptedServer()
    server.ignore("session.update")
    return server


@pytest.mark.parametrize("make", [silent, unconfirmed])
async def test_cancelling_while_the_server_is_silent_leaves_at_once(
    make: type[ScriptedServer], autojump_clock: MockClock
) -> None:
    server = make()
    with assert_no_leaks(), trio.move_on_after(3) as scope:
        async with open_session(transport=server):
            raise AssertionError("it cannot have opened")
    assert scope.cancelled_caught
    assert trio.current_time() == 3
    assert server.cut


async def test_cancelling_before_the_dial_is_done_leaves_at_once(autojump_clock: MockClock) -> None:
    with assert_no_leaks(), trio.move_on_after(3) as scope:
        async with open_session(endpoint=NeverDialled("wss://x.example/v1/realtime")):
            raise AssertionError("it cannot have opened")
    assert scope.cancelled_caught
    assert trio.current_time() == 3


async def test_credentials_that_never_come_are_a_connect_timeout(autojump_clock: MockClock) -> None:
    with assert_no_leaks(), pytest.raises(ConnectTimeout, match="credentials"):
        async with open_session(endpoint=NeverDialled("wss://x.example/v1/realtime"), connect_timeout=4):
            raise AssertionError("it cannot have opened")
    assert trio.current_time() == 4


@pytest.mark.parametrize(("make", "missing"), [(silent, "session.created"), (unconfirmed, "session.updated")])
async def test_a_silent_server_is_a_connect_timeout_at_the_deadline(
    make: type[ScriptedServer], missing: str, autojump_clock: MockClock
) -> None:
    server = make()
    with assert_no_leaks(), pytest.raises(ConnectTimeout, match=missing):
        async with open_session(transport=server, connect_timeout=7):
            raise AssertionError("it cannot have opened")
    assert trio.current_time() == 7


async def test_a_refused_session_leaves_nothing(autojump_clock: MockClock) -> None:
    server = ScriptedServer(created=False)
    server.push_error()
    with assert_no_leaks(), pytest.raises(SessionRefused):
        async with open_session(transport=server):
            raise AssertionError("it cannot have opened")
    assert trio.current_time() == 0


async def test_a_normal_exit_closes_politely_and_at_once(autojump_clock: MockClock) -> None:
    with assert_no_leaks():
        async with opened() as (_, server):
            pass
    assert server.closed == 1000
    assert not server.cut
    assert trio.current_time() == 0


async def test_the_peer_sees_the_close_code_of_a_normal_exit(autojump_clock: MockClock) -> None:
    client, peer = memory_transport_pair()
    closed: list[Closed] = []

    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            await peer.send(b'{"type":"session.created","session":{"type":"realtime"}}')
            updated = b'{"type":"session.updated","session":{"type":"realtime"}}'
            closed.append(await peer.pump(lambda payload, binary=False: nursery.start_soon(peer.send, updated)))

        nursery.start_soon(serve)
        async with open_session(transport=client):
            pass
    assert closed == [Closed(1000)]


async def test_the_bodys_own_exception_closes_politely(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with assert_no_leaks(), pytest.raises(LookupError):
        async with opened(server):
            raise LookupError
    assert server.closed == 1000


async def test_a_cancelled_scope_closes_without_waiting_for_anybody(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    server.close_hangs = True
    with assert_no_leaks(), trio.CancelScope() as scope:
        async with opened(server) as (session, _):
            server.reads = False
            await session.append_audio(b"\0" * 2000)
            scope.cancel()
            await trio.sleep_forever()
    assert trio.current_time() == 0
    assert server.cut


async def test_a_cancelled_scope_whose_body_ends_without_a_checkpoint_closes_at_once_and_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer()
    server.close_hangs = True
    with trio.CancelScope() as scope:
        async with opened(server):
            scope.cancel()
        raise AssertionError("the exit is a checkpoint")
    assert trio.current_time() == 0


async def test_a_cancelled_scope_wins_over_a_failure_though_nothing_is_left_to_wait_for(
    autojump_clock: MockClock,
) -> None:
    class Gone(ScriptedServer):
        gone = False

        async def send(self, *payloads: bytes) -> None:
            if self.gone:
                raise ConnectionLost("nobody reads")
            await super().send(*payloads)

        async def aclose(self, code: int = 1000, reason: str = "") -> None:
            pass

    server = Gone()
    with assert_no_leaks(), trio.CancelScope() as scope:
        async with opened(server) as (session, _):
            server.gone = True
            await session.append_audio(b"\0" * 2000)
            server.end(Closed(1011, "oops"))
            with trio.CancelScope(shield=True):
                await trio.sleep(5)  # meanwhile both tasks end
            assert session.failure is not None
            scope.cancel()
        raise AssertionError("the exit is a checkpoint")
    assert scope.cancelled_caught


async def test_a_close_that_is_never_answered_is_given_up_in_time(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    server.close_hangs = True
    with assert_no_leaks():
        async with opened(server, close_timeout=2.5):
            pass
    assert trio.current_time() == 2.5
    assert server.cut


async def test_what_is_queued_is_written_before_the_close(autojump_clock: MockClock) -> None:
    async with opened() as (session, server):
        for _ in range(300):
            await session.append_audio(b"\0" * 1000)
    assert server.types().count("input_audio_buffer.append") == 300


async def test_a_peer_that_does_not_read_is_given_up_in_time(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with assert_no_leaks():
        async with opened(server) as (session, _):
            server.reads = False
            await session.append_audio(b"\0" * 4000)
            await trio.testing.wait_all_tasks_blocked()
            await session.append_audio(b"\0" * 4000)
    assert trio.current_time() == 1
    assert server.cut


async def test_cancelling_a_polite_close_ends_it_at_once(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    server.close_hangs = True
    with assert_no_leaks(), trio.move_on_after(0.25) as scope:
        async with opened(server):
            pass
    assert scope.cancelled_caught
    assert trio.current_time() == 0.25


async def test_a_connection_that_ends_during_the_close_is_no_error(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with assert_no_leaks():
        async with trio.open_nursery() as nursery:
            async with opened(server) as (session, _):
                server.reads = False
                await session.append_audio(b"\0" * 4000)

                async def end_soon() -> None:
                    await trio.sleep(0.1)
                    server.end(Closed(1001, "going away"))

                nursery.start_soon(end_soon)
            assert session.failure is None
            assert trio.current_time() == 0.1, "a writer that is gone is not waited for"


async def test_a_failed_session_leaves_nothing(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    with assert_no_leaks(), leaving_raises(ConnectionLost):
        async with opened(server):
            server.end(Closed(1011, "oops"))
            await trio.sleep_forever()
    assert trio.current_time() == 1


async def test_a_body_that_ends_after_a_failure_is_not_held_up(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    server.close_hangs = True
    with assert_no_leaks(), leaving_raises(ConnectionLost):
        async with opened(server):
            server.end(Closed(1011, "oops"))
            await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == 0


async def test_tasks_that_wait_for_the_session_are_woken_by_its_end(autojump_clock: MockClock) -> None:
    outcomes: list[object] = []
    async with trio.open_nursery() as nursery:
        async with opened() as (session, server):
            server.ignore("input_audio_buffer.clear")

            async def command() -> None:
                with pytest.raises(trio.ClosedResourceError) as caught:
                    await session.clear_audio()
                outcomes.append(caught.value)

            async def wait_item() -> None:
                with pytest.raises(trio.ClosedResourceError) as caught:
                    await session.wait_item()
                outcomes.append(caught.value)

            async def iterate() -> None:
                with session.updates() as updates:
                    outcomes.append([update async for update in updates])

            for task in (command, wait_item, iterate):
                nursery.start_soon(task)
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        assert len(outcomes) == 3
        assert [] in outcomes


async def test_nothing_is_left_of_a_session_and_its_simulated_server(autojump_clock: MockClock) -> None:
    simulator = Simulator()
    with assert_no_leaks():
        async with open_simulated_session(simulator) as session:
            await session.send_message("hello")
    sent = [event["type"] for event in simulator.connections[0].received]
    assert sent == ["session.update", "conversation.item.create", "response.create"]


async def test_the_exit_is_a_checkpoint_even_if_the_transports_close_is_none(autojump_clock: MockClock) -> None:
    class ClosesAtOnce(ScriptedServer):
        async def aclose(self, code: int = 1000, reason: str = "") -> None:
            self.end(trio.ClosedResourceError("closed on this side"))

    with trio.CancelScope() as scope:
        async with opened(ClosesAtOnce()):
            scope.cancel()
        raise AssertionError("the exit is a checkpoint")
    assert scope.cancelled_caught


async def test_what_arrives_during_the_close_changes_nothing_any_more(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    server.close_hangs = True
    async with trio.open_nursery() as nursery:
        async with opened(server) as (session, _):
            before = session.statistics()

            async def push_late() -> None:
                await trio.sleep(0.5)
                server.push_error("too late")
                server.push("conversation.item.added", item=message("item_late"))

            nursery.start_soon(push_late)
        assert session.statistics() == before
        assert len(session.conversation) == 0
