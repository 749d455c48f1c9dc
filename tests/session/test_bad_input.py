"""Bad input: a named error before anything is sent; from the server, a value. The session goes on."""

from __future__ import annotations

import array
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from trio_realtime import (
    ConfigError,
    ErrorReported,
    ItemCompleted,
    ItemUpdated,
    ProtocolIssue,
    RealtimeSession,
    ResponseDone,
    TranscriptionCompleted,
)
from trio_realtime.content import audio, image
from trio_realtime.wire import client_events as client, server_events
from trio_realtime.wire.items import InputText, Message, UnknownItem, UnknownPart
from trio_realtime.wire.responses import ResponseParams
from trio_realtime.wire.session_config import SessionConfig

from .every_command import prepare
from .scripted_server import message, opened

ANY: Any = None

REFUSED: dict[str, Callable[[RealtimeSession], Awaitable[object]]] = {
    "odd PCM16": lambda session: session.append_audio(b"odd"),
    "an odd view": lambda session: session.append_audio(memoryview(b"12345")[::2]),
    "audio that is text": lambda session: session.append_audio("UklGRg=="),
    "audio that is nothing": lambda session: session.append_audio(None),
    "audio of floats": lambda session: session.append_audio(array.array("d", [0.5])),
    "a message of bytes": lambda session: session.send_message(b"hello"),  # type: ignore[arg-type]
    "a message of a number": lambda session: session.send_message(5),  # type: ignore[arg-type]
    "a message of numbers": lambda session: session.send_message([5]),  # type: ignore[list-item]
    "a part without a list": lambda session: session.send_message(image("data:image/png;base64,")),  # type: ignore[arg-type]
    "a part with a wrong field": lambda session: session.send_message([InputText(text=5)]),  # type: ignore[arg-type]
    "odd PCM16 in a message": lambda session: session.send_message([audio(b"odd")]),
    "half a character": lambda session: session.send_message("\ud83d"),
    "an unknown role": lambda session: session.send_message("x", role="robot"),  # type: ignore[arg-type]
    "a place that is no text": lambda session: session.send_message("x", previous_item_id=5),  # type: ignore[arg-type]
    "a place that does not exist": lambda session: session.send_message("x", previous_item_id="item_nowhere"),
    "an item that is a mapping": lambda session: session.create_item({"type": "message"}),  # type: ignore[arg-type]
    "an item that is nothing": lambda session: session.create_item(ANY),
    "an item whose id is taken": lambda session: session.create_item(Message(id="item_heard", role="user")),
    "an item with a wrong field": lambda session: session.create_item(Message(role=5)),  # type: ignore[arg-type]
    "deleting what does not exist": lambda session: session.delete_item("item_nowhere"),
    "deleting a number": lambda session: session.delete_item(5),  # type: ignore[arg-type]
    "retrieving what does not exist": lambda session: session.retrieve_item("item_nowhere"),
    "truncating what does not exist": lambda session: session.truncate_item("item_nowhere", audio_end_ms=1),
    "truncating the user": lambda session: session.truncate_item("item_heard", audio_end_ms=1),
    "truncating beyond the audio": lambda session: session.truncate_item("item_said", audio_end_ms=1001),
    "truncating before the beginning": lambda session: session.truncate_item("item_said", audio_end_ms=-1),
    "truncating at a fraction": lambda session: session.truncate_item("item_said", audio_end_ms=0.5),  # type: ignore[arg-type]
    "truncating a part that is not there": lambda session: session.truncate_item(
        "item_said", audio_end_ms=1, content_index=7
    ),
    "an update of nothing": lambda session: session.update(),
    "an update of the model": lambda session: session.update(SessionConfig(model="another")),
    "an update that is a mapping": lambda session: session.update({"instructions": "x"}),  # type: ignore[arg-type]
    "an update out of range": lambda session: session.update(speed=9.0),
    "an update of the wrong type": lambda session: session.update(instructions=5),  # type: ignore[arg-type]
    "an unknown keyword": lambda session: session.update(frobnicate=1),  # type: ignore[call-arg]
    "an output for a call of nobody": lambda session: session.send_tool_output("call_of_nobody", "x"),
    "an output that is no JSON": lambda session: session.send_tool_output("call_1", object()),
    "a response of a wrong type": lambda session: session.create_response(ResponseParams(instructions=5)),  # type: ignore[arg-type]
    "too much metadata": lambda session: session.create_response(metadata={str(n): "x" for n in range(17)}),
    "the private metadata": lambda session: session.create_response(metadata={"trio_realtime": "x"}),
    "cancelling a number": lambda session: session.cancel_response(5),  # type: ignore[arg-type]
    "an event that is text": lambda session: session.send("response.create"),  # type: ignore[arg-type]
    "an event that is nothing": lambda session: session.send(ANY),
    "an event of the server": lambda session: session.send(server_events.InputAudioBufferCleared()),  # type: ignore[arg-type]
    "an event without a type": lambda session: session.send({"audio": ""}),
    "an event with a wrong field": lambda session: session.send({"type": "response.create", "response": 5}),
    "an event that is no JSON": lambda session: session.send({"type": "x", "y": {1, object()}}),
    "a struct with a wrong field": lambda session: session.send(client.ConversationItemDelete(item_id=5)),  # type: ignore[arg-type]
    "a raw item of nowhere": lambda session: session.send(client.ConversationItemDelete(item_id="item_nowhere")),
    "waiting for a name": lambda session: session.wait_for("ItemAppended"),  # type: ignore[arg-type]
    "waiting for what never comes": lambda session: session.wait_for(int),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_bad_input_is_refused_before_anything_is_sent_and_the_session_goes_on(case: str) -> None:
    async with opened() as (session, server):
        await prepare(session, server)
        before, config = len(session.conversation), session.config
        with pytest.raises(ConfigError) as caught:
            await REFUSED[case](session)
        assert str(caught.value)
        assert not session._scope._waiters  # pyright: ignore[reportPrivateUsage]  nothing public shows them
        await session.clear_audio()
        assert server.types() == ["session.update", "input_audio_buffer.clear"]
        assert len(session.conversation) == before
        assert session.config == config
        assert session.statistics().sent_audio_bytes == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"overflow": "explode"},
        {"max_buffer_bytes": 0},
        {"max_buffer_bytes": 1.5},
        {"max_buffer_bytes": True},
    ],
)
async def test_a_subscription_with_wrong_arguments_is_refused(arguments: dict[str, Any]) -> None:
    async with opened() as (session, _):
        for subscribe in (session.updates, session.events):
            with pytest.raises(ConfigError):
                subscribe(**arguments)


@pytest.mark.parametrize("kind", ["ItemUpdated", int, server_events.ResponseDone, ItemUpdated | ItemCompleted, None])
async def test_a_subscription_to_what_is_no_update_is_refused(kind: Any) -> None:
    async with opened() as (session, _):
        with pytest.raises(ConfigError, match="classes of updates"):
            session.updates(kind)


# --- from the server ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"5",
        b"{}",
        b'{"type": 5}',
        b"\xff\xfe",
        b'{"type":"response.output_audio.delta","item_id":"i","delta":"not base64!"}',
        b'{"type":"response.output_text.delta","item_id":"i","delta":5}',
        b'{"type":"conversation.item.added"}',
        b'{"type":"x","y":NaN}',
        b"[" * 100_000,
        None,
    ],
)
async def test_a_bad_frame_is_reported_and_the_session_goes_on(payload: bytes | None) -> None:
    async with opened() as (session, server):
        with session.updates(ProtocolIssue) as issues:
            server.push_raw(payload)
            issue = await issues.receive()
            assert issue.reason
        assert session.statistics().malformed_frames == 1
        await session.clear_audio()


@pytest.mark.parametrize("response", [{"usage": 5}, {"usage": None}, {"output": [5]}, {"status_details": "x"}, None])
async def test_a_malformed_end_of_a_response_still_ends_it(response: dict[str, Any] | None) -> None:
    async with opened() as (session, server):
        first = await session.create_response()
        done = {"response": {"id": first.id, "status": "completed", **response}} if response is not None else {}
        with session.updates(ResponseDone) as ends:
            server.push("response.done", **done)
            await ends.receive()
        assert (await session.create_response()).id == "resp_2"


async def test_unknown_events_items_and_parts_are_values() -> None:
    async with opened() as (session, server):
        with session.events() as events:
            server.push("session.frobnicated", event_id="event_1", much=2)
            server.push("conversation.item.added", item={"id": "item_odd", "type": "hologram", "volume": 3})
            part = {"type": "smell", "of": "roses"}
            server.push("conversation.item.added", item=message("item_part", content=[part]))
            unknown, odd, parts = [(await events.receive()).event for _ in range(3)]
        assert isinstance(unknown, server_events.UnknownEvent)
        assert unknown.raw["much"] == 2
        assert isinstance(odd.item, UnknownItem)
        assert odd.item.raw["volume"] == 3
        assert isinstance(parts.item.content[0], UnknownPart)
        assert [item.id for item in session.conversation] == ["item_odd", "item_part"]
        await session.clear_audio()


async def test_wait_for_finds_unknown_events_too() -> None:
    async with opened() as (session, server), trio.open_nursery() as nursery:
        found: list[server_events.UnknownEvent] = []

        async def wait() -> None:
            found.append(await session.wait_for(server_events.UnknownEvent))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await session.clear_audio()
        server.push("session.frobnicated")
        await trio.testing.wait_all_tasks_blocked()
        assert [event.type for event in found] == ["session.frobnicated"]


async def test_deltas_for_nobody_and_items_said_twice_break_nothing() -> None:
    async with opened() as (session, server):
        server.push("response.output_text.delta", item_id="item_nowhere", delta="x")
        for _ in range(2):
            server.push("conversation.item.added", item=message("item_a"))
        server.push("conversation.item.deleted", item_id="item_a")
        server.push("response.output_text.delta", item_id="item_a", delta="x")
        for _ in range(2):
            server.push("response.done", response={"id": "resp_of_nobody", "status": "completed"})
        await session.clear_audio()
        assert len(session.conversation) == 0


async def test_a_large_item_that_is_echoed_is_accepted() -> None:
    words = "x" * (10 * 2**20)
    async with opened() as (session, _):
        item = await session.send_message(words, respond=False)
        assert item is not None
        assert item.text == words


async def test_a_transcription_before_its_item_is_kept_for_it() -> None:
    async with opened() as (session, server):
        with session.updates(TranscriptionCompleted) as completed:
            server.push(
                "conversation.item.input_audio_transcription.completed",
                item_id="item_a",
                content_index=0,
                transcript="Hello",
            )
            assert (await completed.receive()).transcript == "Hello"
        item = {"id": "item_a", "type": "message", "role": "user", "content": [{"type": "input_audio"}]}
        server.push("conversation.item.added", item=item)
        assert (await session.wait_item()).transcript == "Hello"


async def test_errors_of_the_server_never_hold_what_was_sent() -> None:
    async with opened() as (session, server):
        with session.updates(ErrorReported, ProtocolIssue) as reports:
            server.push_error("bad key", code="x")
            secret = "A" * 5000
            server.push_raw(json.dumps({"type": "response.output_audio.delta", "item_id": 5, "delta": secret}).encode())
            shown = repr([await reports.receive(), await reports.receive()])
        assert "AAAA" not in shown
