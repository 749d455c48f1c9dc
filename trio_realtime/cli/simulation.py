"""The server of a demo without a key: simulated on loopback, with a model that knows its part."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from ..endpoint import Endpoint, OpenAI
from ..testing import (
    INTERRUPTION,
    QUESTION,
    ModelContext,
    Output,
    Simulator,
    calls,
    converses,
    says,
    serve_simulator,
)

PACE = 0.3
"""Seconds that a second of the simulator's speech takes: a real server, too, is faster than the ear."""

GREETING = "Hello! Who are you?"
NOT_UNDERSTOOD = "(speech, which a simulator does not understand)"
MAX_TURNS = 1000


def plays_its_part(context: ModelContext) -> Output | list[Output]:
    """Call both tools for the spoken question, tell at length what they gave, and yield when interrupted."""
    last: Any = context.items[-1] if context.items else {"type": "nothing"}
    called = any(item["type"] == "function_call" for item in context.items)
    if last["type"] == "function_call_output":
        return _forecast(context) or converses(context)
    if context.heard in {QUESTION, NOT_UNDERSTOOD} and not called:
        where = {"city": "Paris", "day": "tomorrow"}
        return [calls("get_weather", where), calls("get_daylight", where)]
    if context.heard in {INTERRUPTION, NOT_UNDERSTOOD}:
        return says("Of course.")
    return says("Hello! I am a simulated voice.") if context.heard == GREETING else converses(context)


def _forecast(context: ModelContext) -> Output | None:
    """What the functions gave, as sentences; None if they did not give it."""
    given: dict[str, Any] = {}
    for item in context.items:
        if item["type"] == "function_call_output":
            output = json.loads(item["output"])
            given |= output if isinstance(output, dict) else {}
    if not {"sky", "celsius", "sunrise", "sunset"} <= given.keys():
        return None
    return says(
        f"Tomorrow there will be {given['sky']} in Paris, at {given['celsius']} degrees. The sun rises at "
        f"{given['sunrise']} and sets at {given['sunset']}, which makes it a long day, and a wet one from noon on."
    )


@asynccontextmanager
async def open_simulation(*, understands: bool) -> AsyncGenerator[tuple[Endpoint, str]]:
    """Simulate a server as long as the block runs; yield where to connect, and what to call it.

    Args:
        understands: Whether what is said are the recordings that come with the package.
    """
    transcripts = [QUESTION, INTERRUPTION] if understands else [NOT_UNDERSTOOD] * MAX_TURNS
    simulator = Simulator([plays_its_part] * MAX_TURNS, transcripts=transcripts, pace=PACE)
    async with serve_simulator(simulator) as server:
        yield OpenAI(server.api_key, base_url=server.url), f"simulator at {server.url}"
