"""A microphone for the clients that are asyncio's."""

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.meter import Meter
from benchmarks.pacing import UP_S, offset_s


async def microphone(append: Callable[[], Awaitable[None]], number: int, meter: Meter) -> None:
    """Append every 20 ms until cancelled."""
    time = asyncio.get_running_loop().time
    due = time() + offset_s(number)
    while True:
        await asyncio.sleep(due - time())
        await append()
        meter.sent += 1
        due += UP_S
