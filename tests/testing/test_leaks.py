"""What a block left behind is found, and named."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import trio
import trio.testing

from trio_realtime.testing import assert_no_leaks
from trio_realtime.testing.leaks import _BegunGenerators, _target


def told(what: str | None = None) -> pytest.RaisesExc[AssertionError]:
    """Expect that the block inside is found to leave something behind."""
    return pytest.raises(AssertionError, match=what)


async def counting() -> AsyncGenerator[int]:
    yield 1
    yield 2


async def stay_behind() -> None:
    await trio.sleep_forever()


async def test_a_block_that_clears_up_passes(nursery: trio.Nursery, tmp_path: Path) -> None:
    with assert_no_leaks():
        async with trio.open_nursery() as inner:
            inner.start_soon(trio.lowlevel.checkpoint)
        assert [number async for number in counting()] == [1, 2]
        await trio.to_thread.run_sync(lambda: None)
        (tmp_path / "file").write_text("x")
        with socket.create_server(("127.0.0.1", 0)):
            pass
    nursery.start_soon(stay_behind)
    await trio.testing.wait_all_tasks_blocked()
    with assert_no_leaks():  # what was there before is nobody's fault
        await trio.lowlevel.checkpoint()
    nursery.cancel_scope.cancel()


async def test_a_task_is_told_with_its_name_and_its_coroutine(nursery: trio.Nursery) -> None:
    with told(r"task 'my name' \(stay_behind\)"), assert_no_leaks():
        nursery.start_soon(stay_behind, name="my name")
    nursery.cancel_scope.cancel()


async def test_a_socket_is_told_with_its_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with told() as caught, assert_no_leaks():
            near = socket.create_connection(("127.0.0.1", port))
        with near:
            mine = near.getsockname()[1]
            assert f"socket 127.0.0.1:{mine} connected to 127.0.0.1:{port}" in str(caught.value)
        assert _target(listening.fileno()) == f"socket 127.0.0.1:{port}, not connected"
    left, right = socket.socketpair()
    with left, right:
        assert _target(left.fileno()) == "socket '' connected to ''"


async def test_a_file_is_told_with_its_path(tmp_path: Path) -> None:
    with told(f"descriptor [0-9]+: {tmp_path}/file"), assert_no_leaks():
        number = os.open(tmp_path / "file", os.O_CREAT)
    os.close(number)


async def test_another_file_under_the_number_of_one_that_was_closed_is_found(tmp_path: Path) -> None:
    number = os.open(tmp_path / "one", os.O_CREAT)
    with told(f"descriptor {number}: {tmp_path}/two"), assert_no_leaks():
        os.close(number)
        assert os.open(tmp_path / "two", os.O_CREAT) == number
    os.close(number)


def test_a_thread_is_told_with_its_name() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="my thread")
    with told("thread 'my thread'"), assert_no_leaks():
        thread.start()
    over.set()
    thread.join()


async def test_a_thread_of_trio_that_was_abandoned_at_work_is_found() -> None:
    over, at_work = threading.Event(), trio.Event()

    def work() -> None:
        trio.from_thread.run_sync(at_work.set)
        over.wait()

    with told(r"thread '.*work from "), assert_no_leaks():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: trio.to_thread.run_sync(work, abandon_on_cancel=True))
            await at_work.wait()
            nursery.cancel_scope.cancel()
    over.set()


async def test_a_generator_that_was_not_exhausted_is_told_with_its_place() -> None:
    generator = counting()
    with told(r"generator 'counting' of .*test_leaks\.py:\d+"), assert_no_leaks():
        assert await anext(generator) == 1
    await generator.aclose()


async def test_a_generator_that_was_dropped_half_way_is_seen_all_the_same() -> None:
    generators = _BegunGenerators()
    await anext(counting())
    generators.stop()
    (generator,) = generators.open()
    await generator.aclose()


async def test_everything_that_was_left_is_told_at_once(nursery: trio.Nursery) -> None:
    generator = counting()
    with told() as caught, assert_no_leaks():
        nursery.start_soon(stay_behind)
        await anext(generator)
    await generator.aclose()
    nursery.cancel_scope.cancel()
    first, *left = str(caught.value).splitlines()
    assert first == "this was left behind:"
    assert [line.split()[0] for line in left] == ["asynchronous", "task"]


async def test_what_the_block_raised_is_the_context_and_passes_where_nothing_was_left(nursery: trio.Nursery) -> None:
    with pytest.raises(LookupError), assert_no_leaks():
        raise LookupError
    with told() as caught, assert_no_leaks():
        nursery.start_soon(stay_behind)
        raise LookupError
    assert isinstance(caught.value.__context__, LookupError)
    nursery.cancel_scope.cancel()


async def test_a_leak_in_a_block_that_was_cancelled_is_not_silent(nursery: trio.Nursery) -> None:
    with told("stay_behind"), trio.CancelScope() as scope, assert_no_leaks():
        nursery.start_soon(stay_behind)
        scope.cancel()
        await trio.lowlevel.checkpoint()
    nursery.cancel_scope.cancel()


def test_a_whole_run_can_be_judged_from_outside() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stay_behind)
            nursery.cancel_scope.cancel()

    with assert_no_leaks():
        trio.run(main)


def test_a_generator_that_no_trio_run_begins_is_found_too() -> None:
    generator = counting()
    with told("generator 'counting'"), assert_no_leaks(), pytest.raises(StopIteration):
        anext(generator).__await__().send(None)


async def test_blocks_that_overlap_each_see_what_began_in_them() -> None:
    first = _BegunGenerators()
    second = _BegunGenerators()
    early, late = counting(), counting()
    await anext(early)
    first.stop()
    assert first.open() == [early]
    await anext(late)
    second.stop()
    assert second.open() == [early, late]
    await early.aclose()
    await late.aclose()
