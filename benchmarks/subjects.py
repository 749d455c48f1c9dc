"""What is measured: each subject takes one whole response from the load server, and says what the deltas cost.

Run as `python -m benchmarks.subjects NAME URL`, in a process of its own; prints one JSON object.
"""

import json
import sys
import time
from collections.abc import Awaitable, Callable

import msgspec
import trio
import trio.testing
import trio_websocket

from trio_realtime import (
    Endpoint,
    ItemUpdated,
    RawEvent,
    RealtimeSession,
    ResponseDone,
    ResponseStarted,
    open_connection,
    open_session,
)
from trio_realtime.wire import server_events as server
from trio_realtime.wire.client_events import ResponseCreate, SessionUpdate
from trio_realtime.wire.session_config import SessionConfig


class Meter:
    """CPU time of this process between the first and the last event of a response, and what came between."""

    def __init__(self) -> None:
        self.deltas = 0
        self.audio_bytes = 0
        self.cpu_s = 0.0
        self.wall_s = 0.0

    def start(self) -> None:
        self.deltas = self.audio_bytes = 0
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def count(self, audio: bytes) -> None:
        self.deltas += 1
        self.audio_bytes += len(audio)

    def stop(self) -> None:
        self.cpu_s, self.wall_s = time.process_time() - self._cpu, time.perf_counter() - self._wall


async def bare_loop(url: str, meter: Meter, buffer_bytes: int) -> None:
    """trio-websocket and msgspec in the simplest loop there is: no session, no conversation, no subscribers."""
    decode = msgspec.json.Decoder(server.KnownServerEvent).decode
    async with trio_websocket.open_websocket_url(
        url, receive_buffer_size=buffer_bytes, max_message_size=32 * 2**20
    ) as websocket:
        await websocket.send_message('{"type":"session.update","session":{"type":"realtime"}}')
        await websocket.get_message()
        await websocket.get_message()
        await websocket.send_message('{"type":"response.create"}')
        while True:
            event = decode(await websocket.get_message())
            if type(event) is server.ResponseOutputAudioDelta:
                meter.count(event.delta)
            elif type(event) is server.ResponseCreated:
                meter.start()
            elif type(event) is server.ResponseDone:
                meter.stop()
                return


async def bare_loop_64k(url: str, meter: Meter) -> None:
    await bare_loop(url, meter, 65536)


async def bare_loop_4k(url: str, meter: Meter) -> None:
    await bare_loop(url, meter, 4096)


async def connection(url: str, meter: Meter) -> None:
    """`open_connection`: typed events, no session."""
    async with open_connection(Endpoint(url)) as opened:
        await opened.send(SessionUpdate(session=SessionConfig()))
        await opened.receive()
        await opened.receive()
        await opened.send(ResponseCreate())
        async for event in opened:
            if type(event) is server.ResponseOutputAudioDelta:
                meter.count(event.delta)
            elif type(event) is server.ResponseCreated:
                meter.start()
            elif type(event) is server.ResponseDone:
                meter.stop()
                return


async def subscriber(session: RealtimeSession, meter: Meter | None, done: trio.CancelScope) -> None:
    with session.updates(ItemUpdated, ResponseStarted, ResponseDone) as updates:
        async for update in updates:
            if meter is None:
                continue
            if type(update) is ItemUpdated:
                if update.delta is not None and update.delta.audio is not None:
                    meter.count(update.delta.audio)
            elif type(update) is ResponseStarted:
                meter.start()
            else:
                meter.stop()
                done.cancel()


async def session_with(url: str, meter: Meter, subscribers: int) -> None:
    """The whole session: conversation kept, updates fanned out to this many subscribers."""
    async with open_session(endpoint=Endpoint(url)) as session, trio.open_nursery() as nursery:
        nursery.start_soon(subscriber, session, meter, nursery.cancel_scope)
        for _ in range(subscribers - 1):
            nursery.start_soon(subscriber, session, None, nursery.cancel_scope)
        await trio.testing.wait_all_tasks_blocked()
        await session.send(ResponseCreate())


async def session_1(url: str, meter: Meter) -> None:
    await session_with(url, meter, 1)


async def session_4(url: str, meter: Meter) -> None:
    await session_with(url, meter, 4)


async def raw_events(url: str, meter: Meter) -> None:
    """The whole session, read as raw events."""
    async with open_session(endpoint=Endpoint(url)) as session:
        with session.updates(RawEvent) as events:
            await session.send(ResponseCreate())
            async for raw in events:
                if type(raw.event) is server.ResponseOutputAudioDelta:
                    meter.count(raw.event.delta)
                elif type(raw.event) is server.ResponseCreated:
                    meter.start()
                elif type(raw.event) is server.ResponseDone:
                    meter.stop()
                    return


SUBJECTS: dict[str, Callable[[str, Meter], Awaitable[None]]] = {
    "bare trio-websocket + msgspec, 64 KiB buffer": bare_loop_64k,
    "bare trio-websocket + msgspec, 4 KiB buffer": bare_loop_4k,
    "open_connection": connection,
    "session, raw events": raw_events,
    "session, one subscriber": session_1,
    "session, four subscribers": session_4,
}


def main() -> None:
    name, url = sys.argv[1:]
    meter = Meter()
    trio.run(SUBJECTS[name], url, meter)
    print(json.dumps({name: getattr(meter, name) for name in ("deltas", "audio_bytes", "cpu_s", "wall_s")}))


if __name__ == "__main__":
    main()
