"""The fan-out, and the receive channel of each subscriber, held against Trio's memory channel where they agree."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings, strategies as st
from trio.testing import MockClock

from trio_realtime.channels import Fanout, UpdateChannel
from trio_realtime.errors import ConnectionLost, SubscriberOverflow
from trio_realtime.state.updates import RateLimitsUpdated, RawEvent, SpeechStarted
from trio_realtime.testing.cancel_at_step import cancelled_at
from trio_realtime.update_buffer import DEFAULT_BUFFER_BYTES, UPDATE_BYTES, Overflow
from trio_realtime.wire import server_events as server

A = SpeechStarted(item_id="a", audio_start_ms=1)
B = SpeechStarted(item_id="b", audio_start_ms=2)
LIMITS = RateLimitsUpdated(rate_limits=())
RAW = RawEvent(time=0.0, source="server", event=None)


def subscribe(
    fanout: Fanout, *types: type[Any], max_buffer_bytes: int = DEFAULT_BUFFER_BYTES, overflow: Overflow = "raise"
) -> UpdateChannel[Any]:
    return fanout.subscribe(types, name=None, max_buffer_bytes=max_buffer_bytes, overflow=overflow)


# --- the fan-out ----------------------------------------------------------------------------------------------------


async def test_each_subscriber_gets_the_types_that_it_asked_for() -> None:
    fanout = Fanout()
    with (
        subscribe(fanout) as all_but_raw,
        subscribe(fanout, SpeechStarted) as speech,
        subscribe(fanout, RawEvent) as raw,
    ):
        for update in (A, LIMITS, RAW, B):
            fanout.publish(update)
        assert [all_but_raw.receive_nowait() for _ in range(3)] == [A, LIMITS, B]
        assert [speech.receive_nowait() for _ in range(2)] == [A, B]
        assert raw.receive_nowait() is RAW
        for channel in (all_but_raw, speech, raw):
            with pytest.raises(trio.WouldBlock):
                channel.receive_nowait()


async def test_nothing_is_wanted_when_nobody_subscribed_to_it() -> None:
    fanout = Fanout()
    assert not fanout.wants(RawEvent)
    with subscribe(fanout):
        assert not fanout.wants(RawEvent)
        assert fanout.wants(SpeechStarted)
        with subscribe(fanout, RawEvent):
            assert fanout.wants(RawEvent)
        assert not fanout.wants(RawEvent)
    assert not fanout.wants(SpeechStarted)


async def test_a_subscriber_gets_what_is_published_while_it_is_subscribed() -> None:
    fanout = Fanout()
    channel = subscribe(fanout)
    fanout.publish(A)
    with channel:
        fanout.publish(B)
        assert await channel.receive() is B
    fanout.publish(A)
    with pytest.raises(trio.ClosedResourceError):
        channel.receive_nowait()


async def test_a_subscriber_that_leaves_early_is_forgotten() -> None:
    fanout = Fanout()
    with subscribe(fanout) as stays:
        with subscribe(fanout) as leaves:
            fanout.publish(A)
            assert len(fanout.statistics()) == 2
        assert leaves.statistics().buffered_updates == 0
        assert [each.name for each in fanout.statistics()] == ["updates#1"]
        fanout.publish(B)
        assert [stays.receive_nowait() for _ in range(2)] == [A, B]
    assert fanout.statistics() == ()


async def test_removing_who_is_not_there_changes_nothing() -> None:
    class Ears:
        types = (SpeechStarted,)

        def push(self, update: object) -> None:
            raise NotImplementedError

        def end(self, error: BaseException | None) -> None:
            raise NotImplementedError

    fanout, ears = Fanout(), Ears()
    fanout.add(ears)
    for _ in range(2):
        fanout.remove(ears)
    fanout.publish(A)
    fanout.end(None)


async def test_a_stalled_subscriber_delays_nobody() -> None:
    fanout = Fanout()
    with subscribe(fanout, max_buffer_bytes=1000, overflow="drop_oldest"), subscribe(fanout) as lively:
        for _ in range(1000):
            fanout.publish(A)
            assert await lively.receive() is A


# --- receiving, as from a memory channel ----------------------------------------------------------------------------


async def test_receive_waits_for_the_next_update() -> None:
    fanout, got = Fanout(), []

    async def receive(channel: UpdateChannel[Any]) -> None:
        got.append(await channel.receive())

    with subscribe(fanout) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, channel)
            await trio.testing.wait_all_tasks_blocked()
            assert channel.statistics().tasks_waiting_receive == 1
            fanout.publish(A)
            assert channel.statistics().tasks_waiting_receive == 0
            assert channel.statistics().buffered_updates == 0
            fanout.publish(B)
        assert got == [A]
        assert await channel.receive() is B


async def test_receive_is_a_checkpoint_even_when_an_update_is_there() -> None:
    fanout = Fanout()
    with subscribe(fanout) as channel:
        fanout.publish(A)
        with trio.testing.assert_checkpoints():
            await channel.receive()
        fanout.publish(A)
        with trio.testing.assert_no_checkpoints():
            channel.receive_nowait()
        with trio.testing.assert_checkpoints():
            await channel.aclose()


async def test_a_cancelled_receive_takes_nothing() -> None:
    fanout = Fanout()
    with subscribe(fanout) as channel:
        fanout.publish(A)
        with trio.CancelScope() as scope:
            scope.cancel()
            await channel.receive()
        assert scope.cancelled_caught
        assert await channel.receive() is A


async def test_a_receive_that_is_cancelled_while_it_waits_takes_nothing(autojump_clock: MockClock) -> None:
    fanout = Fanout()
    with subscribe(fanout) as channel:
        with trio.move_on_after(1) as scope:
            await channel.receive()
        assert scope.cancelled_caught
        fanout.publish(A)
        assert await channel.receive() is A


@pytest.mark.parametrize("step", [0, 1])
async def test_a_receive_that_is_cancelled_while_an_update_is_there_gives_it_or_leaves_it(step: int) -> None:
    fanout, got = Fanout(), []

    async def receive() -> None:
        got.append(await channel.receive())

    with subscribe(fanout) as channel:
        fanout.publish(A)
        assert await cancelled_at(step, receive) is not bool(got)
        assert got + [channel.receive_nowait() for _ in range(channel.statistics().buffered_updates)] == [A]


async def test_an_update_that_was_handed_over_is_received_even_if_the_cancellation_comes_before_the_task_runs() -> None:
    fanout, got = Fanout(), []

    async def receive(channel: UpdateChannel[Any]) -> None:
        got.append(await channel.receive())

    with subscribe(fanout) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, channel)
            await trio.testing.wait_all_tasks_blocked()
            fanout.publish(A)
            nursery.cancel_scope.cancel()
        assert got == [A]


async def test_two_tasks_in_one_receive_are_an_error_and_a_clone_is_for_sharing() -> None:
    fanout, got = Fanout(), []

    async def receive(channel: UpdateChannel[Any]) -> None:
        got.append(await channel.receive())

    with subscribe(fanout) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, channel)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await channel.receive()
            with channel.clone() as clone:
                nursery.start_soon(receive, clone)
                await trio.testing.wait_all_tasks_blocked()
                assert channel.statistics().tasks_waiting_receive == 2
                fanout.publish(A)
                fanout.publish(B)
                await trio.testing.wait_all_tasks_blocked()
        assert sorted(got, key=lambda each: each.audio_start_ms) == [A, B]


@pytest.mark.parametrize("end", [None, ConnectionLost("gone", code=1006)])
async def test_the_end_wakes_everybody_and_comes_after_what_is_left(end: ConnectionLost | None) -> None:
    fanout, ends = Fanout(), []
    kind = trio.EndOfChannel if end is None else ConnectionLost

    async def wait(channel: UpdateChannel[Any]) -> None:
        with pytest.raises(kind) as caught:
            await channel.receive()
        ends.append(caught.value)

    with subscribe(fanout) as one, subscribe(fanout) as other, subscribe(fanout, RateLimitsUpdated) as third:
        fanout.publish(LIMITS)
        assert one.receive_nowait() is other.receive_nowait() is LIMITS
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, one)
            nursery.start_soon(wait, other)
            await trio.testing.wait_all_tasks_blocked()
            fanout.end(end)
            fanout.end(RuntimeError("a second end counts for nothing"))
        assert third.receive_nowait() is LIMITS
        await wait(third)
        await wait(third)
    assert len({id(each) for each in [*ends, end]}) == 5, "each gets an instance of their own"
    if end is not None:
        assert {each.code for each in ends if isinstance(each, ConnectionLost)} == {1006}


async def test_iterating_ends_with_the_channel() -> None:
    fanout = Fanout()
    with subscribe(fanout) as channel:
        fanout.publish(A)
        fanout.publish(B)
        fanout.end(None)
        assert [update async for update in channel] == [A, B]


async def test_nobody_subscribes_to_what_has_ended() -> None:
    fanout = Fanout()
    fanout.end(None)
    with pytest.raises(trio.ClosedResourceError):
        subscribe(fanout).__enter__()


async def test_whoever_subscribes_after_a_failure_gets_the_failure() -> None:
    fanout, failure = Fanout(), ConnectionLost("gone", code=1011)
    fanout.end(failure)
    with pytest.raises(ConnectionLost, match="gone") as caught:
        subscribe(fanout).__enter__()
    assert caught.value is not failure


# --- opening and closing --------------------------------------------------------------------------------------------


async def test_a_channel_is_open_inside_its_with_only() -> None:
    fanout = Fanout()
    channel = subscribe(fanout)
    for use in (channel.receive_nowait, channel.clone):
        with pytest.raises(trio.ClosedResourceError):
            use()
    with channel as entered:
        assert entered is channel
    with pytest.raises(trio.ClosedResourceError):
        await channel.receive()
    with pytest.raises(trio.ClosedResourceError):
        channel.__enter__()
    channel.close()
    await channel.aclose()


async def test_closing_wakes_who_receives_from_this_channel_and_not_from_its_clones() -> None:
    fanout, got = Fanout(), []

    async def receive(channel: UpdateChannel[Any]) -> None:
        got.append(await channel.receive())

    async def closed(channel: UpdateChannel[Any]) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await channel.receive()

    channel = subscribe(fanout)
    with channel:
        clone = channel.clone()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, clone)
            nursery.start_soon(closed, channel)
            await trio.testing.wait_all_tasks_blocked()
            channel.close()
            await trio.testing.wait_all_tasks_blocked()
            assert clone.statistics().open_channels == 1
            fanout.publish(A)
        assert got == [A]
        fanout.publish(B)
        assert clone.receive_nowait() is B
        clone.close()
        assert fanout.statistics() == ()


async def test_async_with_subscribes_too() -> None:
    fanout = Fanout()
    async with subscribe(fanout) as channel:
        fanout.publish(A)
        assert await channel.receive() is A
    assert fanout.statistics() == ()


async def test_entering_twice_subscribes_once() -> None:
    fanout = Fanout()
    with subscribe(fanout) as channel:
        channel.__enter__()
        fanout.publish(A)
        assert channel.statistics().buffered_updates == 1
        assert channel.statistics().open_channels == 1


# --- the bound ------------------------------------------------------------------------------------------------------


async def test_statistics_say_how_a_subscription_stands() -> None:
    fanout = Fanout()
    with fanout.subscribe((SpeechStarted,), name="ears", max_buffer_bytes=10_000, overflow="raise") as channel:
        fanout.publish(A)
        statistics = channel.statistics()
        assert (statistics.name, statistics.buffered_updates, statistics.buffered_bytes) == ("ears", 1, UPDATE_BYTES)
        assert (statistics.max_buffer_bytes, statistics.dropped_deltas, statistics.open_channels) == (10_000, 0, 1)
        assert fanout.statistics() == (statistics,)


async def test_an_overflow_comes_after_what_fitted_and_stays() -> None:
    fanout = Fanout()
    delta = RawEvent(time=0.0, source="server", event=server.ResponseOutputTextDelta(item_id="i", delta="x" * 400))
    with fanout.subscribe((RawEvent,), name="slow", max_buffer_bytes=1000, overflow="raise") as channel:
        for _ in range(3):
            fanout.publish(delta)
        assert await channel.receive() is delta
        errors = []
        for receive in (channel.receive, channel.receive):
            with pytest.raises(SubscriberOverflow, match="slow") as caught:
                await receive()
            errors.append(caught.value)
        assert errors[0] is not errors[1]
        assert (errors[0].subscriber, errors[0].dropped, errors[0].held_bytes) == ("slow", 2, 656)
        fanout.publish(RAW)
        assert await channel.receive() is RAW, "what is no delta is never lost"
        fanout.end(None)
        with pytest.raises(SubscriberOverflow):
            channel.receive_nowait()


# --- any order of things --------------------------------------------------------------------------------------------


happening = st.sampled_from(["publish", "publish", "receive", "receive", "yield", "cancel", "nowait", "clone"])


@settings(deadline=None, max_examples=60)
@given(st.lists(happening, max_size=10) | st.lists(happening, min_size=20, max_size=60), st.booleans())
def test_whatever_happens_each_update_is_received_once_and_in_order(script: list[str], fail: bool) -> None:
    """Receivers come, go, share and are cancelled; the updates are all there, in order for each receiver."""

    async def main() -> None:
        fanout = Fanout()
        got: list[list[int]] = []
        published = 0

        async def receive(channel: UpdateChannel[Any], scope: trio.CancelScope) -> None:
            mine: list[int] = []
            got.append(mine)
            with scope, channel:
                while True:
                    try:
                        mine.append((await channel.receive()).audio_start_ms)
                    except (trio.EndOfChannel, ConnectionLost):
                        return

        with subscribe(fanout) as channel:
            nowait: list[int] = []
            got.append(nowait)
            scopes: list[trio.CancelScope] = []
            async with trio.open_nursery() as nursery:
                for step in script:
                    if step == "publish":
                        fanout.publish(SpeechStarted(item_id=None, audio_start_ms=published))
                        published += 1
                    elif step == "receive":
                        await trio.testing.wait_all_tasks_blocked()
                    elif step == "yield":
                        await trio.lowlevel.checkpoint()
                    elif step == "clone":
                        scopes.append(trio.CancelScope())
                        nursery.start_soon(receive, channel.clone(), scopes[-1])
                    elif step == "cancel" and scopes:
                        scopes.pop().cancel()
                    elif step == "nowait" and channel.statistics().buffered_updates:
                        nowait.append(channel.receive_nowait().audio_start_ms)
                await trio.testing.wait_all_tasks_blocked()
                while channel.statistics().buffered_updates:
                    nowait.append(channel.receive_nowait().audio_start_ms)
                fanout.end(ConnectionLost("gone") if fail else None)
            assert channel.statistics().open_channels == 1
        assert sorted(each for mine in got for each in mine) == list(range(published))
        assert all(mine == sorted(mine) for mine in got)

    trio.run(main, clock=MockClock(autojump_threshold=0))
