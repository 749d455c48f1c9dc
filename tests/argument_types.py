"""Types that parameters of tools have, and the arguments of a function."""

import dataclasses
import enum
import inspect
from collections.abc import Callable
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from trio_realtime.tool_arguments import ToolArguments


class Context:
    """What is injected."""


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


class Place(msgspec.Struct):
    """A place on earth."""

    lat: Annotated[float, Meta(ge=-90, le=90)]
    name: str | None = None


@dataclasses.dataclass
class Range:
    low: int
    high: int = 10


class Options(TypedDict):
    unit: Unit
    words: NotRequired[list[str]]


class Circle(msgspec.Struct, tag="circle"):
    radius: float


class Square(msgspec.Struct, tag="square"):
    side: str
    radius: None = None  # it has none


class Node(msgspec.Struct):
    """A node of a tree."""

    name: str
    children: "list[Node]" = []
    default: "Node | None" = None


def arguments_of(function: Callable[..., object]) -> ToolArguments:
    return ToolArguments(function, name=function.__name__, injected=Context)


def schema_of(hint: Any, default: Any = inspect.Parameter.empty) -> Any:
    return arguments_of(function_with(x=(hint, default))).schema["properties"]["x"]


def function_with(**parameters: tuple[Any, Any]) -> Callable[..., object]:
    """A function of these names, annotations and defaults."""

    def call(**given: object) -> object:
        return given

    call.__annotations__ = {name: hint for name, (hint, _) in parameters.items()}
    # `inspect.signature` honours it.
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)
            for name, (hint, default) in parameters.items()
        ]
    )
    return call
