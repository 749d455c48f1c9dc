"""openai-agents: its realtime session (websockets, the official models, its own events through a queue)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from agents import function_tool, set_tracing_disabled
from agents.realtime import RealtimeAgent, RealtimeModelSendRawMessage, RealtimeRunner, RealtimeSession

from benchmarks.clients.asyncio_pacing import microphone
from benchmarks.meter import Meter
from benchmarks.pacing import STAGGER_S
from benchmarks.url import model


def run(main: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    set_tracing_disabled(True)
    asyncio.run(main(*arguments))


async def opened(url: str, tools: list[Any] | None = None) -> RealtimeSession:
    agent: RealtimeAgent[Any] = RealtimeAgent(name="load", instructions="Speak.", tools=tools or [])
    return await RealtimeRunner(agent).run(
        model_config={
            "url": url,
            "api_key": "none",
            "initial_model_settings": {"model_name": model(url), "tracing": None},
        }
    )


async def create_response(session: RealtimeSession) -> None:
    await session.model.send_event(RealtimeModelSendRawMessage(message={"type": "response.create"}))


async def receive(url: str, meter: Meter) -> None:
    """Its events, iterated."""
    async with await opened(url) as session:
        await create_response(session)
        async for event in session:
            if event.type == "audio":
                meter.count(event.audio.data)
            elif event.type == "raw_model_event" and event.data.type == "transcript_delta":
                meter.count(event.data.delta)
            elif event.type == "agent_start":
                meter.start()
            elif event.type == "agent_end":
                meter.stop()
                break


async def uplink(url: str, meter: Meter, chunk: bytes, count: int) -> None:
    """`send_audio`."""
    async with await opened(url) as session:
        await create_response(session)
        meter.start()
        for _ in range(count):
            await session.send_audio(chunk)
        meter.sent = count
        async for event in session:
            if event.type == "agent_end":
                break
        meter.stop()


async def sessions(url: str, meter: Meter, count: int, chunk: bytes) -> None:
    """Sessions in real time: a microphone each, and somebody who listens."""
    ready = 0
    all_ready = asyncio.Event()
    left = count

    async def one(number: int) -> None:
        nonlocal ready, left
        await asyncio.sleep(number * STAGGER_S)
        async with await opened(url) as session:
            ready += 1
            if ready == count:
                all_ready.set()
                meter.start()
            await all_ready.wait()
            speaking = None
            if chunk:
                speaking = asyncio.create_task(microphone(lambda: session.send_audio(chunk), number, meter))
            await create_response(session)
            async for event in session:
                if event.type == "audio":
                    meter.count_stamped(event.audio.data)
                elif event.type == "agent_end":
                    break
            left -= 1
            if not left:
                meter.stop()
            if speaking is not None:
                speaking.cancel()

    await asyncio.gather(*map(one, range(count)))


@function_tool
async def get_weather(city: str) -> str:
    """Current weather."""
    return f"21 degrees in {city}"


async def mixed(url: str, meter: Meter, turns: int) -> None:
    """Turns with a tool: a function call, its output, and an answer that speaks."""
    async with await opened(url, [get_weather]) as session:
        events = session.__aiter__()
        meter.start()
        for _ in range(turns):
            await create_response(session)
            ends = 0
            while ends < 2:  # the call's response, and the answer's
                event = await anext(events)
                if event.type == "audio":
                    meter.count(event.audio.data)
                elif event.type == "agent_end":
                    ends += 1
        meter.stop()


async def interrupted(url: str, meter: Meter, turns: int) -> None:
    """The user speaks while something sounds; it reckons what was heard by the clock."""
    async with await opened(url) as session:
        events = session.__aiter__()
        meter.start()
        for _ in range(turns):
            await create_response(session)
            while (await anext(events)).type != "agent_end":
                pass
        meter.stop()
