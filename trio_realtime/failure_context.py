"""Two errors at once: the one that leaves a scope carries the other as its context, and stays itself."""

from typing import NoReturn

from .errors import RealtimeError
from .exception_groups import leaves


def add_context(error: BaseException, failure: RealtimeError) -> None:
    """Let the traceback of `error` end in `failure`, unless it tells of that already."""
    if _tells_of(error, failure, set()):
        return
    last = error
    while last.__context__ is not None:
        last = last.__context__
    last.__context__ = failure


def raise_as_it_is(error: BaseException) -> NoReturn:
    """Raise `error` with the context that it has, whatever is being handled here."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context


def _tells_of(error: BaseException | None, failure: RealtimeError, seen: set[int]) -> bool:
    """Whether `error` is an instance of `failure`, or came of one."""
    if error is None or id(error) in seen:
        return False
    seen.add(id(error))
    if type(error) is type(failure) and error.args == failure.args:
        return True
    return any(_tells_of(each, failure, seen) for each in (error.__cause__, error.__context__, *leaves(error)))
