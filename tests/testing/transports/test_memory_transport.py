"""The pair of transports that crosses no network keeps the promises of `MessageTransport`."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_realtime.errors import ConfigError, ConnectionLost
from trio_realtime.testing import memory_transport_pair
from trio_realtime.transport import Closed


class Inbox:
    """Takes messages, and remembers them."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def __call__(self, payload: bytes | bytearray | memoryview, binary: bool = False) -> None:
        assert not binary
        self.messages.append(bytes(payload))


async def test_messages_arrive_whole_and_in_order_both_ways() -> None:
    left, right = memory_transport_pair()
    inboxes = Inbox(), Inbox()
    async with trio.open_nursery() as nursery:
        for end, inbox in zip((left, right), inboxes, strict=True):
            nursery.start_soon(end.pump, inbox)
        await left.send(b"one", b"two")
        await right.send(b"three")
        await left.send(b"")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [inbox.messages for inbox in inboxes] == [[b"three"], [b"one", b"two", b""]]


async def test_a_close_is_seen_after_what_was_sent_before() -> None:
    left, right = memory_transport_pair()
    inbox = Inbox()
    await left.send(b"last words")
    await left.aclose(4000, "enough")
    await left.aclose()
    assert await right.pump(inbox) == Closed(4000, "enough")
    assert inbox.messages == [b"last words"]
    with pytest.raises(ConnectionLost, match="closed") as lost:
        await right.send(b"?")
    assert (lost.value.code, lost.value.reason) == (4000, "enough")


async def test_the_side_that_closed_can_do_nothing_more() -> None:
    left, right = memory_transport_pair()
    inbox = Inbox()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def pump() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await left.pump(inbox)

        await wait_all_tasks_blocked()
        await right.send(b"too late")
        await left.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await left.send(b"?")
    with pytest.raises(trio.ClosedResourceError):
        await left.pump(inbox)
    fresh, _ = memory_transport_pair()
    await fresh.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await fresh.pump(inbox)


async def test_a_dropped_connection_is_lost_for_both_after_what_had_arrived() -> None:
    left, right = memory_transport_pair()
    inbox = Inbox()
    await left.send(b"arrived")
    left.drop()
    for end in (left, right):
        with pytest.raises(ConnectionLost):
            await end.send(b"?")
        with pytest.raises(ConnectionLost) as lost:
            await end.pump(inbox)
        assert lost.value.code is None
    assert inbox.messages == [b"arrived"]


async def test_a_send_waits_while_the_peer_does_not_pump() -> None:
    left, right = memory_transport_pair(max_messages=2)
    inbox = Inbox()
    async with trio.open_nursery() as nursery:
        await left.send(b"1")
        await left.send(b"2", b"3")
        nursery.start_soon(left.send, b"4", b"5")
        nursery.start_soon(left.send, b"6")
        await wait_all_tasks_blocked()
        nursery.start_soon(right.pump, inbox)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert b"".join(inbox.messages) in {b"123456", b"123645"}  # the two senders race, but each keeps together


async def test_a_cancelled_send_sent_nothing() -> None:
    left, right = memory_transport_pair(max_messages=1)
    inbox = Inbox()
    await left.send(b"1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.send, b"2", b"3")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await left.aclose()
    await right.pump(inbox)
    assert inbox.messages == [b"1"]


@pytest.mark.parametrize("way", ["aclose", "peer", "drop"])
async def test_a_waiting_send_wakes_when_the_connection_ends(way: str) -> None:
    left, right = memory_transport_pair(max_messages=1)
    await left.send(b"1")
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def send() -> None:
            with pytest.raises(trio.ClosedResourceError if way == "aclose" else ConnectionLost):
                await left.send(b"2")

        await wait_all_tasks_blocked()
        if way == "drop":
            right.drop()
        else:
            await (left if way == "aclose" else right).aclose()


async def test_a_transport_is_pumped_once() -> None:
    left, right = memory_transport_pair()
    inbox = Inbox()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.pump, inbox)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await left.pump(inbox)
        await right.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await left.pump(inbox)


async def test_a_cancelled_close_closes_nevertheless() -> None:
    left, right = memory_transport_pair()
    with trio.CancelScope() as scope:
        scope.cancel()
        await left.aclose(1001, "away")
    assert scope.cancelled_caught
    assert await right.pump(Inbox()) == Closed(1001, "away")


async def test_every_call_is_a_checkpoint() -> None:
    left, right = memory_transport_pair()
    with trio.testing.assert_checkpoints():
        await left.send(b"1")
    with trio.testing.assert_checkpoints():
        await left.aclose()
    with trio.testing.assert_checkpoints():
        await right.pump(Inbox())


def test_an_inbox_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ConfigError):
        memory_transport_pair(max_messages=0)


async def test_what_happened_first_is_how_the_connection_ended() -> None:
    left, right = memory_transport_pair()
    await left.aclose(4000, "enough")
    left.drop()
    assert await right.pump(Inbox()) == Closed(4000, "enough")


async def test_frames_are_read_as_a_client_reads_them() -> None:
    left, right = memory_transport_pair()
    inbox = Inbox()
    await left.send_frames(b"\x89\x00\x01\x01a")  # a ping, and the beginning of a message
    await left.send_frames(b"\x80\x01b")
    await left.aclose_with(b"\x88\x02\x0f\xa0")
    await left.aclose_with(b"\x88\x00")
    assert await right.pump(inbox) == Closed(4000)
    assert inbox.messages == [b"ab"]


async def test_an_end_that_is_not_reading_leaves_messages_and_the_end_where_they_are() -> None:
    left, right = memory_transport_pair()
    inbox = Inbox()
    right.set_reading(False)
    await left.send(b"1")
    await left.aclose()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(right.pump, inbox)
        await wait_all_tasks_blocked()
        assert inbox.messages == []
        right.set_reading(True)
    assert inbox.messages == [b"1"]
