"""Whatever a program does: recorded and replayed, it hears the same."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock

from tests.session.talking import arrived
from trio_realtime import (
    ConnectionLost,
    ItemUpdated,
    ProtocolIssue,
    RealtimeSession,
    ResponseCancelled,
    ServerError,
    ToolCallCancelled,
    ToolCallFinished,
    ToolCallStarted,
    open_session,
    tool,
)
from trio_realtime.testing import (
    ModelContext,
    Output,
    Simulator,
    binary,
    calls,
    drops,
    load_voice,
    malformed,
    record_session,
    replay,
    says,
    simulated_transport,
)


@tool
async def wait(seconds: float) -> str:
    """Wait."""
    await trio.sleep(seconds)
    return "done"


def model(context: ModelContext) -> list[Output]:
    """Now and then it uses a tool."""
    if context.heard.endswith("?") and context.items[-1]["type"] == "message":
        return [calls("wait", {"seconds": 0.137}), calls("wait", {"seconds": 0.0613})]
    return [says("So it is, as far as anybody knows.", audio=1.7)]


# No two things of a program and of the server happen at one moment: which comes first would be anybody's guess.
delays = st.sampled_from([0.0137, 0.1731, 0.7193, 2.3917])
steps = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(["It is late.", "Is it late?"])),
    st.tuples(st.just("read"), delays),
    st.tuples(st.just("beside"), delays),
    st.tuples(st.just("speak"), delays),
    st.tuples(st.just("interrupt"), delays),
    st.tuples(st.just("delete"), delays),
    st.tuples(st.just("refused"), delays),
    st.tuples(st.just("wait"), delays),
)


async def perform(session: RealtimeSession, program: list[tuple[str, Any]]) -> list[list[str]]:
    """Do what a program says, and tell what was heard meanwhile: of the session, and of each call, whose tasks race."""
    with session.updates() as updates:
        for kind, value in program:
            await trio.sleep(0.0073)
            await step(session, kind, value)
        await trio.sleep(60.0171)
        heard = arrived(updates)
    of_session: list[str] = []
    of_calls: dict[str, list[str]] = {}
    for update in heard:
        is_of_call = isinstance(update, ToolCallStarted | ToolCallFinished | ToolCallCancelled)
        lane = of_calls.setdefault(update.call_id, []) if is_of_call else of_session
        lane.append(told(update))
    return [of_session, *of_calls.values()]


async def step(session: RealtimeSession, kind: str, value: Any) -> None:
    match kind:
        case "say":
            await session.send_message(value)
        case "read" | "beside":
            parameters: dict[str, Any] = {"conversation": "none", "input": []} if kind == "beside" else {}
            with suppress(ResponseCancelled), trio.move_on_after(value):
                async with session.respond(None if parameters else "And?", **parameters) as turn:
                    async for _ in turn.text_stream():
                        pass
        case "speak":
            voice = load_voice("interruption")
            for start in range(0, len(voice), 19_200):
                await session.append_audio(voice[start : start + 19_200])
                await trio.sleep(0.0731)
        case "interrupt":
            await session.interrupt()
        case "delete":
            if session.conversation:
                await session.delete_item(next(iter(session.conversation)).id)
        case "refused":
            with suppress(ServerError):  # mostly nothing was said
                await session.commit_audio()
        case _:
            await trio.sleep(value)


def told(update: Any) -> str:
    """An update in words that do not change when the item grows."""
    if isinstance(update, ItemUpdated):
        return f"{update.item.id} {update.delta!r} {update.response_id}"
    return re.sub(r"seconds=[\d.e-]+", "seconds=...", repr(update))


def without_fresh_ids(heard: list[list[str]]) -> list[list[str]]:
    """Ids that the client makes (the simulator's look otherwise), by the order in which they come."""
    names: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"<{len(names)}>")

    return [[re.sub(r"\b[a-z]+_[0-9a-f]{20}\b", name, each) for each in lane] for lane in heard]


def both(path: Path, program: list[tuple[str, Any]], *, pace: float, **keywords: Any) -> list[list[list[str]]]:
    """What is heard of a program with a simulator, and what of the same with its recording."""
    keywords = {"tools": [wait], "transcription": "gpt-realtime-whisper", **keywords}

    async def record() -> list[list[str]]:
        async with (
            simulated_transport(Simulator([model] * 100, pace=pace)) as transport,
            record_session(path, transport=transport, **keywords) as session,
        ):
            return await perform(session, program)

    async def again() -> list[list[str]]:
        with replay(path) as server:
            async with (
                simulated_transport(server) as transport,
                open_session(transport=transport, **keywords) as session,
            ):
                return await perform(session, program)

    return [without_fresh_ids(trio.run(main, clock=MockClock(autojump_threshold=0))) for main in (record, again)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recorded") / "talk.jsonl"


@given(
    program=st.lists(steps, max_size=6),
    pace=st.sampled_from([0.21, 1.0]),
    turn_detection=st.sampled_from([None, "server_vad"]),
)
def test_a_program_hears_the_same_from_its_recording(
    path: Path, program: list[tuple[str, Any]], pace: float, turn_detection: str | None
) -> None:
    heard, again = both(path, program, pace=pace, turn_detection=turn_detection)
    assert again == heard


async def test_faults_of_the_line_are_heard_again_from_the_recording(path: Path, autojump_clock: MockClock) -> None:
    begun = "response.created"
    faults = [malformed(on=begun), binary(b"\1\2\3", on=begun), malformed(b"[1]", on=begun, nth=2)]
    simulator = Simulator([model] * 2, faults=[*faults, drops(on="response.output_item.added", nth=2)])
    heard: list[list[str]] = []

    async def listen(session: RealtimeSession) -> None:
        words: list[str] = []
        heard.append(words)
        with session.updates(ItemUpdated, ProtocolIssue) as updates:
            await session.send_message("One.")
            await trio.sleep(60.0171)
            await session.send_message("Two.")
            while True:  # until the connection is lost
                words.append(told(await updates.receive()))

    with pytest.raises(ConnectionLost) as lost:
        async with (
            simulated_transport(simulator) as transport,
            record_session(path, transport=transport) as session,
        ):
            await listen(session)
    with pytest.raises(ConnectionLost) as lost_again, replay(path) as server:
        async with simulated_transport(server) as transport, open_session(transport=transport) as session:
            await listen(session)
    then, now = (without_fresh_ids([words]) for words in heard)
    assert now == then
    assert [sum(word.startswith("ProtocolIssue") for word in words) for words in heard] == [3, 3]
    first, second = lost.value, lost_again.value
    assert (second.code, second.reason, str(second)) == (first.code, first.reason, str(first))
