"""What a response is asked for with, and where it stands on the wire."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_realtime import (
    ConfigError,
)
from trio_realtime.wire.responses import ResponseParams

from .scripted_server import opened
from .talking import (
    push_done,
    sent_after,
)

EVERY_PARAMETER: list[tuple[str, Any, Any]] = [
    ("conversation", "auto", {"conversation": "auto"}),
    ("conversation", "none", {"conversation": "none"}),
    ("input", [], {"input": []}),
    ("input", [{"type": "item_reference", "id": "x"}], {"input": [{"type": "item_reference", "id": "x"}]}),
    ("instructions", "Be brief.", {"instructions": "Be brief."}),
    ("max_output_tokens", 100, {"max_output_tokens": 100}),
    ("max_output_tokens", "inf", {"max_output_tokens": "inf"}),
    ("output_modalities", ["text"], {"output_modalities": ["text"]}),
    ("parallel_tool_calls", False, {"parallel_tool_calls": False}),
    ("prompt", {"id": "pmpt_1"}, {"prompt": {"id": "pmpt_1"}}),
    ("prompt", None, {"prompt": None}),
    ("reasoning", {"effort": "low"}, {"reasoning": {"effort": "low"}}),
    ("tool_choice", "none", {"tool_choice": "none"}),
    ("tool_choice", {"type": "function", "name": "f"}, {"tool_choice": {"type": "function", "name": "f"}}),
    ("tools", [{"type": "function", "name": "f"}], {"tools": [{"type": "function", "name": "f"}]}),
    ("voice", "cedar", {"audio": {"output": {"voice": "cedar"}}}),
    ("output_format", "audio/pcmu", {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}),
]


@pytest.mark.parametrize(("name", "value", "wire"), EVERY_PARAMETER, ids=[f"{n}={v}" for n, v, _ in EVERY_PARAMETER])
async def test_every_parameter_reaches_its_place_on_the_wire(name: str, value: Any, wire: dict[str, Any]) -> None:
    async with opened() as (session, server):
        await session.create_response(**{name: value})
        (create,) = sent_after(server, "response.create")
        asked = {key: given for key, given in create["response"].items() if key != "metadata"}
        assert _without_empty(asked) == wire
        push_done(server, "resp_1")
        async with session.respond(**{name: value}):
            await wait_all_tasks_blocked()
            again = sent_after(server, "response.create")[-1]["response"]
            assert _without_empty({key: given for key, given in again.items() if key != "metadata"}) == wire


def _without_empty(wire: dict[str, Any]) -> dict[str, Any]:
    """A tool without parameters may be written out with its defaults."""
    for each in wire.get("tools", []):
        each.pop("parameters", None)
        each.pop("description", None)
    return wire


async def test_metadata_is_sent_and_seen_without_the_private_pair() -> None:
    async with opened() as (session, server):
        response = await session.create_response(metadata={"a": "b"})
        (create,) = sent_after(server, "response.create")
        assert create["response"]["metadata"].items() > {"a": "b"}.items()
        assert response.metadata == {"a": "b"}


async def test_keywords_are_put_on_top_of_the_struct() -> None:
    async with opened() as (session, server):
        await session.create_response(ResponseParams(instructions="a", max_output_tokens=5), instructions="b")
        (create,) = sent_after(server, "response.create")
        assert create["response"]["instructions"] == "b"
        assert create["response"]["max_output_tokens"] == 5


WRONG: list[dict[str, Any]] = [
    {"voice": 3},
    {"speed": 1.0},
    {"metadata": {"a": 1}},
    {"metadata": {str(number): "" for number in range(17)}},
    {"metadata": {"trio_realtime": "mine"}},
    {"conversation": 3},
    {"output_modalities": "audio"},
    {"input": "text"},
    {"tools": [{"type": "function", "name": "f", "code": "x"}]},
    {"max_output_tokens": 1.5},
]


@pytest.mark.parametrize("wrong", WRONG, ids=[next(iter(each)) for each in WRONG])
async def test_a_wrong_parameter_is_refused_before_anything_is_sent(wrong: dict[str, Any]) -> None:
    async with opened() as (session, server):
        sent = len(server.received)
        with pytest.raises(ConfigError):
            await session.create_response(**wrong)
        with pytest.raises(ConfigError):
            async with session.respond("x", **wrong):
                raise AssertionError
        with pytest.raises(ConfigError, match="ResponseParams"):
            await session.create_response(wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigError):
            async with session.respond(["text", 3]):  # type: ignore[list-item]
                raise AssertionError
        with pytest.raises(ConfigError):
            async with session.respond("x", params=ResponseParams(max_output_tokens=1.5)):  # type: ignore[arg-type]
                raise AssertionError
        await wait_all_tasks_blocked()
        assert len(server.received) == sent
        assert len(session.conversation) == 0


async def test_outside_of_the_session_there_is_no_turn() -> None:
    async with opened() as (session, _):
        manager = session.respond("x")
    with pytest.raises(trio.ClosedResourceError):
        async with manager:
            raise AssertionError


async def test_entering_in_a_cancelled_scope_sends_nothing() -> None:
    async with opened() as (session, server):
        sent = len(server.received)
        with trio.CancelScope() as scope:
            scope.cancel()
            async with session.respond("x"):
                raise AssertionError
        await wait_all_tasks_blocked()
        assert len(server.received) == sent
