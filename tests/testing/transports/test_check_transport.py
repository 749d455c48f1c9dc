"""The suite for transports: those of this package pass it, and one that breaks a promise does not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest
import trio
from trio.testing import MockClock

from trio_realtime.errors import ConfigError, ConnectionLost
from trio_realtime.testing import MemoryTransport, check_message_transport, memory_transport_pair
from trio_realtime.testing.transports.transport_promises import PROMISES
from trio_realtime.transport import Closed, Deliver, MessageTransport, Payload

BINARY = b"\0binary "


class OverMemory(MessageTransport):
    """A transport that keeps every promise, over one in memory; here binary messages are those with a mark."""

    def __init__(self, inner: MemoryTransport) -> None:
        self.inner = inner

    async def pump(self, deliver: Deliver) -> Closed:
        def unmark(payload: Payload, binary: bool = False) -> None:
            taken = bytes(payload)
            deliver(taken.removeprefix(BINARY), taken.startswith(BINARY))

        return await self.inner.pump(unmark)

    async def send(self, *payloads: bytes) -> None:
        await self.inner.send(*payloads)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self.inner.aclose(code, reason)


async def drop(peer: MemoryTransport) -> None:
    peer.drop()


async def send_binary(peer: MemoryTransport, payload: bytes) -> None:
    await peer.send(BINARY + payload)


def pair_of(
    kind: Callable[[MemoryTransport], MessageTransport],
) -> Callable[[], AbstractAsyncContextManager[tuple[MessageTransport, MemoryTransport]]]:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[tuple[MessageTransport, MemoryTransport]]:
        left, right = memory_transport_pair()
        yield kind(left), right

    return opened


async def check(kind: Callable[[MemoryTransport], MessageTransport], except_for: Sequence[str] = ()) -> None:
    await check_message_transport(pair_of(kind), drop=drop, send_binary=send_binary, except_for=except_for)


async def test_the_transport_in_memory_passes_on_virtual_time(autojump_clock: MockClock) -> None:
    await check_message_transport(pair_of(lambda transport: transport), drop=drop)


async def test_a_transport_that_keeps_every_promise_passes_on_real_time() -> None:
    await check(OverMemory)


async def test_a_transport_that_takes_any_amount_passes(autojump_clock: MockClock) -> None:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[tuple[MemoryTransport, MemoryTransport]]:
        yield memory_transport_pair(max_messages=2000)

    await check_message_transport(opened)


async def test_what_the_peer_cannot_do_is_not_tried(autojump_clock: MockClock) -> None:
    await check_message_transport(pair_of(LosesTheBinaryFlag), except_for=["pump_runs_once"])
    await check_message_transport(pair_of(IsSilentWhenTheConnectionBroke))


async def test_promises_that_are_not_made_are_named_and_not_tried(autojump_clock: MockClock) -> None:
    await check(TellsNoReason, except_for=["aclose_tells_the_peer"])
    with pytest.raises(ConfigError, match=r"'pump_runs_twice'; there are: send_writes"):
        await check(OverMemory, except_for=["pump_runs_twice"])


# --- transports that break a promise, by the promise ----------------------------------------------------------------


class SendsInHalves(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        await super().send(*[half for each in payloads for half in (each[: len(each) // 2], each[len(each) // 2 :])])


class SendsInAnotherOrder(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        await super().send(*reversed(payloads))


class SendsNothingThatIsEmpty(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        await super().send(*filter(None, payloads))


class SendsOneByOne(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        for payload in payloads or (b"",)[:0]:
            await super().send(payload)
        await trio.lowlevel.checkpoint()


class SendsNothingWithoutACheckpoint(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        if payloads:
            await super().send(*payloads)


class TearsAMessageWhenCancelled(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await super().send(payloads[0][:3])
            raise
        await super().send(*payloads)


class BreaksWhenASenderIsCancelled(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        try:
            await super().send(*payloads)
        except trio.Cancelled:
            self.inner.drop()
            raise


class WritesMoreThanOnceWhenCancelled(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        await super().send(*payloads)
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await super().send(*payloads)
            raise


class GoesOnSendingWhenCancelled(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        with trio.CancelScope(shield=True):
            await super().send(*payloads)
        await trio.lowlevel.checkpoint_if_cancelled()


class IsSilentAfterAclose(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        with suppress(trio.ClosedResourceError):
            await super().send(*payloads)


class RaisesSomethingElseWhenThePeerClosed(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        try:
            await super().send(*payloads)
        except ConnectionLost:
            raise trio.BrokenResourceError from None


class IsSilentWhenTheConnectionBroke(OverMemory):
    async def send(self, *payloads: bytes) -> None:
        try:
            await super().send(*payloads)
        except ConnectionLost as lost:
            if lost.reason != "dropped":
                raise


class TakesWhatItDoesNotWrite(OverMemory):
    def send_nowait(self, payload: bytes) -> bool:
        return self.inner._ended is None and not self.inner._closed


class WritesWhatItDoesNotTake(OverMemory):
    def send_nowait(self, payload: bytes) -> bool:
        self.inner._peer._inbox.append((payload, False))
        return False


class TakesWhatNobodyWillRead(OverMemory):
    def send_nowait(self, payload: bytes) -> bool:
        return self.inner._closed


class HandsOverHalves(OverMemory):
    async def pump(self, deliver: Deliver) -> Closed:
        def halve(payload: Payload, binary: bool = False) -> None:
            deliver(payload[: len(payload) // 2], binary)
            deliver(payload[len(payload) // 2 :], binary)

        return await super().pump(halve)


class LosesTheBinaryFlag(OverMemory):
    async def pump(self, deliver: Deliver) -> Closed:
        return await super().pump(lambda payload, binary=False: deliver(payload))


class ForgetsWhyThePeerClosed(OverMemory):
    async def pump(self, deliver: Deliver) -> Closed:
        return Closed((await super().pump(deliver)).code)


class DropsWhatCameBeforeTheClose(OverMemory):
    async def pump(self, deliver: Deliver) -> Closed:
        await trio.lowlevel.checkpoint()
        if self.inner._ended is not None:
            self.inner._inbox.clear()
        return await super().pump(deliver)


class PumpsTwice(OverMemory):
    async def pump(self, deliver: Deliver) -> Closed:
        self.inner._pump_state = "not yet"
        return await super().pump(deliver)


class EndsWellWhenTheConnectionBroke(OverMemory):
    async def pump(self, deliver: Deliver) -> Closed:
        try:
            return await super().pump(deliver)
        except ConnectionLost:
            return Closed(1006)


class EndsWellAfterAclose(OverMemory):
    closed = False

    async def pump(self, deliver: Deliver) -> Closed:
        try:
            return await super().pump(deliver)
        except trio.ClosedResourceError:
            if not self.closed:
                raise
            return Closed(1000)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        self.closed = True
        await super().aclose(code, reason)


class ResumesReading(OverMemory):
    async def pump(self, deliver: Deliver) -> Closed:
        try:
            return await super().pump(deliver)
        except trio.Cancelled:
            self.inner._pump_state = "not yet"
            raise


class TearsAMessageWhenThePumpIsCancelled(OverMemory):
    async def pump(self, deliver: Deliver) -> Closed:
        try:
            return await super().pump(deliver)
        except trio.Cancelled:
            deliver(b"torn")
            raise


class SwallowsWhatDeliverRaises(OverMemory):
    async def pump(self, deliver: Deliver) -> Closed:
        def swallow(payload: Payload, binary: bool = False) -> None:
            with suppress(LookupError):
                deliver(payload, binary)

        return await super().pump(swallow)


class TellsNoReason(OverMemory):
    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await super().aclose()


class ClosesWithoutACheckpoint(OverMemory):
    closed = False

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        if not self.closed:
            self.closed = True
            await super().aclose(code, reason)


class Patient(OverMemory):
    """Waits in `aclose`."""

    closing = False

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        try:
            await trio.sleep(0.9)
        finally:
            await super().aclose(code, reason)


class LeavesTheSecondWhoCloses(Patient):
    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        if self.closing:
            await trio.lowlevel.checkpoint()
        else:
            self.closing = True
            await super().aclose(code, reason)


class ClosesTooLate(OverMemory):
    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await trio.sleep(2)
        await super().aclose(code, reason)


class RaisesWhenThePeerIsGone(OverMemory):
    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await super().aclose(code, reason)
        if self.inner._ended is not None:
            raise ConnectionLost("the peer was gone already")


class ClosesLateWhenCancelled(Patient):
    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        with trio.CancelScope(shield=True):
            await super().aclose(code, reason)
        await trio.lowlevel.checkpoint()


class StaysOpenWhenCancelled(OverMemory):
    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await trio.lowlevel.checkpoint()
        await super().aclose(code, reason)


BROKEN: dict[type[OverMemory], tuple[str, str]] = {
    SendsInHalves: ("send_writes_whole_messages_in_order", r"message 1 is b'' and not b'one'"),
    SendsInAnotherOrder: ("send_writes_whole_messages_in_order", r"message 0 is b'zz.*10000000 bytes\) and not b''"),
    SendsNothingThatIsEmpty: ("send_writes_whole_messages_in_order", "it hangs"),
    SendsOneByOne: ("send_keeps_the_messages_of_a_call_together", "stand between those of another"),
    SendsNothingWithoutACheckpoint: ("send_is_a_checkpoint", "did not yield"),
    TearsAMessageWhenCancelled: ("send_is_atomic_when_cancelled", "cancelled at checkpoint 0"),
    BreaksWhenASenderIsCancelled: ("send_is_atomic_when_cancelled", "ConnectionLost.* was raised"),
    WritesMoreThanOnceWhenCancelled: ("send_is_atomic_when_cancelled", "something else than whole messages"),
    GoesOnSendingWhenCancelled: ("send_is_atomic_when_cancelled", "cannot be cancelled"),
    IsSilentAfterAclose: ("send_raises_closed_after_aclose", "gave None, and not ClosedResourceError"),
    RaisesSomethingElseWhenThePeerClosed: ("send_raises_lost_after_the_peer_closed", "BrokenResourceError"),
    IsSilentWhenTheConnectionBroke: ("send_raises_lost_when_the_connection_broke", "None, and not ConnectionLost"),
    TakesWhatItDoesNotWrite: ("send_nowait_takes_a_message_or_leaves_it", "message 0 is b'after'"),
    WritesWhatItDoesNotTake: ("send_nowait_takes_a_message_or_leaves_it", "and not b'after'"),
    TakesWhatNobodyWillRead: ("send_nowait_takes_a_message_or_leaves_it", "taken after `aclose`"),
    HandsOverHalves: ("pump_delivers_whole_messages_in_order", "b'' and not b'one'"),
    LosesTheBinaryFlag: ("pump_tells_binary_from_text", r"message 1 is b'\\x00\\xff' and not binary b'\\x00\\xff'"),
    ForgetsWhyThePeerClosed: ("pump_returns_how_the_peer_closed", "Closed.*that was all"),
    DropsWhatCameBeforeTheClose: ("pump_returns_how_the_peer_closed", "0 came of 3"),
    PumpsTwice: ("pump_runs_once", "hangs"),
    EndsWellWhenTheConnectionBroke: ("pump_raises_lost_when_the_connection_broke", "1006.*not ConnectionLost"),
    EndsWellAfterAclose: ("pump_raises_closed_after_aclose", "Closed.*1000.*not ClosedResourceError"),
    ResumesReading: ("pump_tears_nothing_when_cancelled", "another pump gave"),
    TearsAMessageWhenThePumpIsCancelled: ("pump_tears_nothing_when_cancelled", "torn a message"),
    SwallowsWhatDeliverRaises: ("pump_ends_with_what_deliver_raises", "hangs"),
    TellsNoReason: ("aclose_tells_the_peer", "4002"),
    ClosesWithoutACheckpoint: ("aclose_may_be_called_again", "did not yield"),
    LeavesTheSecondWhoCloses: ("aclose_may_be_called_again", "returned before the first"),
    ClosesTooLate: ("aclose_is_in_time_whatever_the_peer_does", r"is silent took 2 s, and not at most 1\.5 s"),
    RaisesWhenThePeerIsGone: ("aclose_is_in_time_whatever_the_peer_does", "ConnectionLost.* was raised"),
    ClosesLateWhenCancelled: ("aclose_is_at_once_when_cancelled", r"went on for 0\.9 s"),
    StaysOpenWhenCancelled: ("aclose_is_at_once_when_cancelled", "None, and not ClosedResourceError"),
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
async def test_a_transport_that_breaks_a_promise_is_told_which(
    kind: type[OverMemory], autojump_clock: MockClock
) -> None:
    promise, detail = BROKEN[kind]
    with pytest.raises(AssertionError, match=detail) as caught:
        await check(kind)
    method = promise.partition("_")[0]
    assert str(caught.value).startswith(f"{promise}: `{method}` breaks its promise: ")


def test_each_promise_is_broken_by_a_transport_here() -> None:
    assert {promise for promise, _ in BROKEN.values()} == {promise.__name__ for promise in PROMISES}


async def test_a_suite_that_is_cancelled_is_cancelled(autojump_clock: MockClock) -> None:
    with trio.move_on_after(0.5) as scope:
        await check(ClosesTooLate)
    assert scope.cancelled_caught
