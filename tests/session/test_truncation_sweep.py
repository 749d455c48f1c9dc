"""Conversations that end after each of the server's messages: all is heard that came, nobody hangs, and it is named."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import settings
from trio.testing import MockClock

from trio_realtime import (
    ConnectError,
    ConnectionLost,
    ItemAppended,
    RawEvent,
    RealtimeError,
    RealtimeSession,
    ResponseDone,
    TurnDone,
    UpdateChannel,
    open_session,
    tool,
)
from trio_realtime.state.updates import Update
from trio_realtime.testing import Replay, Simulator, calls, load_voice, read_recording, says
from trio_realtime.testing.server import Server
from trio_realtime.transport import Closed
from trio_realtime.wire.session_config import SessionConfig

from .cut_transport import CutTransport
from .scripted_server import leaving_raises

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "recordings"
RECORDINGS = sorted(FOLDER.glob("*.jsonl"))

ENDS: list[Closed | ConnectionLost] = [
    ConnectionLost("the server ended the connection without a close frame"),
    Closed(1000),
    ConnectionLost("connection reset by peer", reason="reset"),
    Closed(1001, "restart"),
    Closed(1011, "internal error"),
]
EVERYTHING = 1_000_000
ITEM_DONE = {"conversation.item.done", "response.output_item.done"}

Talk = Callable[[RealtimeSession], Awaitable[object]]


@dataclass
class Conversation:
    """What a server says, and what a program does.

    Attributes:
        server: Made anew for each time.
        talk: The program.
        arguments: Of `open_session`.
    """

    server: Callable[[], Server]
    talk: Talk
    arguments: dict[str, Any] = field(default_factory=dict)

    def transport(self, *, after: int, end: Closed | ConnectionLost) -> CutTransport:
        call_id = self.arguments.get("call_id")
        return CutTransport(self.server(), after=after, end=end, query={"call_id": call_id} if call_id else None)


# --- the programs ---------------------------------------------------------------------------------------------------


async def ask(session: RealtimeSession) -> None:
    async with session.respond("How are you?") as turn:
        async for _ in turn.text_stream():
            pass


async def ask_twice_at_once(session: RealtimeSession) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt, ask, session)
        nursery.start_soon(attempt, ask, session)


async def ask_beside(session: RealtimeSession) -> None:
    async with session.respond(conversation="none", input=[]) as turn:
        async for _ in turn.text_stream():
            pass
    await ask(session)


async def write_and_wait(session: RealtimeSession) -> None:
    await session.send_message("Is it late?")
    await session.wait_for_reply()


async def change_everything(session: RealtimeSession) -> None:
    await session.update(instructions="Be brief.")
    await session.append_audio(bytes(4800 * 2))
    await session.commit_audio()
    await session.append_audio(bytes(4800))
    await session.clear_audio()
    item = await session.send_message("Hello", respond=False)
    assert item is not None
    await session.retrieve_item(item.id)
    response = await session.create_response()
    await session.wait_for(ResponseDone)
    await session.truncate_item(list(session.conversation)[-1].id, audio_end_ms=300)
    await session.delete_item(item.id)
    await session.cancel_response(response.id)


async def interrupt(session: RealtimeSession) -> None:
    await session.send_message("Tell me everything.")
    await trio.sleep(1.03)
    await session.interrupt()
    await ask(session)


async def speak(session: RealtimeSession) -> None:
    await session.send_message("Tell me everything.")
    await trio.sleep(1.03)
    voice = load_voice("interruption")
    for start in range(0, len(voice), 9600):
        await session.append_audio(voice[start : start + 9600])
        await trio.sleep(0.2)
    await session.wait_for_reply()
    await session.wait_for_playback()


@tool
async def look(city: str) -> str:
    """Look."""
    await trio.sleep(0.31)
    return f"{city} is sunny"


def simulated(*script: Any, **arguments: Any) -> Callable[[], Server]:
    return lambda: Simulator(script, **{"pace": 1, **arguments})


SIMULATED = {
    "a plain turn": Conversation(
        simulated(says("Fine.")), ask, {"output_modalities": ["text"], "turn_detection": None}
    ),
    "audio": Conversation(simulated(says("Fine, thanks.", audio=1.0)), ask, {"turn_detection": None}),
    "tools": Conversation(
        simulated([calls("look", {"city": "Paris"}), calls("look", {"city": "Rome"})], says("Sunny.", audio=0.4)),
        write_and_wait,
        {"tools": [look], "turn_detection": None},
    ),
    "interruption": Conversation(
        simulated(says("A long story.", audio=3.0), says("Yes?", audio=0.4), pace=0.5),
        interrupt,
        {"turn_detection": None},
    ),
    "a barge-in": Conversation(
        simulated(says("A long story.", audio=3.0), says("Yes?", audio=0.4), pace=0.5),
        speak,
        {"turn_detection": "server_vad", "transcription": "gpt-realtime-whisper"},
    ),
    "out of band": Conversation(
        simulated(says("Aside.", audio=0.4), says("Fine.", audio=0.4)), ask_beside, {"turn_detection": None}
    ),
    "two at once": Conversation(
        simulated(says("One.", audio=0.4), says("Two.", audio=0.4)), ask_twice_at_once, {"turn_detection": None}
    ),
    "every command": Conversation(simulated(says("Fine.", audio=0.4)), change_everything, {"turn_detection": None}),
}


def recorded(path: Path) -> Conversation:
    recording = read_recording(path)
    update, *rest = [message.content for message in recording.messages if message.direction == "sent"]
    assert isinstance(update, dict)
    first = recording.messages[0].content
    assert isinstance(first, dict)

    async def send_all(session: RealtimeSession) -> None:
        for event in rest:
            assert isinstance(event, dict)
            await session.send(event)

    arguments = {
        "config": msgspec.convert(update["session"], SessionConfig),
        "call_id": None if first["type"] == "session.created" else "call_1",
    }
    return Conversation(lambda: Replay(recording, 0), send_all, arguments)


# --- what everybody hears -------------------------------------------------------------------------------------------


async def attempt(work: Callable[..., Awaitable[object]], *arguments: Any) -> None:
    """Do something to its end, or to that of the session."""
    with suppress(ConnectionLost):
        await work(*arguments)


class Audience:
    """All who listen to a session, from its beginning to its end."""

    def __init__(self, session: RealtimeSession, talk: Talk) -> None:
        self._session = session
        self._talk = talk
        self.updates: list[Update] = []
        self.events: list[RawEvent] = []
        self.failures: list[ConnectionLost] = []

    async def run(self) -> None:
        """Listen; ends with the session."""
        session = self._session
        with session.updates() as updates, session.events() as events:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._collect, updates, self.updates)
                nursery.start_soon(self._collect, events, self.events)
                nursery.start_soon(attempt, self._play)
                for wait in (session.wait_for_reply, session.wait_item, session.wait_completed_item):
                    nursery.start_soon(attempt, wait)
                for kind in (ResponseDone, TurnDone):
                    nursery.start_soon(attempt, session.wait_for, kind)
                nursery.start_soon(attempt, self._talk, session)

    async def _play(self) -> None:
        async with self._session.playback() as playback:
            async for chunk in playback:
                await trio.sleep(len(chunk.audio) / 48_000)

    async def _collect(self, updates: UpdateChannel[Any], into: list[Any]) -> None:
        try:
            while True:
                into.append(await updates.receive())
        except ConnectionLost as error:
            self.failures.append(error)


async def cut(conversation: Conversation, *, after: int, end: Closed | ConnectionLost) -> CutTransport:
    """Have the conversation with a server that ends it after so many messages, and look at what everybody heard."""
    transport = conversation.transport(after=after, end=end)
    audience: Audience | None = None
    before = 0
    over = False
    living = trio.lowlevel.current_statistics().tasks_living
    with trio.fail_after(1000), leaving_raises(RealtimeError) as caught:
        async with open_session(transport=transport, close_timeout=5, **conversation.arguments) as session:
            before = len(transport.delivered)
            audience = Audience(session, conversation.talk)
            with suppress(ConnectionLost):  # it may have ended before anybody could listen
                await audience.run()
            over = True
    assert trio.lowlevel.current_statistics().tasks_living == living
    assert len(transport.delivered) == after
    if audience is None:
        assert type(caught.value) is ConnectError
        assert not any(event["type"] == "session.updated" for event in transport.delivered)
        return transport
    assert over, "somebody was cancelled, and did not hear of the end"
    check_failures([session.failure, caught.value, *audience.failures], end)
    check_heard(session, audience, transport.delivered, before)
    return transport


def check_failures(failures: list[Any], end: Closed | ConnectionLost) -> None:
    """All got the same named error, whoever raised it an instance of its own."""
    assert len({id(failure) for failure in failures}) == len(failures)
    for failure in failures:
        assert type(failure) is ConnectionLost
        assert (failure.code, failure.reason) == (end.code, end.reason)


def check_heard(session: RealtimeSession, audience: Audience, delivered: list[dict[str, Any]], before: int) -> None:
    """All that came was heard, before the end, and what was under way is marked as never finished."""
    if len(delivered) > before:
        assert len(audience.failures) == 2
    heard = [update.event for update in audience.events if update.source == "server"]
    assert [event.__struct_config__.tag for event in heard] == [event["type"] for event in delivered[before:]]
    appended = [update.item.id for update in audience.updates if isinstance(update, ItemAppended)]
    added = {event["item"]["id"] for event in delivered[before:] if event["type"] == "conversation.item.added"}
    assert added <= set(appended)
    assert len(set(appended)) == len(appended)
    done = {event["item"]["id"] for event in delivered if event["type"] in ITEM_DONE}
    begun = {event["item"]["id"] for event in delivered if event.get("item", {}).get("status") == "in_progress"}
    for item in session.conversation:
        assert item.status != "in_progress"
        assert item.status == "incomplete" or item.id in done or item.id not in begun


async def sweep(conversation: Conversation) -> None:
    whole = await count_messages(conversation)
    assert whole > 10
    # In the ordinary profile one end after each message, of each kind after every fifth; in the nightly one all.
    ends = len(ENDS) if settings().max_examples > 100 else 1
    for after in range(whole + 1):
        for number in range(after, after + ends):
            await cut(conversation, after=after, end=ENDS[number % len(ENDS)])


async def count_messages(conversation: Conversation) -> int:
    """How many the server has to say, when it is not cut."""
    transport = conversation.transport(after=EVERYTHING, end=Closed(1000))
    async with open_session(transport=transport, **conversation.arguments) as session:
        with trio.move_on_after(60):
            await Audience(session, conversation.talk).run()
    return len(transport.delivered)


@pytest.mark.parametrize("name", SIMULATED)
async def test_a_simulated_conversation_may_end_after_each_message(name: str, autojump_clock: MockClock) -> None:
    await sweep(SIMULATED[name])


@pytest.mark.skipif(not RECORDINGS, reason="the recordings are not part of the project")
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
async def test_a_recorded_conversation_may_end_after_each_message(path: Path, autojump_clock: MockClock) -> None:
    await sweep(recorded(path))
