"""Signatures of functions that no model could call."""

from collections.abc import Callable

import pytest

from tests.argument_types import (
    Context,
    Node,
    Place,
    arguments_of,
)
from trio_realtime.errors import ConfigError


# Signatures that a checker refuses, too.
def unannotated(x) -> None: ...  # type: ignore[no-untyped-def]


def positional(x: int, /) -> None: ...


def many(*x: int) -> None: ...


def named(**x: int) -> None: ...


def unresolved(x: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


def twice(a: Context, b: Context) -> None: ...


def untagged(x: Place | Node) -> None: ...


def custom(x: Context | None) -> None: ...


def no_json(x: complex) -> None: ...


def no_json_inside(x: list[object]) -> None: ...


class Method:
    def method(self, x: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (unannotated, "parameter 'x' of tool 'unannotated' has no annotation; annotate it"),
        (positional, "parameter 'x' of tool 'positional' is positional only; .*remove the `/`"),
        (many, "parameter 'x' of tool 'many' takes any number of values; name each one"),
        (named, "parameter 'x' of tool 'named' takes any number of values; name each one"),
        (unresolved, "the annotations of tool 'unresolved' cannot be resolved .*'Nowhere'"),
        (twice, "tool 'twice' takes a Context twice"),
        (untagged, "parameter 'x' of tool 'untagged' .* must be tagged"),
        (custom, "parameter 'x' of tool 'custom' has a type that cannot come from JSON"),
        (no_json, "parameter 'x' of tool 'no_json' has a type that cannot come from JSON: .*use str, int"),
        (no_json_inside, "parameter 'x' of tool 'no_json_inside' has a type that cannot come from JSON"),
        (Method.method, r"parameter 'self' .* give the bound one: tool\(instance.method\)"),
    ],
)
def test_a_parameter_that_cannot_come_from_the_model_is_refused(function: Callable[..., object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        arguments_of(function)


def test_a_bound_method_has_no_self() -> None:
    assert arguments_of(Method().method).parse('{"x": 1}') == {"x": 1}


def test_what_a_function_returns_needs_no_annotation_that_exists() -> None:
    def look(x: int) -> "Nowhere":  # type: ignore[name-defined]  # noqa: F821
        ...

    assert arguments_of(look).parse('{"x": 1}') == {"x": 1}
