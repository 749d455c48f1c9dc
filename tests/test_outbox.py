"""What waits to be written: in order, urgent first, bounded, and never in the way of the end."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from trio_realtime.errors import ConnectionLost
from trio_realtime.outbox import BATCH_BYTES, MAX_QUEUED_AUDIO_BYTES, Outbox
from trio_realtime.transport import Closed, Deliver, MessageTransport


class Sink(MessageTransport):
    """Notes what is written; while `open` is not set it does not take it."""

    def __init__(self) -> None:
        self.writes: list[tuple[bytes, ...]] = []
        self.open = trio.Event()
        self.error: Exception | None = None

    @property
    def written(self) -> list[bytes]:
        return [payload for write in self.writes for payload in write]

    async def pump(self, deliver: Deliver) -> Closed:
        raise NotImplementedError

    async def send(self, *payloads: bytes) -> None:
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.writes.append(payloads)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        raise NotImplementedError


class QuickSink(Sink):
    """Writes without waiting while it is `quick`."""

    def __init__(self) -> None:
        super().__init__()
        self.quick = True

    def send_nowait(self, payload: bytes) -> bool:
        if self.quick:
            self.writes.append((payload,))
        return self.quick


async def test_what_is_put_in_is_written_in_order_in_few_writes(nursery: trio.Nursery) -> None:
    outbox, sink = Outbox(), Sink()
    sink.open.set()
    nursery.start_soon(outbox.write_to, sink)
    payloads = [b"%d" % number for number in range(100)]
    for payload in payloads:
        outbox.put(payload)
    assert outbox.queued_bytes == sum(map(len, payloads))
    await outbox.wait_empty()
    assert sink.written == payloads
    assert len(sink.writes) == 1
    assert outbox.queued_bytes == 0
    outbox.put(b"again")
    await outbox.wait_empty()
    assert sink.written[-1] == b"again"


async def test_what_is_urgent_overtakes_what_waits_and_keeps_its_own_order(nursery: trio.Nursery) -> None:
    outbox, sink = Outbox(), Sink()
    nursery.start_soon(outbox.write_to, sink)
    outbox.put(b"first")
    await trio.testing.wait_all_tasks_blocked()  # the transport has it
    for index in range(20):
        outbox.put(b"audio %d " % index * 2000)
    outbox.put(b"cancel", urgent=True)
    outbox.put(b"truncate", urgent=True)
    sink.open.set()
    await outbox.wait_empty()
    assert sink.written[:3] == [b"first", b"cancel", b"truncate"]
    assert [each.split()[1] for each in sink.written[3:]] == [b"%d" % index for index in range(20)]


async def test_the_transport_is_given_little_at_a_time_so_that_much_can_be_overtaken(nursery: trio.Nursery) -> None:
    outbox, sink = Outbox(), Sink()
    nursery.start_soon(outbox.write_to, sink)
    for _ in range(100):
        outbox.put(b"x" * 10_000)
    await trio.testing.wait_all_tasks_blocked()
    outbox.put(b"cancel", urgent=True)
    sink.open.set()
    await outbox.wait_empty()
    assert sum(map(len, sink.writes[0])) <= BATCH_BYTES + 10_000
    assert sink.writes[1][0] == b"cancel"


async def test_one_large_event_is_one_write(nursery: trio.Nursery) -> None:
    outbox, sink = Outbox(), Sink()
    sink.open.set()
    nursery.start_soon(outbox.write_to, sink)
    outbox.put(b"x" * (BATCH_BYTES * 3))
    await outbox.wait_empty()
    assert [len(write) for write in sink.writes] == [1]


async def test_what_need_not_wait_is_written_at_once_and_by_nobody_else(nursery: trio.Nursery) -> None:
    outbox, sink = Outbox(), QuickSink()
    outbox.put(b"before there is a connection")
    nursery.start_soon(outbox.write_to, sink)
    outbox.put(b"before its task runs")
    assert sink.written == []
    sink.open.set()
    await outbox.wait_empty()
    await trio.testing.wait_all_tasks_blocked()
    outbox.put(b"at once")
    outbox.put(b"and this too", urgent=True)
    assert sink.written[2:] == [b"at once", b"and this too"]
    assert outbox.queued_bytes == 0
    await outbox.wait_empty()
    await trio.testing.wait_all_tasks_blocked()
    assert len(sink.written) == 4


async def test_nothing_is_written_at_once_while_something_waits(nursery: trio.Nursery) -> None:
    outbox, sink = Outbox(), QuickSink()
    nursery.start_soon(outbox.write_to, sink)
    await trio.testing.wait_all_tasks_blocked()
    sink.quick = False
    outbox.put(b"1")
    sink.quick = True
    outbox.put(b"2")  # the task that writes has not run yet
    await trio.testing.wait_all_tasks_blocked()
    outbox.put(b"3")  # the transport is busy with the first
    assert sink.written == []
    sink.open.set()
    await outbox.wait_empty()
    assert sink.written == [b"1", b"2", b"3"]


async def test_nothing_is_written_at_once_after_the_end(nursery: trio.Nursery) -> None:
    outbox, sink = Outbox(), QuickSink()
    nursery.start_soon(outbox.write_to, sink)
    await trio.testing.wait_all_tasks_blocked()
    outbox.close()
    outbox.put(b"x")
    assert sink.written == []


async def test_there_is_room_until_too_much_waits(nursery: trio.Nursery) -> None:
    outbox, sink = Outbox(), Sink()
    with trio.testing.assert_no_checkpoints():
        await outbox.wait_room()
    outbox.put(b"x" * (MAX_QUEUED_AUDIO_BYTES + 1))
    went_on = trio.Event()

    async def append() -> None:
        await outbox.wait_room()
        went_on.set()

    nursery.start_soon(append)
    await trio.testing.wait_all_tasks_blocked()
    assert not went_on.is_set()
    nursery.start_soon(outbox.write_to, sink)
    await went_on.wait()


async def test_the_end_wakes_who_waits_for_room_and_for_emptiness() -> None:
    outbox = Outbox()
    outbox.put(b"x" * (MAX_QUEUED_AUDIO_BYTES + 1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.wait_room)
        nursery.start_soon(outbox.wait_empty)
        await trio.testing.wait_all_tasks_blocked()
        outbox.close()
    before = outbox.queued_bytes
    outbox.put(b"after the end")
    assert outbox.queued_bytes == before


async def test_nobody_waits_for_a_writer_that_is_gone() -> None:
    outbox, sink = Outbox(), Sink()
    sink.error = ConnectionLost("gone")
    sink.open.set()
    outbox.put(b"x")
    with pytest.raises(ConnectionLost):
        await outbox.write_to(sink)
    outbox.put(b"y")
    await outbox.wait_empty()


async def test_a_writer_can_be_cancelled_while_it_waits_and_nothing_wakes_it_then(nursery: trio.Nursery) -> None:
    outbox, sink = Outbox(), Sink()
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_idle, scope)
        await outbox.write_to(sink)
    outbox.put(b"x")
    await trio.testing.wait_all_tasks_blocked()
    assert sink.writes == []


async def cancel_when_idle(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()
