"""Dialects: how servers speak that are compatible with the real one, but not the same.

What they are known to do differently: `conversation.created` follows `session.created`; an item is stated once, by
`conversation.item.created`, when it enters the conversation; and fields are left out without which a client can live.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ..server import Json

Dialect = Literal["openai", "compatible"]
"""`"openai"` is the protocol as the real server speaks it; `"compatible"` is how others do."""

_LEFT_OUT = {
    "response.function_call_arguments.done": "name",
    "conversation.item.input_audio_transcription.completed": "usage",
    "input_audio_buffer.committed": "item_id",
    "response.content_part.done": "part",
}


def compatible(event: Json, conversation_id: str, new_id: Callable[[str], str]) -> list[Json]:
    """Say in the dialect of compatible servers what the real server would say with `event`."""
    kind = event["type"]
    if kind == "session.created":
        conversation = {"id": conversation_id, "object": "realtime.conversation"}
        return [
            event,
            {"type": "conversation.created", "event_id": new_id("event"), "conversation": conversation},
        ]
    if kind == "conversation.item.added":
        return [event | {"type": "conversation.item.created"}]
    if kind in {"conversation.item.done", "rate_limits.updated"}:
        return []
    event.pop(_LEFT_OUT.get(kind, ""), None)
    return [event]
