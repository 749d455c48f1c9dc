"""Reading: what is delivered, what answers itself, and how it ends."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trio_realtime.errors import ConnectionLost, ProtocolError
from trio_realtime.transport import Closed
from trio_realtime.websocket import open_websocket

from .hostile_peers import (
    BINARY,
    CLOSE,
    ENDLESS,
    PING,
    PONG,
    SOON,
    TEXT,
    Behaviour,
    Peer,
    close,
    flood_pings,
    frame,
    hang_up,
    hold,
    serve,
    upgraded,
)
from .pumped import Pump, open_pumped


async def test_messages_are_delivered_whole_and_in_order() -> None:
    big = b"y" * 300_000
    character = "é".encode()

    async def behave(peer: Peer) -> None:
        await peer.send(frame(TEXT, b"one") + frame(BINARY, b"\xff") + frame(TEXT, character[:1], fin=False))
        await peer.send(frame(PING, b"between"), frame(0, character[1:]), frame(TEXT, big), frame(TEXT, b"last"))
        await peer.answer_close()

    async with serve(upgraded(behave)) as served, open_pumped(served.url) as pump:
        with trio.fail_after(SOON):
            await pump.wait_messages(5)
        statistics = pump.transport.statistics()
    assert pump.messages == [(b"one", False), (b"\xff", True), (character, False), (big, False), (b"last", False)]
    assert statistics.messages_received == 5
    assert statistics.bytes_received > 300_000


async def test_a_ping_is_answered_while_nobody_takes_the_messages_elsewhere() -> None:
    answers: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        await peer.send(*(frame(TEXT, b"x" * 1000) for _ in range(100)), frame(PING, b"alive?"))
        answers.append(await peer.frame())
        await peer.send(close(1000))
        answers.extend(await peer.frames())

    async with serve(upgraded(behave)) as served, open_pumped(served.url) as pump:
        with trio.fail_after(SOON):
            await pump.ended.wait()
    assert pump.closed == Closed(1000)
    assert answers == [(PONG, b"alive?"), (CLOSE, b"\x03\xe8")]


async def test_a_blocked_uplink_does_not_stop_reading_and_leaves_one_pong_waiting() -> None:
    blocked = trio.Event()
    read_out = trio.Event()
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        await blocked.wait()
        for number in range(1000):
            await peer.send(frame(PING, b"%d" % number))
        await peer.send(frame(TEXT, b"after the pings"))
        await read_out.wait()
        frames.append(await peer.frame())
        frames.append(await peer.frame())
        await peer.answer_close()

    upload = b"u" * 10_000_000
    async with (
        serve(upgraded(behave), receive_buffer=65536) as served,
        open_pumped(served.url) as pump,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(pump.transport.send, upload)
        await trio.testing.wait_all_tasks_blocked()
        blocked.set()
        with trio.fail_after(SOON):
            await pump.wait_messages(1)
        read_out.set()
    assert pump.messages == [(b"after the pings", False)]
    assert frames == [(TEXT, upload), (PONG, b"999")]


@pytest.mark.parametrize(
    ("data", "closed"),
    [
        (close(1000, "done"), Closed(1000, "done")),
        (close(1001), Closed(1001)),
        (close(4000, "é" * 60), Closed(4000, "é" * 60)),
        (frame(CLOSE), Closed(1005)),
        (frame(TEXT, b"x") + close(1011, "oops") + b"\xff" * 50, Closed(1011, "oops")),
    ],
)
async def test_a_close_frame_ends_the_pump_and_is_answered(data: bytes, closed: Closed) -> None:
    answers: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        await peer.send(data)
        answers.extend(await peer.frames())

    async with serve(upgraded(behave)) as served:
        async with open_pumped(served.url) as pump:
            with trio.fail_after(SOON):
                await pump.ended.wait()
            with pytest.raises(ConnectionLost) as caught:
                await pump.transport.send(b"too late")
            assert (caught.value.code, caught.value.reason) == (closed.code, closed.reason)
        with trio.fail_after(SOON):
            await served.finished.wait()
    assert pump.closed == closed
    assert [opcode for opcode, _ in answers] == [CLOSE]


@pytest.mark.parametrize(
    "behaviour",
    [hang_up, pytest.param(lambda peer: peer.send(frame(TEXT, b"half")[:3]), id="inside a frame")],
)
async def test_the_end_of_the_stream_without_a_close_frame_is_a_lost_connection(behaviour: Behaviour) -> None:
    async with serve(upgraded(behaviour)) as served, open_pumped(served.url) as pump:
        with trio.fail_after(SOON):
            await pump.ended.wait()
        with pytest.raises(ConnectionLost):
            await pump.transport.send(b"too late")
    assert isinstance(pump.error, ConnectionLost)
    assert pump.error.code is None
    assert "without a close frame" in pump.error.reason


async def test_a_reset_is_a_lost_connection() -> None:
    async def reset(peer: Peer) -> None:
        assert isinstance(peer.stream, trio.SocketStream)
        peer.stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with serve(upgraded(reset)) as served, open_pumped(served.url) as pump:
        with trio.fail_after(SOON):
            await pump.ended.wait()
    assert isinstance(pump.error, ConnectionLost)
    assert "reset" in pump.error.reason


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xff", 1002),
        (b"\x81\x80\1\2\3\4", 1002),
        (frame(TEXT, b"\xff"), 1007),
        (b"\x81\x7f" + (2**40).to_bytes(8, "big"), 1009),
        (frame(TEXT, "é".encode() * 600), 1009),
    ],
)
async def test_a_violation_is_a_protocol_error_and_the_server_is_told_its_code(data: bytes, code: int) -> None:
    answers: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        await peer.send(frame(TEXT, b"before"), data)
        answers.extend(await peer.frames())

    async with serve(upgraded(behave)) as served:
        async with open_pumped(served.url, max_message_bytes=1000) as pump:
            with trio.fail_after(SOON):
                await pump.ended.wait()
            with pytest.raises(ConnectionLost):
                await pump.transport.send(b"too late")
        with trio.fail_after(SOON):
            await served.finished.wait()
    assert pump.messages == [(b"before", False)]
    assert isinstance(pump.error, ProtocolError)
    assert pump.error.code == code
    ((opcode, payload),) = answers
    assert opcode == CLOSE
    assert int.from_bytes(payload[:2], "big") == code


async def test_the_limit_counts_bytes_and_a_10_mb_message_is_under_its_default() -> None:
    message = "é".encode() * 5_000_000

    async def behave(peer: Peer) -> None:
        await peer.send(frame(TEXT, message))
        await peer.answer_close()

    async with serve(upgraded(behave)) as served, open_pumped(served.url) as pump:
        with trio.fail_after(SOON):
            await pump.wait_messages(1)
    assert pump.messages == [(message, False)]


async def test_a_half_open_connection_is_found_by_the_heartbeat(idle_clock: MockClock) -> None:
    async with (
        serve(upgraded(hold)) as served,
        open_pumped(served.url, heartbeat_interval=20, heartbeat_timeout=5) as pump,
    ):
        started = trio.current_time()
        with trio.fail_after(1000):
            await pump.ended.wait()
        assert trio.current_time() - started == pytest.approx(25)
        with pytest.raises(ConnectionLost):
            await pump.transport.send(b"too late")
    assert isinstance(pump.error, ConnectionLost)
    assert "ping" in pump.error.reason


@pytest.mark.parametrize("timeout", [12, 40])
async def test_any_inbound_traffic_counts_as_life(timeout: float, idle_clock: MockClock) -> None:
    pings: list[int] = []

    async def behave(peer: Peer) -> None:
        # A message for each of our PINGs, and never a PONG.
        for _ in range(5):
            pings.append((await peer.frame())[0])
            await peer.send(frame(TEXT, b"busy"))
        await peer.answer_close()

    async with (
        serve(upgraded(behave)) as served,
        open_pumped(served.url, heartbeat_interval=20, heartbeat_timeout=timeout) as pump,
    ):
        with trio.fail_after(1000):
            await pump.wait_messages(5)
    assert pings == [PING] * 5


async def test_a_connection_with_traffic_is_not_pinged(idle_clock: MockClock) -> None:
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        for _ in range(10):
            await peer.send(frame(TEXT, b"tick"))
            await trio.sleep(19)
        await peer.send(close(1000))
        frames.extend(await peer.frames())

    async with (
        serve(upgraded(behave)) as served,
        open_pumped(served.url, heartbeat_interval=20, heartbeat_timeout=10) as pump,
    ):
        with trio.fail_after(1000):
            await pump.ended.wait()
    assert [opcode for opcode, _ in frames] == [CLOSE]


async def test_an_answered_ping_keeps_the_connection(idle_clock: MockClock) -> None:
    pings: list[int] = []

    async def behave(peer: Peer) -> None:
        for _ in range(4):
            opcode, payload = await peer.frame()
            pings.append(opcode)
            await peer.send(frame(PONG, payload))
        await peer.send(close(1000))
        await peer.frames()

    async with (
        serve(upgraded(behave)) as served,
        open_pumped(served.url, heartbeat_interval=20, heartbeat_timeout=5) as pump,
    ):
        with trio.fail_after(1000):
            await pump.ended.wait()
    assert pump.closed == Closed(1000)
    assert pump.messages == []
    assert pings == [PING] * 4


async def test_a_ping_whose_answer_is_stuck_runs_into_the_write_deadline() -> None:
    stuck = trio.Event()

    async def behave(peer: Peer) -> None:
        await stuck.wait()
        await flood_pings(peer)  # the system makes room in a full socket now and then: so many answers do not fit

    async with (
        serve(upgraded(behave), receive_buffer=65536) as served,
        open_pumped(served.url, write_timeout=0.2, close_timeout=0.05) as pump,
    ):
        # Behind the writer's back, so that it is the PONG that finds the socket full.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.transport._stream.send_all, b"x" * 10_000_000)
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.cancel_scope.cancel()
        stuck.set()
        with trio.fail_after(SOON):
            await pump.ended.wait()
    assert isinstance(pump.error, ConnectionLost)
    assert "a write was not done" in pump.error.reason


async def test_the_connection_may_die_while_a_ping_is_unanswered(idle_clock: MockClock) -> None:
    async def behave(peer: Peer) -> None:
        assert (await peer.frame())[0] == PING

    async with serve(upgraded(behave)) as served, open_pumped(served.url, heartbeat_interval=20) as pump:
        with trio.fail_after(1000):
            await pump.ended.wait()
    assert isinstance(pump.error, ConnectionLost)


async def test_without_an_interval_there_is_no_heartbeat(idle_clock: MockClock) -> None:
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        frames.extend(await peer.frames())

    async with serve(upgraded(behave)) as served:
        async with open_pumped(served.url, heartbeat_interval=math.inf):
            await trio.sleep(10_000)
        await served.finished.wait()
    assert [opcode for opcode, _ in frames] == [CLOSE]


async def test_it_is_pumped_once_and_by_one_task() -> None:
    async with (
        serve(upgraded(Peer.answer_close)) as served,
        open_pumped(served.url) as pump,
    ):
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await pump.transport.pump(pump.deliver)
    with pytest.raises(trio.ClosedResourceError):
        await pump.transport.pump(pump.deliver)
    assert isinstance(pump.error, trio.ClosedResourceError)


async def test_a_pump_that_has_ended_does_not_start_again() -> None:
    async def behave(peer: Peer) -> None:
        await peer.send(close(1000))
        await peer.frames()

    async with serve(upgraded(behave)) as served, open_websocket(served.url) as transport:
        pump = Pump(transport)
        await pump.run()
        assert pump.closed == Closed(1000)
        with pytest.raises(trio.ClosedResourceError):
            await transport.pump(pump.deliver)


async def test_a_lost_connection_is_raised_again_as_another_instance() -> None:
    async with serve(upgraded(hang_up)) as served, open_websocket(served.url) as transport:
        with pytest.raises(ConnectionLost) as first:
            await transport.pump(Pump(transport).deliver)
        with pytest.raises(ConnectionLost) as second:
            await transport.pump(Pump(transport).deliver)
    assert str(first.value) == str(second.value)
    assert first.value is not second.value


async def test_nothing_is_read_before_it_is_pumped() -> None:
    async def behave(peer: Peer) -> None:
        await peer.send(frame(TEXT, b"waiting"))
        await peer.answer_close()

    async with serve(upgraded(behave)) as served, open_websocket(served.url) as transport:
        await trio.testing.wait_all_tasks_blocked()
        assert transport.statistics().bytes_received == 0


async def test_what_a_receiver_raises_leaves_the_pump() -> None:
    def refuse(payload: bytes | bytearray | memoryview, binary: bool = False) -> None:
        raise KeyError("a bug")

    async def behave(peer: Peer) -> None:
        await peer.send(frame(TEXT, b"x"))
        await peer.answer_close()

    async with serve(upgraded(behave)) as served, open_websocket(served.url) as transport:
        with pytest.raises(KeyError, match="a bug"):
            await transport.pump(refuse)


async def test_a_cancelled_pump_delivers_nothing_more_and_the_connection_still_closes_politely() -> None:
    async def behave(peer: Peer) -> None:
        await peer.send(frame(TEXT, b"one"))
        await peer.answer_close()
        assert await peer.frames() == []

    async with serve(upgraded(behave)) as served:
        async with open_websocket(served.url, close_timeout=ENDLESS) as transport:
            pump = Pump(transport)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump.run)
                await pump.wait_messages(1)
                nursery.cancel_scope.cancel()
            assert pump.error is None
            started = trio.current_time()
        assert trio.current_time() - started < SOON
        with trio.fail_after(SOON):
            await served.finished.wait()
