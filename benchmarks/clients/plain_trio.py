"""A Trio program with the timers and sockets of a session and nothing else: no websocket, no JSON, no base64."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import trio
import trio.testing

from benchmarks.memory import resident_bytes
from benchmarks.meter import Meter
from benchmarks.pacing import STAGGER_S, UP_S, offset_s

run = trio.run


async def sessions(url: str, meter: Meter, count: int, chunk: bytes) -> None:
    """Sockets in real time: bytes go up from a timer, and bytes come down."""
    address = urlsplit(url)
    request = f"raw {parse_qs(address.query)['model'][0]}\r\n\r\n".encode()
    frame = bytes(-(-len(chunk) * 4 // 3) + 60)  # as long as an append with its frame
    left = count
    ready = 0
    all_ready = trio.Event()

    async def listen(stream: trio.SocketStream, speaking: trio.CancelScope) -> None:
        nonlocal left
        while data := await stream.receive_some(65536):
            meter.pieces += 1
            if b'"response.done"' in data:
                break
        left -= 1
        if not left:
            meter.stop()
        speaking.cancel()

    async def speak(stream: trio.SocketStream, number: int) -> None:
        due = trio.current_time() + offset_s(number)
        while True:
            await trio.sleep_until(due)
            await stream.send_all(frame)
            meter.sent += 1
            due += UP_S

    async def one(number: int) -> None:
        nonlocal ready
        stream = await trio.open_tcp_stream(address.hostname or "", address.port or 0)
        async with stream, trio.open_nursery() as nursery:
            ready += 1
            if ready == count:
                all_ready.set()
                meter.start()
            await all_ready.wait()
            await stream.send_all(request)
            nursery.start_soon(listen, stream, nursery.cancel_scope)
            if chunk:
                nursery.start_soon(speak, stream, number)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
            await trio.sleep(STAGGER_S)


async def idle(url: str, meter: Meter, count: int) -> None:
    """Sockets that do nothing, each with a task that reads."""
    address = urlsplit(url)

    async def one() -> None:
        stream = await trio.open_tcp_stream(address.hostname or "", address.port or 0)
        async with stream:
            await stream.receive_some(65536)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked(0.05)
        before = resident_bytes()
        for _ in range(count):
            nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked(0.2)
        meter.more["bytes"] = resident_bytes() - before
        nursery.cancel_scope.cancel()
