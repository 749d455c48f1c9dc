"""The floor: picows (C framing, asyncio) and msgspec, without any of what a client is for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.meter import Meter


class Event(msgspec.Struct):
    """A text event: only what the loop needs."""

    type: str
    delta: str = ""


class AudioEvent(msgspec.Struct):
    """An audio event; msgspec decodes the base64."""

    type: str
    delta: bytes = b""


def run(main: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    asyncio.run(main(*arguments))


async def receive(url: str, meter: Meter) -> None:
    """Decode each frame where it lies."""
    kind: type[Event | AudioEvent] = Event if "transcript" in url else AudioEvent
    decode = msgspec.json.Decoder(kind).decode
    done = asyncio.get_running_loop().create_future()

    class Listener(WSListener):  # type: ignore[misc, unused-ignore]  # picows may not be installed
        def on_ws_connected(self, transport: WSTransport) -> None:
            transport.send(WSMsgType.TEXT, b'{"type":"response.create"}')

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            event = decode(frame.get_payload_as_memoryview())
            if event.delta:
                meter.count(event.delta)
            elif event.type == "response.created":
                meter.start()
            elif event.type == "response.done":
                meter.stop()
                done.set_result(None)

    transport, _ = await ws_connect(Listener, url, max_frame_size=8 * 2**20)
    await done
    transport.disconnect()
