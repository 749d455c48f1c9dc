"""Writing: whole messages or nothing, deadlines, and what a broken uplink says."""

from __future__ import annotations

import ssl

import pytest
import trio
import trio.testing

from trio_realtime.errors import ConnectionLost, ProtocolError
from trio_realtime.transport import Closed
from trio_realtime.websocket import WebSocketTransport, open_websocket

from .hostile_peers import CLOSE, ENDLESS, PING, SOON, TEXT, Peer, close, frame, hold, read_on, serve, upgraded
from .pumped import Pump, open_pumped


async def send_for_ever(transport: WebSocketTransport, payload: bytes) -> None:
    while True:
        await transport.send(payload)


BIG = b"u" * 10_000_000


@pytest.fixture(params=["tcp", "tls"])
def contexts(
    request: pytest.FixtureRequest, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """The server's and the client's side, over TCP and over TLS."""
    return (None, None) if request.param == "tcp" else (server_context, client_context)


Contexts = tuple[ssl.SSLContext | None, ssl.SSLContext | None]


async def test_messages_are_written_whole_and_in_order(contexts: Contexts) -> None:
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        while not frames or frames[-1][0] != CLOSE:
            frames.append(await peer.frame())
        await peer.send(close(1000))

    sent = [b"", b"one", "é".encode(), b"x" * 126, b"y" * 65536, b"z" * 2_000_000]
    async with (
        serve(upgraded(behave), ssl_context=contexts[0]) as served,
        open_websocket(served.url, ssl_context=contexts[1]) as transport,
    ):
        await transport.send(*sent)
        for payload in sent:
            await transport.send(payload)
        await transport.send()
        statistics = transport.statistics()
    assert frames[:-1] == [(TEXT, payload) for payload in sent + sent]
    assert statistics.messages_sent == 12
    assert statistics.bytes_sent > 4_000_000


async def test_the_messages_of_one_call_stand_together() -> None:
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        for _ in range(300):
            frames.append(await peer.frame())  # noqa: PERF401  a comprehension would lose them when one is missing
        await peer.answer_close()

    async with (
        serve(upgraded(behave)) as served,
        open_websocket(served.url) as transport,
        trio.open_nursery() as nursery,
    ):
        for task in range(100):
            size = 20_000 if task % 10 == 0 else 10
            nursery.start_soon(transport.send, *(b"%d " % task * size for _ in range(3)))
    seen = [payload.split()[0] for _, payload in frames]
    assert all(len(set(seen[start : start + 3])) == 1 for start in range(0, 300, 3))
    assert len(set(seen)) == 100


async def test_a_sender_cancelled_in_mid_write_leaves_a_whole_message_and_an_intact_connection(
    contexts: Contexts,
) -> None:
    cancelled = trio.Event()
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        await cancelled.wait()
        frames.append(await peer.frame())
        frames.append(await peer.frame())
        await peer.answer_close()

    async with (
        serve(upgraded(behave), ssl_context=contexts[0], receive_buffer=65536) as served,
        open_pumped(served.url, ssl_context=contexts[1], write_timeout=ENDLESS) as pump,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.transport.send, BIG)
            await trio.testing.wait_all_tasks_blocked(0.05)
            started = trio.current_time()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - started < SOON, "a cancelled sender does not wait for its write"
        cancelled.set()
        with trio.fail_after(SOON):
            await pump.transport.send(b"next")
    assert frames == [(TEXT, BIG), (TEXT, b"next")]


async def test_a_sender_cancelled_while_it_waits_its_turn_has_sent_nothing() -> None:
    cancelled = trio.Event()
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        await cancelled.wait()
        frames.append(await peer.frame())
        frames.append(await peer.frame())
        await peer.answer_close()

    async with (
        serve(upgraded(behave), receive_buffer=65536) as served,
        open_pumped(served.url) as pump,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(pump.transport.send, BIG)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.01) as scope:
            await pump.transport.send(b"never")
        assert scope.cancelled_caught
        cancelled.set()
        with trio.fail_after(SOON):
            await pump.transport.send(b"next")
    assert frames == [(TEXT, BIG), (TEXT, b"next")]


async def test_a_cancelled_scope_sends_nothing() -> None:
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        frames.append(await peer.frame())
        await peer.send(close(1000))

    async with serve(upgraded(behave)) as served, open_websocket(served.url) as transport:
        with trio.CancelScope() as scope:
            scope.cancel()
            await transport.send(b"never")
        assert scope.cancelled_caught
        assert transport.statistics().messages_sent == 0
    assert frames == [(CLOSE, b"\x03\xe8")]


async def test_each_successful_send_is_a_checkpoint() -> None:
    async with serve(upgraded(Peer.answer_close)) as served, open_websocket(served.url) as transport:
        for payloads in ([], [b"small"], [BIG]):
            with trio.testing.assert_checkpoints():
                await transport.send(*payloads)


async def test_a_peer_that_stops_reading_is_lost_at_the_write_deadline(contexts: Contexts) -> None:
    async with (
        serve(upgraded(hold), ssl_context=contexts[0], receive_buffer=65536) as served,
        open_pumped(served.url, ssl_context=contexts[1], write_timeout=0.1, close_timeout=0.1) as pump,
    ):
        with trio.fail_after(SOON):
            with pytest.raises(ConnectionLost, match=r"not done within 0\.1 s"):
                await pump.transport.send(BIG)
            await pump.ended.wait()
            with pytest.raises(ConnectionLost):
                await pump.transport.send(b"more")
    assert isinstance(pump.error, ConnectionLost)


async def test_small_messages_to_a_peer_that_stops_reading_are_lost_at_the_deadline_too() -> None:
    async with (
        serve(upgraded(hold), receive_buffer=65536) as served,
        open_pumped(served.url, write_timeout=0.1, close_timeout=0.1) as pump,
    ):
        with trio.fail_after(SOON), pytest.raises(ConnectionLost):
            await send_for_ever(pump.transport, b"u" * 15_000)
        await pump.ended.wait()
    assert isinstance(pump.error, ConnectionLost)


async def test_all_who_wait_for_their_turn_hear_of_a_lost_connection() -> None:
    errors: list[ConnectionLost] = []

    async with (
        serve(upgraded(hold), receive_buffer=65536) as served,
        open_pumped(served.url, write_timeout=0.1, close_timeout=0.1) as pump,
    ):

        async def send() -> None:
            with pytest.raises(ConnectionLost) as caught:
                await pump.transport.send(BIG)
            errors.append(caught.value)

        with trio.fail_after(SOON):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(send)
    assert len({id(error) for error in errors}) == 3


async def test_the_reason_that_a_server_gave_is_read_after_writing_has_failed() -> None:
    async def behave(peer: Peer) -> None:
        await peer.frame()
        # With data unread, this resets the connection.
        await peer.send(close(4001, "expired"))

    async with serve(upgraded(behave)) as served, open_websocket(served.url) as transport:
        await transport.send(b"one")
        await transport.send(b"two" * 1000)
        await served.finished.wait()
        with trio.fail_after(SOON), pytest.raises(ConnectionLost):
            await send_for_ever(transport, b"three")
        seen: list[object] = []
        assert await transport.pump(lambda payload, binary=False: seen.append(payload)) == Closed(4001, "expired")


async def test_after_closing_nothing_can_be_sent() -> None:
    async with serve(upgraded(Peer.answer_close)) as served, open_websocket(served.url) as transport:
        await transport.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await transport.send(b"x")


async def test_closing_lets_a_write_finish_and_turns_away_who_waits() -> None:
    frames: list[tuple[int, bytes]] = []
    closing = trio.Event()

    async def behave(peer: Peer) -> None:
        await closing.wait()
        frames.append(await peer.frame())
        frames.append(await peer.frame())
        await peer.send(close(1000))

    async with (
        serve(upgraded(behave), receive_buffer=65536) as served,
        open_websocket(served.url, close_timeout=ENDLESS) as transport,
        trio.open_nursery() as nursery,
    ):

        async def turned_away() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await transport.send(b"late")

        nursery.start_soon(transport.send, BIG)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(turned_away)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(transport.aclose)
        await trio.testing.wait_all_tasks_blocked()
        closing.set()
    assert frames == [(TEXT, BIG), (CLOSE, b"\x03\xe8")]


async def test_leaving_lets_the_reason_of_a_violation_out() -> None:
    frames: list[tuple[int, bytes]] = []
    leaving = trio.Event()

    async def behave(peer: Peer) -> None:
        await peer.send(b"\xff\xff")
        await leaving.wait()
        frames.extend(await peer.frames())

    async with serve(upgraded(behave), receive_buffer=65536) as served, trio.open_nursery() as nursery:
        async with open_websocket(served.url, close_timeout=ENDLESS) as transport:
            pump = Pump(transport)
            nursery.start_soon(transport.send, BIG)
            await trio.testing.wait_all_tasks_blocked()
            await pump.run()
            assert isinstance(pump.error, ProtocolError)
            leaving.set()
        with trio.fail_after(SOON):
            await served.finished.wait()
    assert [opcode for opcode, _ in frames] == [TEXT, CLOSE]
    assert frames[1][1].startswith((1002).to_bytes(2, "big"))


async def test_a_ping_before_a_close_frame_is_not_answered_after_it() -> None:
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        await peer.send(frame(PING) + close(1000))
        frames.extend(await peer.frames())

    async with serve(upgraded(behave)) as served, open_websocket(served.url) as transport:
        await Pump(transport).run()
        await transport.aclose()
        with trio.fail_after(SOON):
            await served.finished.wait()
    assert frames == [(CLOSE, b"\x03\xe8")]


async def test_a_write_that_closing_cuts_is_a_closed_resource() -> None:
    async with (
        serve(upgraded(hold), receive_buffer=65536) as served,
        open_websocket(served.url, close_timeout=0.05) as transport,
        trio.open_nursery() as nursery,
    ):

        async def cut() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await transport.send(BIG)

        nursery.start_soon(cut)
        await trio.testing.wait_all_tasks_blocked()
        await transport.aclose()


async def test_a_close_code_and_a_reason_are_sent() -> None:
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        frames.append(await peer.frame())
        await peer.send(close(1000))
        frames.extend(await peer.frames())

    async with serve(upgraded(behave)) as served, open_websocket(served.url) as transport:
        await transport.aclose(4000, "enough")
        with trio.fail_after(SOON):
            await served.finished.wait()
    assert frames == [(CLOSE, b"\x0f\xa0enough")]


async def test_reading_goes_on_while_a_message_is_written() -> None:
    async def echo(peer: Peer) -> None:
        await peer.send((await peer.frame())[1][:0] + b"\x81\x02hi")
        await read_on(peer)

    async with serve(upgraded(echo)) as served, open_pumped(served.url, close_timeout=0.05) as pump:
        await pump.transport.send(BIG)
        with trio.fail_after(SOON):
            await pump.wait_messages(1)
