"""Each command of a session, with what it needs to exist before it."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import trio.testing

from trio_realtime import RealtimeSession
from trio_realtime.wire.items import InputText, Message

from .scripted_server import ScriptedServer, message


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        event_type: Of the event that it sends.
        run: Calls it.
        shows: Takes from its result what the server said.
        expects: What that is.
    """

    event_type: str
    run: Callable[[RealtimeSession], Awaitable[Any]]
    shows: Callable[[Any], object]
    expects: object


COMMANDS = {
    "update": Command(
        "session.update",
        lambda session: session.update(instructions="Be brief."),
        lambda info: info.instructions,
        "Be brief.",
    ),
    "send_message": Command(
        "conversation.item.create",
        lambda session: session.send_message("hello", respond=False),
        lambda item: (item.role, item.text),
        ("user", "hello"),
    ),
    "create_item": Command(
        "conversation.item.create",
        lambda session: session.create_item(Message(id="item_mine", role="user", content=[InputText(text="a")])),
        lambda item: item.id,
        "item_mine",
    ),
    "send_tool_output": Command(
        "conversation.item.create",
        lambda session: session.send_tool_output("call_1", {"sunny": True}, respond=False),
        lambda item: (item.type, item.call_id, item.output),
        ("function_call_output", "call_1", '{"sunny":true}'),
    ),
    "delete_item": Command(
        "conversation.item.delete",
        lambda session: session.delete_item("item_heard"),
        lambda item: item.id,
        "item_heard",
    ),
    "retrieve_item": Command(
        "conversation.item.retrieve",
        lambda session: session.retrieve_item("item_heard"),
        lambda item: (type(item), item.id),
        (Message, "item_heard"),
    ),
    "truncate_item": Command(
        "conversation.item.truncate",
        lambda session: session.truncate_item("item_said", audio_end_ms=514),
        lambda item: (item.id, len(item.audio)),
        ("item_said", 514 * 48),
    ),
    "commit_audio": Command(
        "input_audio_buffer.commit", lambda session: session.commit_audio(), lambda item_id: item_id, "item_heard"
    ),
    "clear_audio": Command(
        "input_audio_buffer.clear", lambda session: session.clear_audio(), lambda nothing: nothing, None
    ),
    "create_response": Command(
        "response.create",
        lambda session: session.create_response(),
        lambda response: (response.id, response.status, response.metadata),
        ("resp_1", "in_progress", None),
    ),
    "cancel_response": Command(
        "response.cancel",
        lambda session: session.cancel_response("resp_beside"),
        lambda response: (response.id, response.status),
        ("resp_beside", "cancelled"),
    ),
}


async def prepare(session: RealtimeSession, server: ScriptedServer, command: Command | None = None) -> None:
    """Let there be what the command is about."""
    server.push("conversation.item.added", item=message("item_heard"))
    server.push("conversation.item.added", item=message("item_said", "assistant"))
    second = base64.b64encode(b"\1\0" * 24000).decode()
    server.push("response.output_audio.delta", response_id="resp_0", item_id="item_said", content_index=0, delta=second)
    call = {"id": "item_call", "type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
    server.push("conversation.item.added", item=call)
    if command is not None and command.event_type == "response.cancel":
        server.push("response.created", response={"id": "resp_beside", "conversation_id": "conv_1"})
    await trio.testing.wait_all_tasks_blocked()
    assert len(session.conversation) == 3
