"""Calls of tools that fail, take too long or are cancelled, and what they say before."""

import functools
import logging
import threading
from typing import Any

import pytest
import trio
import trio.testing

from tests.tool_calling import context, error_of, run
from trio_realtime.errors import ToolError
from trio_realtime.tools import ToolContext, ToolOutcome, tool

# --- failures ----------------------------------------------------------------------------------------------------


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError


FAILURES = [
    (ValueError("no such place"), "no such place"),
    (ValueError(), "ValueError"),
    (Silent(), "Silent"),
    (StopIteration("x"), "coroutine raised StopIteration"),
    (ExceptionGroup("tasks", [ValueError("one"), ExceptionGroup("more", [KeyError("two")])]), "one; 'two'"),
    (ValueError("half a \ud800"), "half a ?"),
]


@pytest.mark.parametrize(("error", "said"), FAILURES)
async def test_the_model_is_told_what_an_exception_says_and_no_more(error: Exception, said: str) -> None:
    @tool
    async def look() -> None:
        raise error

    outcome = await run(look)
    assert error_of(outcome) == said


async def test_an_exception_in_a_thread_is_told_too() -> None:
    @tool
    def look() -> None:
        raise LookupError("not here")

    assert error_of(await run(look)) == "not here"


async def test_an_exception_ends_the_session_if_the_tool_says_so() -> None:
    problem = ValueError("no such place")

    @tool(on_error="raise")
    async def look() -> None:
        raise problem

    with pytest.raises(ToolError, match="tool 'look' failed: no such place") as caught:
        await run(look)
    assert caught.value.__cause__ is problem
    assert (caught.value.name, caught.value.call_id) == ("look", "call_1")


async def test_a_result_that_cannot_be_encoded_is_the_tools_failure() -> None:
    @tool(on_error="raise")
    async def look() -> object:
        return object()

    with pytest.raises(ToolError, match="cannot be encoded"):
        await run(look)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BaseExceptionGroup("x", [KeyboardInterrupt(), ValueError()])])
async def test_what_ends_the_program_is_no_outcome(error: BaseException) -> None:
    @tool
    async def look() -> None:
        raise error

    with pytest.raises(type(error)):
        await run(look)


# --- time --------------------------------------------------------------------------------------------------------


async def test_a_tool_that_takes_too_long_is_cancelled_and_the_model_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ended: list[float] = []

    @tool(timeout=2.5)
    async def look() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    began = trio.current_time()
    outcome = await run(look)
    assert error_of(outcome) == "look did not finish within 2.5 s"
    assert isinstance(outcome.error, trio.TooSlowError)
    assert ended == [began + 2.5]


async def test_taking_too_long_is_a_failure(autojump_clock: trio.testing.MockClock) -> None:
    @tool(timeout=1, on_error="raise")
    async def look() -> None:
        await trio.sleep_forever()

    with pytest.raises(ToolError, match="did not finish within 1 s"):
        await run(look)


async def test_a_result_in_time_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    @tool(timeout=2)
    async def look() -> str:
        await trio.sleep(1.5)
        return "seen"

    assert (await run(look)).output == "seen"


async def test_no_more_calls_run_at_once_than_may_and_waiting_takes_no_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    running = 0
    most = 0

    @tool(max_concurrency=2, timeout=1.5)
    async def look() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1

    limiter = look.limiter()
    outcomes: list[ToolOutcome] = []

    async def one() -> None:
        outcomes.append(await run(look, limiter=limiter))

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(one)
    assert most == 2
    assert trio.current_time() - began == 3
    assert [outcome.error for outcome in outcomes] == [None] * 6
    assert limiter.borrowed_tokens == 0


# --- cancellation ------------------------------------------------------------------------------------------------


async def test_cancelling_a_call_cancels_the_function() -> None:
    events: list[str] = []

    @tool
    async def look() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            events.append("cancelled")
            raise

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, look)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    assert events == ["cancelled"]


@pytest.mark.parametrize("on_error", ["report", "raise"])
async def test_a_clean_up_that_fails_does_not_stop_a_cancellation(
    on_error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @tool(on_error=on_error)
    async def look() -> None:
        async def failing() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("in cleaning up")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(failing)
            nursery.start_soon(trio.sleep_forever)

    finished = False

    async def call() -> None:
        nonlocal finished
        await run(look)
        finished = True

    with caplog.at_level(logging.ERROR, "trio_realtime"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert not finished
    assert [record.getMessage() for record in caplog.records] == ["tool 'look' failed while it was cancelled"]


async def test_what_ends_the_program_is_not_lost_in_a_cancellation() -> None:
    @tool
    async def look() -> None:
        async def failing() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise KeyboardInterrupt

        async with trio.open_nursery() as nursery:
            nursery.start_soon(failing)
            nursery.start_soon(trio.sleep_forever)

    async def call_and_cancel() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, look)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    with pytest.raises(BaseExceptionGroup) as caught:
        await call_and_cancel()
    assert caught.group_contains(KeyboardInterrupt)


class Thread:
    """A sync function that says when it runs, and ends when it is told."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.may_end = threading.Event()
        self.ended = trio.Event()

    def __call__(self) -> None:
        trio.from_thread.run_sync(self.begun.set)
        self.may_end.wait(10)
        trio.from_thread.run_sync(self.ended.set)


async def test_a_thread_is_abandoned_when_its_call_is_cancelled() -> None:
    thread = Thread()

    @tool(max_concurrency=1)
    def look() -> None:
        thread()

    limiter = look.limiter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(run, look, limiter=limiter))
        await thread.begun.wait()
        nursery.cancel_scope.cancel()
    # It is over for Trio, but the thread still runs, and another would be one too many.
    assert not thread.ended.is_set()
    assert limiter.available_tokens == 0
    thread.may_end.set()
    async with limiter:
        assert thread.ended.is_set()


async def test_a_thread_is_abandoned_when_it_takes_too_long(mock_clock: trio.testing.MockClock) -> None:
    thread = Thread()
    outcomes: list[ToolOutcome] = []

    @tool(timeout=30)
    def look() -> None:
        thread()

    async def call() -> None:
        outcomes.append(await run(look))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await thread.begun.wait()
        mock_clock.jump(31)
    assert error_of(outcomes[0]) == "look did not finish within 30 s"
    assert not thread.ended.is_set()
    thread.may_end.set()
    await thread.ended.wait()


async def test_threads_of_tools_do_not_take_the_places_of_the_programs_own() -> None:
    thread = Thread()
    default = trio.to_thread.current_default_thread_limiter()

    @tool
    def look() -> int:
        thread()
        return 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, look)
        await thread.begun.wait()
        assert default.borrowed_tokens == 0
        thread.may_end.set()


# --- progress ----------------------------------------------------------------------------------------------------


async def test_progress_is_handed_on_until_the_call_ends() -> None:
    values: list[Any] = []
    mine = context(values.append)

    @tool
    async def look(call: ToolContext) -> None:
        call.progress(1)
        call.progress({"half": "way"})

    await look.run("{}", mine)
    mine.progress("too late")
    assert values == [1, {"half": "way"}]


async def test_progress_in_a_thread_is_handed_on_in_trio_before_the_call_ends() -> None:
    values: list[tuple[Any, bool]] = []
    mine = context(lambda value: values.append((value, trio.lowlevel.in_trio_run())))

    @tool
    def look(call: ToolContext) -> None:
        for n in range(3):
            call.progress(n)

    await look.run("{}", mine)
    assert values == [(0, True), (1, True), (2, True)]


async def test_progress_in_another_run_of_trio_comes_back_to_this_one() -> None:
    values: list[Any] = []
    mine = context(lambda value: values.extend([value, threading.current_thread()]))

    @tool
    def look(call: ToolContext) -> None:
        async def inner() -> None:
            call.progress("from inside")

        trio.run(inner)

    await look.run("{}", mine)
    assert values == ["from inside", threading.current_thread()]


def test_progress_of_a_thread_that_outlives_the_program_is_lost() -> None:
    kept: list[ToolContext] = []

    async def main() -> None:
        kept.append(context())

    trio.run(main)
    kept[0].progress("too late")
