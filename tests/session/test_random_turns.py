"""Programs that nobody thought of, on virtual time: whatever they do, every turn ends and nothing is asked twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import trio
from hypothesis import example, given, settings, strategies as st
from trio.testing import MockClock

from trio_realtime import (
    Interrupted,
    Playback,
    RawEvent,
    RealtimeSession,
    ResponseCancelled,
    ResponseDone,
    ResponseStarted,
    TurnDone,
)
from trio_realtime.testing import SimulatedConnection, assert_no_leaks, load_voice
from trio_realtime.wire.server_events import Error

from .talking import CONFLICT, arrived, play, requested, talking

delays = st.sampled_from([0.0, 0.001, 0.1, 0.7, 2.0])
steps = st.one_of(
    st.tuples(st.just("read"), st.sampled_from([0, 1, 3, 1000])),  # a turn, so many words of it
    st.tuples(st.just("beside"), st.sampled_from([0, 2, 1000])),
    st.tuples(st.just("leave after"), delays),
    st.tuples(st.just("ask"), delays),  # a request that its caller gives up waiting for
    st.tuples(st.just("message"), st.just(0)),
    st.tuples(st.just("speak"), st.just(0)),
    st.tuples(st.just("interrupt"), st.just(0)),
    st.tuples(st.just("cancel"), st.just(0)),
    st.tuples(st.just("wait"), delays),
)
Program = list[tuple[str, Any]]

RACES: Program = [
    ("message", 0),
    ("speak", 0),
    ("read", 1000),
    ("wait", 0.1),
    ("speak", 0),
    ("leave after", 0.001),
]


@dataclass
class Run:
    """What a program does, and what came of it."""

    session: RealtimeSession
    nursery: trio.Nursery
    turns: int = 0
    ended: int = 0
    spoke: bool = False
    cancelled: int = field(default=0)

    def begin(self, task: Callable[..., Any], *arguments: Any) -> None:
        self.turns += 1
        self.nursery.start_soon(self._turn, task, *arguments)

    async def _turn(self, task: Callable[..., Any], *arguments: Any) -> None:
        try:
            await task(*arguments)
        except ResponseCancelled:
            self.cancelled += 1
        self.ended += 1

    async def read(self, words: int, **parameters: Any) -> None:
        async with self.session.respond(None if parameters else "And?", **parameters) as turn:
            async for _ in turn.text_stream():
                words -= 1
                if words < 0:
                    break

    async def leave_after(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self.read(1000)

    async def ask(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self.session.create_response()

    async def step(self, kind: str, value: Any) -> None:
        match kind:
            case "read":
                self.begin(self.read, value)
            case "beside":
                self.nursery.start_soon(self._turn_beside, value)
            case "leave after":
                self.begin(self.leave_after, value)
            case "ask":
                self.begin(self.ask, value)
            case "message":
                await self.session.send_message("Well?")
            case "speak":
                self.spoke = True
                voice = load_voice("interruption")
                for start in range(0, len(voice), 9600):
                    await self.session.append_audio(voice[start : start + 9600])
                    await trio.sleep(0.02)
            case "interrupt":
                await self.session.interrupt()
            case "cancel":
                await self.session.cancel_response()
            case _:
                await trio.sleep(value)

    async def _turn_beside(self, words: int) -> None:
        with suppress(ResponseCancelled):  # an interruption stops all that sounds
            await self.read(words, conversation="none", input=[])


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=10), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([None, "server_vad"]))
@example(RACES, 1.0, "server_vad")
def test_whatever_a_program_does_every_turn_ends(program: Program, pace: float, turn_detection: str | None) -> None:
    async def converse() -> None:
        async with talking(pace=pace, turn_detection=turn_detection) as (session, server):
            with session.updates(RawEvent, ResponseStarted, ResponseDone, TurnDone, Interrupted) as updates:
                async with session.playback() as playback, trio.open_nursery() as player:
                    player.start_soon(play, playback)
                    with trio.fail_after(1000):
                        async with trio.open_nursery() as nursery:
                            run = Run(session, nursery)
                            for kind, value in program:
                                await run.step(kind, value)
                        await trio.sleep(60)  # the server may answer what was said last
                        await session.wait_for_playback()
                    check_playback(playback)
                    player.cancel_scope.cancel()
                assert run.ended == run.turns
                check_events(arrived(updates), raced=run.spoke and turn_detection is not None)
            check_conversation(session, server)

    async def main() -> None:
        with assert_no_leaks():
            await converse()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def check_playback(playback: Playback) -> None:
    """Heard is at most what was received, and all of it is accounted for."""
    counted = playback.statistics()
    assert counted.queued_bytes == 0
    assert counted.heard_bytes <= counted.handed_out_bytes <= counted.received_bytes
    assert counted.received_bytes == counted.handed_out_bytes + counted.dropped_bytes


def check_events(updates: list[Any], *, raced: bool) -> None:
    """Each response and each turn ends once, and the server refused nothing but what crossed on the wire."""
    started = [update.response.id for update in updates if isinstance(update, ResponseStarted)]
    done = [update.response.id for update in updates if isinstance(update, ResponseDone)]
    assert len(set(started)) == len(started)
    assert Counter(started) == Counter(done)
    turns = [update for update in updates if isinstance(update, TurnDone)]
    assert Counter([each.id for turn in turns for each in turn.responses]) == Counter(done)
    assert len({turn.turn_id for turn in turns}) == len(turns)
    refusals = {
        update.event.error.code
        for update in updates
        if isinstance(update, RawEvent) and isinstance(update.event, Error)
    }
    assert refusals <= {"response_cancel_not_active", *([CONFLICT] if raced else [])}


def check_conversation(session: RealtimeSession, server: SimulatedConnection) -> None:
    """Both sides hold the same items, and the server kept no more of them than is known here."""
    assert [item.id for item in session.conversation] == [item["id"] for item in server.items]
    for event in requested(server, "conversation.item.truncate"):
        item = session.conversation.get(event["item_id"])
        if item is not None:
            assert len(item.audio) <= event["audio_end_ms"] * 48
