"""The sessions of openai-agents hold conversations with the simulated server over a socket."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.conformance.peers import MODEL, SPOKEN_QUESTION, WEATHER, chunks, run_peer
from trio_realtime.testing import QUESTION, Simulator, SimulatorServer, calls, says, serve_simulator

pytest.importorskip("agents.realtime")

from agents import function_tool
from agents.realtime import (
    AssistantMessageItem,
    AssistantText,
    RealtimeAgent,
    RealtimePlaybackTracker,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeSessionModelSettings,
    UserMessageItem,
)

SERVER_VAD: RealtimeSessionModelSettings = {"turn_detection": {"type": "server_vad", "interrupt_response": True}}


@asynccontextmanager
async def open_session(
    server: SimulatorServer[Simulator],
    settings: RealtimeSessionModelSettings,
    *,
    tools: list[Any] | None = None,
    playback: RealtimePlaybackTracker | None = None,
) -> AsyncIterator[RealtimeSession]:
    agent = RealtimeAgent[None](name="Assistant", instructions="Be brief.", tools=tools or [])
    config: Any = {
        "url": f"{server.url}/realtime?model={MODEL}",
        "api_key": server.api_key,
        "initial_model_settings": {"model_name": MODEL, **settings},
    }
    if playback is not None:
        config["playback_tracker"] = playback
    async with await RealtimeRunner(agent).run(model_config=config) as session:
        yield session


async def receive_until(session: RealtimeSession, kind: str, times: int = 1) -> list[RealtimeSessionEvent]:
    """Receive events up to and including one of a kind; none of them is an error."""
    events: list[RealtimeSessionEvent] = []
    async for event in session:
        assert event.type != "error", event.error
        events.append(event)
        times -= event.type == kind
        if not times:
            break
    return events


def raw_events(events: list[RealtimeSessionEvent], kind: str) -> list[Any]:
    """What the server sent, among events of a session."""
    raw: list[Any] = [event.data for event in events if event.type == "raw_model_event"]
    return [each.data for each in raw if each.type == "raw_server_event" and each.data["type"] == kind]


def last_history(events: list[RealtimeSessionEvent]) -> list[Any]:
    """The conversation as the session tells it."""
    return [event.history for event in events if event.type == "history_updated"][-1]


def sent_by(server: SimulatorServer[Simulator], kind: str) -> list[dict[str, Any]]:
    return [event for event in server.simulator.connections[0].received if event["type"] == kind]


async def test_a_written_turn() -> None:
    async def talk() -> None:
        async with open_session(server, {"modalities": ["text"]}) as session:
            await session.send_message("Hello.")
            events = await receive_until(session, "agent_end")
            deltas = raw_events(events, "response.output_text.delta")
            assert "".join(delta["delta"] for delta in deltas) == "Hello to you."
            user, assistant = last_history(events)
            assert isinstance(user, UserMessageItem)
            assert isinstance(assistant, AssistantMessageItem)
            assert isinstance(assistant.content[0], AssistantText)
            assert (assistant.status, assistant.content[0].text) == ("completed", "Hello to you.")

    async with serve_simulator(Simulator([says("Hello to you.")], pace=0)) as server:
        await run_peer(talk)
        assert server.simulator.connections[0].session["instructions"] == "Be brief."


@pytest.mark.parametrize("settings", [SERVER_VAD, {}], ids=["server_vad", "the defaults"])
async def test_a_spoken_turn(settings: RealtimeSessionModelSettings) -> None:
    answer = SPOKEN_QUESTION[:96_000]

    async def talk() -> None:
        async with open_session(server, settings) as session:
            for chunk in chunks(SPOKEN_QUESTION + bytes(48_000)):
                await session.send_audio(chunk)
            events = await receive_until(session, "agent_end")
            assert b"".join(event.audio.data for event in events if event.type == "audio") == answer
            while not raw_events(events, "conversation.item.input_audio_transcription.completed"):
                events += await receive_until(session, "history_updated")
            user, assistant = last_history(events)
            assert (user.content[0].transcript, assistant.content[0].transcript) == (QUESTION, "Sunny.")

    async with serve_simulator(Simulator([says("Sunny.", audio=answer)], pace=0)) as server:
        await run_peer(talk)


async def test_a_tool_turn() -> None:
    asked = []

    @function_tool
    def get_weather(city: str) -> str:
        """Say what the weather is like."""
        asked.append(city)
        return WEATHER

    async def talk() -> None:
        async with open_session(server, {"modalities": ["text"]}, tools=[get_weather]) as session:
            await session.send_message("What is the weather in Paris?")
            events = await receive_until(session, "agent_end", times=2)
            (end,) = [event for event in events if event.type == "tool_end"]
            assert (end.tool.name, end.output) == ("get_weather", WEATHER)
            assert last_history(events)[-1].content[0].text == f"The function says: {WEATHER}"

    async with serve_simulator(Simulator([calls("get_weather", {"city": "Paris"})], pace=0)) as server:
        await run_peer(talk)
        assert asked == ["Paris"]
        kinds = [item["type"] for item in server.simulator.connections[0].items]
        assert kinds == ["message", "function_call", "function_call_output", "message"]


async def interrupted(
    server: SimulatorServer[Simulator],
    settings: RealtimeSessionModelSettings,
    interrupt: Callable[[RealtimeSession], Any],
) -> list[RealtimeSessionEvent]:
    """Interrupt an answer of which 150 ms were heard, and receive all of its end."""
    playback = RealtimePlaybackTracker()
    async with open_session(server, settings, playback=playback) as session:
        await session.send_message("Tell me a long story.")
        async for event in session:
            if event.type == "audio":
                playback.on_play_bytes(event.item_id, event.content_index, bytes(150 * 48))
                break
        await interrupt(session)
        events = await receive_until(session, "audio_interrupted")
        while not (raw_events(events, "conversation.item.truncated") and raw_events(events, "response.done")):
            events += await receive_until(session, "raw_model_event")
        return events


async def test_speech_interrupts_an_answer_and_cuts_it_where_it_was_heard() -> None:
    async def speak(session: RealtimeSession) -> None:
        for chunk in chunks(SPOKEN_QUESTION):
            await session.send_audio(chunk)

    async with serve_simulator(Simulator([says("Once upon a time...", audio=600.0)])) as server:
        events = await run_peer(lambda: interrupted(server, SERVER_VAD, speak))
        (done, *_) = raw_events(events, "response.done")
        assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        (truncated,) = raw_events(events, "conversation.item.truncated")
        assert truncated["audio_end_ms"] == 150
        assert sent_by(server, "response.cancel") == []


async def test_interrupting_by_hand_cuts_an_answer_where_it_was_heard() -> None:
    async with serve_simulator(Simulator([says("Once upon a time...", audio=600.0)])) as server:
        events = await run_peer(lambda: interrupted(server, {"turn_detection": None}, RealtimeSession.interrupt))
        (done,) = raw_events(events, "response.done")
        assert done["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        (truncated,) = raw_events(events, "conversation.item.truncated")
        assert truncated["audio_end_ms"] == 150
        assert len(sent_by(server, "response.cancel")) == 1
