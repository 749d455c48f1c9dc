"""What a nursery wraps, unwrapped: an exception leaves a scope of this library as itself."""

from __future__ import annotations

from typing import cast

import trio


def single_out(error: BaseException) -> BaseException:
    """Give the first of the exceptions in a group, at any depth, or `error` itself when it is not a group."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    return single_out(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])


def unwrap(group: BaseExceptionGroup[BaseException], raised: BaseException | None) -> BaseException:
    """Choose what leaves a scope whose nursery raised `group`.

    Args:
        group: What the nursery raised; of what is cancelled in it nothing leaves unless there is nothing else.
        raised: What the body of the scope raised, if anything.

    Returns:
        `raised`; or without it the only exception there is; or the whole group, when a task failed besides.
    """
    others = [rest for error in group.exceptions if error is not raised and (rest := _without_cancelled(error))]
    if others:
        return others[0] if raised is None and len(others) == 1 else group
    return raised or single_out(group)


def _without_cancelled(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(trio.Cancelled)[1]
    return None if isinstance(error, trio.Cancelled) else error
