"""`respond`: a turn as a scope: what it gives, when it begins, and why it did not complete."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    Delta,
    ErrorReported,
    ResponseCancelled,
    ResponseDone,
    ResponseFailed,
    ResponseIncomplete,
    ServerError,
    TurnDone,
    tool,
)
from trio_realtime.errors import ResponseError
from trio_realtime.testing import ModelContext, Output, calls, fails, incomplete, load_voice, omitted, says
from trio_realtime.turn import response_error
from trio_realtime.wire.responses import Response, StatusDetails, StatusError

from .scripted_server import ScriptedServer, leaving_raises, opened
from .talking import (
    CONFLICT,
    arrived,
    listed,
    push_created,
    push_done,
    push_item,
    push_speech_ended,
    push_words,
    requested,
    sent_after,
    talking,
)


@tool
async def look_up() -> str:
    """Look something up."""
    await trio.sleep(1)
    return "found"


# --- what it gives ----------------------------------------------------------------------------------------------------


async def test_the_streams_give_what_the_conversation_has(autojump_clock: MockClock) -> None:
    async with talking(says("Hello there, my friend!")) as (session, _):
        async with session.respond("How are you?") as turn:
            words: list[str] = []
            sounds: list[bytes] = []
            again: list[str] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listed, turn.text_stream(), words)
                nursery.start_soon(listed, turn.audio_stream(), sounds)
                nursery.start_soon(listed, turn.text_stream(), again)
            late = await listed(turn.text_stream())
            deltas = await listed(aiter(turn))
            await turn.done()
        item = session.conversation.items[-1]
        assert words == again == late == ["Hello", " there", ",", " my", " friend", "!"]
        assert await turn.text() == "".join(words) == item.transcript == "Hello there, my friend!"
        assert await turn.audio() == b"".join(sounds) == item.audio
        assert [delta.transcript for delta in deltas if delta.transcript] == words
        assert all(isinstance(delta, Delta) for delta in deltas)
        assert turn.items == [item]
        assert [response.status for response in turn.responses] == ["completed"]
        assert turn.usage == session.usage == session.last_usage
        assert session.conversation.items[0].text == "How are you?"


async def test_a_stream_that_is_opened_late_begins_at_the_beginning(autojump_clock: MockClock) -> None:
    async with talking(says("One two three four five.")) as (session, _), session.respond("Count.") as turn:
        async for word in turn.text_stream():
            if word == " three":
                break
        assert [*await listed(turn.text_stream())] == ["One", " two", " three", " four", " five", "."]


async def test_written_text_is_text_too(autojump_clock: MockClock) -> None:
    async with talking(says("In writing."), output_modalities=["text"]) as (session, _):
        async with session.respond("Write.") as turn:
            assert await turn.text() == "In writing."
            assert await turn.audio() == b""
        assert session.conversation.items[-1].text == "In writing."


async def test_without_a_message_it_answers_what_is_there(autojump_clock: MockClock) -> None:
    async with talking(says("Yes?")) as (session, connection):
        async with session.respond() as turn:
            assert await turn.text() == "Yes?"
        async with session.respond([]) as turn:
            await turn.done()
        assert not requested(connection, "conversation.item.create")


async def test_a_turn_holds_what_follows_from_its_tools(autojump_clock: MockClock) -> None:
    async with talking(calls("look_up", "{}"), says("It is found."), tools=[look_up]) as (session, _):
        async with session.respond("Look.") as turn:
            assert await turn.text() == "It is found."
        assert [response.status for response in turn.responses] == ["completed", "completed"]
        assert [item.type for item in turn.items] == ["function_call", "message"]
        assert turn.usage == session.usage


async def test_without_following_the_turn_is_the_one_response(autojump_clock: MockClock) -> None:
    async with talking(calls("look_up", "{}"), says("It is found."), tools=[look_up]) as (session, _):
        async with session.respond("Look.", follow=False) as turn:
            assert await turn.text() == ""
        assert len(turn.responses) == 1
        done = await session.wait_for_reply()  # it goes on, although the scope was left
        assert [response.status for response in done.responses] == ["completed", "completed"]


async def test_an_item_without_any_delta_belongs_to_the_turn() -> None:
    async with opened() as (session, server):
        async with session.respond() as turn:
            await wait_all_tasks_blocked()
            push_item(server, "resp_1", "item_1", of="function_call")
            output = [{"id": "item_1", "type": "function_call", "name": "f", "call_id": "c", "arguments": ""}]
            push_done(server, "resp_1", output=[*output, {"type": "message", "role": "assistant", "content": []}])
            await wait_all_tasks_blocked()
        assert [item.id for item in turn.items] == ["item_1"]


async def test_a_turn_hears_nothing_of_others() -> None:
    async with opened() as (session, server), session.respond("mine") as turn:
        await wait_all_tasks_blocked()
        push_item(server, "resp_1", "item_1")
        push_created(server, "resp_else", conversation_id=None)
        push_item(server, "resp_else", "item_2")
        push_words(server, "resp_else", "item_2", "not", "this")
        push_words(server, "resp_1", "item_1", "but this")
        push_done(server, "resp_else", conversation_id=None)
        item = {"id": "item_user", "type": "message", "role": "user", "content": [{"type": "input_audio"}]}
        server.push("conversation.item.added", item=item)
        event_type = "conversation.item.input_audio_transcription.delta"
        server.push(event_type, item_id="item_user", content_index=0, delta="nor this")
        push_done(server, "resp_1")
        assert await turn.text() == "but this"
        assert [item.id for item in turn.items] == ["item_1"]
        assert [response.id for response in turn.responses] == ["resp_1"]


async def test_responses_beside_the_conversation_run_in_parallel_told_apart_by_metadata(
    autojump_clock: MockClock,
) -> None:
    texts: dict[str, str] = {}

    def speak(context: ModelContext) -> Output:
        return says(f"about {context.metadata['topic']} at length")

    async with talking(speak, speak, speak) as (session, connection):

        async def ask(topic: str) -> None:
            about = {"topic": topic}
            async with session.respond(conversation="none", input=[], metadata=about) as turn:
                texts[topic] = await turn.text()
                assert turn.responses[0].metadata == {"topic": topic}

        async with session.respond("main", metadata={"topic": "all"}) as main, trio.open_nursery() as nursery:
            began = trio.current_time()
            nursery.start_soon(ask, "cats")
            nursery.start_soon(ask, "dogs")
            assert await main.text() == "about all at length"
        assert texts == {"cats": "about cats at length", "dogs": "about dogs at length"}
        assert trio.current_time() - began < 2  # one after the other would be three times 1.2 s
        assert len(session.conversation) == 2
        assert len(requested(connection, "response.create")) == 3


# --- its turn ---------------------------------------------------------------------------------------------------------


async def test_a_turn_waits_while_another_response_is_under_way(autojump_clock: MockClock) -> None:
    async with talking(says("The first one."), says("The second one.")) as (session, connection):
        async with session.respond("a") as outer:
            async with session.respond("b") as inner:
                await wait_all_tasks_blocked()
                assert len(requested(connection, "response.create")) == 1
                assert await inner.text() == "The second one."
            assert outer.is_done
            assert await outer.text() == "The first one."
        assert len(requested(connection, "response.create")) == 2


async def test_leaving_while_the_request_waits_sends_nothing(autojump_clock: MockClock) -> None:
    async with talking(says("The first one."), says("never")) as (session, connection):
        async with session.respond("a") as outer:
            async with session.respond() as inner:
                await wait_all_tasks_blocked()
            assert inner.is_done
            await outer.done()
        await trio.sleep(10)
        assert len(requested(connection, "response.create")) == 1
        assert not requested(connection, "response.cancel")
        assert len(session.conversation) == 2


async def test_a_turn_that_lost_the_race_with_turn_detection_waits_for_the_winner(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    server.refuse("response.create", code=CONFLICT)
    async with opened(server, turn_detection="server_vad") as (session, _), session.respond("x") as turn:
        push_speech_ended(server)
        push_created(server, "resp_vad")  # crosses our request on the wire
        await wait_all_tasks_blocked()
        assert len(sent_after(server, "response.create")) == 1
        server.answers["response.create"] = lambda event: [server.response("response.created", event)]
        push_item(server, "resp_vad", "item_vad")
        push_words(server, "resp_vad", "item_vad", "the winner")
        push_done(server, "resp_vad")
        await wait_all_tasks_blocked()
        first, second = sent_after(server, "response.create")
        assert first == second
        push_item(server, "resp_1", "item_1")
        push_words(server, "resp_1", "item_1", "ours")
        push_done(server, "resp_1")
        assert await turn.text() == "ours"


async def test_the_race_is_lost_the_same_when_the_refusal_comes_before_the_winner() -> None:
    server = ScriptedServer()
    server.refuse("response.create", with_event_id=False, code=CONFLICT)
    async with opened(server) as (session, _):
        async with session.respond("x") as turn:
            await wait_all_tasks_blocked()
            push_created(server, "resp_vad")
            server.answers["response.create"] = lambda event: [server.response("response.created", event)]
            push_done(server, "resp_vad")
            await wait_all_tasks_blocked()
            push_done(server, "resp_1")
            await turn.done()
        assert [response.id for response in turn.responses] == ["resp_1"]


async def test_leaving_a_turn_that_lost_the_race_sends_nothing_more() -> None:
    server = ScriptedServer()
    server.ignore("response.create")
    async with opened(server, turn_detection="server_vad") as (session, _):
        with session.updates(ErrorReported) as errors:
            async with session.respond("x"):
                push_speech_ended(server)
                push_created(server, "resp_vad")
                await wait_all_tasks_blocked()
            (create,) = sent_after(server, "response.create")
            server.push_error("busy", code=CONFLICT, event_id=create["event_id"])
            push_done(server, "resp_vad")
            await wait_all_tasks_blocked()
            assert len(sent_after(server, "response.create", "response.cancel")) == 1
            assert len(arrived(errors)) == 1  # nobody waits for it any more
            async with session.respond() as turn:  # the gate is open
                await wait_all_tasks_blocked()
                assert len(sent_after(server, "response.create")) == 2
                push_created(
                    server, "resp_2", metadata=sent_after(server, "response.create")[-1]["response"]["metadata"]
                )
                push_done(server, "resp_2")
                await turn.done()


async def test_created_twice_and_done_twice_is_once() -> None:
    async with opened() as (session, server):
        with session.updates(ResponseDone, TurnDone) as updates:
            async with session.respond("x") as turn:
                await wait_all_tasks_blocked()
                push_created(server, "resp_1")
                push_item(server, "resp_1", "item_1")
                push_words(server, "resp_1", "item_1", "once")
                push_done(server, "resp_1")
                push_done(server, "resp_1", "failed")
                assert await turn.text() == "once"
                await wait_all_tasks_blocked()
            assert len(turn.responses) == 1
            assert [type(update) for update in arrived(updates)] == [ResponseDone, TurnDone]


@pytest.mark.parametrize("echoes", [True, False])
async def test_a_response_that_was_never_announced_ends_its_turn(echoes: bool) -> None:
    server = ScriptedServer()
    server.ignore("response.create")
    async with opened(server) as (session, _):
        async with session.respond("x") as turn:
            await wait_all_tasks_blocked()
            (create,) = sent_after(server, "response.create")
            push_done(server, "resp_1", metadata=create["response"]["metadata"] if echoes else None)
            await turn.done()
        assert [response.metadata for response in turn.responses] == [None]
        async with session.respond():
            await wait_all_tasks_blocked()
            assert len(sent_after(server, "response.create")) == 2


async def test_a_response_that_was_never_announced_still_gives_what_it_said(autojump_clock: MockClock) -> None:
    script = [says("Unheralded.", audio=0.5), calls("look", {"far": 1})]
    never = [omitted(on="response.created"), omitted(on="response.created", nth=2)]
    async with talking(*script, faults=never) as (session, _):
        async with session.respond("x") as turn:
            assert await turn.text() == "Unheralded."
            assert len(await turn.audio()) == 24_000
        assert [item.transcript for item in turn.items] == ["Unheralded."]
        async with session.respond("y", follow=False) as turn:
            assert [delta.arguments async for delta in turn] == ['{"far": 1}']


async def test_a_malformed_done_ends_the_turn() -> None:
    async with opened() as (session, server):
        async with session.respond("x") as turn:
            await wait_all_tasks_blocked()
            server.push("response.done", response=None)
            await turn.done()
        assert [response.id for response in turn.responses] == ["resp_1"]


# --- why it did not complete ------------------------------------------------------------------------------------------


async def test_a_response_that_failed_says_why_and_whether_to_try_again(autojump_clock: MockClock) -> None:
    async with talking(fails("rate_limit_exceeded", "slow down")) as (session, _):
        with leaving_raises(ResponseFailed, match="slow down") as caught:
            async with session.respond("x"):
                await trio.sleep(1)
        error = caught.value
        assert error.retryable
        assert error.response_id is not None
        assert isinstance(error.status_details, StatusDetails)
        assert error.status_details.error is not None
        assert error.status_details.error.code == "rate_limit_exceeded"
        async with session.respond("y") as turn:  # the session stays usable
            assert await turn.text()


async def test_a_response_that_was_cut_short_says_so_after_what_it_said(autojump_clock: MockClock) -> None:
    async with talking([says("So far"), incomplete()]) as (session, _):
        words: list[str] = []
        async with session.respond("x") as turn:
            with leaving_raises(ResponseIncomplete, match="max_output_tokens") as caught:
                await listed(turn.text_stream(), words)
        assert words == ["So", " far"]
        assert not caught.value.retryable


async def test_cancelling_the_response_ends_the_turn_with_an_error(autojump_clock: MockClock) -> None:
    async with talking(says("A long, long, long story.")) as (session, _):
        with leaving_raises(ResponseCancelled, match="client_cancelled") as caught:
            async with session.respond("x") as turn:
                await trio.sleep(0.5)
                await session.cancel_response()
                await trio.lowlevel.checkpoint()
                assert turn.is_done
        assert isinstance(caught.value.status_details, StatusDetails)
        assert caught.value.status_details.reason == "client_cancelled"
        assert not caught.value.retryable


async def test_speech_of_the_user_ends_the_turn_with_an_error(autojump_clock: MockClock) -> None:
    async with talking(says("A long story.", audio=20.0), turn_detection="server_vad") as (session, connection):
        async with session.respond("x") as turn:
            await trio.sleep(1)
            await session.append_audio(load_voice("interruption"))
            with leaving_raises(ResponseCancelled, match="turn_detected"):
                await turn.text()
        assert not requested(connection, "response.cancel")


@pytest.mark.parametrize(
    ("response", "kind", "retryable", "words"),
    [
        (Response(id="r", status="completed"), None, False, ""),
        (Response(id="r"), None, False, ""),
        (Response(id="r", status="failed"), ResponseFailed, False, "does not say why"),
        (Response(id="r", status="strange"), ResponseError, False, "strange"),
        (
            Response(id="r", status="incomplete", status_details=StatusDetails(reason="content_filter")),
            ResponseIncomplete,
            False,
            "content_filter",
        ),
    ],
)
def test_the_status_names_the_error(
    response: Response, kind: type[ResponseError] | None, retryable: bool, words: str
) -> None:
    error = response_error(response)
    assert type(error) is (type(None) if kind is None else kind)
    if error is not None:
        assert error.retryable is retryable
        assert words in str(error)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (StatusError(code="rate_limit_exceeded", type="tokens"), True),
        (StatusError(type="server_error"), True),
        (StatusError(code="stalled"), True),
        (StatusError(code="insufficient_quota", type="server_error"), False),
        (StatusError(code="invalid_api_key", type="invalid_request_error"), False),
        (StatusError(code="invalid_value", type="invalid_request_error"), False),
        (StatusError(), False),
    ],
)
def test_what_may_pass_may_be_tried_again(error: StatusError, retryable: bool) -> None:
    for status, expected in (("failed", retryable), ("incomplete", False), ("cancelled", False)):
        ended = response_error(Response(id="r", status=status, status_details=StatusDetails(error=error)))
        assert ended is not None
        assert ended.retryable is expected


async def test_an_error_that_nobody_saw_leaves_the_scope(autojump_clock: MockClock) -> None:
    async with talking(fails()) as (session, _):
        with leaving_raises(ResponseFailed):
            async with session.respond("x"):
                await trio.sleep(1)


async def test_an_error_that_was_raised_does_not_come_again(autojump_clock: MockClock) -> None:
    async with talking(fails()) as (session, _), session.respond("x") as turn:
        errors: list[ResponseFailed] = []
        for wait in (turn.done, turn.text, turn.audio, turn.text_stream().__anext__):
            with leaving_raises(ResponseFailed) as caught:
                await wait()
            errors.append(caught.value)
        assert len({id(error) for error in errors}) == len(errors)


async def test_an_exception_of_the_body_is_not_masked_by_the_error_of_the_turn(autojump_clock: MockClock) -> None:
    async with talking(fails()) as (session, _):
        with leaving_raises(KeyError) as caught:
            async with session.respond("x"):
                await trio.sleep(1)
                raise KeyError("mine")
        assert caught.value.__context__ is None


@pytest.mark.parametrize("refused", ["conversation.item.create", "response.create"])
@pytest.mark.parametrize("seen", [True, False])
async def test_a_refusal_is_the_error_of_the_turn(refused: str, seen: bool) -> None:
    server = ScriptedServer()
    server.refuse(refused, code="invalid_value")
    async with opened(server) as (session, _):
        if seen:
            async with session.respond("x") as turn:
                for wait in (turn.done, turn.text_stream().__anext__, aiter(turn).__anext__):
                    with leaving_raises(ServerError, match=f"no {refused}"):
                        await wait()
        else:
            with leaving_raises(ServerError, match=f"no {refused}") as caught:
                async with session.respond("x"):
                    await wait_all_tasks_blocked()
            assert caught.value.code == "invalid_value"
        server.answers["response.create"] = lambda event: [server.response("response.created", event)]
        await wait_all_tasks_blocked()
        if refused == "conversation.item.create":  # what the server makes of the request is not wanted either
            assert [event["response_id"] for event in sent_after(server, "response.cancel")] == ["resp_1"]
        async with session.respond():
            await wait_all_tasks_blocked()
            assert len(sent_after(server, "response.create")) == 2


async def test_a_turn_is_forgotten_when_its_error_leaves_the_scope(autojump_clock: MockClock) -> None:
    async with talking(fails(), fails()) as (session, _):
        scope = session._scope  # pyright: ignore[reportPrivateUsage]  nothing public shows a leak
        subscribers = len(scope.fanout._subscribers)  # pyright: ignore[reportPrivateUsage]  as above
        for _attempt in range(2):
            with leaving_raises(ResponseFailed):
                async with session.respond("x"):
                    await trio.sleep(1)
        assert len(scope.fanout._subscribers) == subscribers  # pyright: ignore[reportPrivateUsage]  as above
        assert scope._waiters == {}  # pyright: ignore[reportPrivateUsage]  as above


async def test_the_same_turn_is_not_entered_twice(autojump_clock: MockClock) -> None:
    async with talking(says("Once.")) as (session, connection):
        manager = session.respond("x")
        async with manager as turn:
            await turn.done()
        with leaving_raises(trio.ClosedResourceError, match="entered before"):
            async with manager:
                raise AssertionError
        assert len(requested(connection, "response.create")) == 1
