"""Shapes that JSON values must have, and the words in which the real server says that they do not.

A shape is a function of a value and its path (such as `"session.audio.input.format"`) that raises `RefusedError`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from .refusal import RefusedError

Shape = Callable[[Any, str], None]


def type_name(value: object) -> str:
    """Name a JSON value's type as the server's messages do."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "decimal"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _wrong_type(value: object, path: str, expected: str) -> RefusedError:
    return RefusedError(
        f"Invalid type for '{path}': expected {expected}, got {type_name(value)}.", code="invalid_type", param=path
    )


def _quoted(names: Collection[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def any_json(value: Any, path: str) -> None:
    """Accept anything."""


def boolean(value: Any, path: str) -> None:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise _wrong_type(value, path, "boolean")


def string(*, choices: Collection[str] | None = None, max_length: int | None = None) -> Shape:
    """Accept strings, or just some strings, or just short strings."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise _wrong_type(value, path, "string")
        if choices is not None and value not in choices:
            raise RefusedError(
                f"Invalid value: '{value}'. Supported values are: {_quoted(choices)}.", code="invalid_value", param=path
            )
        if max_length is not None and len(value) > max_length:
            raise RefusedError(
                f"Invalid '{path}': string too long. Expected a string with maximum length {max_length}, but got a "
                f"string with length {len(value)} instead.",
                code="invalid_value",
                param=path,
            )

    return check


def integer(minimum: int | None = None, maximum: int | None = None) -> Shape:
    """Accept whole numbers within bounds."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong_type(value, path, "integer")
        _check_range(value, path, minimum, maximum)

    return check


def decimal(minimum: float, maximum: float) -> Shape:
    """Accept numbers within bounds."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _wrong_type(value, path, "decimal")
        _check_range(value, path, minimum, maximum)

    return check


def _check_range(value: float, path: str, minimum: float | None, maximum: float | None) -> None:
    if minimum is not None and value < minimum:
        raise RefusedError(
            f"Invalid '{path}': number below minimum value. Expected a value >= {minimum}, but got {value} instead.",
            code="invalid_value",
            param=path,
        )
    if maximum is not None and value > maximum:
        raise RefusedError(
            f"Invalid '{path}': number above maximum value. Expected a value <= {maximum}, but got {value} instead.",
            code="invalid_value",
            param=path,
        )


def array(element: Shape, *, exactly: int | None = None) -> Shape:
    """Accept lists of `element`, of any length or of one."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise _wrong_type(value, path, "array")
        entries = cast("list[object]", value)
        for index, entry in enumerate(entries):
            element(entry, f"{path}[{index}]")
        if exactly is not None and len(entries) != exactly:
            raise RefusedError(
                f"Invalid '{path}': expected an array with {exactly} entries, but got {len(entries)} instead.",
                code="invalid_value",
                param=path,
            )

    return check


def mapping(entry: Shape, *, max_entries: int | None = None, max_key_length: int | None = None) -> Shape:
    """Accept objects with free keys."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise _wrong_type(value, path, "object")
        pairs = cast("dict[str, Any]", value)
        if max_entries is not None and len(pairs) > max_entries:
            raise RefusedError(
                f"Invalid '{path}': too many properties. Expected at most {max_entries}, but got {len(pairs)} instead.",
                code="invalid_value",
                param=path,
            )
        for key, content in pairs.items():
            if max_key_length is not None and len(key) > max_key_length:
                raise RefusedError(
                    f"Invalid '{path}': key too long. Expected at most {max_key_length} characters, but got "
                    f"{len(key)} instead.",
                    code="invalid_value",
                    param=path,
                )
            entry(content, f"{path}.{key}")

    return check


def record(fields: Mapping[str, Shape], *, required: Sequence[str] = (), one_of: Sequence[str] = ()) -> Shape:
    """Accept objects with these keys and no others; of `one_of` exactly one must be there."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise _wrong_type(value, path, "object")
        prefix = f"{path}." if path else ""
        given = cast("dict[str, Any]", value)
        for name in required:
            if name not in given:
                raise RefusedError(
                    f"Missing required parameter: '{prefix}{name}'.",
                    code="missing_required_parameter",
                    param=f"{prefix}{name}",
                )
        for name, content in given.items():
            shape = fields.get(name)
            if shape is None:
                raise RefusedError(
                    f"Unknown parameter: '{prefix}{name}'.", code="unknown_parameter", param=f"{prefix}{name}"
                )
            shape(content, f"{prefix}{name}")
        if one_of and sum(name in given for name in one_of) != 1:
            raise RefusedError(f"Exactly one of {_quoted(one_of)} must be given.", code="invalid_value", param=path)

    return check


def tagged(variants: Mapping[str, Shape], *, tag: str = "type") -> Shape:
    """Accept objects whose `tag` names one of the variants."""
    is_variant = string(choices=variants)

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise _wrong_type(value, path, "object")
        tag_path = f"{path}.{tag}" if path else tag
        if tag not in value:
            raise RefusedError(
                f"Missing required parameter: '{tag_path}'.", code="missing_required_parameter", param=tag_path
            )
        chosen = cast("dict[str, Any]", value)[tag]
        is_variant(chosen, tag_path)
        variants[chosen](value, path)

    return check


def nullable(shape: Shape) -> Shape:
    """Accept null as well."""

    def check(value: Any, path: str) -> None:
        if value is not None:
            shape(value, path)

    return check


def by_type(variants: Mapping[str, Shape]) -> Shape:
    """Accept values of several JSON types, each with its own shape."""
    expected = " or ".join(variants)

    def check(value: Any, path: str) -> None:
        shape = variants.get(type_name(value))
        if shape is None:
            raise _wrong_type(value, path, expected)
        shape(value, path)

    return check
