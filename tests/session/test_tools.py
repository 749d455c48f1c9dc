"""The functions that the model calls: they run beside the stream; a call has one output, a response one follow-up."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ConfigError,
    ProtocolIssue,
    ResponseIncomplete,
    Tool,
    ToolCallCancelled,
    ToolCallFinished,
    ToolCallStarted,
    ToolContext,
    ToolProgress,
    tool,
)
from trio_realtime.testing import calls, incomplete, says
from trio_realtime.wire.server_events import ResponseOutputAudioDelta

from .calling import error_in, outputs, push_call, steps
from .scripted_server import opened
from .talking import arrived, push_created, push_done, talking


@tool
async def weather(city: str, days: Annotated[int, msgspec.Meta(ge=1)] = 1) -> dict[str, Any]:
    """Weather at a place."""
    await trio.sleep(1)
    return {"city": city, "days": days}


@tool
async def book(people: int) -> str:
    """Book a table."""
    await trio.sleep(3)
    return f"a table for {people}"


async def test_a_call_runs_with_its_arguments_is_answered_and_followed_up(autojump_clock: MockClock) -> None:
    script = (calls("weather", {"city": "Paris"}, call_id="c1"), says("It is fine."))
    async with (
        talking(*script, pace=0, tools=[weather]) as (session, server),
        session.respond("How is Paris?") as turn,
    ):
        assert await turn.text() == "It is fine."
        assert [response.status for response in turn.responses] == ["completed", "completed"]
        assert [item.type for item in turn.items] == ["function_call", "message"]
    assert outputs(server.received) == [("c1", '{"city":"Paris","days":1}')]
    assert steps(server.received) == ["create", "output c1", "create"]
    assert trio.current_time() == 1


async def test_parallel_calls_run_at_once_and_are_followed_up_together(autojump_clock: MockClock) -> None:
    both = [calls("weather", {"city": "Paris"}, call_id="c1"), calls("book", {"people": 2}, call_id="c2")]
    async with (
        talking(both, says("Done."), pace=0, tools=[book, weather]) as (session, server),
        session.respond("Go.") as turn,
    ):
        assert await turn.text() == "Done."
    assert steps(server.received) == ["create", "output c1", "output c2", "create"]
    assert trio.current_time() == 3


async def test_a_hundred_parallel_calls_give_a_hundred_outputs_and_one_follow_up(autojump_clock: MockClock) -> None:
    @tool
    async def wait(seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    many = [calls("wait", {"seconds": (n * 37 % 100) / 10}, call_id=f"c{n}") for n in range(100)]
    async with (
        talking(many, says("Done."), pace=0, tools=[wait]) as (session, server),
        session.respond("Go.") as turn,
    ):
        assert await turn.text() == "Done."
    given = outputs(server.received)
    assert sorted(given) == sorted((f"c{n}", str((n * 37 % 100) / 10)) for n in range(100))
    assert steps(server.received).count("create") == 2
    assert steps(server.received)[-1] == "create"
    assert pytest.approx(trio.current_time()) == 9.9


async def test_a_tool_that_blocks_for_a_minute_delays_no_audio_delta(autojump_clock: MockClock) -> None:
    async def arrivals(block: Any) -> list[float]:
        began = trio.current_time()
        script = ([calls("block", call_id="c1"), says("Let me see.", audio=5.0)], says("Meanwhile.", audio=5.0))
        async with talking(*script, pace=1, tools=[block]) as (session, server):
            with session.events() as events:
                await session.send_message("Go.")
                await trio.sleep(10)
                await session.send_message("And now?")
                await trio.sleep(10)
                audio = [each for each in arrived(events) if isinstance(each.event, ResponseOutputAudioDelta)]
            assert outputs(server.received) == []
            await trio.sleep(60)
            assert outputs(server.received) == ([("c1", "null")] if isinstance(block, Tool) else [])
        return [each.time - began for each in audio]

    @tool
    async def block() -> None:
        await trio.sleep(60)

    while_it_blocks = await arrivals(block)
    assert len(while_it_blocks) == 50
    assert while_it_blocks == pytest.approx(await arrivals({"type": "function", "name": "block"}))


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        ({"a": [1, 2.5, None]}, '{"a":[1,2.5,null]}'),
        (True, "true"),
    ],
)
async def test_a_result_is_text_as_it_is_or_json(result: Any, output: str, autojump_clock: MockClock) -> None:
    @tool
    async def f() -> Any:
        return result

    async with opened(tools=[f]) as (session, server):
        with session.updates(ToolCallFinished) as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1")
            push_done(server, "r1")
            await wait_all_tasks_blocked()
            assert arrived(updates) == [ToolCallFinished(call_id="c1", name="f", result=result, seconds=0)]
        assert outputs(server.received) == [("c1", output)]
        assert steps(server.received) == ["output c1", "create"]


@pytest.mark.parametrize("wrong", ["raises", "unencodable", "too slow"])
async def test_a_tool_that_fails_gives_an_error_output_and_the_session_lives(
    wrong: str, autojump_clock: MockClock
) -> None:
    @tool(name="f", timeout=2)
    async def fails_somehow() -> object:
        if wrong == "raises":
            raise LookupError("no such city")
        if wrong == "unencodable":
            return object()
        await trio.sleep(3)
        return None

    script = (calls("f", call_id="c1"), says("I am sorry."))
    async with talking(*script, pace=0, tools=[fails_somehow]) as (session, server):
        with session.updates(ToolCallFinished) as updates:
            async with session.respond("Go.") as turn:
                assert await turn.text() == "I am sorry."
            (finished,) = arrived(updates)
    assert (finished.result, type(finished.error)) == (
        None,
        {"raises": LookupError, "unencodable": ValueError, "too slow": trio.TooSlowError}[wrong],
    )
    ((call_id, output),) = outputs(server.received)
    assert call_id == "c1"
    expected = {"raises": "no such city", "unencodable": "cannot be encoded", "too slow": "did not finish within 2 s"}
    assert expected[wrong] in error_in(output)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("weather", "{}", "city"),
        ("weather", '{"city": 5}', "`city`"),
        ("weather", '{"city": "Paris", "days": 0}', "`days`"),
        ("weather", "[]", "object"),
        ("weather", '{"city": ', "JSON"),
        ("whether", "{}", "no tool named 'whether'; there are: book, weather"),
    ],
)
async def test_what_is_wrong_with_a_call_is_told_to_the_model(name: str, arguments: str, words: str) -> None:
    async with opened(tools=[weather, book]) as (session, server):
        push_created(server, "r1")
        push_call(server, "r1", "c1", name, arguments)
        push_done(server, "r1")
        await wait_all_tasks_blocked()
        ((_, output),) = outputs(server.received)
        assert words in error_in(output)
        assert steps(server.received) == ["output c1", "create"]
        await session.clear_audio()  # it lives


async def test_empty_arguments_are_an_empty_object() -> None:
    @tool
    async def f(city: str = "Paris") -> str:
        return city

    async with opened(tools=[f]) as (_, server):
        push_created(server, "r1")
        push_call(server, "r1", "c1", arguments="")
        await wait_all_tasks_blocked()
        assert outputs(server.received) == [("c1", "Paris")]


@pytest.mark.parametrize("status", ["incomplete", "cancelled"])
async def test_a_call_that_did_not_complete_is_not_run(status: str) -> None:
    async with opened(tools=[weather]) as (session, server):
        with session.updates(ToolCallStarted) as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1", "weather", '{"city', status=status)
            push_done(server, "r1", status)
            await wait_all_tasks_blocked()
            assert arrived(updates) == []
        assert steps(server.received) == []


async def test_a_call_that_is_cut_short_by_the_token_limit_is_not_run(autojump_clock: MockClock) -> None:
    script = ([calls("weather", {"city": "Paris"}), incomplete()],)
    async with talking(*script, pace=0, tools=[weather]) as (session, server):
        with pytest.raises(ResponseIncomplete):
            async with session.respond("Go.") as turn:
                await turn.done()
    assert steps(server.received) == ["create"]


async def test_a_call_that_is_stated_twice_runs_once_and_other_arguments_are_refused() -> None:
    ran: list[int] = []

    @tool
    async def f(n: int = 0) -> int:
        ran.append(n)
        return n

    async with opened(tools=[f]) as (session, server):
        with session.updates() as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1", arguments='{"n": 1}')
            push_call(server, "r1", "c1", arguments='{"n": 1}')
            push_call(server, "r1", "c1", arguments='{"n": 2}')
            push_done(server, "r1")
            await wait_all_tasks_blocked()
            issues = [update for update in arrived(updates) if isinstance(update, ProtocolIssue)]
        assert ran == [1]
        assert steps(server.received) == ["output c1", "create"]
        assert len(issues) == 1
        assert "'c1'" in issues[0].reason


async def test_a_call_that_only_the_end_of_the_response_states_is_run() -> None:
    async with opened(tools=[weather]) as (session, server):
        await session.create_response()
        item = {"id": "i", "type": "function_call", "call_id": "c1", "name": "nope", "arguments": "{}"}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.create_response)
            await wait_all_tasks_blocked()
            push_done(server, "resp_1", output=[{**item, "status": "completed"}])
            await wait_all_tasks_blocked()
            # Who waited goes first, and sees the output all the same.
            assert steps(server.received) == ["create", "output c1", "create"]
            push_done(server, "resp_2")
        await wait_all_tasks_blocked()
        assert steps(server.received) == ["create", "output c1", "create", "create"]


async def test_started_progress_and_finished_are_updates_in_this_order(autojump_clock: MockClock) -> None:
    @tool
    async def f(steps: int, context: ToolContext) -> str:
        for n in range(steps):
            await trio.sleep(1)
            context.progress(n)
        return "done"

    async with opened(tools=[f]) as (session, server):
        with session.updates(ToolCallStarted, ToolProgress, ToolCallFinished, ToolCallCancelled) as updates:
            push_created(server, "r1")
            push_call(server, "r1", "c1", arguments='{"steps": 2}')
            await trio.sleep(3)
            assert arrived(updates) == [
                ToolCallStarted(call_id="c1", name="f", arguments='{"steps": 2}', response_id="r1"),
                ToolProgress(call_id="c1", name="f", value=0),
                ToolProgress(call_id="c1", name="f", value=1),
                ToolCallFinished(call_id="c1", name="f", result="done", seconds=2),
            ]


async def test_a_session_that_only_sends_runs_its_tools(autojump_clock: MockClock) -> None:
    script = (calls("weather", {"city": "Paris"}), says("Fine."))
    async with talking(*script, pace=0, tools=[weather]) as (session, server):
        await session.send_message("Go.")
        await trio.sleep(5)
    assert len(outputs(server.received)) == 1
    assert steps(server.received).count("create") == 2


async def test_results_are_logged_at_info(caplog: pytest.LogCaptureFixture) -> None:
    @tool
    async def f(fails: bool) -> str:
        if fails:
            raise LookupError("it is gone")
        return "a result " * 1000

    caplog.set_level(logging.INFO, logger="trio_realtime")
    async with opened(tools=[f]) as (_, server):
        push_created(server, "r1")
        push_call(server, "r1", "c1", arguments='{"fails": false}')
        push_call(server, "r1", "c2", arguments='{"fails": true}')
        await wait_all_tasks_blocked()
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert any("tool f" in line and "a result" in line for line in lines)
    assert any("it is gone" in line for line in lines)
    assert all(len(line) < 600 for line in lines)


async def test_a_tool_that_wants_no_reply_is_not_followed_up(autojump_clock: MockClock) -> None:
    @tool(reply=False)
    async def note(text: str) -> None:
        await trio.sleep(1)

    async with talking(calls("note", {"text": "x"}, call_id="c1"), pace=0, tools=[note]) as (session, server):
        async with session.respond("Go.") as turn:
            await turn.done()
            assert trio.current_time() == 1, "its tools belong to the turn"
        await trio.sleep(5)
    assert steps(server.received) == ["create", "output c1"]


async def test_one_tool_that_wants_a_reply_is_enough(autojump_clock: MockClock) -> None:
    @tool(reply=False)
    async def note() -> None:
        await trio.sleep(2)

    both = [calls("note", call_id="c1"), calls("weather", {"city": "x"}, call_id="c2")]
    async with (
        talking(both, says("Done."), pace=0, tools=[note, weather]) as (session, server),
        session.respond("Go.") as turn,
    ):
        assert await turn.text() == "Done."
    assert steps(server.received) == ["create", "output c2", "output c1", "create"]


async def test_no_more_calls_run_at_once_than_the_tool_says(autojump_clock: MockClock) -> None:
    running = most = 0

    @tool(max_concurrency=2)
    async def f() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1

    async with (
        talking([calls("f") for _ in range(5)], says("."), pace=0, tools=[f]) as (session, server),
        session.respond("Go.") as turn,
    ):
        await turn.done()
    assert most == 2
    assert trio.current_time() == 3
    assert len(outputs(server.received)) == 5


# --- the follow-up ----------------------------------------------------------------------------------------------------


async def test_a_forced_tool_is_followed_up_with_auto_so_that_it_cannot_loop(autojump_clock: MockClock) -> None:
    script = (calls("weather", {"city": "x"}), says("Done."))
    async with (
        talking(*script, pace=0, tools=[weather], tool_choice="required") as (session, server),
        session.respond("Go.") as turn,
    ):
        assert await turn.text() == "Done."
    first, second = [event.get("response", {}) for event in server.received if event["type"] == "response.create"]
    assert "tool_choice" not in first
    assert second["tool_choice"] == "auto"


async def test_the_follow_up_keeps_the_parameters_of_the_response_but_its_input(autojump_clock: MockClock) -> None:
    script = (calls("weather", {"city": "x"}), calls("weather", {"city": "y"}), says("Done."))
    async with talking(*script, pace=0, tools=[weather]) as (session, server):
        message = await session.send_message("Go.", respond=False)
        assert message is not None
        async with session.respond(
            instructions="Be brief.",
            output_modalities=["text"],
            metadata={"purpose": "test"},
            tool_choice={"type": "function", "name": "weather"},
            input=[{"type": "item_reference", "id": message.id}],
        ) as turn:
            await turn.done()
            assert [response.metadata for response in turn.responses] == [{"purpose": "test"}] * 3
    sent = [event["response"] for event in server.received if event["type"] == "response.create"]
    for params in sent:
        params["metadata"].pop("trio_realtime")
    kept = {"instructions": "Be brief.", "output_modalities": ["text"], "metadata": {"purpose": "test"}}
    reference = {"type": "item_reference", "id": message.id}
    assert sent[0] == {**kept, "tool_choice": {"type": "function", "name": "weather"}, "input": [reference]}
    assert sent[1] == sent[2] == {**kept, "tool_choice": "auto"}


async def test_a_call_beside_the_conversation_is_the_programs_to_see_and_not_run(autojump_clock: MockClock) -> None:
    """The server takes an output only for a call in the conversation, so nothing could be answered to it."""
    async with talking(calls("weather", {"city": "x"}, call_id="c1"), pace=0, tools=[weather]) as (session, server):
        async with session.respond(conversation="none", input=[]) as turn:
            await turn.done()
            (response,) = turn.responses
        assert [item.call_id for item in turn.items] == ["c1"]
        assert response.output
        with pytest.raises(ConfigError, match="no function call"):
            await session.send_tool_output("c1", "x")
        await trio.sleep(5)
    assert steps(server.received) == ["create"]


# --- a tool and its session ---------------------------------------------------------------------------------------


async def test_a_tool_may_use_the_session(autojump_clock: MockClock) -> None:
    @tool
    async def f(context: ToolContext) -> str:
        item = await context.session.send_message("A note.", role="system")
        assert item is not None
        await context.session.update(instructions="Be brief.")
        assert (context.name, context.call_id) == ("f", "c1")
        return item.id

    async with talking(calls("f", call_id="c1"), says("Done."), pace=0, tools=[f]) as (session, server):
        async with session.respond("Go.") as turn:
            assert await turn.text() == "Done."
        assert outputs(server.received) == [("c1", session.conversation.items[2].id)]


async def test_a_tool_may_itself_ask_for_a_turn(autojump_clock: MockClock) -> None:
    @tool
    async def ask(context: ToolContext) -> str:
        async with context.session.respond("Say it.") as turn:
            return await turn.text()

    script = (calls("ask", call_id="c1"), says("Inner."), says("Outer."))
    async with (
        talking(*script, pace=0, tools=[ask]) as (session, server),
        session.respond("Go.") as turn,
    ):
        assert await turn.text() == "Outer."
        assert len(turn.responses) == 2, "the inner turn is another"
    assert outputs(server.received) == [("c1", "Inner.")]


async def test_a_tool_may_ask_beside_the_conversation(autojump_clock: MockClock) -> None:
    @tool
    async def ask(context: ToolContext) -> str:
        async with context.session.respond(conversation="none", output_modalities=["text"]) as turn:
            return await turn.text()

    async with (
        talking(calls("ask", call_id="c1"), says("In."), says("Out."), pace=0, tools=[ask]) as (session, server),
        session.respond("Go.") as turn,
    ):
        assert await turn.text() == "Out."
    assert outputs(server.received) == [("c1", "In.")]
