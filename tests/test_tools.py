"""Tools: functions become definitions, calls become outcomes."""

import contextvars
import datetime as dt
import functools
import inspect
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given, settings, strategies as st

from tests.tool_calling import context, error_of, run
from trio_realtime import tools
from trio_realtime.errors import ConfigError
from trio_realtime.state.tool_calls import ToolPolicy
from trio_realtime.tool_arguments import ArgumentsError
from trio_realtime.tools import ToolContext, ToolOutcome, encoded_output, tool
from trio_realtime.wire import codec
from trio_realtime.wire.client_events import SessionUpdate
from trio_realtime.wire.session_config import SessionConfig

# --- what a tool is ----------------------------------------------------------------------------------------------


@tool
async def get_weather(lat: float, lng: float, days: int = 1) -> dict[str, float]:
    """Current weather at a place.

    Args:
        lat: Latitude in degrees.
        lng: Longitude in degrees.
    """
    return {"sum": lat + lng, "days": days}


def test_a_decorated_function_has_the_definition_that_the_model_sees() -> None:
    assert msgspec.to_builtins(get_weather.definition) == {
        "type": "function",
        "name": "get_weather",
        "description": "Current weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "lat": {"type": "number", "description": "Latitude in degrees."},
                "lng": {"type": "number", "description": "Longitude in degrees."},
                "days": {"type": "integer", "default": 1},
            },
            "required": ["lat", "lng"],
            "additionalProperties": False,
        },
    }


def test_a_definition_can_be_sent() -> None:
    update = SessionUpdate(session=SessionConfig(tools=[get_weather.definition]))
    assert b'"name":"get_weather"' in codec.Codec().encode(update)


async def test_a_tool_is_called_as_the_function_that_it_is_made_of() -> None:
    assert await get_weather(1, lng=2) == {"sum": 3, "days": 1}
    assert list(inspect.signature(get_weather).parameters) == ["lat", "lng", "days"]
    assert repr(get_weather) == "Tool('get_weather')"


def test_a_tool_does_not_change() -> None:
    with pytest.raises(AttributeError):
        get_weather.timeout = 3  # type: ignore[misc]


def test_options_are_kept_and_have_defaults() -> None:
    assert (get_weather.timeout, get_weather.on_error, get_weather.on_interrupt) == (None, "report", "cancel")
    assert (get_weather.reply, get_weather.approval, get_weather.max_concurrency) == (True, False, None)
    assert get_weather.policy == ToolPolicy(runs=True, reply=True, on_interrupt="cancel")

    @tool(
        name="book-2",
        description="Books.",
        timeout=2.5,
        on_error="raise",
        on_interrupt="finish",
        reply=False,
        approval=True,
        max_concurrency=3,
    )
    def book() -> None:
        """Not this."""

    assert (book.name, book.definition.description, book.timeout) == ("book-2", "Books.", 2.5)
    assert (book.on_error, book.approval, book.max_concurrency) == ("raise", True, 3)
    assert book.policy == ToolPolicy(runs=True, reply=False, on_interrupt="finish")
    assert book.limiter().total_tokens == 3


def test_a_tool_can_be_made_without_decorating() -> None:
    def look(x: int) -> int:
        return x

    assert tool(look, name="watch").name == "watch"
    assert tool(lambda: 0, name="nothing").name == "nothing"


# --- definitions that are refused --------------------------------------------------------------------------------


async def several() -> AsyncIterator[int]:
    yield 1


def several_sync() -> Iterator[int]:
    yield 1


def größe() -> None:  # noqa: PLC2401  not a name for the protocol
    ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda: 0, "'<lambda>' has no name that the protocol takes .* give name="),
        (größe, "'größe' has no name that the protocol takes"),
        (several, "'several' is a generator; a call has one result"),
        (several_sync, "'several_sync' is a generator; a call has one result"),
        (get_weather, r"made of a function or a bound method, not of Tool\('get_weather'\)"),
        ("get_weather", "made of a function or a bound method"),
        (int, "made of a function or a bound method"),
    ],
)
def test_what_is_no_function_for_a_model_is_refused(function: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        tool(function)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("name", "", "1 to 64 letters, digits"),
        ("name", "a b", "1 to 64 letters, digits"),
        ("name", "x" * 65, "1 to 64 letters, digits"),
        ("name", "line\n", "1 to 64 letters, digits"),
        ("name", 3, "1 to 64 letters, digits"),
        ("description", 3, "description must be a string, not 3"),
        ("timeout", 0, "timeout must be a number of seconds above 0, or None for no limit, not 0"),
        ("timeout", -1.5, "timeout must be"),
        ("timeout", True, "timeout must be"),
        ("timeout", "3", "timeout must be"),
        ("timeout", float("nan"), "timeout must be"),
        ("on_error", "ignore", "on_error must be 'report' or 'raise', not 'ignore'"),
        ("on_interrupt", "stop", "on_interrupt must be 'cancel' or 'finish', not 'stop'"),
        ("reply", "no", "reply must be True or False, not 'no'"),
        ("approval", 1, "approval must be True or False, not 1"),
        ("max_concurrency", 0, "max_concurrency must be a whole number from 1, or None for no limit, not 0"),
        ("max_concurrency", 1.5, "max_concurrency must be"),
        ("max_concurrency", True, "max_concurrency must be"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(option: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        tool(**{option: value})


# --- one call ----------------------------------------------------------------------------------------------------


async def test_an_async_function_runs_on_typed_values() -> None:
    outcome = await run(get_weather, '{"lat": 1, "lng": 2.5}')
    assert outcome == ToolOutcome(output='{"sum":3.5,"days":1}', result={"sum": 3.5, "days": 1})


async def test_a_sync_function_runs_in_a_thread_with_the_context_of_its_task() -> None:
    variable = contextvars.ContextVar[str]("variable")
    variable.set("here")

    @tool
    def where() -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), variable.get()]

    assert (await run(where)).result == [False, "here"]


async def test_a_bound_method_is_a_tool() -> None:
    class Desk:
        def __init__(self) -> None:
            self.booked: list[str] = []

        async def book(self, name: str) -> int:
            self.booked.append(name)
            return len(self.booked)

    desk = Desk()
    assert (await run(tool(desk.book), '{"name": "Ada"}')).result == 1
    assert desk.booked == ["Ada"]


async def test_an_async_function_behind_a_plain_decorator_is_awaited() -> None:
    def shouting(function: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Awaitable[str]:
            return function(*args, **kwargs)

        return call

    @tool
    @shouting
    async def greet(name: str) -> str:
        return f"hello {name}"

    assert (await run(greet, '{"name": "Ada"}')).output == "hello Ada"


async def test_the_context_is_filled_in() -> None:
    seen: list[ToolContext] = []

    @tool
    async def look(x: int, call: ToolContext) -> int:
        seen.append(call)
        return x

    mine = context()
    assert (await look.run('{"x": 3}', mine)).result == 3
    assert seen == [mine]
    assert (mine.call_id, mine.name, mine.item_id, mine.response_id) == ("call_1", "look", "item_1", "resp_1")


@pytest.mark.parametrize("on_error", ["report", "raise"])
async def test_bad_arguments_are_told_to_the_model_and_the_function_is_not_called(on_error: Any) -> None:
    @tool(on_error=on_error)
    async def look(x: int) -> None:
        raise AssertionError

    with trio.testing.assert_checkpoints():
        outcome = await run(look, '{"x": "3"}')
    assert error_of(outcome).startswith("the arguments of look are not valid: Expected `int`, got `str` for `x`")
    assert isinstance(outcome.error, ArgumentsError)


async def test_every_run_is_a_checkpoint() -> None:
    @tool
    async def at_once() -> None: ...

    with trio.testing.assert_checkpoints():
        await run(at_once)


# --- results -----------------------------------------------------------------------------------------------------


@dataclass
class Weather:
    celsius: float
    at: dt.date


class Wind(msgspec.Struct):
    knots: int


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ("sunny", "sunny"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        ({"a": [1, 2.5]}, '{"a":[1,2.5]}'),
        (Weather(celsius=21.5, at=dt.date(2026, 1, 2)), '{"celsius":21.5,"at":"2026-01-02"}'),
        (Wind(knots=3), '{"knots":3}'),
        (b"\x00\x01", '"AAE="'),
    ],
)
async def test_a_result_is_text_as_it_is_or_json(result: Any, output: str) -> None:
    @tool
    async def look() -> Any:
        return result

    assert await run(look) == ToolOutcome(output=output, result=result)


@pytest.mark.parametrize("result", [object(), {1, object()}, "\ud800", {"a": "\ud800"}])
async def test_a_result_that_cannot_be_encoded_is_an_error(result: Any) -> None:
    @tool
    async def look() -> Any:
        return result

    assert error_of(await run(look)).startswith("the result cannot be encoded as JSON: ")


async def test_a_result_that_contains_itself_is_an_error() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="cannot be encoded"):
        encoded_output(loop)


def test_a_result_that_is_too_large_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "MAX_OUTPUT_BYTES", 4)
    assert encoded_output("\u00e4\u00e4") == "\u00e4\u00e4"
    with pytest.raises(ValueError, match="too large: 5 bytes, of at most 4"):
        encoded_output("\u00e4\u00e4x")


@settings(max_examples=100)
@given(st.one_of(st.text(), st.lists(st.integers() | st.none()), st.dictionaries(st.text(), st.booleans())))
def test_what_the_model_is_told_is_what_was_returned(result: Any) -> None:
    output = encoded_output(result)
    assert (output if isinstance(result, str) else json.loads(output)) == result
