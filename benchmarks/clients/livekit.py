"""LiveKit's plugin: its realtime model (aiohttp, the official models), without an agent session around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
from livekit.plugins.openai.realtime import RealtimeModel

from benchmarks.meter import Meter
from benchmarks.url import model


def run(main: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    logging.disable()
    asyncio.run(main(*arguments))


async def receive(url: str, meter: Meter) -> None:
    """The audio of one generation; frames of its own length, so that bytes are counted and not deltas."""
    async with aiohttp.ClientSession() as http:
        realtime = RealtimeModel(
            model=model(url), base_url=url.partition("?")[0], api_key="none", turn_detection=None, http_session=http
        )
        session = realtime.session()
        generation = await session.generate_reply()
        meter.start()
        async for message in generation.message_stream:
            async for frame in message.audio_stream:
                meter.pieces += 1
                meter.received += len(frame.data) * 2
        meter.stop()
        await session.aclose()
        await realtime.aclose()
