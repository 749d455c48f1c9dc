"""What tests of the state talk with: a machine, what the server says, what the program wants."""

from itertools import count
from typing import Any, TypeVar

from trio_realtime.state.conversation import Conversation
from trio_realtime.state.effects import Effects
from trio_realtime.state.item import ConversationItem
from trio_realtime.state.machine import Machine
from trio_realtime.wire.client_events import InputAudioBufferAppend
from trio_realtime.wire.codec import Codec
from trio_realtime.wire.items import Item, Message, OutputAudio, OutputText

_T = TypeVar("_T")


def new_machine(*, retained_audio_bytes: int = 2**20, knows_all_items: bool = True) -> Machine:
    """A machine as a session has it, with ids that count; there are events and items to name."""
    numbers = count(1)
    names = {"event": "event_own", "item": "item_own"}
    return Machine(
        new_id=lambda prefix: f"{names[prefix]}{next(numbers)}",
        retained_audio_bytes=retained_audio_bytes,
        input_audio_seconds=600,
        malformed_run_limit=10,
        knows_all_items=knows_all_items,
    )


def said(raw: dict[str, Any]) -> Any:
    """The event that the server's JSON object decodes to; it has to be one that fits."""
    import json

    event = Codec().decode(json.dumps(raw).encode())
    assert type(event).__name__ not in {"ProtocolIssue", "UnknownEvent"}, event
    return event


def receive(machine: Machine, *raws: dict[str, Any]) -> list[Effects]:
    """Let the server say something; every event of it is shown."""
    effects = [machine.receive(said(raw)) for raw in raws]
    assert all(each.event is not None for each in effects)
    return effects


def published(effects: list[Effects], kind: type[_T]) -> list[_T]:
    """The updates of one kind, in order."""
    return [update for each in effects for update in each.publish if isinstance(update, kind)]


def settled(effects: list[Effects]) -> list[str]:
    """Ids of the commands that have their answer, in order."""
    return [each.event_id for some in effects for each in some.settle]


def sent(effects: list[Effects] | Effects) -> list[Any]:
    """What goes out, in order; all of it has an id, by which the server can refuse it."""
    some = [effects] if isinstance(effects, Effects) else effects
    events = [event for each in some for event in (*each.urgent, *each.send)]
    for event in events:
        # An id that was made of nothing is "None".
        assert isinstance(event, InputAudioBufferAppend) or str(event.event_id).islower(), event
    return events


def user_item(item_id: str | None, text: str = "Hi", **more: Any) -> dict[str, Any]:
    """A user's message, as the server states it."""
    content = [{"type": "input_text", "text": text}]
    return {"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content, **more}


def spoken_item(item_id: str, transcript: str | None = None) -> dict[str, Any]:
    """What the user said, as the server states it."""
    content = [{"type": "input_audio", "transcript": transcript}]
    return {"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content}


def assistant_item(item_id: str, status: str = "in_progress", **more: Any) -> dict[str, Any]:
    """A message of the assistant, as the server states it."""
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": [], **more}


def call_item(item_id: str, arguments: str = "", status: str | None = "in_progress") -> dict[str, Any]:
    """A call of a function, as the server states it."""
    item = {"id": item_id, "type": "function_call", "name": "get_weather", "call_id": "call_1", "arguments": arguments}
    return item if status is None else {**item, "status": status}


def added(item: dict[str, Any], previous_item_id: str | None = None) -> dict[str, Any]:
    return {"type": "conversation.item.added", "previous_item_id": previous_item_id, "item": item}


def item_done(item: dict[str, Any], previous_item_id: str | None = None) -> dict[str, Any]:
    return {"type": "conversation.item.done", "previous_item_id": previous_item_id, "item": item}


def audio_delta(item_id: str, audio: bytes, **more: Any) -> dict[str, Any]:
    import base64

    delta = base64.b64encode(audio).decode()
    return {"type": "response.output_audio.delta", "item_id": item_id, "delta": delta, **more}


def session_updated(**audio_input: Any) -> dict[str, Any]:
    """`session.updated` of a realtime session that hears like this."""
    return {"type": "session.updated", "session": {"type": "realtime", "audio": {"input": audio_input}}}


def message(item_id: str | None = None, *, role: str = "assistant") -> Message:
    """An empty message."""
    return Message(id=item_id, role=role)


def wire_message(item_id: str, words: str, *, audio: bytes | None = None) -> Item:
    """A message of the assistant: spoken when there is audio, else written."""
    part = OutputText(text=words) if audio is None else OutputAudio(audio=audio, transcript=words)
    return Message(id=item_id, role="assistant", content=[part])


def held_bytes(conversation: Conversation, *others: ConversationItem) -> int:
    """How much audio the items hold, counted anew."""
    return sum(len(item.audio) for item in (*conversation, *others))
