"""This library: the whole session, and what is below it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

import trio
import trio.testing

from benchmarks.memory import peak_resident_bytes, resident_bytes
from benchmarks.meter import Meter
from benchmarks.pacing import STAGGER_S, UP_S, offset_s
from trio_realtime import (
    Endpoint,
    ItemUpdated,
    RawEvent,
    RealtimeSession,
    ResponseDone,
    ResponseStarted,
    TurnDone,
    open_connection,
    open_session,
    tool,
)
from trio_realtime.wire import server_events as server
from trio_realtime.wire.client_events import ResponseCreate, SessionUpdate
from trio_realtime.wire.session_config import SessionConfig

run = trio.run

DELTAS = (server.ResponseOutputAudioDelta, server.ResponseOutputAudioTranscriptDelta)


async def connection(url: str, meter: Meter) -> None:
    """`open_connection`: typed events, no session."""
    async with open_connection(Endpoint(url)) as opened:
        await opened.send(SessionUpdate(session=SessionConfig()))
        await opened.receive()
        await opened.receive()
        await opened.send(ResponseCreate())
        async for event in opened:
            if isinstance(event, DELTAS):
                meter.count(event.delta)
            elif type(event) is server.ResponseCreated:
                meter.start()
            elif type(event) is server.ResponseDone:
                meter.stop()
                return


async def subscriber(session: RealtimeSession, meter: Meter | None, done: Callable[[], object]) -> None:
    with session.updates(ItemUpdated, ResponseStarted, ResponseDone) as updates:
        async for update in updates:
            if meter is None:
                continue
            if type(update) is ItemUpdated:
                if update.delta is not None:
                    meter.count(update.delta.audio or update.delta.transcript or "")
            elif type(update) is ResponseStarted:
                meter.start()
            else:
                meter.stop()
                done()
                return


async def session_with(subscribers: int, url: str, meter: Meter) -> None:
    """The whole session: conversation kept, updates fanned out to this many subscribers."""
    async with open_session(endpoint=Endpoint(url)) as session, trio.open_nursery() as nursery:
        nursery.start_soon(subscriber, session, meter, nursery.cancel_scope.cancel)
        for _ in range(subscribers - 1):
            nursery.start_soon(subscriber, session, None, nursery.cancel_scope.cancel)
        await trio.testing.wait_all_tasks_blocked()
        await session.send(ResponseCreate())


session_1 = partial(session_with, 1)
session_4 = partial(session_with, 4)


async def raw_events(url: str, meter: Meter) -> None:
    """The whole session, read as raw events."""
    async with open_session(endpoint=Endpoint(url)) as session:
        with session.updates(RawEvent) as events:
            await session.send(ResponseCreate())
            async for raw in events:
                if isinstance(raw.event, DELTAS):
                    meter.count(raw.event.delta)
                elif type(raw.event) is server.ResponseCreated:
                    meter.start()
                elif type(raw.event) is server.ResponseDone:
                    meter.stop()
                    return


async def playback(url: str, meter: Meter) -> None:
    """The whole session, played: each chunk is taken from the ledger, and counted as heard with the next."""
    async with open_session(endpoint=Endpoint(url)) as session, trio.open_nursery() as nursery:

        async def play() -> None:
            async with session.playback() as chunks:
                async for chunk in chunks:
                    meter.count(chunk.audio)

        nursery.start_soon(play)
        with session.updates(ResponseStarted, ResponseDone) as updates:
            await trio.testing.wait_all_tasks_blocked()
            await session.send(ResponseCreate())
            async for update in updates:
                if type(update) is ResponseStarted:
                    meter.start()
                else:
                    await session.wait_for_playback()
                    meter.stop()
                    nursery.cancel_scope.cancel()


# --- up ---------------------------------------------------------------------------------------------------------------


async def uplink(url: str, meter: Meter, chunk: bytes, count: int, **options: int) -> None:
    """`append_audio`, as fast as it goes, until the server has it all."""
    async with open_session(endpoint=Endpoint(url)) as session:
        with session.updates(ResponseDone) as done:
            await session.send(ResponseCreate())
            append = session.append_audio
            meter.start()
            for _ in range(count):
                await append(chunk, **options)
            meter.sent = count
            await done.receive()
            meter.stop()


# --- both ways --------------------------------------------------------------------------------------------------------


async def sessions(url: str, meter: Meter, count: int, chunk: bytes, **options: int) -> None:
    """Sessions in real time: a microphone each, and somebody who listens."""
    ready = 0
    all_ready = trio.Event()
    left = count

    async def listen(session: RealtimeSession, speaking: trio.CancelScope) -> None:
        nonlocal left
        with session.updates(ItemUpdated, ResponseDone) as updates:
            await session.send(ResponseCreate())
            async for update in updates:
                if type(update) is ItemUpdated:
                    if update.delta is not None and update.delta.audio is not None:
                        meter.count_stamped(update.delta.audio)
                else:
                    break
        left -= 1
        if not left:
            meter.stop()
        speaking.cancel()

    async def speak(session: RealtimeSession, number: int) -> None:
        append = session.append_audio
        due = trio.current_time() + offset_s(number)
        while True:
            await trio.sleep_until(due)
            await append(chunk, **options)
            meter.sent += 1
            due += UP_S

    async def one(number: int) -> None:
        nonlocal ready
        async with open_session(endpoint=Endpoint(url)) as session, trio.open_nursery() as nursery:
            ready += 1
            if ready == count:
                all_ready.set()
                meter.start()
            await all_ready.wait()
            nursery.start_soon(listen, session, nursery.cancel_scope)
            if chunk:
                nursery.start_soon(speak, session, number)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
            await trio.sleep(STAGGER_S)


# --- turns ------------------------------------------------------------------------------------------------------------


@tool
async def get_weather(city: str) -> dict[str, object]:
    """Current weather."""
    return {"city": city, "celsius": 21}


async def mixed(url: str, meter: Meter, turns: int) -> None:
    """Turns with a tool: a function call, its output, and an answer that speaks."""
    async with open_session(endpoint=Endpoint(url), tools=[get_weather]) as session:
        with session.updates(ItemUpdated, TurnDone) as updates:
            meter.start()
            for _ in range(turns):
                await session.send(ResponseCreate())
                async for update in updates:
                    if type(update) is TurnDone:
                        break
                    if type(update) is ItemUpdated and update.delta is not None and update.delta.audio is not None:
                        meter.count(update.delta.audio)
            meter.stop()


async def interrupted(url: str, meter: Meter, turns: int) -> None:
    """The user speaks while something sounds: the server is told what was heard."""
    async with open_session(endpoint=Endpoint(url)) as session, trio.open_nursery() as nursery:

        async def play() -> None:
            async with session.playback() as chunks:
                async for chunk in chunks:
                    await trio.sleep(len(chunk.audio) / 48_000)

        nursery.start_soon(play)
        with session.updates(ResponseDone) as updates:
            meter.start()
            for _ in range(turns):
                await session.send(ResponseCreate())
                await updates.receive()
            meter.stop()
        nursery.cancel_scope.cancel()


# --- alone ------------------------------------------------------------------------------------------------------------


async def growth(url: str, meter: Meter) -> None:
    """A history, and then a response of which each delta is counted."""
    async with open_session(endpoint=Endpoint(url)) as session:
        with session.updates(ResponseDone) as history:
            await session.send(ResponseCreate())
            await history.receive()
        gc.collect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subscriber, session, meter, nursery.cancel_scope.cancel)
            await trio.testing.wait_all_tasks_blocked()
            await session.send(ResponseCreate())


async def idle(url: str, meter: Meter, count: int) -> None:
    """Sessions that do nothing: what they hold, each with its socket."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_session(endpoint=Endpoint(url)))  # what all share is there then
        before = resident_bytes()
        for _ in range(count):
            await stack.enter_async_context(open_session(endpoint=Endpoint(url)))
        meter.more["bytes"] = resident_bytes() - before


async def hour(url: str, meter: Meter) -> None:
    """An hour of speech: the most that is held, beyond what an idle session does."""
    async with open_session(endpoint=Endpoint(url)) as session, trio.open_nursery() as nursery:
        before = resident_bytes()
        nursery.start_soon(subscriber, session, meter, nursery.cancel_scope.cancel)
        await trio.testing.wait_all_tasks_blocked()
        await session.send(ResponseCreate())
    meter.more["bytes"] = peak_resident_bytes() - before


async def opening(url: str, meter: Meter, times: int) -> None:
    """From `open_session` to the answer of the first command, so many times."""
    meter.start()
    for _ in range(times):
        async with open_session(endpoint=Endpoint(url)) as session:
            await session.update(instructions="Be brief.")
    meter.stop()


class StepCounter(trio.abc.Instrument):
    """Counts how often a task was switched to."""

    def __init__(self) -> None:
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self.steps += 1


async def steps(url: str, meter: Meter, appends: int) -> None:
    """Deltas that come one by one, and then appends: how many task switches each takes."""
    counter = StepCounter()
    async with open_session(endpoint=Endpoint(url)) as session:
        with session.updates(ItemUpdated, ResponseStarted, ResponseDone) as updates:
            await session.send(ResponseCreate())
            async for update in updates:
                if type(update) is ResponseStarted:
                    trio.lowlevel.add_instrument(counter)
                elif type(update) is ItemUpdated:
                    meter.count(b"")
                elif type(update) is ResponseDone:
                    break
        meter.more["steps"] = counter.steps
        counter.steps = 0
        for _ in range(appends):
            await session.append_audio(bytes(960))
        meter.more["steps of appends"] = counter.steps
