"""The official client: its realtime connection, which turns each event into a pydantic model."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from typing import Any

from openai import AsyncOpenAI

from benchmarks.clients.asyncio_pacing import microphone
from benchmarks.meter import Meter
from benchmarks.pacing import STAGGER_S
from benchmarks.url import base, model


def run(main: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    asyncio.run(main(*arguments))


def connect(url: str) -> Any:
    client = AsyncOpenAI(api_key="none", websocket_base_url=base(url, "ws"))
    return client.realtime.connect(model=model(url))


def take(event: Any, meter: Meter) -> bool:
    """Count one event; true for the last."""
    if event.type == "response.output_audio.delta":
        meter.count(base64.b64decode(event.delta))
    elif event.type == "response.output_audio_transcript.delta":
        meter.count(event.delta)
    elif event.type == "response.created":
        meter.start()
    elif event.type == "response.done":
        meter.stop()
        return True
    return False


async def recv(url: str, meter: Meter) -> None:
    """Its `recv` in a loop."""
    async with connect(url) as connection:
        await connection.response.create()
        while not take(await connection.recv(), meter):
            pass


async def iteration(url: str, meter: Meter) -> None:
    """`async for event in connection`."""
    async with connect(url) as connection:
        await connection.response.create()
        async for event in connection:
            if take(event, meter):
                break


async def uplink(url: str, meter: Meter, chunk: bytes, count: int) -> None:
    """`input_audio_buffer.append`."""
    async with connect(url) as connection:
        await connection.response.create()
        meter.start()
        for _ in range(count):
            await connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
        meter.sent = count
        while (await connection.recv()).type != "response.done":
            pass
        meter.stop()


async def sessions(url: str, meter: Meter, count: int, chunk: bytes) -> None:
    """Connections in real time: a microphone each, and a loop that listens."""
    ready = 0
    all_ready = asyncio.Event()
    left = count

    async def one(number: int) -> None:
        nonlocal ready, left
        await asyncio.sleep(number * STAGGER_S)
        async with connect(url) as connection:
            ready += 1
            if ready == count:
                all_ready.set()
                meter.start()
            await all_ready.wait()

            async def append() -> None:
                await connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())

            speaking = asyncio.create_task(microphone(append, number, meter)) if chunk else None
            await connection.response.create()
            while (event := await connection.recv()).type != "response.done":
                if event.type == "response.output_audio.delta":
                    meter.count_stamped(base64.b64decode(event.delta))
            left -= 1
            if not left:
                meter.stop()
            if speaking is not None:
                speaking.cancel()

    await asyncio.gather(*map(one, range(count)))


async def mixed(url: str, meter: Meter, turns: int) -> None:
    """Turns with a tool, run by the loop itself."""
    async with connect(url) as connection:
        await connection.session.update(session={"type": "realtime"})
        meter.start()
        for _ in range(turns):
            await connection.response.create()
            called = False
            while True:
                event = await connection.recv()
                if event.type == "response.output_audio.delta":
                    meter.count(base64.b64decode(event.delta))
                elif event.type == "response.function_call_arguments.done":
                    called = True
                    output = json.dumps({"celsius": 21, **json.loads(event.arguments)})
                    item: Any = {"type": "function_call_output", "call_id": event.call_id, "output": output}
                    await connection.conversation.item.create(item=item)
                elif event.type == "response.done":
                    if not called:
                        break
                    called = False
                    await connection.response.create()
        meter.stop()
