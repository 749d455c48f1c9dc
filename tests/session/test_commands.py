"""Guarantee 3: commands are acknowledged, each by what answers it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings, strategies as st
from trio.testing import MockClock

from trio_realtime import (
    ConfigError,
    ErrorReported,
    ResponseDone,
    ResponseStarted,
    ServerError,
    ServerVad,
)
from trio_realtime.testing import Simulator, open_simulated_session
from trio_realtime.wire.responses import ResponseParams

from .every_command import COMMANDS, prepare
from .scripted_server import Event, ScriptedServer, opened


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_returns_the_servers_version(name: str) -> None:
    command = COMMANDS[name]
    async with opened() as (session, server):
        await prepare(session, server, command)
        assert command.shows(await command.run(session)) == command.expects
        assert server.types()[1:] == [command.event_type]


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_refused_command_raises_the_servers_words_and_the_session_goes_on(name: str) -> None:
    command = COMMANDS[name]
    async with opened() as (session, server):
        await prepare(session, server, command)
        answer = server.answers[command.event_type]
        server.refuse(command.event_type, code="nope", param="x")
        before = [item.id for item in session.conversation]
        with session.updates(ErrorReported) as reported:
            with pytest.raises(ServerError) as caught:
                await command.run(session)
            with pytest.raises(trio.WouldBlock):
                reported.receive_nowait()
        error = caught.value
        assert error.message == str(error) == f"no {command.event_type}"
        assert (error.type, error.code, error.param) == ("invalid_request_error", "nope", "x")
        assert error.event_id == server.received[-1]["event_id"]
        assert [item.id for item in session.conversation] == before, "what was refused leaves nothing behind"
        server.answers[command.event_type] = answer
        await session.clear_audio()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("update", {"param": "session.instructions"}),
        ("create_item", {"param": "item.content"}),
        ("commit_audio", {"code": "input_audio_buffer_commit_empty"}),
        ("create_response", {"param": "response.metadata"}),
    ],
)
async def test_a_refusal_without_event_id_is_known_by_what_it_is_about(name: str, fields: dict[str, str]) -> None:
    command = COMMANDS[name]
    async with opened() as (session, server):
        await prepare(session, server, command)
        server.refuse(command.event_type, with_event_id=False, **fields)
        with pytest.raises(ServerError, match=f"no {command.event_type}"):
            await command.run(session)


async def test_an_error_that_answers_nothing_is_reported_to_everybody_and_settles_nobody() -> None:
    async with opened() as (session, server):
        server.ignore("input_audio_buffer.clear")
        async with trio.open_nursery() as nursery:
            with session.updates(ErrorReported) as one, session.updates() as other:
                nursery.start_soon(session.clear_audio)
                await trio.testing.wait_all_tasks_blocked()
                server.push_error("a hiccup", code="hiccup", event_id="event_of_nobody")
                for updates in (one, other):
                    update = await updates.receive()
                    assert isinstance(update, ErrorReported)
                    assert (update.error.code, str(update.error)) == ("hiccup", "a hiccup")
                server.push("input_audio_buffer.cleared")


async def test_the_error_of_a_command_that_nobody_waits_for_is_reported() -> None:
    async with opened() as (session, server):
        server.ignore("input_audio_buffer.clear")
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.clear_audio()
        with session.updates() as updates, session.events() as events:
            await trio.testing.wait_all_tasks_blocked()
            server.push_error("too late", event_id=server.received[-1]["event_id"])
            update = await updates.receive()
            assert isinstance(update, ErrorReported)
            assert str(update.error) == "too late"
            assert (await events.receive()).event.error.message == "too late"


async def test_concurrent_commands_of_different_kinds_get_their_own_answers() -> None:
    results: dict[str, object] = {}
    names = ["update", "send_message", "create_item", "retrieve_item", "clear_audio", "create_response"]
    async with opened() as (session, server):
        await prepare(session, server)
        server.reads = False

        async def run(name: str) -> None:
            results[name] = COMMANDS[name].shows(await COMMANDS[name].run(session))

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(run, name)
            await trio.testing.wait_all_tasks_blocked()
            server.read_on()
    assert results == {name: COMMANDS[name].expects for name in names}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_concurrent_items_are_confirmed_or_refused_each_by_its_own_answer(refused: list[bool], random: Any) -> None:
    async def main() -> None:
        pending: list[Event] = []
        outcomes: dict[int, object] = {}
        server = ScriptedServer()
        server.answers["conversation.item.create"] = lambda event: pending.append(event) or []  # type: ignore[func-returns-value]

        async with opened(server) as (session, _):

            async def send(index: int) -> None:
                try:
                    item = await session.send_message(str(index), respond=False)
                    outcomes[index] = item and item.text
                except ServerError as error:
                    outcomes[index] = error.code

            async with trio.open_nursery() as nursery:
                for index in range(len(refused)):
                    nursery.start_soon(send, index)
                await trio.testing.wait_all_tasks_blocked()
                random.shuffle(pending)
                for event in pending:
                    index = int(event["item"]["content"][0]["text"])
                    if refused[index]:
                        server.push_error(event_id=event["event_id"], code=f"refused {index}")
                    else:
                        server.push("conversation.item.added", item=event["item"])
        assert outcomes == {index: f"refused {index}" if no else str(index) for index, no in enumerate(refused)}

    trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("with_event_id", [True, False])
async def test_two_updates_get_their_own_answers_when_the_first_is_refused(*, with_event_id: bool) -> None:
    server = ScriptedServer()
    confirm = server.answers["session.update"]

    def answer(event: Event) -> list[Event]:
        if event["session"].get("instructions") != "bad":
            return confirm(event)
        error = {"message": "bad words", "param": "session.instructions"}
        return [{"type": "error", "error": {**error, "event_id": event["event_id"]} if with_event_id else error}]

    server.answers["session.update"] = answer
    outcomes: list[object] = []
    async with opened(server) as (session, _):
        server.reads = False

        async def update(words: str) -> None:
            try:
                info = await session.update(instructions=words)
                outcomes.append(getattr(info, "instructions", None))
            except ServerError as error:
                outcomes.append(str(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(update, "bad")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(update, "good")
            await trio.testing.wait_all_tasks_blocked()
            server.read_on()
        assert sorted(map(str, outcomes)) == ["bad words", "good"]
        assert getattr(session.config, "instructions", None) == "good"


async def test_a_refused_update_leaves_the_configuration_as_it_was() -> None:
    async with opened(instructions="first", voice="marin") as (session, server):
        before = session.config
        server.refuse("session.update")
        with pytest.raises(ServerError):
            await session.update(instructions="second", voice="cedar")
        with pytest.raises(ConfigError):
            await session.update(speed=9.0)
        assert session.config == before


async def test_an_update_merges_key_by_key_and_none_goes_out_as_null() -> None:
    async with opened(instructions="first", turn_detection="server_vad") as (session, server):
        await session.update(turn_detection=None, tracing=None, prompt=None, transcription=None, noise_reduction=None)
        assert server.received[-1]["session"] == {
            "type": "realtime",
            "audio": {"input": {"turn_detection": None, "transcription": None, "noise_reduction": None}},
            "tracing": None,
            "prompt": None,
        }
        assert getattr(session.config, "instructions", None) == "first"


async def test_turn_detection_type_is_what_the_server_says() -> None:
    async with opened(turn_detection=ServerVad(threshold=0.7)) as (session, _):
        assert session.turn_detection_type == "server_vad"
        await session.update(turn_detection="semantic_vad")
        assert session.turn_detection_type == "semantic_vad"
        await session.update(turn_detection=None)
        assert session.turn_detection_type is None


# --- responses ------------------------------------------------------------------------------------------------------


async def test_the_private_metadata_is_never_seen() -> None:
    async with opened() as (session, server):
        with session.updates() as updates, session.events() as events:
            params = ResponseParams(metadata={"topic": "weather"}, conversation="none")
            started = [await session.create_response(params), await session.create_response()]
            wire = [event["response"]["metadata"] for event in server.received if event["type"] == "response.create"]
            assert all("trio_realtime" in metadata for metadata in wire)
            for response, metadata in zip(started, wire, strict=True):
                server.push("response.done", response={"id": response.id, "status": "completed", "metadata": metadata})
            assert (await session.wait_for(ResponseDone)).response.metadata == {"topic": "weather"}
            await trio.testing.wait_all_tasks_blocked()
            raw = [events.receive_nowait() for _ in range(events.statistics().buffered_updates)]
            seen = [updates.receive_nowait() for _ in range(updates.statistics().buffered_updates)]
    sources = [(event.source, type(event.event).__name__) for event in raw]
    assert sources.count(("client", "ResponseCreate")) == 2
    assert sources.count(("server", "ResponseDone")) == 2
    assert [each.response.metadata for each in seen if isinstance(each, ResponseStarted | ResponseDone)] == [
        {"topic": "weather"},
        None,
    ] * 2
    assert "'trio_realtime'" not in repr([started, raw, seen])


async def test_the_callers_parameters_are_not_changed() -> None:
    params = ResponseParams(metadata={"topic": "weather"}, instructions="Be brief.")
    async with opened() as (session, server):
        await session.create_response(params)
        assert server.received[-1]["response"]["instructions"] == "Be brief."
    assert params == ResponseParams(metadata={"topic": "weather"}, instructions="Be brief.")


async def test_a_response_waits_for_the_one_under_way() -> None:
    async with opened() as (session, server), trio.open_nursery() as nursery:
        first = await session.create_response()
        second: list[object] = []

        async def ask() -> None:
            second.append(await session.create_response())

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert server.types().count("response.create") == 1
        server.push("response.done", response={"id": first.id, "status": "completed"})
        await trio.testing.wait_all_tasks_blocked()
        assert server.types().count("response.create") == 2
        assert len(second) == 1


async def test_cancelling_a_response_when_there_is_none_sends_nothing() -> None:
    async with opened() as (session, server):
        assert await session.cancel_response() is None
        assert await session.cancel_response("resp_of_nobody") is None
        assert server.types() == ["session.update"]


async def test_a_cancel_that_crosses_the_end_on_the_wire_is_no_error() -> None:
    async with opened() as (session, server):
        response = await session.create_response()
        server.refuse("response.cancel", code="response_cancel_not_active")
        assert await session.cancel_response(response.id) is None


# --- messages -------------------------------------------------------------------------------------------------------


async def test_a_users_message_asks_for_a_response_and_another_does_not() -> None:
    async with opened() as (session, server):
        await session.send_message("hello")
        await trio.testing.wait_all_tasks_blocked()
        assert server.types()[1:] == ["conversation.item.create", "response.create"]
        await session.send_message("be nice", role="system")
        await session.send_message("I am", role="assistant")
        await trio.testing.wait_all_tasks_blocked()
        assert server.types()[3:] == ["conversation.item.create"] * 2
        assert [event["item"]["content"][0]["type"] for event in server.received if "item" in event] == [
            "input_text",
            "input_text",
            "output_text",
        ]


async def test_no_content_is_only_a_response() -> None:
    async with opened() as (session, server):
        assert await session.send_message([]) is None
        await trio.testing.wait_all_tasks_blocked()
        assert server.types()[1:] == ["response.create"]
        assert await session.send_message([], respond=False) is None
        await trio.testing.wait_all_tasks_blocked()
        assert server.types()[1:] == ["response.create"]


async def test_a_message_may_stand_anywhere() -> None:
    async with opened() as (session, server):
        first = await session.send_message("first", respond=False)
        await session.send_message("front", respond=False, previous_item_id="root")
        assert first is not None
        await session.send_message("after", respond=False, previous_item_id=first.id)
        assert [event.get("previous_item_id") for event in server.received[1:]] == [None, "root", first.id]


# --- against the simulator ------------------------------------------------------------------------------------------


async def test_the_simulator_confirms_every_kind_of_command(autojump_clock: MockClock) -> None:
    async with open_simulated_session(turn_detection=None) as session:
        first = await session.send_message("hello", respond=False)
        assert first is not None
        front = await session.send_message("be nice", role="system", previous_item_id="root")
        assert front is not None
        assert [item.id for item in session.conversation] == [front.id, first.id]
        retrieved = await session.retrieve_item(first.id)
        assert retrieved.id == first.id
        response = await session.create_response()
        done = await session.wait_for(ResponseDone)
        assert done.response.id == response.id
        assert done.response.metadata is None
        said = session.conversation.latest("assistant")
        assert said is not None
        truncated = await session.truncate_item(said.id, audio_end_ms=100)
        assert truncated is not None
        assert len(truncated.audio) == 4800
        deleted = await session.delete_item(first.id)
        assert deleted is not None
        assert first.id not in session.conversation
        await session.append_audio(b"\0" * 9600)
        committed = await session.commit_audio()
        await trio.testing.wait_all_tasks_blocked()
        assert committed in session.conversation
        await session.append_audio(b"\0" * 4800)
        await session.clear_audio()
        with pytest.raises(ServerError) as caught:
            await session.commit_audio()
        assert caught.value.code == "input_audio_buffer_commit_empty"
        assert session.usage.total_tokens


async def test_every_result_is_json_that_was_sent(autojump_clock: MockClock) -> None:
    """Whatever a session sends is valid for the simulator, which knows nothing of the session's code."""
    simulator = Simulator()
    async with open_simulated_session(simulator, turn_detection=None) as session:
        with session.updates(ErrorReported) as errors:
            await session.send_message("hello")
            await session.update(tools=[{"type": "function", "name": "look", "parameters": {"type": "object"}}])
            await session.wait_for(ResponseDone)
            with pytest.raises(trio.WouldBlock):
                errors.receive_nowait()
    received = list(simulator.connections[0].received)
    assert json.loads(json.dumps(received)) == received
