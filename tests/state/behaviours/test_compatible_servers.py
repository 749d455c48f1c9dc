"""Servers that speak the protocol a little otherwise."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from tests.state.behaviours.events import append, committed, create, created, ids, kinds, sound, speech, transcription
from tests.state.talks import (
    added,
    assistant_item,
    call_item,
    item_done,
    new_machine,
    receive,
    settled,
    spoken_item,
    user_item,
)
from trio_realtime.audio import PCM16
from trio_realtime.state.tool_calls import ToolPolicy
from trio_realtime.wire import client_events as client
from trio_realtime.wire.items import InputText, Message


def came(item: dict[str, Any], previous_item_id: str | None = None) -> dict[str, Any]:
    return {"type": "conversation.item.created", "previous_item_id": previous_item_id, "item": item}


def test_a_server_that_says_created_for_added_and_done_completes_items_of_the_user_with_it() -> None:
    machine = new_machine()
    effects = receive(machine, came(user_item("item_1")), came(user_item("item_2", status=None), "item_1"))
    assert kinds(effects) == ["ItemAppended", "ItemUpdated", "ItemCompleted"] * 2
    assert ids(machine) == ["item_1", "item_2"]


@pytest.mark.parametrize(
    "item",
    [
        assistant_item("item_1"),
        assistant_item("item_1", "completed"),
        call_item("item_1"),
        call_item("item_1", status=None),
    ],
)
def test_an_item_that_the_model_fills_is_not_final_with_created(item: dict[str, Any]) -> None:
    machine = new_machine()
    assert kinds(receive(machine, created("resp_1"), came(item))) == ["ResponseStarted", "ItemAppended"]
    machine.responses.tools.calls.tools = {"get_weather": ToolPolicy(runs=False)}
    final = {**item, "status": "completed"}
    effects = receive(machine, {"type": "response.output_item.done", "response_id": "resp_1", "item": final})
    assert kinds(effects) == ["ItemUpdated", "ItemCompleted"]


def test_an_assistants_item_that_the_program_made_is_final_with_created() -> None:
    machine = new_machine()
    item = Message(id="item_1", role="assistant")
    machine.command(client.ConversationItemCreate(event_id="event_1", item=item))
    effects = receive(machine, came(assistant_item("item_1", "completed")))
    assert kinds(effects) == ["ItemAppended", "ItemUpdated", "ItemCompleted"]
    assert settled(effects) == ["event_1"]


def test_a_server_that_keeps_no_ids_answers_items_in_order() -> None:
    machine = new_machine()
    for number in (1, 2):
        item = Message(id=f"mine_{number}", role="user", content=[InputText(text="Hi")])
        machine.command(client.ConversationItemCreate(event_id=f"event_{number}", item=item))
    effects = receive(machine, added(user_item("theirs_1")), item_done(user_item("theirs_1")))
    assert settled(effects) == ["event_1"]
    assert effects[0].settle[0].result is machine.conversation["theirs_1"]
    assert settled(receive(machine, added(user_item("theirs_2"), "theirs_1"))) == ["event_2"]


def test_a_server_that_keeps_no_ids_and_says_no_place_puts_items_where_they_were_wanted() -> None:
    machine = new_machine()
    receive(machine, added(user_item("item_1")), added(user_item("item_2"), "item_1"))
    for number, place in enumerate(["root", "item_1"]):
        item = Message(id=f"mine_{number}", role="user", content=[InputText(text="Hi")])
        machine.command(client.ConversationItemCreate(event_id=f"event_{number}", item=item, previous_item_id=place))
    receive(machine, added(user_item("theirs_1")), added(user_item("theirs_2")))
    assert ids(machine) == ["theirs_1", "item_1", "theirs_2", "item_2"]


def test_what_the_server_makes_itself_answers_no_command() -> None:
    machine = new_machine()
    audio: Any = [{"type": "input_audio", "transcript": None}]
    said_item: Any = msgspec.convert({"type": "message", "id": "mine_1", "role": "user", "content": audio}, Message)
    machine.command(client.ConversationItemCreate(event_id="event_1", item=said_item))
    seeded = Message(id="mine_2", role="assistant")
    machine.command(client.ConversationItemCreate(event_id="event_2", item=seeded))
    effects = receive(
        machine,
        committed("item_1"),
        added(spoken_item("item_1")),
        created("resp_1"),
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_2")},
        added(assistant_item("item_2"), "item_1"),
        item_done(assistant_item("item_2", "completed")),
    )
    assert settled(effects) == []
    assert settled(receive(machine, added(spoken_item("mine_1")), added(assistant_item("mine_2")))) == [
        "event_1",
        "event_2",
    ]


def test_a_server_that_names_no_item_on_committed_still_binds_the_audio() -> None:
    machine = new_machine()
    audio = sound(PCM16, 1000)
    append(machine, audio)
    effects = receive(machine, *speech("item_1", 250, 751), committed(), came(spoken_item("item_1")))
    assert machine.conversation["item_1"].audio == audio[12000:36048]
    assert settled(effects) == []


def test_a_server_that_names_no_item_at_all_gives_no_audio_but_goes_on() -> None:
    machine = new_machine()
    append(machine, sound(PCM16, 1000))
    machine.command(client.InputAudioBufferCommit(event_id="event_1"))
    effects = receive(machine, committed())
    assert [(each.event_id, each.result) for each in effects[0].settle] == [("event_1", None)]
    effects = receive(machine, *speech(None, 250, 751), committed(), came(spoken_item("item_1")))
    assert kinds(effects)[-3:] == ["ItemAppended", "ItemUpdated", "ItemCompleted"]


def test_a_server_that_names_no_item_on_deleted_deletes_in_order() -> None:
    machine = new_machine()
    receive(machine, added(user_item("item_1")), added(user_item("item_2"), "item_1"))
    for number in (1, 2):
        machine.command(client.ConversationItemDelete(event_id=f"event_{number}", item_id=f"item_{number}"))
    assert settled(receive(machine, {"type": "conversation.item.deleted", "item_id": ""})) == ["event_1"]
    assert ids(machine) == ["item_2"]


def test_a_server_that_leaves_out_parts_names_and_usage_gives_the_same_conversation() -> None:
    machine = new_machine()
    machine.responses.tools.calls.tools = {"get_weather": ToolPolicy(runs=False)}
    receive(
        machine,
        {"type": "response.created", "response": {"id": "resp_1"}},
        came(assistant_item("item_1")),
        {"type": "response.content_part.added", "item_id": "item_1"},
        {"type": "response.output_text.delta", "item_id": "item_1", "delta": "Hello"},
        {"type": "response.content_part.done", "item_id": "item_1", "part": {"type": "output_text", "text": "Hello"}},
        came(call_item("item_2", status=None), "item_1"),
        {"type": "response.function_call_arguments.done", "item_id": "item_2", "arguments": "{}"},
        {"type": "response.output_item.done", "item": assistant_item("item_1", "completed")},
        transcription("completed", "item_9", transcript="x"),
        {"type": "response.done", "response": {"id": "resp_1"}},
    )
    message, call = machine.conversation
    assert (message.text, message.status) == ("Hello", "completed")
    assert (call.name, call.arguments, call.call_id) == ("get_weather", "{}", "call_1")
    assert machine.responses.usage is None
    assert not machine.responses.busy


def test_a_server_that_does_not_echo_metadata_answers_the_only_request() -> None:
    machine = new_machine()
    create(machine, "event_1")
    assert settled(receive(machine, created("resp_1"))) == ["event_1"]
    assert not machine._items.beside


@hypothesis_settings(max_examples=50)
@given(pieces=st.lists(st.sampled_from(["a", "ü", "\N{GRINNING FACE}", " "]), max_size=20))
def test_text_is_the_sum_of_its_deltas(pieces: list[str]) -> None:
    machine = new_machine()
    receive(machine, added(assistant_item("item_1")))
    for piece in pieces:
        receive(machine, {"type": "response.output_text.delta", "item_id": "item_1", "delta": piece})
    assert machine.conversation["item_1"].text == "".join(pieces)
