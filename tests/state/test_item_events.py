"""What the server says of whole items: exactly what is told, and which command has its answer."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.audio import PCM16, PCMA, PCMU
from trio_realtime.state import updates
from trio_realtime.state.effects import Effects
from trio_realtime.state.machine import Machine
from trio_realtime.state.requests import Settled
from trio_realtime.wire import client_events as client
from trio_realtime.wire.items import InputText, McpApprovalRequest, Message

from .talks import (
    added,
    assistant_item,
    audio_delta,
    call_item,
    item_done,
    new_machine,
    receive,
    said,
    spoken_item,
    user_item,
)


def hears(machine: Machine, raw: dict[str, Any]) -> tuple[Effects, Any]:
    event = said(raw)
    return machine.receive(event), event


def kinds(effects: Effects) -> list[type[updates.Update]]:
    return [type(update) for update in effects.publish]


def ids(machine: Machine) -> list[str]:
    return [item.id for item in machine.conversation]


def created_item(item: dict[str, Any], previous_item_id: str | None = None) -> dict[str, Any]:
    """One event for `added` and `done`, as some servers have it."""
    return {"type": "conversation.item.created", "previous_item_id": previous_item_id, "item": item}


def output_added(item: dict[str, Any], response_id: str | None = "r1") -> dict[str, Any]:
    return {"type": "response.output_item.added", "response_id": response_id, "item": item}


def output_done(item: dict[str, Any], response_id: str | None = "r1") -> dict[str, Any]:
    return {"type": "response.output_item.done", "response_id": response_id, "item": item}


def begun(response_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": response_id, "conversation_id": "c", **fields}}


# --- items come -----------------------------------------------------------------------------------------------------


def test_an_item_is_told_when_it_comes_when_it_changes_and_when_it_is_final() -> None:
    machine = new_machine()
    effects, event = hears(machine, added(assistant_item("i1")))
    item = machine.conversation["i1"]
    assert effects == Effects(publish=(updates.ItemAppended(item=item),), event=event)
    effects, event = hears(machine, added(assistant_item("i1")))
    assert effects == Effects(event=event), "nothing new"
    spoken = assistant_item("i1") | {"content": [{"type": "output_text", "text": "Hi"}]}
    effects, event = hears(machine, added(spoken))
    assert effects == Effects(publish=(updates.ItemUpdated(item=item),), event=event)
    effects, event = hears(machine, item_done(assistant_item("i1", "completed")))
    final = (updates.ItemUpdated(item=item), updates.ItemCompleted(item=item))
    assert effects == Effects(publish=final, event=event)
    effects, event = hears(machine, item_done(assistant_item("i1", "incomplete")))
    assert effects == Effects(publish=(updates.ItemUpdated(item=item),), event=event), "final only once"


@pytest.mark.parametrize(
    ("item", "final"),
    [
        (user_item("i1"), True),
        (user_item("i1", status="in_progress"), False),
        (assistant_item("i1"), False),
        (assistant_item("i1", "completed"), False),
        (call_item("i1", status=None), False),
    ],
)
def test_one_event_for_two_is_final_unless_the_model_is_about_to_fill_the_item(
    item: dict[str, Any], final: bool
) -> None:
    effects, _ = hears(new_machine(), created_item(item))
    expected = [updates.ItemAppended, updates.ItemUpdated, updates.ItemCompleted]
    assert kinds(effects) == (expected if final else expected[:1])


@pytest.mark.parametrize(("status", "final"), [("completed", True), (None, True), ("in_progress", False)])
def test_one_event_for_two_is_final_for_an_item_that_was_asked_for_unless_it_says_otherwise(
    status: str | None, final: bool
) -> None:
    machine = new_machine()
    machine.command(client.ConversationItemCreate(event_id="e1", item=Message(id="i1", role="assistant")))
    effects, _ = hears(machine, created_item(assistant_item("i1") | {"status": status}))
    assert (updates.ItemCompleted in kinds(effects)) is final


@pytest.mark.parametrize("event", [added, created_item])
def test_an_item_stands_where_the_event_says(event: Any) -> None:
    machine = new_machine()
    receive(machine, added(user_item("a")), added(user_item("b")), event(user_item("i1"), "a"))
    assert ids(machine) == ["a", "i1", "b"]


def test_the_place_that_the_last_word_states_counts_only_for_an_item_that_was_not_there() -> None:
    machine = new_machine()
    receive(machine, added(user_item("a")), added(user_item("b")), added(user_item("i1")))
    receive(machine, item_done(user_item("i1"), "a"), item_done(user_item("i2"), "a"))
    assert ids(machine) == ["a", "i2", "b", "i1"]


def test_an_item_that_was_asked_for_is_the_answer_to_its_own_command() -> None:
    machine = new_machine()
    for number in (1, 2):
        item = Message(id=f"i{number}", role="user", content=[InputText(text="Hi")])
        machine.command(client.ConversationItemCreate(event_id=f"e{number}", item=item))
    effects, event = hears(machine, added(user_item("i2")))
    item_2 = machine.conversation["i2"]
    settled = Settled(event_id="e2", result=item_2)
    assert effects == Effects(publish=(updates.ItemAppended(item=item_2),), settle=(settled,), event=event)


def test_an_approval_that_is_asked_for_says_by_whom() -> None:
    asked = {"type": "mcp_approval_request", "id": "i1", "server_label": "s", "name": "f", "arguments": "{}"}
    machine = new_machine()
    effects, _ = hears(machine, item_done(asked))
    assert isinstance(machine.conversation["i1"].wire, McpApprovalRequest)
    told = updates.ApprovalRequested(request_id="i1", name="f", arguments="{}", server_label="s")
    assert effects.publish[-1] == told


# --- items of responses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("event", [output_added, output_done])
def test_an_item_of_a_response_is_encoded_as_the_response_is(event: Any, beside: bool) -> None:
    machine = new_machine()
    audio = {"output": {"format": {"type": "audio/pcma"}}}
    if beside:
        receive(machine, begun("r0"))
    receive(machine, begun("r1", audio=audio, conversation_id=None if beside else "c"), event(assistant_item("i1")))
    item = machine.conversation.get("i1")
    assert item is not None
    assert item.encoding is PCMA


def test_an_item_beside_the_conversation_is_told_and_has_no_place() -> None:
    machine = new_machine()
    receive(machine, begun("r0"), begun("r1", conversation_id=None))
    effects, event = hears(machine, output_added(assistant_item("i1")))
    item = machine.conversation.get("i1")
    assert item is not None
    assert effects == Effects(publish=(updates.ItemAppended(item=item),), event=event)
    assert ids(machine) == []


def test_an_item_beside_the_conversation_that_is_not_final_says_what_it_has_so_far() -> None:
    machine = new_machine()
    receive(
        machine, begun("r0"), begun("r1", conversation_id=None), output_added(assistant_item("i1") | {"status": None})
    )
    item = machine.conversation.get("i1")
    assert item is not None
    assert (item.status, item.completed) == (None, False)


def test_an_item_that_a_response_begins_is_not_final_whatever_it_is() -> None:
    tools = {"type": "mcp_list_tools", "id": "i1", "server_label": "s", "tools": []}
    effects, _ = hears(new_machine(), output_added(tools))
    assert kinds(effects) == [updates.ItemAppended]


def test_what_the_end_of_a_response_states_is_told_of_the_items_that_it_changes() -> None:
    machine = new_machine()
    receive(machine, begun("r1"), output_added(assistant_item("i1")), output_done(assistant_item("i1", "completed")))
    item = machine.conversation["i1"]
    spoken = assistant_item("i1", "completed") | {"content": [{"type": "output_text", "text": "Hi"}]}
    response = {"id": "r1", "conversation_id": "c", "output": [spoken, {**spoken, "id": None}]}
    effects, _ = hears(machine, {"type": "response.done", "response": response})
    assert effects.publish[0] == updates.ItemUpdated(item=item)
    assert kinds(effects)[1:] == [updates.ResponseDone, updates.TurnDone]


def test_what_the_user_says_is_encoded_as_the_input_is() -> None:
    machine = new_machine()
    audio = {"input": {"format": {"type": "audio/pcmu"}}}
    receive(machine, {"type": "session.updated", "session": {"type": "realtime", "audio": audio}})
    receive(machine, added(spoken_item("i1")), added(call_item("i2")))
    assert machine.conversation["i1"].encoding is PCMU
    assert machine.conversation["i2"].encoding is PCM16


# --- commands about items -------------------------------------------------------------------------------------------


def asks(machine: Machine, kind: Any, **more: Any) -> None:
    """The same is asked of both items, of the first one first."""
    for number in (1, 2):
        machine.command(kind(event_id=f"e{number}", item_id=f"i{number}", **more))


def two_items() -> Machine:
    machine = new_machine()
    receive(machine, added(assistant_item("i1")), added(assistant_item("i2")), audio_delta("i2", bytes(4800)))
    return machine


def test_a_retrieval_answers_for_the_item_that_it_names() -> None:
    machine = two_items()
    asks(machine, client.ConversationItemRetrieve)
    item = machine.conversation["i2"]
    effects, event = hears(machine, {"type": "conversation.item.retrieved", "item": assistant_item("i2")})
    told = (updates.ItemUpdated(item=item), updates.ItemRetrieved(item=event.item))
    assert effects == Effects(publish=told, settle=(Settled(event_id="e2", result=event.item),), event=event)


def test_a_deletion_answers_for_the_item_that_it_names() -> None:
    machine = two_items()
    asks(machine, client.ConversationItemDelete)
    item = machine.conversation["i2"]
    effects, event = hears(machine, {"type": "conversation.item.deleted", "item_id": "i2"})
    settled = Settled(event_id="e2", result=item)
    assert effects == Effects(publish=(updates.ItemDeleted(item=item),), settle=(settled,), event=event)


def test_a_deletion_that_names_no_item_is_of_the_first_that_was_asked_for() -> None:
    machine = two_items()
    effects, event = hears(machine, {"type": "conversation.item.deleted", "item_id": ""})
    assert effects == Effects(event=event)
    asks(machine, client.ConversationItemDelete)
    item = machine.conversation["i1"]
    effects, event = hears(machine, {"type": "conversation.item.deleted", "item_id": ""})
    settled = Settled(event_id="e1", result=item)
    assert effects == Effects(publish=(updates.ItemDeleted(item=item),), settle=(settled,), event=event)


def test_a_truncation_answers_for_the_item_that_it_names_and_says_where() -> None:
    machine = two_items()
    asks(machine, client.ConversationItemTruncate, audio_end_ms=0)
    item = machine.conversation["i2"]
    truncated = {"type": "conversation.item.truncated", "item_id": "i2", "content_index": 1, "audio_end_ms": 7}
    effects, event = hears(machine, truncated)
    told = updates.ItemTruncated(item=item, audio_end_ms=7, content_index=1)
    assert effects == Effects(publish=(told,), settle=(Settled(event_id="e2", result=item),), event=event)


def test_256_deleted_items_are_remembered_and_do_not_come_back() -> None:
    machine = new_machine()
    for number in range(257):
        receive(machine, {"type": "conversation.item.deleted", "item_id": f"i{number}"})
    for number in (1, 256):
        assert kinds(hears(machine, item_done(assistant_item(f"i{number}")))[0]) == []
    assert updates.ItemAppended in kinds(hears(machine, item_done(assistant_item("i0")))[0])
