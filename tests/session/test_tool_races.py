"""Tools against the user's speech, interruptions and the server's own responses, in every order."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ErrorReported,
    RealtimeSession,
    ResponseCancelled,
    ToolCallCancelled,
    ToolCallFinished,
    TurnDone,
    tool,
)
from trio_realtime.testing import calls, load_voice, says

from .calling import error_in, outputs, push_call, steps
from .scripted_server import leaving_raises, opened
from .talking import (
    CONFLICT,
    MS,
    arrived,
    push_created,
    push_done,
    push_item,
    push_speech_ended,
    push_words,
    talking,
)


async def _wait() -> str:
    await trio.sleep(30)
    return "finished"


gives_way = tool(_wait, name="gives_way")
goes_on = tool(_wait, name="goes_on", on_interrupt="finish")
BOTH = [calls("gives_way", call_id="c1"), calls("goes_on", call_id="c2")]


async def speak(session: RealtimeSession) -> None:
    """The user speaks in real time."""
    voice = load_voice("interruption")
    for start in range(0, len(voice), 20 * MS):
        await session.append_audio(voice[start : start + 20 * MS])
        await trio.sleep(0.02)


async def speak_and_pause(session: RealtimeSession) -> None:
    await speak(session)
    for _ in range(100):
        await session.append_audio(bytes(20 * MS))
        await trio.sleep(0.02)


async def test_speech_while_tools_run_cancels_those_that_give_way_and_the_new_turn_answers(
    autojump_clock: MockClock,
) -> None:
    arguments: dict[str, Any] = {"pace": 0.1, "turn_detection": "server_vad", "tools": [gives_way, goes_on]}
    async with talking(BOTH, says("To what you said."), says("It finished."), **arguments) as (session, server):
        with session.updates(ToolCallFinished, ToolCallCancelled, TurnDone, ErrorReported) as updates:
            await session.send_message("Go.")
            await trio.sleep(5)
            await speak_and_pause(session)
            await trio.sleep(3)
            cancelled, reply = arrived(updates)
            assert isinstance(cancelled, ToolCallCancelled)
            assert cancelled.call_id == "c1"
            assert isinstance(reply, TurnDone)
            assert steps(server.received) == ["create", "output c1"]
            assert "interrupted" in error_in(outputs(server.received)[0][1])
            await trio.sleep(60)
            finished, turn = arrived(updates)
        assert isinstance(finished, ToolCallFinished)
        assert finished.call_id == "c2"
        assert isinstance(turn, TurnDone)
        assert len(turn.responses) == 2, "the response of the tools, and what followed it"
    assert steps(server.received) == ["create", "output c1", "output c2", "create"]


async def test_speech_over_a_response_that_has_called_leaves_the_answer_to_the_new_turn(
    autojump_clock: MockClock,
) -> None:
    """The server cancels the response: outputs go out, but nothing follows them."""
    script = ([*BOTH, says("Let me look that up.", audio=20.0)], says("To what you said."))
    arguments: dict[str, Any] = {"turn_detection": "server_vad", "tools": [gives_way, goes_on]}
    async with talking(*script, **arguments) as (session, server):
        with session.updates(TurnDone) as turns:
            await session.send_message("Go.")
            await trio.sleep(3)
            await speak_and_pause(session)
            await trio.sleep(60)
            first, second = arrived(turns)
        assert (first.responses[0].status, second.responses[0].status) == ("cancelled", "completed")
    # With this model items end with their response, so the calls were complete only after the user had begun.
    assert steps(server.received) == ["create", "output c1", "output c2"]
    assert [output == "finished" for _, output in outputs(server.received)] == [False, True]


async def test_a_call_of_a_response_that_the_server_cancelled_is_answered_and_not_followed_up(
    autojump_clock: MockClock,
) -> None:
    async with opened(tools=[gives_way, goes_on], turn_detection="server_vad") as (session, server):
        await session.create_response()
        push_call(server, "resp_1", "c1", "gives_way")
        push_call(server, "resp_1", "c2", "goes_on")
        await wait_all_tasks_blocked()
        with session.updates(TurnDone) as turns:
            push_speech_ended(server)
            details = {"type": "cancelled", "reason": "turn_detected"}
            push_done(server, "resp_1", "cancelled", status_details=details)
            push_created(server, "r2")
            await trio.sleep(1)
            assert [turn.responses[0].id for turn in arrived(turns)] == ["resp_1"], "its end is not held up by a tool"
            await trio.sleep(60)
            push_done(server, "r2")
            await wait_all_tasks_blocked()
        assert steps(server.received) == ["create", "output c1", "output c2"]


async def test_an_interruption_by_the_program_cancels_those_that_give_way(autojump_clock: MockClock) -> None:
    async with (
        talking(BOTH, says("So be it."), pace=0, tools=[gives_way, goes_on]) as (session, server),
        session.respond("Go.") as turn,
    ):
        await trio.sleep(5)
        await session.interrupt()
        await trio.sleep(1)
        assert steps(server.received) == ["create", "output c1"], "nothing is under way that could be cancelled"
        assert await turn.text() == "So be it."
    assert trio.current_time() == 30
    assert steps(server.received) == ["create", "output c1", "output c2", "create"]
    assert [error_in(output) if call == "c1" else output for call, output in outputs(server.received)] == [
        "the call was cancelled because the user interrupted",
        "finished",
    ]


async def test_what_the_program_cancels_is_followed_up_after_the_end_of_the_response(
    autojump_clock: MockClock,
) -> None:
    async with opened(tools=[gives_way]) as (session, server):
        server.ignore("response.cancel")
        await session.create_response()
        push_call(server, "resp_1", "c1", "gives_way")
        await trio.sleep(1)
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["create", "cancel", "output c1"], "not before the response is over"
        push_done(server, "resp_1", "cancelled", status_details={"type": "cancelled", "reason": "client_cancelled"})
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["create", "cancel", "output c1", "create"]


async def test_a_tool_that_ends_after_the_interruption_changes_nothing() -> None:
    released = trio.Event()

    @tool
    async def f() -> str:
        with trio.CancelScope(shield=True):
            await released.wait()
        return "too late"

    async with opened(tools=[f]) as (session, server):
        with session.updates(ToolCallFinished, ToolCallCancelled) as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1")
            push_done(server, "r1")
            await wait_all_tasks_blocked()
            await session.interrupt()
            await wait_all_tasks_blocked()
            released.set()
            await wait_all_tasks_blocked()
            assert [type(update) for update in arrived(updates)] == [ToolCallCancelled]
        ((call_id, output),) = outputs(server.received)
        assert call_id == "c1"
        assert "interrupted" in error_in(output)


@pytest.mark.parametrize("tool_first", [True, False])
async def test_a_tool_that_ends_in_the_moment_of_an_interruption_is_answered_once(tool_first: bool) -> None:
    released = trio.Event()

    @tool
    async def f() -> str:
        await released.wait()
        return "in time"

    async with opened(tools=[f]) as (session, server):
        push_created(server, "r1")
        push_call(server, "r1", "c1")
        push_done(server, "r1")
        await wait_all_tasks_blocked()
        released.set()
        if tool_first:
            await wait_all_tasks_blocked()
        await session.interrupt()
        await wait_all_tasks_blocked()
        ((_, output),) = outputs(server.received)
        assert (output == "in time") == tool_first
        assert steps(server.received) == ["output c1", "create", *(["cancel"] if tool_first else [])]


async def test_the_servers_own_response_wins_against_the_follow_up_which_comes_after_it() -> None:
    released = trio.Event()

    @tool
    async def f() -> str:
        await released.wait()
        return "done"

    async with opened(tools=[f], turn_detection="server_vad") as (session, server):
        with session.updates(TurnDone, ErrorReported) as updates:
            await session.create_response()
            push_call(server, "resp_1", "c1")
            push_done(server, "resp_1")
            await wait_all_tasks_blocked()
            answer = server.answers["response.create"]
            server.refuse("response.create", code=CONFLICT)
            released.set()
            await wait_all_tasks_blocked()
            assert steps(server.received) == ["create", "output c1", "create"]
            server.answers["response.create"] = answer
            push_created(server, "r2")
            push_item(server, "r2", "i2")
            push_words(server, "r2", "i2", "to what you said")
            await wait_all_tasks_blocked()
            assert steps(server.received)[3:] == []
            push_done(server, "r2")
            await wait_all_tasks_blocked()
            assert steps(server.received)[3:] == ["create"]
            push_done(server, "resp_2")
            await wait_all_tasks_blocked()
            turns = arrived(updates)
        assert [[response.id for response in turn.responses] for turn in turns] == [["r2"], ["resp_1", "resp_2"]]


async def test_a_tool_that_ends_while_another_response_is_under_way_is_answered_at_once_and_followed_up_after() -> None:
    released = trio.Event()

    @tool
    async def f() -> str:
        await released.wait()
        return "done"

    async with opened(tools=[f]) as (session, server):
        await session.create_response()
        push_call(server, "resp_1", "c1")
        push_done(server, "resp_1")
        await session.create_response()
        released.set()
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["create", "create", "output c1"]
        push_done(server, "resp_2")
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["create", "create", "output c1", "create"]


async def test_an_input_that_waits_goes_before_the_follow_up_and_both_are_answered() -> None:
    released = trio.Event()

    @tool
    async def f() -> str:
        await released.wait()
        return "done"

    async with opened(tools=[f]) as (session, server):
        await session.create_response()
        push_call(server, "resp_1", "c1")
        await session.send_message("One.")
        await session.send_message("Two.")
        released.set()
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["create", "output c1"]
        push_done(server, "resp_1")
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["create", "output c1", "create"], "for both messages"
        push_done(server, "resp_2")
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["create", "output c1", "create", "create"], "for the tool"


async def test_the_follow_up_of_a_cancelled_turn_that_has_gone_out_is_cancelled_by_id() -> None:
    @tool
    async def f() -> str:
        return "done"

    async with opened(tools=[f]) as (session, server):
        async with session.respond("Go."):
            await wait_all_tasks_blocked()
            server.ignore("response.create")
            push_call(server, "resp_1", "c1")
            push_done(server, "resp_1")
            await wait_all_tasks_blocked()
            assert steps(server.received) == ["create", "output c1", "create"]
        assert steps(server.received)[3:] == [], "its id is not known"
        push_created(server, "r2", metadata=server.received[-1]["response"]["metadata"])
        await wait_all_tasks_blocked()
        assert steps(server.received)[3:] == ["cancel"]
        assert server.received[-1]["response_id"] == "r2"


async def test_leaving_a_turn_stops_its_tools_and_no_others(autojump_clock: MockClock) -> None:
    script = (calls("gives_way", call_id="c1"), calls("gives_way", call_id="c2"), says("Done."))
    async with talking(*script, pace=0, tools=[gives_way]) as (session, server), session.respond("One.") as first:
        await trio.sleep(1)
        async with session.respond("Two."):
            await trio.sleep(1)
        assert await first.text() == "Done."
    assert [call_id for call_id, _ in outputs(server.received)] == ["c2", "c1"]
    assert steps(server.received) == ["create", "create", "output c2", "output c1", "create"]


async def test_a_turn_that_the_program_cancels_while_it_calls_ends_as_cancelled() -> None:
    async with opened(tools=[gives_way]) as (session, _):
        with leaving_raises(ResponseCancelled):
            async with session.respond("Go.") as turn:
                await wait_all_tasks_blocked()
                await session.cancel_response()
                await turn.done()
