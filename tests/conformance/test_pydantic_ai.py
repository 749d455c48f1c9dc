"""The realtime sessions of Pydantic AI hold conversations with the simulated server over a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.conformance.peers import MODEL, SPOKEN_QUESTION, WEATHER, chunks, run_peer
from trio_realtime.testing import QUESTION, Simulator, SimulatorServer, calls, says, serve_simulator

pytest.importorskip("pydantic_ai")
pytest.importorskip("websockets")

from pydantic_ai import Agent
from pydantic_ai.messages import ModelRequest, ModelResponse, SpeechPart, SpeechPartDelta, TextPart, UserPromptPart
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.realtime import RealtimeEvent, RealtimeSession
from pydantic_ai.realtime.openai import OpenAIRealtimeModel, OpenAIRealtimeModelSettings

WRITTEN: OpenAIRealtimeModelSettings = {"output_modality": "text"}


@asynccontextmanager
async def open_session(
    server: SimulatorServer[Simulator], agent: Agent[None, str], settings: OpenAIRealtimeModelSettings | None = None
) -> AsyncIterator[tuple[RealtimeSession, AsyncIterator[RealtimeEvent]]]:
    # An HTTP URL is asked for; the client makes that of the websocket from it.
    provider = OpenAIProvider(base_url=server.url.replace("ws", "http", 1), api_key=server.api_key)
    model = OpenAIRealtimeModel(MODEL, provider=provider, settings=settings)
    async with agent.realtime(model).session() as session:
        yield session, aiter(session)  # it can be iterated once


async def receive_until(events: AsyncIterator[RealtimeEvent], kind: str) -> list[Any]:
    """Receive events up to and including one of a kind; none of them is an error."""
    received: list[Any] = []
    while not received or received[-1].event_kind != kind:
        received.append(await anext(events))
        assert received[-1].event_kind != "realtime_session_error", received[-1]
    return received


def heard_in(events: list[Any]) -> bytes:
    deltas = [event.delta for event in events if event.event_kind == "part_delta"]
    return b"".join(delta.audio_chunk or b"" for delta in deltas if isinstance(delta, SpeechPartDelta))


async def test_a_written_turn() -> None:
    async def talk() -> None:
        async with open_session(server, Agent(instructions="Be brief."), WRITTEN) as (session, events):
            await session.send("Hello.")
            await receive_until(events, "realtime_turn_complete")
            request, response = session.new_messages()
            assert isinstance(request, ModelRequest)
            assert isinstance(request.parts[0], UserPromptPart)
            assert isinstance(response, ModelResponse)
            assert isinstance(response.parts[0], TextPart)
            assert response.parts[0].content == "Hello to you."
            assert response.usage.total_tokens > 0

    async with serve_simulator(Simulator([says("Hello to you.")], pace=0)) as server:
        await run_peer(talk)
        assert server.simulator.connections[0].session["instructions"] == "Be brief."


async def test_a_spoken_turn() -> None:
    answer = SPOKEN_QUESTION[:96_000]

    async def talk() -> None:
        async with open_session(server, Agent()) as (session, events):
            for chunk in chunks(SPOKEN_QUESTION):
                await session.send_audio(chunk)
            received = await receive_until(events, "realtime_turn_complete")
            assert heard_in(received) == answer
            while len(session.new_messages()) < 2:
                await receive_until(events, "part_end")
            parts = [part for message in session.new_messages() for part in message.parts]
            said = [part.transcript for part in parts if isinstance(part, SpeechPart)]
            assert said == [QUESTION, "Sunny."]

    async with serve_simulator(Simulator([says("Sunny.", audio=answer)], pace=0)) as server:
        await run_peer(talk)


async def test_a_tool_turn() -> None:
    agent = Agent[None, str]()
    asked = []

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Say what the weather is like."""
        asked.append(city)
        return WEATHER

    async def talk() -> None:
        async with open_session(server, agent, WRITTEN) as (session, events):
            await session.send("What is the weather in Paris?")
            await receive_until(events, "realtime_turn_complete")
            answer = session.new_messages()[-1].parts[0]
            assert isinstance(answer, TextPart)
            assert answer.content == f"The function says: {WEATHER}"

    async with serve_simulator(Simulator([calls("get_weather", {"city": "Paris"})], pace=0)) as server:
        await run_peer(talk)
        assert asked == ["Paris"]
        kinds = [item["type"] for item in server.simulator.connections[0].items]
        assert kinds == ["message", "function_call", "function_call_output", "message"]


async def test_an_interruption_cuts_an_answer_where_it_was_heard() -> None:
    async def talk() -> None:
        async with open_session(server, Agent()) as (session, events):
            await session.send("Tell me a long story.")
            while not heard_in(await receive_until(events, "part_delta")):
                pass
            await session.interrupt(played_ms=150)
            await receive_until(events, "realtime_turn_complete")
            await session.send("And now?")
            received = await receive_until(events, "realtime_turn_complete")
            assert len(heard_in(received)) == 9600

    script = [says("Once upon a time...", audio=600.0), says("The end.", audio=0.2)]
    async with serve_simulator(Simulator(script)) as server:
        await run_peer(talk)
        received = server.simulator.connections[0].received
        (truncation,) = [event for event in received if event["type"] == "conversation.item.truncate"]
        assert truncation["audio_end_ms"] == 150
        statuses = [item["status"] for item in server.simulator.connections[0].items if item["role"] == "assistant"]
        assert statuses == ["incomplete", "completed"]
