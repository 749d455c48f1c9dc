"""Programs that nobody thought of: what an app may do with a session, as values that hypothesis makes and shrinks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio.testing
from hypothesis import strategies as st

from trio_realtime import (
    ConfigError,
    InternalError,
    Lagged,
    PlaybackStatistics,
    RealtimeError,
    RealtimeSession,
    SubscriberOverflow,
    Tool,
    Update,
    UpdateChannel,
    tool,
)
from trio_realtime.testing import (
    Fault,
    ScriptedTurn,
    calls,
    fails,
    incomplete,
    load_voice,
    says,
)
from trio_realtime.testing.strategies import fault_schedules
from trio_realtime.update_buffer import delta_bytes
from trio_realtime.wire.items import InputText, Message

Step = tuple[Any, ...]
Program = Sequence[tuple[Step, float]]

# --- what the model says --------------------------------------------------------------------------------------------


@tool
async def slow(seconds: float) -> str:
    """Take a while."""
    await trio.sleep(seconds)
    return "done"


@tool(on_interrupt="finish")
async def stubborn(seconds: float) -> str:
    """Take a while, whatever happens."""
    await trio.sleep(seconds)
    return "done"


@tool(reply=False)
async def quiet() -> str:
    """Need no reply."""
    await trio.lowlevel.checkpoint()
    return "done"


@tool(timeout=1.0)
async def broken(seconds: float) -> str:
    """Fail, or be too late."""
    await trio.sleep(seconds)
    raise LookupError("it is broken")


TOOLS: list[Tool[..., Any]] = [slow, stubborn, quiet, broken]

_delays = st.sampled_from([0.0, 0.001, 0.1, 0.7, 2.0])
_calls = st.one_of(
    st.builds(
        lambda name, seconds: calls(name, {"seconds": seconds}),
        st.sampled_from(["slow", "stubborn", "broken"]),
        st.sampled_from([2.0, 0.0, 0.1, 20.0]),
    ),
    st.just(calls("quiet")),
    st.just(calls("unheard_of")),
    st.just(calls("slow", "no JSON")),
)
_speech = st.builds(says, st.just("Words, words."), st.sampled_from([0.0, 0.3, 2.0]))
scripts: st.SearchStrategy[list[ScriptedTurn]] = st.lists(
    st.one_of(
        _speech,
        _calls,
        st.tuples(_speech, _calls),
        st.tuples(_calls, _calls),
        st.tuples(_calls, _calls),
        st.tuples(_speech, st.just(incomplete())),
        st.just(fails("rate_limit_exceeded")),
    ),
    min_size=1,
    max_size=8,
)

# --- what goes wrong ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule:
    """What goes wrong with a connection.

    Attributes:
        harmless: Faults of which no program notices anything but that it takes longer.
        distorting: Faults that make the server say what is not so.
        fatal: Faults that end the session, or leave it without a peer.
    """

    harmless: Sequence[Fault] = ()
    distorting: Sequence[Fault] = ()
    fatal: Sequence[Fault] = ()

    @property
    def faults(self) -> list[Fault]:
        return [*self.harmless, *self.distorting, *self.fatal]


schedules = st.one_of(
    # Half of them without what excuses a session: that is where most is promised.
    st.builds(Schedule, fault_schedules(["harmless"])),
    st.builds(
        Schedule,
        fault_schedules(["harmless"], max_faults=2),
        fault_schedules(["distorting"], max_faults=2),
        fault_schedules(["fatal"], max_faults=1),
    ),
)

# --- what the program does ------------------------------------------------------------------------------------------

_patience = st.sampled_from([1000.0, 0.0, 0.001, 0.5])
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("respond"), st.sampled_from([0, 1, 3, 1000])),
    st.tuples(st.just("respond and leave"), _delays),
    st.tuples(st.just("respond beside"), st.sampled_from([0, 2, 1000])),
    st.tuples(st.sampled_from(["ask", "message", "cancel"]), _patience),
    st.tuples(st.sampled_from(["add", "insert", "delete", "retrieve"]), _patience),
    st.tuples(st.sampled_from(["update", "commit", "clear"]), _patience),
    st.tuples(st.just("speak")),
    st.tuples(st.just("interrupt")),
    st.tuples(
        st.just("subscribe"), st.sampled_from(["raise", "coalesce", "drop_oldest"]), st.sampled_from([0.0, 0.5, 1000.0])
    ),
)
programs: st.SearchStrategy[list[tuple[Step, float]]] = st.lists(
    st.tuples(steps, st.one_of(st.just(0.0), _delays)), min_size=1, max_size=16
)
"""Steps, and how many seconds pass after each."""
endings = st.sampled_from(["return", "raise", "cancel"])


@dataclass
class Listener:
    """A subscriber that takes its time, and what it got.

    Attributes:
        overflow: What it chose to happen when it is too slow.
        updates: What it received.
        error: What it ended with.
    """

    overflow: str
    updates: list[Update] = field(default_factory=list[Update])
    error: Exception | None = None
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def lasting(self) -> list[Update]:
        """What is no delta."""
        return [update for update in self.updates if not delta_bytes(update) and not isinstance(update, Lagged)]

    def deltas(self, since: Update) -> list[list[Update]]:
        """Deltas and what says that some are missing, by what is none of that; from one such thing on."""
        found: list[list[Update]] = []
        for update in self.updates:
            if delta_bytes(update) or isinstance(update, Lagged):
                if found:
                    found[-1].append(update)
            elif found or update is since:
                found.append([])
        return found

    async def listen(self, channel: UpdateChannel[Any], pause: float, patience: float) -> None:
        """Receive, waiting before each update, and giving up again and again; in the end, take what is there."""
        with channel, self._scope:
            try:
                while True:
                    await trio.sleep(pause)
                    with trio.move_on_after(patience):
                        self.updates.append(await channel.receive())
            except (trio.EndOfChannel, RealtimeError) as error:
                self.error = error
            finally:
                try:
                    while self.error is None:
                        self.updates.append(channel.receive_nowait())
                except (trio.EndOfChannel, RealtimeError) as error:
                    self.error = error
                except trio.WouldBlock:
                    pass

    def stop(self) -> None:
        self._scope.cancel()


class Run:
    """A program that runs.

    Attributes:
        listeners: Its subscribers; the first listens from the beginning, without a bound and without delay.
        failures: What its commands and turns raised.
        unfinished: How many of its tasks are still at it.
        played: What became of the audio, once nobody plays it any more.
        heard_bytes: How much of each item was played to its end, counted by who played it.
        deleted: The items that the program asked to delete.
        left: The turns that the program left early.
        updated: How often it asked for other instructions.
    """

    def __init__(self, session: RealtimeSession, nursery: trio.Nursery) -> None:
        self.session = session
        self.nursery = nursery
        self.listeners: list[Listener] = []
        self.failures: list[RealtimeError] = []
        self.unfinished = 0
        self.finished = trio.lowlevel.ParkingLot()
        self.played: PlaybackStatistics | None = None
        self.heard_bytes: Counter[str] = Counter()
        self.deleted: set[str] = set()
        self.left: set[str] = set()
        self.updated = 0

    async def run(self, program: Program, *, plays: bool) -> None:
        """Begin each step; only the time after it and speaking hold up the next."""
        if plays:
            self.nursery.start_soon(self._play)
            await trio.testing.wait_all_tasks_blocked()
        for (kind, *values), seconds in program:
            match kind:
                case "speak":
                    await self._ignoring(self._speak)
                case "subscribe":
                    self.subscribe(*values)
                case _:
                    self.unfinished += 1
                    self.nursery.start_soon(self._step, kind, *values)
            await trio.sleep(seconds)

    def subscribe(self, overflow: Any, pause: float, *, max_buffer_bytes: int = 4_000, patience: float = 0.2) -> None:
        try:
            channel = self.session.updates(overflow=overflow, max_buffer_bytes=max_buffer_bytes).__enter__()
        except (RealtimeError, trio.ClosedResourceError):
            return
        self.listeners.append(Listener(overflow))
        self.nursery.start_soon(self.listeners[-1].listen, channel, pause, patience)

    async def stop_listening(self) -> None:
        """Let all subscribers stop at one moment: when nothing else happens, so that each can have the same."""
        await trio.testing.wait_all_tasks_blocked()
        for listener in self.listeners:
            listener.stop()
        await trio.testing.wait_all_tasks_blocked()

    async def _play(self) -> None:
        try:
            async with self.session.playback() as playback:
                try:
                    async for chunk in playback:
                        if chunk.generation == playback.generation:
                            await trio.sleep(len(chunk.audio) / 48_000)
                        if chunk.generation == playback.generation:
                            self.heard_bytes[chunk.item_id] += len(chunk.audio)
                finally:
                    self.played = playback.statistics()
        except RealtimeError as error:
            self._failed(error)

    async def _step(self, kind: str, value: Any = None) -> None:
        match kind:
            case "respond":
                await self._ignoring(self._respond, value)
            case "respond and leave":
                with trio.move_on_after(value):
                    await self._ignoring(self._respond, 1000)
            case "respond beside":
                await self._ignoring(self._respond, value, conversation="none", input=[])
            case "interrupt":
                await self._ignoring(self.session.interrupt)
            case _:
                with trio.move_on_after(value):
                    await self._ignoring(self._command, kind)
        self.unfinished -= 1
        self.finished.unpark_all()

    async def _ignoring(self, task: Callable[..., Awaitable[object]], *arguments: Any, **keywords: Any) -> None:
        try:
            await task(*arguments, **keywords)
        except RealtimeError as error:
            self._failed(error)
        except trio.ClosedResourceError:
            assert self.session.failure is None

    def _failed(self, error: RealtimeError) -> None:
        assert not isinstance(error, InternalError | SubscriberOverflow), repr(error)
        self.failures.append(error)

    async def _respond(self, words: int, **parameters: Any) -> None:
        async with self.session.respond(None if parameters else "And?", **parameters) as turn:
            self.left.add(turn._turn_id)
            async for _ in turn.text_stream():
                words -= 1
                if words < 0:
                    break
            else:
                self.left.remove(turn._turn_id)

    async def _speak(self) -> None:
        voice = load_voice("interruption")
        for start in range(0, len(voice), 9600):
            await self.session.append_audio(voice[start : start + 9600])
            await trio.sleep(0.02)

    async def _command(self, kind: str) -> None:
        session = self.session
        last = next((item.id for item in reversed(list(session.conversation))), "item_none")
        match kind:
            case "ask":
                response = await session.create_response()
                assert response.id, "guarantee 3: with the server's version"
            case "message":
                await session.send_message("Well?")
            case "add":
                item = await session.create_item(Message(role="user", content=[InputText(text="By the way.")]))
                assert (item.role, item.text) == ("user", "By the way."), "guarantee 3: with the server's version"
            case "insert":
                first = next((item.id for item in session.conversation), "root")
                await session.create_item(
                    Message(role="user", content=[InputText(text="P.S.")]), previous_item_id=first
                )
            case "delete":
                self.deleted.add(last)
                await session.delete_item(last)
                assert session.conversation.get(last) is None, "guarantee 3: it has happened"
            case "retrieve":
                assert getattr(await session.retrieve_item(last), "id", None) == last, "guarantee 3: of this command"
            case "update":
                self.updated += 1
                instructions = f"Be brief, as I said {self.updated} times."
                info = await session.update(instructions=instructions)
                assert getattr(info, "instructions", None) == instructions, "guarantee 3: with the server's version"
            case "commit":
                await session.commit_audio()
            case "clear":
                await session.clear_audio()
            case "cancel":
                await session.cancel_response()
            case _:
                raise ConfigError(kind)
