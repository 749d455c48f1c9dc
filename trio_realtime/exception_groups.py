"""What a nursery wraps, unwrapped: an exception leaves a scope of this library as itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import trio


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Iterate over the exceptions in a group, at any depth, or over `error` alone when it is not a group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves(inner)
    else:
        yield error


def unwrap(group: BaseExceptionGroup[BaseException], raised: BaseException | None) -> BaseException:
    """Choose what leaves a scope whose nursery raised `group`.

    Args:
        group: What the nursery raised. Groups in it may be copies: Trio makes some when it takes a `Cancelled` out.
        raised: What the body of the scope raised, if anything.

    Returns:
        `raised`; or without it the only exception there is, `Cancelled` if there is no other; or the whole group, when
        a task failed besides.
    """
    own = set(map(id, leaves(raised))) if raised is not None else set[int]()
    others = [leaf for leaf in leaves(group) if not isinstance(leaf, trio.Cancelled) and id(leaf) not in own]
    if others:
        return others[0] if raised is None and len(others) == 1 else group
    return raised or next(leaves(group))
