"""Two errors at once: one leaves, the other is its context."""

from __future__ import annotations

import pytest

from trio_realtime.errors import ConnectionLost, own_instance
from trio_realtime.failure_context import add_context, raise_as_it_is

FAILURE = ConnectionLost("gone", code=1011)


def context_of(error: BaseException) -> BaseException | None:
    return error.__context__


def test_a_failure_becomes_the_context_of_an_error_that_has_none() -> None:
    error = LookupError()
    add_context(error, FAILURE)
    assert context_of(error) is FAILURE


def test_a_failure_goes_to_the_end_of_the_contexts() -> None:
    error, middle = LookupError(), OSError()
    error.__context__ = middle
    add_context(error, FAILURE)
    assert context_of(error) is middle
    assert context_of(middle) is FAILURE


def test_another_failure_of_the_same_kind_is_told_as_well() -> None:
    error = ConnectionLost("another")
    add_context(error, FAILURE)
    assert context_of(error) is FAILURE


@pytest.mark.parametrize("place", ["itself", "context", "cause", "group", "in a group's context"])
def test_a_failure_that_is_told_of_already_is_not_told_twice(place: str) -> None:
    told, error = own_instance(FAILURE), ValueError()
    match place:
        case "itself":
            add_context(told, FAILURE)
            assert context_of(told) is None
            return
        case "context":
            error.__context__ = told
        case "cause":
            error.__cause__ = told
        case "group":
            group = ExceptionGroup("g", [ExceptionGroup("h", [told]), OSError()])
            add_context(group, FAILURE)
            assert context_of(group) is None
            return
        case _:
            error.__context__ = ExceptionGroup("g", [OSError(), told])
    before = context_of(error)
    add_context(error, FAILURE)
    assert context_of(error) is before
    assert context_of(told) is None


def test_errors_that_tell_of_each_other_are_no_endless_walk() -> None:
    error, other = LookupError(), OSError()
    error.__cause__, other.__cause__ = other, error
    add_context(error, FAILURE)
    assert context_of(error) is FAILURE


@pytest.mark.parametrize("context", [None, OSError()])
def test_an_error_is_raised_with_the_context_that_it_has(context: BaseException | None) -> None:
    error = LookupError()
    error.__context__ = context

    def raise_while_another_is_handled() -> None:
        try:
            raise ValueError
        except ValueError:
            raise_as_it_is(error)

    with pytest.raises(LookupError) as caught:
        raise_while_another_is_handled()
    assert caught.value is error
    assert context_of(error) is context
