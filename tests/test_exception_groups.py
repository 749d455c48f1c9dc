"""What leaves a scope when its nursery raises a group."""

from __future__ import annotations

import trio

from trio_realtime.exception_groups import leaves, unwrap


async def cancelled() -> trio.Cancelled:
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            return error
    raise AssertionError


async def test_the_bodys_own_exception_leaves_as_itself() -> None:
    own = KeyError()
    assert unwrap(BaseExceptionGroup("", [own, await cancelled()]), own) is own


async def test_a_group_of_the_bodys_leaves_as_itself_though_trio_copied_it() -> None:
    inner = [KeyError(), ValueError()]
    own = ExceptionGroup("own", inner)
    assert unwrap(BaseExceptionGroup("", [ExceptionGroup("own", inner), await cancelled()]), own) is own


async def test_without_it_the_only_exception_leaves() -> None:
    only = KeyError()
    assert unwrap(BaseExceptionGroup("", [await cancelled(), ExceptionGroup("", [only])]), None) is only


async def test_if_all_is_cancelled_one_cancelled_leaves() -> None:
    first = await cancelled()
    assert unwrap(BaseExceptionGroup("", [BaseExceptionGroup("", [first]), await cancelled()]), None) is first


async def test_what_a_task_raised_besides_is_not_lost() -> None:
    own = KeyError()
    group = BaseExceptionGroup("", [own, KeyboardInterrupt()])
    assert unwrap(group, own) is group
    assert unwrap(group, None) is group


def test_leaves_are_found_at_any_depth() -> None:
    one, two, three = KeyError(), ValueError(), OSError()
    assert list(leaves(ExceptionGroup("", [one, ExceptionGroup("", [two, ExceptionGroup("", [three])])]))) == [
        one,
        two,
        three,
    ]
    assert list(leaves(one)) == [one]
