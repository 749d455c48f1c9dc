"""Waiting for what the assistant says next."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    TurnDone,
)
from trio_realtime.testing import says

from .talking import (
    talking,
)


async def test_a_reply_is_waited_for_however_late_one_asks(autojump_clock: MockClock) -> None:
    async with talking(says("One."), says("Two."), says("Three."), pace=0.1) as (session, _):
        await session.send_message("a")
        early = await session.wait_for_reply()
        await session.send_message("b")
        await trio.sleep(100)
        late = await session.wait_for_reply()
        assert early.responses[0].id != late.responses[0].id
        with trio.move_on_after(100) as scope:
            await session.wait_for_reply()
        assert scope.cancelled_caught  # each is given once
        await session.send_message("c")
        both: list[TurnDone] = []

        async def wait() -> None:
            both.append(await session.wait_for_reply())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(wait)
        assert both[0] == both[1]


async def test_a_reply_under_way_comes_before_one_that_is_over(autojump_clock: MockClock) -> None:
    async with talking(says("One."), says("Two.")) as (session, _):
        await session.send_message("a")
        await trio.sleep(100)
        await session.send_message("b")
        reply = await session.wait_for_reply()
        assert reply.responses[0].output is not None
        assert reply.responses[0].output[0].id == session.conversation.items[-1].id


async def test_what_respond_saw_or_what_was_cancelled_or_stands_beside_is_no_reply_to_wait_for(
    autojump_clock: MockClock,
) -> None:
    async with talking(*[says("A long story.")] * 4) as (session, _):
        async with session.respond("a") as turn:
            await turn.done()
        async with session.respond("b"):
            await trio.sleep(0.1)
        await trio.sleep(1)
        async with session.respond(conversation="none") as beside, trio.open_nursery() as nursery:
            replies: list[TurnDone] = []

            async def wait() -> None:
                replies.append(await session.wait_for_reply())

            nursery.start_soon(wait)
            await beside.done()
            await trio.sleep(10)
            assert replies == []
            await session.send_message("c")
        assert [reply.beside for reply in replies] == [False]


async def test_waiting_for_a_reply_ends_with_the_session(autojump_clock: MockClock) -> None:
    ended = trio.Event()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError, match="before there was a reply"):
                await session.wait_for_reply()
            ended.set()

        async with talking() as (session, _):
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
        with trio.fail_after(0.001):
            await ended.wait()
        with pytest.raises(trio.ClosedResourceError):
            await session.wait_for_reply()
