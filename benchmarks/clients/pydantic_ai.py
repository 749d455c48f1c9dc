"""pydantic-ai: its realtime session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import (
    PartDeltaEvent,
    PartStartEvent,
    RealtimeTurnCompleteEvent,
    SpeechPart,
    SpeechPartDelta,
)
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.realtime.openai import OpenAIRealtimeModel

from benchmarks.meter import Meter
from benchmarks.url import base, model


def run(main: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    asyncio.run(main(*arguments))


def session(url: str) -> Any:
    provider = OpenAIProvider(base_url=base(url, "http"), api_key="none")
    realtime: Any = Agent(instructions="Speak.").realtime(OpenAIRealtimeModel(model(url), provider=provider))
    return realtime.session()


async def receive(url: str, meter: Meter) -> None:
    """Its events, iterated; it does not tell that a response begins, so that the request is the beginning."""
    async with session(url) as opened:
        await opened.create_response()
        meter.start()
        async for event in opened:
            if isinstance(event, PartDeltaEvent) and isinstance(event.delta, SpeechPartDelta):
                meter.count(event.delta.audio_chunk or b"")
            elif isinstance(event, PartStartEvent) and isinstance(event.part, SpeechPart):
                meter.count(event.part.audio.data if event.part.audio else b"")
            elif isinstance(event, RealtimeTurnCompleteEvent):
                meter.stop()
                break


async def uplink(url: str, meter: Meter, chunk: bytes, count: int) -> None:
    """`send_audio`."""
    async with session(url) as opened:
        await opened.create_response()
        meter.start()
        for _ in range(count):
            await opened.send_audio(chunk)
        meter.sent = count
        async for event in opened:
            if isinstance(event, RealtimeTurnCompleteEvent):
                break
        meter.stop()
