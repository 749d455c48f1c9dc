"""Other people's clients, which run on asyncio, beside a server on Trio."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from trio_realtime.testing import load_voice

TIMEOUT_S = 30.0

MODEL = "gpt-realtime-2.1"

SPOKEN_QUESTION = load_voice("question") + bytes(48_000)
"""Mono PCM16 at 24,000 Hz, with the second of silence that ends a turn."""

WEATHER = "It will be sunny in Paris."

T = TypeVar("T")


async def run_peer(play: Callable[[], Awaitable[T]]) -> T:
    """Run a client in a thread with an event loop of its own, and return what `play` does.

    Raises:
        TimeoutError: It hangs.
    """

    async def bounded() -> T:
        async with asyncio.timeout(TIMEOUT_S):
            return await play()

    return await trio.to_thread.run_sync(lambda: asyncio.run(bounded()))


def chunks(audio: bytes, chunk_bytes: int = 4800) -> list[bytes]:
    """Cut audio as a microphone would: 100 ms each."""
    return [audio[start : start + chunk_bytes] for start in range(0, len(audio), chunk_bytes)]
