"""The official client, on asyncio and in threads, holds conversations with the simulated server over a socket."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import pytest

from tests.conformance.peers import MODEL, SPOKEN_QUESTION, WEATHER, chunks, run_peer
from trio_realtime.testing import QUESTION, Simulator, SimulatorServer, calls, says, serve_simulator

pytest.importorskip("openai")
pytest.importorskip("websockets")

from openai import AsyncOpenAI, OpenAI
from openai.resources.realtime.realtime import RealtimeConnection
from openai.types.realtime import RealtimeServerEvent
from websockets.exceptions import InvalidStatus


class Connection(Protocol):
    """What the two kinds of connection have in common, once one of them is moved into threads."""

    async def send(self, event: Any, /) -> None: ...

    async def recv(self) -> RealtimeServerEvent: ...


class Threaded:
    """The official client's other connection, which blocks."""

    def __init__(self, connection: RealtimeConnection) -> None:
        self._connection = connection

    async def send(self, event: Any, /) -> None:
        await asyncio.to_thread(self._connection.send, event)

    async def recv(self) -> RealtimeServerEvent:
        return await asyncio.to_thread(self._connection.recv)


@asynccontextmanager
async def on_asyncio(server: SimulatorServer[Simulator]) -> AsyncGenerator[Connection]:
    async with (
        AsyncOpenAI(api_key=server.api_key, websocket_base_url=server.url) as client,
        client.realtime.connect(model=MODEL) as connection,
    ):
        yield connection


@asynccontextmanager
async def in_threads(server: SimulatorServer[Simulator]) -> AsyncGenerator[Connection]:
    with (
        OpenAI(api_key=server.api_key, websocket_base_url=server.url) as client,
        client.realtime.connect(model=MODEL) as connection,
    ):
        yield Threaded(connection)


Open = Callable[[SimulatorServer[Simulator]], AbstractAsyncContextManager[Connection]]

both = pytest.mark.parametrize("connect", [on_asyncio, in_threads])


async def receive_until(connection: Connection, kind: str) -> list[Any]:
    """Receive events of the official types, up to and including one of a kind; none of them is an error."""
    events: list[Any] = []
    while not events or events[-1].type != kind:
        events.append(await connection.recv())
        assert events[-1].type != "error", events[-1]
    return events


async def send_message(connection: Connection, text: str) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await connection.send({"type": "conversation.item.create", "item": item})
    await connection.send({"type": "response.create"})


async def configure(connection: Connection, **settings: Any) -> Any:
    await connection.send({"type": "session.update", "session": {"type": "realtime", **settings}})
    return (await receive_until(connection, "session.updated"))[-1].session


def joined(events: list[Any], kind: str) -> str:
    return "".join(event.delta for event in events if event.type == kind)


@both
async def test_a_written_turn(connect: Open) -> None:
    async def talk() -> None:
        async with connect(server) as connection:
            session = await configure(connection, output_modalities=["text"], instructions="Be brief.")
            assert (session.output_modalities, session.instructions) == (["text"], "Be brief.")
            await send_message(connection, "Hello.")
            events = await receive_until(connection, "response.done")
            assert joined(events, "response.output_text.delta") == "Hello to you."
            response = events[-1].response
            assert response.status == "completed"
            assert response.output[0].content[0].text == "Hello to you."
            assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens

    async with serve_simulator(Simulator([says("Hello to you.")], pace=0)) as server:
        await run_peer(talk)
        assert [item["role"] for item in server.simulator.connections[0].items] == ["user", "assistant"]


@both
async def test_a_spoken_turn(connect: Open) -> None:
    answer = SPOKEN_QUESTION[:96_000]

    async def talk() -> None:
        async with connect(server) as connection:
            await configure(connection, audio={"input": {"transcription": {"model": "whisper-1"}}})
            for chunk in chunks(SPOKEN_QUESTION):
                audio = base64.b64encode(chunk).decode()
                await connection.send({"type": "input_audio_buffer.append", "audio": audio})
            events = await receive_until(connection, "response.done")
            types = [event.type for event in events]
            if "conversation.item.input_audio_transcription.completed" not in types:
                events += await receive_until(connection, "conversation.item.input_audio_transcription.completed")
            turn = ["speech_started", "speech_stopped", "committed"]
            assert [kind for kind in types if kind.startswith("input")] == [
                f"input_audio_buffer.{each}" for each in turn
            ]
            heard = b"".join(
                base64.b64decode(event.delta) for event in events if event.type == "response.output_audio.delta"
            )
            assert heard == answer
            assert joined(events, "response.output_audio_transcript.delta") == "Sunny."
            assert joined(events, "conversation.item.input_audio_transcription.delta") == QUESTION

    async with serve_simulator(Simulator([says("Sunny.", audio=answer)], pace=0)) as server:
        await run_peer(talk)


@both
async def test_a_tool_turn(connect: Open) -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {"city": {}}}}

    async def talk() -> None:
        async with connect(server) as connection:
            session = await configure(connection, tools=[tool], output_modalities=["text"])
            assert session.tools[0].name == "get_weather"
            await send_message(connection, "What is the weather in Paris?")
            events = await receive_until(connection, "response.done")
            (call,) = events[-1].response.output
            assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
            assert joined(events, "response.function_call_arguments.delta") == call.arguments
            output = {"type": "function_call_output", "call_id": call.call_id, "output": WEATHER}
            await connection.send({"type": "conversation.item.create", "item": output})
            await connection.send({"type": "response.create"})
            events = await receive_until(connection, "response.done")
            assert joined(events, "response.output_text.delta") == f"The function says: {WEATHER}"

    async with serve_simulator(Simulator([calls("get_weather", {"city": "Paris"})], pace=0)) as server:
        await run_peer(talk)


@both
async def test_cancelling_a_response(connect: Open) -> None:
    async def talk() -> None:
        async with connect(server) as connection:
            await send_message(connection, "Tell me a long story.")
            created = (await receive_until(connection, "response.created"))[-1].response
            await receive_until(connection, "response.output_audio.delta")
            await connection.send({"type": "response.cancel", "response_id": created.id})
            response = (await receive_until(connection, "response.done"))[-1].response
            assert (response.id, response.status) == (created.id, "cancelled")
            assert response.status_details.reason == "client_cancelled"
            assert response.output[0].status == "incomplete"
            await connection.send({"type": "response.create"})
            done = (await receive_until(connection, "response.done"))[-1].response
            assert done.status == "completed"

    async with serve_simulator(Simulator([says("Once upon a time...", audio=600.0), says("The end.")])) as server:
        await run_peer(talk)


async def test_the_resources_of_a_connection_and_its_iteration() -> None:
    async def talk() -> None:
        async with (
            AsyncOpenAI(api_key=server.api_key, websocket_base_url=server.url) as client,
            client.realtime.connect(model=MODEL) as connection,
        ):
            await connection.session.update(
                session={
                    "type": "realtime",
                    "output_modalities": ["audio"],
                    "audio": {"input": {"turn_detection": None}},
                }
            )
            for chunk in chunks(SPOKEN_QUESTION):
                await connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
            await connection.input_audio_buffer.commit()
            await connection.response.create(response={"metadata": {"turn": "1"}})
            item_id = ""
            async for event in connection:
                assert event.type != "error", event
                if event.type == "response.done":
                    assert event.response.metadata == {"turn": "1"}
                    assert event.response.output
                    item_id = event.response.output[0].id or ""
                    await connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=500)
                elif event.type == "conversation.item.truncated":
                    assert (event.item_id, event.audio_end_ms) == (item_id, 500)
                    await connection.conversation.item.retrieve(item_id=item_id)
                elif event.type == "conversation.item.retrieved":
                    content: Any = event.item
                    assert len(base64.b64decode(content.content[0].audio)) == 500 * 48
                    await connection.conversation.item.delete(item_id=item_id)
                elif event.type == "conversation.item.deleted":
                    break

    async with serve_simulator(Simulator([says("Sunny.", audio=2.0)], pace=0)) as server:
        await run_peer(talk)
        assert [item["role"] for item in server.simulator.connections[0].items] == ["user"]


async def test_a_transcription_session() -> None:
    async def talk() -> None:
        async with (
            AsyncOpenAI(api_key=server.api_key, websocket_base_url=server.url) as client,
            client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
        ):
            await connection.session.update(
                session={"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
            )
            for chunk in chunks(SPOKEN_QUESTION):
                await connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
            events = await receive_until(connection, "conversation.item.input_audio_transcription.completed")
            assert events[-1].transcript == QUESTION

    async with serve_simulator(Simulator(pace=0)) as server:
        await run_peer(talk)


async def test_the_type_of_an_error_and_a_session_that_lives_on() -> None:
    async def talk() -> None:
        async with on_asyncio(server) as connection:
            await connection.send({"type": "response.cancel", "event_id": "mine"})
            event: Any = None
            while event is None or event.type != "error":
                event = await connection.recv()
            assert (event.error.code, event.error.event_id) == ("response_cancel_not_active", "mine")
            await send_message(connection, "Are you there?")
            await receive_until(connection, "response.done")

    async with serve_simulator(Simulator(pace=0)) as server:
        await run_peer(talk)


async def test_a_wrong_key_is_refused() -> None:
    async def talk() -> None:
        client = AsyncOpenAI(api_key="sk-wrong", websocket_base_url=server.url)
        async with client:
            with pytest.raises(InvalidStatus) as refused:
                await client.realtime.connect(model=MODEL).enter()
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body)["error"]["code"] == "invalid_api_key"

    async with serve_simulator(Simulator()) as server:
        await run_peer(talk)
