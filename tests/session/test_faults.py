"""What a session makes of every fault, at every moment of a talk: it lives on, or it ends with the promised error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    ProtocolError,
    RealtimeError,
    RealtimeSession,
    ServerError,
    SessionExpired,
    SessionRefused,
    UpdateChannel,
)
from trio_realtime.testing import (
    ERROR_TYPES,
    FAULTS,
    Fault,
    Simulator,
    binary,
    closes,
    drops,
    duplicate,
    error_event,
    expires,
    fragmented,
    half_open,
    latency,
    malformed,
    oversized,
    reordered,
    says,
    stops_reading,
    unknown_event,
)
from trio_realtime.testing.faults import HandshakeFault

from .talking import session_over

WORDS = "Hello there, friend."
EVENTS_OF_A_TALK = 27
EVENTS_OF_THE_OPENING = 2


@dataclass
class Talk:
    """What became of a session.

    Attributes:
        opened: Whether it was ever there.
        error: What left its scope.
        waiters: What the turn, the commands and the subscriber got, in that order; None when they got what they wanted.
        hangs: Whether the program was still waiting for something after a long time.
        leaving: How many seconds it took to leave the scope.
        items: Role, status and transcript of the items at the end.
        frames: How many messages were received.
    """

    opened: bool = False
    error: BaseException | None = None
    waiters: list[RealtimeError | None] = field(default_factory=list[RealtimeError | None])
    hangs: bool = False
    leaving: float = 0.0
    items: list[tuple[str | None, str | None, str]] = field(default_factory=list[tuple[str | None, str | None, str]])
    frames: int = 0
    session: RealtimeSession | None = None


async def talk(*faults: Fault, carrier: str = "memory", patience: float = 100, **arguments: Any) -> Talk:
    """Ask something, listen to the answer, and run a command; whatever becomes of it."""
    simulator = Simulator([says(WORDS)], pace=0.2 if carrier == "memory" else 0, faults=faults)
    seen = Talk()
    tasks = trio.lowlevel.current_statistics().tasks_living
    left = 0.0
    try:
        async with session_over(carrier, simulator, **arguments) as session:
            seen.opened, seen.session = True, session
            with session.updates() as updates, trio.move_on_after(patience) as scope:
                steps: list[Callable[[], Awaitable[object]]] = [
                    partial(ask, session),
                    session.clear_audio,
                    partial(read_all, updates),
                ]
                for step in steps:
                    try:
                        await step()
                        seen.waiters.append(None)
                    except RealtimeError as error:
                        seen.waiters.append(error)
                if carrier == "memory":
                    await wait_all_tasks_blocked()  # something may stand behind the answer to the last command
            seen.hangs = scope.cancelled_caught
            left = trio.current_time()
    except RealtimeError as error:
        seen.error = error
    seen.leaving = trio.current_time() - left
    if seen.session is not None:
        seen.frames = seen.session.statistics().received_frames
        seen.items = [(item.role, item.status, item.transcript) for item in seen.session.conversation]
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    return seen


async def ask(session: RealtimeSession) -> None:
    async with session.respond("Hi?") as turn:
        await turn.done()


async def read_all(updates: UpdateChannel[Any]) -> None:
    with suppress(trio.WouldBlock):
        while True:
            updates.receive_nowait()


@dataclass(frozen=True)
class Promise:
    """What a fault makes of a session.

    Attributes:
        make: Makes the fault.
        opening: The error when it happens before the session is there; None if it opens all the same.
        open: The error when it happens later; None if the session lives on.
        code: The close code in that error.
        hangs: Whether there is no error in memory, where nothing looks whether the peer is alive, but no answer either.
        adds: How many messages come that would not have come without it.
    """

    make: Callable[..., Fault]
    opening: type[RealtimeError] | None
    open: type[RealtimeError] | None
    code: int | None = None
    hangs: bool = False
    adds: int = 0


LIVES_ON = (None, None)
IS_LOST = (ConnectError, ConnectionLost)
IS_BROKEN = (ConnectError, ProtocolError)

PROMISES = {
    "drops": Promise(drops, *IS_LOST),
    "closes": Promise(lambda **when: closes(1011, "oops", **when), *IS_LOST, code=1011),
    "closes normally": Promise(lambda **when: closes(1000, **when), *IS_LOST, code=1000),
    "closes without a code": Promise(lambda **when: closes(None, **when), *IS_LOST, code=1005),
    "closes and lingers": Promise(lambda **when: closes(4000, "x", lingers=True, **when), *IS_LOST, code=4000),
    "closes for a restart": Promise(lambda **when: closes(1001, "restarting", **when), *IS_LOST, code=1001),
    "closes with a code that is none": Promise(lambda **when: closes(1006, **when), *IS_BROKEN, code=1002),
    "expires": Promise(expires, SessionRefused, SessionExpired, code=1001),
    "expires without a report": Promise(
        lambda **when: expires(report=False, **when), ConnectError, SessionExpired, code=1001
    ),
    "expires without a close frame": Promise(
        lambda **when: expires(close_frame=False, **when), SessionRefused, SessionExpired
    ),
    "half_open": Promise(half_open, ConnectTimeout, ConnectionLost, hangs=True),
    "stops_reading": Promise(stops_reading, ConnectTimeout, ConnectionLost, hangs=True),
    "stops_reading for a while": Promise(lambda **when: stops_reading(seconds=0.1, **when), *LIVES_ON),
    "malformed": Promise(malformed, *LIVES_ON, adds=1),
    "malformed UTF-8": Promise(lambda **when: malformed(b"\xff", **when), *IS_BROKEN, code=1007),
    "binary": Promise(binary, *LIVES_ON, adds=1),
    "oversized": Promise(lambda **when: oversized(10_000, **when), *LIVES_ON, adds=1),
    "unknown_event": Promise(unknown_event, *LIVES_ON, adds=1),
    "error_event": Promise(error_event, SessionRefused, None, adds=1),
    "fragmented": Promise(lambda **when: fragmented(5, **when), *LIVES_ON),
    "duplicate": Promise(duplicate, *LIVES_ON, adds=1),
    "reordered": Promise(reordered, *LIVES_ON),
    "latency": Promise(lambda **when: latency(0.02, jitter=0.05, **when), *LIVES_ON),
}


def check(seen: Talk, promise: Promise, moment: int, *, knows_life: bool) -> None:
    """Check that a fault after so many events made of a talk what was promised."""
    expected = promise.opening if moment < EVENTS_OF_THE_OPENING else promise.open
    if promise.hangs and moment >= EVENTS_OF_THE_OPENING and not knows_life:
        assert (seen.hangs, seen.error) == (True, None), "without a heartbeat it waits, and leaves as if nothing was"
        assert seen.leaving <= 1
        return
    assert not seen.hangs
    assert seen.leaving <= 1 or not seen.opened, "guarantee 1: out within close_timeout"
    if expected is None:
        assert seen.error is None
        assert seen.waiters == [None, None, None]
        assert seen.frames == EVENTS_OF_A_TALK + promise.adds, "the fault has happened"
        assert seen.items == [("user", "completed", ""), ("assistant", "completed", WORDS)]
        return
    assert type(seen.error) is expected, "the promised error, and no other"
    if moment < EVENTS_OF_THE_OPENING:
        assert not seen.opened
        return
    assert seen.session is not None
    assert type(seen.session.failure) is expected
    assert getattr(seen.error, "code", None) == promise.code
    if moment == EVENTS_OF_THE_OPENING and not seen.waiters:
        return  # it had failed before the body could listen, which said so
    errors = [error for error in seen.waiters if error is not None]
    assert {type(error) for error in errors} == {expected}, "guarantee 2: each waiter gets the session's error"
    assert seen.waiters[1:] == errors[-2:], "guarantee 2: whoever asks later gets it too"
    assert len({id(error) for error in [*errors, seen.error]}) == len(errors) + 1, "guarantee 2: its own instance"
    assert {status for _, status, _ in seen.items} <= {"completed", "incomplete"}
    said = "".join(transcript for role, _, transcript in seen.items if role == "assistant")
    assert WORDS.startswith(said), "what had come is kept"


@pytest.mark.parametrize("name", PROMISES)
def test_a_fault_at_any_moment_in_memory(name: str) -> None:
    promise = PROMISES[name]
    for moment in range(EVENTS_OF_A_TALK):
        fault = promise.make(after_events=moment)
        clock = MockClock(autojump_threshold=0)
        check(trio.run(talk, fault, clock=clock), promise, moment, knows_life=False)


@pytest.mark.parametrize(
    ("name", "moment"),
    # Nothing follows the events of the opening, so that reordering them takes a second each.
    [(name, moment) for name in PROMISES for moment in (0, 1, 4, 12) if name != "reordered" or moment > 1],
)
async def test_a_fault_over_a_socket(name: str, moment: int) -> None:
    promise = PROMISES[name]
    watch = {"heartbeat_interval": 0.1, "heartbeat_timeout": 0.2, "connect_timeout": 0.3} if promise.hangs else {}
    seen = await talk(promise.make(after_events=moment), carrier="socket", patience=5, **watch)
    check(seen, promise, moment, knows_life=True)


def test_every_fault_has_a_promise() -> None:
    promised = {promise.make().name for promise in PROMISES.values()}
    elsewhere = {name for name, make in FAULTS.items() if isinstance(make(), HandshakeFault)} | {"omitted"}
    assert promised | elsewhere == set(FAULTS)


# --- errors of the server -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ERROR_TYPES)
async def test_an_error_before_there_is_a_session_refuses_it_and_says_why(code: str, autojump_clock: MockClock) -> None:
    for when in ({}, {"after_events": 1}, {"on": "session.update", "with_event_id": True}):
        seen = await talk(error_event(code, param="session.voice", **when))
        assert type(seen.error) is SessionRefused
        assert (seen.error.code, seen.error.type) == (code, ERROR_TYPES[code])
        assert seen.error.param == "session.voice"


@pytest.mark.parametrize("code", ERROR_TYPES)
async def test_an_error_that_names_a_command_is_raised_from_it_and_the_session_goes_on(
    code: str, autojump_clock: MockClock
) -> None:
    told = error_event(code, with_event_id=True, on="input_audio_buffer.clear")
    async with session_over("memory", Simulator([says(WORDS)], faults=[told])) as session:
        with pytest.raises(ServerError) as caught:
            await session.clear_audio()
        assert (caught.value.code, caught.value.type) == (code, ERROR_TYPES[code])
        await session.clear_audio()
        await ask(session)


@pytest.mark.parametrize("code", ERROR_TYPES)
async def test_an_error_that_names_nothing_ends_nothing(code: str, autojump_clock: MockClock) -> None:
    seen = await talk(error_event(code, on="response.output_audio.delta"))
    assert seen.frames == EVENTS_OF_A_TALK + 1
    assert seen.error is None
    assert seen.waiters == [None, None, None]
