"""Code of the user's that runs while arguments are read: it delays nobody, and what it raises is an answer."""

import threading
from typing import Any

import msgspec
import pytest
import trio

from trio_realtime import Tool, tool
from trio_realtime.tool_arguments import ArgumentsError

THREADS: list[int] = []


class Place(msgspec.Struct):
    name: str

    def __post_init__(self) -> None:
        THREADS.append(threading.get_ident())
        if self.name == "nowhere":
            raise KeyError("there is no such place")


@tool
async def visit(places: list[Place]) -> None:
    """Visit."""


@tool
async def wait(seconds: int) -> None:
    """Wait."""


async def test_a_validator_runs_in_a_thread_of_its_own() -> None:
    THREADS.clear()
    values = await visit.parse_beside('{"places": [{"name": "Paris"}]}')
    assert values == {"places": [Place("Paris")]}
    assert threading.get_ident() not in THREADS[:1] != []


async def test_arguments_without_validators_need_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(trio.to_thread, "run_sync", no_thread)
    assert await wait.parse_beside('{"seconds": 1}') == {"seconds": 1}


@pytest.mark.parametrize("asked", [visit])
def test_whatever_a_validator_raises_is_told_to_the_model(asked: Tool[..., Any]) -> None:
    with pytest.raises(ArgumentsError, match="there is no such place"):
        asked.parse('{"places": [{"name": "nowhere"}]}')
