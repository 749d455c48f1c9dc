"""Sessions that talk: with the simulator, or with a scripted server that says what a test wants."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from trio_realtime import OpenAI, Playback, RealtimeSession, UpdateChannel, open_session
from trio_realtime.testing import (
    Dialect,
    Fault,
    McpTools,
    ScriptedTurn,
    SimulatedConnection,
    Simulator,
    open_simulated_session,
    serve_simulator,
)

from .scripted_server import ScriptedServer

CONFLICT = "conversation_already_has_active_response"
_T = TypeVar("_T")

MS = 48
"""Bytes of PCM16 in a millisecond."""


@asynccontextmanager
async def talking(
    *script: ScriptedTurn,
    pace: float = 1,
    audio_delta_ms: int = 200,
    transcripts: Sequence[str] = (),
    mcp_tools: McpTools | None = None,
    dialect: Dialect = "openai",
    faults: Sequence[Fault] = (),
    **arguments: Any,
) -> AsyncGenerator[tuple[RealtimeSession, SimulatedConnection]]:
    """Open a session with a simulator; without turn detection unless it is asked for."""
    simulator = Simulator(
        script,
        pace=pace,
        audio_delta_ms=audio_delta_ms,
        transcripts=transcripts,
        mcp_tools=mcp_tools,
        dialect=dialect,
        faults=faults,
    )
    arguments = {"turn_detection": None, **arguments}
    async with open_simulated_session(simulator, **arguments) as session:
        yield session, simulator.connections[0]


@asynccontextmanager
async def session_over(carrier: str, simulator: Simulator, **arguments: Any) -> AsyncGenerator[RealtimeSession]:
    """Open a session with a simulator in memory, or over a socket; without turn detection."""
    if carrier == "memory":
        async with open_simulated_session(simulator, turn_detection=None, **arguments) as session:
            yield session
        return
    async with serve_simulator(simulator) as server:
        endpoint = OpenAI(server.api_key, base_url=server.url)
        async with open_session(endpoint=endpoint, turn_detection=None, **arguments) as session:
            yield session


def requested(connection: SimulatedConnection, *kinds: str) -> list[dict[str, Any]]:
    """What the simulator was asked for, of some types."""
    return [event for event in connection.received if event["type"] in kinds]


async def listed(stream: AsyncIterator[_T], into: list[_T] | None = None) -> list[_T]:
    """What a stream gives, put into a list that is given, so that what came before an error counts too."""
    into = [] if into is None else into
    async for each in stream:
        into.append(each)
    return into


def arrived(updates: UpdateChannel[Any]) -> list[Any]:
    """What a channel holds, without waiting."""
    held: list[Any] = []
    while True:
        try:
            held.append(updates.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return held


def sent_after(server: ScriptedServer, *kinds: str) -> list[dict[str, Any]]:
    """What a scripted server received, of some types."""
    return [event for event in server.received if event["type"] in kinds]


# --- what a scripted server says ------------------------------------------------------------------------------------


def push_speech_ended(server: ScriptedServer) -> None:
    """The user has spoken; with turn detection the server answers by itself."""
    server.push("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_speech")
    server.push("input_audio_buffer.speech_stopped", audio_end_ms=500, item_id="item_speech")
    server.push("input_audio_buffer.committed", item_id="item_speech")


def push_created(server: ScriptedServer, response_id: str, **fields: Any) -> None:
    """A response of the server's own begins, or of whatever request the fields name."""
    response = {"id": response_id, "status": "in_progress", "conversation_id": "conv_1", **fields}
    server.push("response.created", response=response)


def push_item(server: ScriptedServer, response_id: str, item_id: str, *, of: str = "message") -> None:
    """A response has an item."""
    item: dict[str, Any] = {"id": item_id, "type": of, "status": "in_progress"}
    item |= {"role": "assistant", "content": []} if of == "message" else {"name": "f", "call_id": "c", "arguments": ""}
    server.push("response.output_item.added", response_id=response_id, item=item)


def push_words(server: ScriptedServer, response_id: str, item_id: str, *words: str) -> None:
    """An item says words."""
    for word in words:
        server.push(
            "response.output_audio_transcript.delta",
            response_id=response_id,
            item_id=item_id,
            content_index=0,
            delta=word,
        )


def push_audio(server: ScriptedServer, response_id: str, item_id: str, audio: bytes) -> None:
    """An item sounds."""
    delta = base64.b64encode(audio).decode()
    server.push("response.output_audio.delta", response_id=response_id, item_id=item_id, content_index=0, delta=delta)


def push_done(server: ScriptedServer, response_id: str | None, status: str = "completed", **fields: Any) -> None:
    """A response is over."""
    server.push("response.done", response={"id": response_id, "status": status, "conversation_id": "conv_1", **fields})


async def play(playback: Playback, *, rate_hz: int = 24_000, bytes_per_sample: int = 2) -> None:
    """Play in real time; what is handed out counts as heard when it is over."""
    async for chunk in playback:
        if chunk.generation == playback.generation:
            await trio.sleep(len(chunk.audio) / (rate_hz * bytes_per_sample))
