"""trio-websocket and msgspec in the simplest loop there is: no session, no conversation, no subscribers."""

from __future__ import annotations

from functools import partial

import msgspec
import trio
import trio_websocket

from benchmarks.meter import Meter
from trio_realtime.wire import server_events as server

run = trio.run

DELTAS = (server.ResponseOutputAudioDelta, server.ResponseOutputAudioTranscriptDelta)


async def receive(buffer_bytes: int, url: str, meter: Meter) -> None:
    """`get_message` and `msgspec.json.decode` into this library's own structs."""
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
            if isinstance(event, DELTAS):
                meter.count(event.delta)
            elif type(event) is server.ResponseCreated:
                meter.start()
            elif type(event) is server.ResponseDone:
                meter.stop()
                return


receive_64k = partial(receive, 65536)
receive_4k = partial(receive, 4096)


async def uplink(url: str, meter: Meter, chunk: bytes, count: int) -> None:
    """`send_message` of JSON made with base64 and msgspec."""
    encode = msgspec.json.Encoder().encode
    async with trio_websocket.open_websocket_url(url, receive_buffer_size=65536) as websocket:
        await websocket.send_message('{"type":"response.create"}')
        meter.start()
        for _ in range(count):
            await websocket.send_message(encode({"type": "input_audio_buffer.append", "audio": chunk}).decode())
        meter.sent = count
        while '"response.done"' not in str(await websocket.get_message()):
            pass
        meter.stop()
