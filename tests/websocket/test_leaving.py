"""Leaving the scope: in time, whatever the peer does, and with the right exception."""

from __future__ import annotations

import contextlib

import pytest
import trio
import trio.testing
import trio_websocket

from trio_realtime.errors import ConnectionLost, InternalError
from trio_realtime.transport import Closed
from trio_realtime.websocket import WebSocketTransport, open_websocket

from .hostile_peers import (
    CLOSE,
    ENDLESS,
    PING,
    SOON,
    TEXT,
    Behaviour,
    Peer,
    babble,
    close,
    flood,
    flood_pings,
    frame,
    hang_up,
    hold,
    promise_more,
    read_on,
    say_close_and_hold,
    serve,
    upgraded,
)
from .pumped import Pump

CLOSE_TIMEOUT = 0.1


async def answer_and_hold(peer: Peer) -> None:
    """Answer the close, and leave the connection open."""
    await peer.answer_close()
    await hold(peer)


async def ping_after_close(peer: Peer) -> None:
    """Send PINGs and messages between the client's close frame and the answer."""
    while (await peer.frame())[0] != CLOSE:
        pass
    await peer.send(*[frame(PING, b"still there?"), frame(TEXT, b"late")] * 3, close(1000))
    await hold(peer)


async def babble_after_close(peer: Peer) -> None:
    while (await peer.frame())[0] != CLOSE:
        pass
    await babble(peer)


PEERS = [
    Peer.answer_close,
    answer_and_hold,
    babble,
    babble_after_close,
    flood,
    flood_pings,
    hang_up,
    hold,
    ping_after_close,
    promise_more,
    read_on,
    say_close_and_hold,
]
BIG = b"u" * 10_000_000


@pytest.mark.parametrize("leaving", ["normally", "raising", "cancelled", "cancelled and raising"])
@pytest.mark.parametrize("doing", ["nothing", "pumping", "pumping and sending", "sending"])
@pytest.mark.parametrize("behaviour", PEERS)
async def test_leaving_is_in_time_and_with_the_bodys_own_exception(
    behaviour: Behaviour, doing: str, leaving: str
) -> None:
    class OwnError(Exception):
        pass

    close_timeout = ENDLESS if "cancelled" in leaving else CLOSE_TIMEOUT  # who is cancelled waits for nothing
    raised: BaseException | None = None
    left = 0.0
    async with serve(upgraded(behaviour), receive_buffer=65536) as served, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            try:
                async with open_websocket(served.url, close_timeout=close_timeout) as transport:
                    if "pumping" in doing:
                        nursery.start_soon(Pump(transport).run)
                    if "sending" in doing:
                        nursery.start_soon(send_until_told, transport)
                    await settle(behaviour)
                    left = trio.current_time()
                    if "cancelled" in leaving:
                        scope.cancel()
                    if "raising" in leaving:
                        raise OwnError
            except OwnError as error:
                raised = error
        left = trio.current_time() - left
        assert left < CLOSE_TIMEOUT + SOON
        if leaving == "cancelled":
            assert scope.cancelled_caught
        if "raising" in leaving:
            assert type(raised) is OwnError
            assert raised.__context__ is None
        with trio.fail_after(SOON):  # neither the pump nor the sender outlives the scope
            while len(nursery.child_tasks) > 0:
                await trio.testing.wait_all_tasks_blocked()


async def settle(behaviour: Behaviour) -> None:
    """Let everybody come as far as they can; who floods is never done."""
    if behaviour in (flood, flood_pings):
        for _ in range(100):
            await trio.lowlevel.checkpoint()
    else:
        await trio.testing.wait_all_tasks_blocked(0.005)


async def send_until_told(transport: WebSocketTransport) -> None:
    with contextlib.suppress(ConnectionLost, trio.ClosedResourceError):
        await transport.send(BIG)


@pytest.mark.parametrize(
    "behaviour", [Peer.answer_close, answer_and_hold, ping_after_close, say_close_and_hold, hang_up]
)
async def test_leaving_does_not_wait_for_a_peer_that_is_done(behaviour: Behaviour) -> None:
    async with serve(upgraded(behaviour)) as served, trio.open_nursery() as nursery:
        async with open_websocket(served.url, close_timeout=ENDLESS) as transport:
            nursery.start_soon(Pump(transport).run)
            await trio.testing.wait_all_tasks_blocked(0.01)
            started = trio.current_time()
        assert trio.current_time() - started < SOON


async def test_the_senders_of_a_body_that_is_cancelled_do_not_hold_it_up() -> None:
    async with serve(upgraded(hold), receive_buffer=65536) as served:
        with trio.CancelScope() as scope:
            async with (
                open_websocket(served.url, close_timeout=ENDLESS, write_timeout=ENDLESS) as transport,
                trio.open_nursery() as nursery,
            ):
                for _ in range(3):
                    nursery.start_soon(transport.send, BIG)
                await trio.testing.wait_all_tasks_blocked(0.01)
                started = trio.current_time()
                scope.cancel()
        assert scope.cancelled_caught
        assert trio.current_time() - started < SOON


async def test_a_cancelled_scope_closes_at_once_without_a_close_frame() -> None:
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        frames.extend(await peer.frames())

    async with serve(upgraded(behave)) as served:
        with trio.CancelScope() as scope:
            async with open_websocket(served.url, close_timeout=ENDLESS):
                started = trio.current_time()
                scope.cancel()
        assert trio.current_time() - started < SOON
        with trio.fail_after(SOON):
            await served.finished.wait()
    assert frames == []


async def test_cancelled_in_the_middle_of_a_polite_close_it_leaves_at_once() -> None:
    async with serve(upgraded(read_on)) as served:
        with trio.move_on_after(0.05) as scope:
            async with open_websocket(served.url, close_timeout=ENDLESS):
                started = trio.current_time()
        assert scope.cancelled_caught
        assert trio.current_time() - started < SOON


async def test_an_exception_of_the_body_survives_a_cancellation_of_its_close() -> None:
    async with serve(upgraded(read_on)) as served:
        with trio.move_on_after(0.05), pytest.raises(KeyError):
            async with open_websocket(served.url, close_timeout=ENDLESS):
                raise KeyError


async def test_a_group_of_the_body_leaves_as_it_is() -> None:
    async with serve(upgraded(Peer.answer_close)) as served:
        group = ExceptionGroup("mine", [KeyError(), ValueError()])
        with pytest.raises(ExceptionGroup) as caught:
            async with open_websocket(served.url):
                raise group
        assert caught.value is group


async def test_leaving_after_writing_has_failed_is_at_once() -> None:
    async def reset(peer: Peer) -> None:
        assert isinstance(peer.stream, trio.SocketStream)
        peer.stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with serve(upgraded(reset)) as served:
        async with open_websocket(served.url, close_timeout=ENDLESS) as transport:
            await served.finished.wait()
            with pytest.raises(ConnectionLost):
                await transport.send(b"x")
            started = trio.current_time()
        assert trio.current_time() - started < SOON


async def test_a_bug_in_trio_websocket_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: object, event: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a bug")

    monkeypatch.setattr(trio_websocket.WebSocketConnection, "_handle_close_connection_event", fail)
    async with serve(upgraded(say_close_and_hold)) as served:
        async with open_websocket(served.url, close_timeout=ENDLESS) as transport:
            pump = Pump(transport)
            await pump.run()
            assert pump.closed == Closed(1001, "going away")
            with trio.fail_after(SOON):
                await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(InternalError) as caught:
                await transport.pump(pump.deliver)
            assert isinstance(caught.value.__cause__, RuntimeError)
            started = trio.current_time()
        assert trio.current_time() - started < SOON


async def test_a_close_that_can_no_longer_be_answered_does_no_harm() -> None:
    async def behave(peer: Peer) -> None:
        await peer.send(close(1001))
        assert isinstance(peer.stream, trio.SocketStream)
        peer.stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with serve(upgraded(behave)) as served:
        async with open_websocket(served.url, close_timeout=ENDLESS) as transport:
            await served.finished.wait()
            pump = Pump(transport)
            await pump.run()
            await trio.testing.wait_all_tasks_blocked()
            started = trio.current_time()
        assert trio.current_time() - started < SOON
    assert pump.closed == Closed(1001)


async def test_a_second_close_waits_for_the_first() -> None:
    answer = trio.Event()
    order: list[str] = []

    async def behave(peer: Peer) -> None:
        await peer.frame()
        await answer.wait()
        await peer.send(close(1000))

    async with (
        serve(upgraded(behave)) as served,
        open_websocket(served.url, close_timeout=ENDLESS) as transport,
        trio.open_nursery() as nursery,
    ):

        async def close_it() -> None:
            await transport.aclose()
            order.append("closed")

        nursery.start_soon(close_it)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(close_it)
        await trio.testing.wait_all_tasks_blocked()
        assert order == []
        answer.set()
    assert order == ["closed", "closed"]


async def test_closing_ends_the_pump_with_a_closed_resource() -> None:
    async with serve(upgraded(Peer.answer_close)) as served, open_websocket(served.url) as transport:
        pump = Pump(transport)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.run)
            await trio.testing.wait_all_tasks_blocked()
            await transport.aclose()
            with trio.testing.assert_checkpoints():
                await transport.aclose()
        assert isinstance(pump.error, trio.ClosedResourceError)
        assert pump.closed is None
        with pytest.raises(trio.ClosedResourceError):
            await transport.pump(pump.deliver)


async def test_after_the_peers_close_the_reason_stays_with_the_pump() -> None:
    async with serve(upgraded(say_close_and_hold)) as served, open_websocket(served.url) as transport:
        pump = Pump(transport)
        await pump.run()
        await transport.aclose()
    assert pump.closed == Closed(1001, "going away")
