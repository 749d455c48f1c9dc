"""The guarantees, held by whatever a program does while whatever goes wrong: whole sessions on virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import trio
from hypothesis import given, note, strategies as st
from trio.testing import MockClock

from trio_realtime import (
    ConnectError,
    ConnectionLost,
    ItemUpdated,
    Lagged,
    ProtocolError,
    RawEvent,
    RealtimeError,
    RealtimeSession,
    ResponseDone,
    ResponseStarted,
    SessionExpired,
    SubscriberOverflow,
    ToolCallCancelled,
    ToolCallFinished,
    ToolCallStarted,
    TurnDone,
    Update,
    open_session,
)
from trio_realtime.testing import SimulatedConnection, Simulator, simulated_transport
from trio_realtime.testing.faults import ErrorEvent, Expires, Fault
from trio_realtime.wire.items import FunctionCall
from trio_realtime.wire.responses import Response
from trio_realtime.wire.server_events import Error

from .programs import TOOLS, Listener, Program, Run, Schedule, endings, programs, schedules, scripts
from .talking import CONFLICT

CLOSE_TIMEOUT = 1.0
FAILURES: dict[str, type[RealtimeError]] = {
    "drops": ConnectionLost,
    "closes": ConnectionLost,
    "expires": SessionExpired,
    "malformed": ProtocolError,
}


class OwnError(Exception):
    """The body's own."""


@dataclass
class Seen:
    """What was seen of a session.

    Attributes:
        session: The session, if it opened.
        run: The program that ran in it.
        left: What left its scope.
        began_leaving: When the body ended.
        errors: The `error` events that it received.
        settled: Whether everything had time to come to its end before the body ended.
        stuck: How many still waited for a session that had failed.
        cancelled: Whether the cancellation from outside arrived there.
    """

    session: RealtimeSession | None = None
    run: Run | None = None
    left: BaseException | None = None
    began_leaving: float = 0.0
    leaving_seconds: float = 0.0
    errors: list[Error] = field(default_factory=list[Error])
    settled: bool = False
    stuck: int = 0
    cancelled: bool = False


@given(
    program=programs,
    script=scripts,
    schedule=schedules,
    ending=endings,
    pace=st.sampled_from([0.0, 0.1, 1.0]),
    turn_detection=st.sampled_from([None, "server_vad"]),
    plays=st.booleans(),
)
def test_whatever_happens_the_guarantees_hold(
    program: Program,
    script: list[Any],
    schedule: Schedule,
    ending: str,
    pace: float,
    turn_detection: str | None,
    plays: bool,
) -> None:
    async def main() -> None:
        simulator = Simulator(script, pace=pace, faults=schedule.faults)
        tasks = trio.lowlevel.current_statistics().tasks_living
        seen = Seen()
        with trio.CancelScope() as outside:
            try:
                async with (
                    simulated_transport(simulator) as transport,
                    open_session(
                        transport=transport, turn_detection=turn_detection, tools=TOOLS, close_timeout=CLOSE_TIMEOUT
                    ) as session,
                ):
                    seen.session = session
                    try:
                        await body(seen, session, program, plays=plays)
                        if ending == "raise":
                            raise OwnError
                        if ending == "cancel":
                            outside.cancel()
                            await trio.lowlevel.checkpoint()
                    finally:
                        seen.began_leaving = trio.current_time()
            except Exception as error:  # noqa: BLE001  it is judged below
                seen.left = error
        seen.cancelled = outside.cancelled_caught
        seen.leaving_seconds = trio.current_time() - seen.began_leaving
        assert trio.lowlevel.current_statistics().tasks_living == tasks, "guarantee 1: no task is left"
        check_end(seen, schedule, ending)
        if seen.session is not None and seen.run is not None:
            check_listeners(seen.run, seen.session)
            check_server(seen, simulator.connections[0], schedule)

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def body(seen: Seen, session: RealtimeSession, program: Program, *, plays: bool) -> None:
    """Run a program, and give everything time to come to an end."""
    with session.updates(RawEvent) as events:
        async with trio.open_nursery() as nursery:
            seen.run = run = Run(session, nursery)
            run.subscribe("raise", 0.0, max_buffer_bytes=2**30, patience=1000)
            await run.run(program, plays=plays)
            with trio.move_on_after(1000):
                while run.unfinished:
                    await run.finished.park()
            await trio.sleep(600)  # the server may answer what was said last, and have its tools run
            seen.settled = not run.unfinished and session.failure is None
            await run.stop_listening()
            nursery.cancel_scope.cancel()
        seen.stuck = run.unfinished if session.failure is not None else 0
        while events.statistics().buffered_updates:
            event = events.receive_nowait().event
            if isinstance(event, Error):
                seen.errors.append(event)


def promised_failure(fault: Fault) -> type[RealtimeError] | None:
    """What a fault that ends the connection is to the session; None if the session lives on without a peer."""
    if isinstance(fault, Expires) and not (fault.report or fault.close_frame):
        return ConnectionLost  # nobody says why
    return FAILURES.get(fault.name)


def check_end(seen: Seen, schedule: Schedule, ending: str) -> None:
    """Guarantees 1 and 2: how a session ends."""
    note(f"left with {seen.left!r}")
    fatal = {promised_failure(fault) for fault in schedule.fatal}
    if ConnectionLost in fatal and any(
        isinstance(fault, ErrorEvent) and fault.code == "session_expired" for fault in schedule.distorting
    ):
        fatal.add(SessionExpired)  # the server has said so before it was gone
    if seen.session is None:
        assert isinstance(seen.left, ConnectError), "guarantee 2: named"
        assert schedule.fatal or schedule.distorting, "guarantee 10: what is harmless keeps no session from opening"
        return
    failure = seen.session.failure
    assert failure is None or type(failure) in fatal, "guarantee 2: the promised failure, and no other"
    assert seen.leaving_seconds <= CLOSE_TIMEOUT, "guarantee 1: out within close_timeout"
    if failure is not None:
        assert type(seen.left) is type(failure), "guarantee 2: a failure leaves the scope"
        assert not seen.stuck, "guarantee 2: who waits hears of it, before the body is cancelled"
        told = [failure, seen.left, *seen.run.failures] if seen.run is not None else [failure, seen.left]
        assert len({id(error) for error in told}) == len(told), "guarantee 2: each its own instance"
        return
    expected = {"return": None, "raise": OwnError, "cancel": None}[ending]
    assert (None if seen.left is None else type(seen.left)) is expected, "guarantee 2: the body's exception as itself"
    if ending == "cancel":
        assert seen.cancelled
        assert not seen.leaving_seconds, "guarantee 1: at once when cancelled"


def check_listeners(run: Run, session: RealtimeSession) -> None:
    """Guarantees 4, 5 and 6: subscribers are independent, lose nothing that is no delta, and see one order."""
    if not run.listeners:
        return
    everything = run.listeners[0].lasting()
    places = {id(update): place for place, update in enumerate(everything)}
    for listener in run.listeners:
        seen = [places[id(update)] for update in listener.lasting()]
        if seen:
            last = seen[-1] + 1 if isinstance(listener.error, SubscriberOverflow) else len(everything)
            assert seen == list(range(seen[0], last)), "guarantee 5: whatever is no delta is never lost"
            check_deltas(run.listeners[0].deltas(everything[seen[0]]), listener, everything[seen[0]])
        check_its_end(listener, session)
    check_turns(run.listeners[0])


def check_deltas(sent: list[list[Update]], listener: Listener, since: Update) -> None:
    """What a slow subscriber did not get of what lies between things that are no deltas, it knows that it did not get.

    Args:
        sent: All deltas, by the things that are none which they follow.
        listener: The subscriber.
        since: The first thing that is no delta which it received.
    """
    got = listener.deltas(since)
    missing = False
    for place, (all_of_them, those) in enumerate(zip(sent, got, strict=False)):
        kept = [update for update in those if not isinstance(update, Lagged)]
        lagged = sum(update.count for update in those if isinstance(update, Lagged))
        if listener.overflow == "drop_oldest":
            assert len(kept) + lagged == len(all_of_them), "guarantee 5: what is dropped is counted where it stood"
            assert is_part({id(update): None for update in kept}, {id(update): None for update in all_of_them})
            continue
        assert not missing or not kept, "guarantee 5: nothing stands behind a gap as if there was none"
        if pieces(kept) != pieces(all_of_them):
            missing = True
            assert "".join(pieces(all_of_them)).startswith("".join(pieces(kept))), "guarantee 5: merged, nothing lost"
            # What came last may have come when it had ended.
            assert isinstance(listener.error, SubscriberOverflow) or place == len(sent) - 1, "guarantee 5: not silently"
    if isinstance(listener.error, SubscriberOverflow):
        assert listener.error.dropped


def is_part(some: dict[int, None], all_of_them: dict[int, None]) -> bool:
    """Whether some are of them, in their order."""
    return list(some) == [each for each in all_of_them if each in some]


def pieces(updates: Sequence[Update]) -> list[str]:
    """What deltas say, with those of one content part that stand next to each other as one."""
    said: list[tuple[tuple[object, ...], str]] = []
    for update in updates:
        assert isinstance(update, ItemUpdated)
        assert update.delta is not None
        delta = update.delta
        kind, value = next(
            (kind, value)
            for kind in ("audio", "text", "transcript", "arguments")
            if (value := getattr(delta, kind)) is not None
        )
        key = (update.item.id, kind, delta.content_index)
        text = value.hex() if isinstance(value, bytes) else str(value)
        if said and said[-1][0] == key:
            said[-1] = key, said[-1][1] + text
        else:
            said.append((key, text))
    return [f"{key}{text}" for key, text in said]


def check_its_end(listener: Listener, session: RealtimeSession) -> None:
    if isinstance(listener.error, RealtimeError) and not isinstance(listener.error, SubscriberOverflow):
        assert type(listener.error) is type(session.failure), "guarantee 2: the session's error, after what had come"
        assert listener.error is not session.failure, "guarantee 2: its own instance"


def check_turns(listener: Listener) -> None:
    """Each response begins and ends at most once, and each turn ends once, with responses that have ended."""
    started = [update.response.id for update in listener.updates if isinstance(update, ResponseStarted)]
    done = [update.response.id for update in listener.updates if isinstance(update, ResponseDone)]
    turns = [update for update in listener.updates if isinstance(update, TurnDone)]
    assert max(Counter(started).values(), default=1) == 1, "scenario 12: begins once"
    assert max(Counter(done).values(), default=1) == 1, "scenario 12: ends once"
    assert len({turn.turn_id for turn in turns}) == len(turns), "one end of a turn"
    assert {each.id for turn in turns for each in turn.responses} <= set(done), "a turn ends after its responses"
    calls = [update.call_id for update in listener.updates if isinstance(update, ToolCallStarted)]
    ended = [update.call_id for update in listener.updates if isinstance(update, ToolCallFinished | ToolCallCancelled)]
    assert max(Counter(calls).values(), default=1) == 1, "guarantee 8: a call is run once"
    assert max(Counter(ended).values(), default=1) == 1, "guarantee 8: and ends once"
    assert set(ended) <= set(calls)
    for turn in turns:
        for response in turn.responses[:-1]:
            assert replying_calls(response), "guarantee 8: only tools that want a reply get one"


def replying_calls(response: Response) -> list[FunctionCall]:
    """The calls of a response after which the model is asked to go on."""
    return [item for item in response.output or [] if isinstance(item, FunctionCall) and item.name != "quiet"]


def check_server(seen: Seen, server: SimulatedConnection, schedule: Schedule) -> None:
    """Guarantees 3, 4, 6, 7 and 8: what the server was told."""
    session, run = seen.session, seen.run
    assert session is not None
    assert run is not None
    outputs = Counter(
        event["item"]["call_id"]
        for event in server.received
        if event["type"] == "conversation.item.create" and event["item"]["type"] == "function_call_output"
    )
    assert max(outputs.values(), default=1) == 1, "guarantee 8: at most one output for a call"
    counted = run.played
    if counted is not None:
        assert counted.heard_bytes <= counted.handed_out_bytes <= counted.received_bytes, "guarantee 7"
        parts = counted.queued_bytes + counted.handed_out_bytes + counted.dropped_bytes
        assert counted.received_bytes == parts, "guarantee 7: all of it is accounted for"
        check_cuts(run, server)
    if schedule.distorting or schedule.fatal:
        return
    assert seen.settled, "guarantee 3: every command is answered, and every turn ends"
    assert [item.id for item in session.conversation] == [item["id"] for item in server.items], "guarantee 6"
    completed = {
        item["call_id"] for item in server.items if item["type"] == "function_call" and item["status"] == "completed"
    }
    assert completed <= set(outputs), "guarantee 8: exactly one output for a completed call"
    check_sequence(seen, server)
    words = " ".join(error.error.message or "" for error in seen.errors)
    assert "could not parse" not in words, "guarantee 4: whole or not at all"
    assert "already shorter" not in words, "guarantee 7: never more than was received"


def check_cuts(run: Run, server: SimulatedConnection) -> None:
    """Guarantee 7, by the count of who played: where the server was told to cut an item, and what of it it keeps."""
    for event in server.received:
        if event["type"] == "conversation.item.truncate":
            heard_ms = run.heard_bytes[event["item_id"]] // 48
            assert event["audio_end_ms"] == heard_ms > 0, "guarantee 7: heard is what counts"
        elif event["type"] == "conversation.item.delete" and event["item_id"] not in run.deleted:
            assert run.heard_bytes[event["item_id"]] < 48, "guarantee 7: only of what nothing was heard"


def check_sequence(seen: Seen, server: SimulatedConnection) -> None:
    """Guarantee 8, and scenario 24: what is asked for in turn, once, and as often as tools want it."""
    session, run = seen.session, seen.run
    assert session is not None
    assert run is not None
    speech_answers = session.turn_detection_type is not None
    codes = {error.error.code for error in seen.errors}
    assert speech_answers or CONFLICT not in codes, "one response at a time"
    cancels = Counter(event["response_id"] for event in server.received if event["type"] == "response.cancel")
    assert max(cancels.values(), default=1) == 1, "a response is cancelled once"
    updates = run.listeners[0].updates
    calls = {update.call_id for update in updates if isinstance(update, ToolCallStarted)}
    ended = {update.call_id for update in updates if isinstance(update, ToolCallFinished | ToolCallCancelled)}
    assert calls == ended, "guarantee 8: each call ends"
    for turn in [update for update in updates if isinstance(update, TurnDone)]:
        left_alone = not speech_answers and not turn.beside and turn.turn_id not in run.left
        if left_alone and turn.responses[-1].status == "completed":
            assert not replying_calls(turn.responses[-1]), "guarantee 8: a response follows the calls that want one"
    if run.played is not None:
        assert not run.played.queued_bytes, "guarantee 7: all was played, or dropped"
        # What comes of a response after its cancel is not queued; if that cancel comes too late, the server keeps it.
        responses = [update.response for update in updates if isinstance(update, ResponseDone)]
        late = {item.id for response in responses if response.id in cancels for item in response.output or []}
        for held in server._conversation.items:
            if held.item.get("role") == "assistant" and (run.heard_bytes[held.id] or held.id not in late):
                assert held.audio_ms == run.heard_bytes[held.id] // 48, "guarantee 7: the server keeps what was heard"
