"""Responses beside the conversation, and how a request is recognised."""

from typing import Any

import pytest

from tests.state.behaviours.events import cancel, create, created, done, ids, kinds
from tests.state.talks import (
    added,
    assistant_item,
    audio_delta,
    new_machine,
    published,
    receive,
    sent,
    settled,
)
from trio_realtime.errors import ConfigError
from trio_realtime.state import updates
from trio_realtime.state.machine import Machine
from trio_realtime.state.response_events import PRIVATE_KEY, without_token
from trio_realtime.wire import client_events as client
from trio_realtime.wire.responses import ResponseParams

# --- responses beside the conversation -------------------------------------------------------------------------------


def beside(machine: Machine) -> list[Any]:
    receive(machine, created("resp_0"))
    create(machine, "event_1", conversation="none")
    return receive(
        machine,
        created("resp_1", "event_1", None),
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_1")},
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_1")},
        audio_delta("item_1", b"abcd", response_id="resp_1"),
    )


def test_items_beside_the_conversation_have_deltas_but_no_place() -> None:
    machine = new_machine()
    effects = beside(machine)
    assert kinds(effects) == ["ResponseStarted", "ItemAppended", "ItemUpdated"]
    [appended] = published(effects, updates.ItemAppended)
    assert (appended.item.audio, appended.item.in_conversation) == (b"abcd", False)
    assert machine.conversation.retained_audio_bytes == 4
    final = assistant_item("item_1", "completed")
    effects = receive(
        machine,
        {"type": "response.output_item.done", "response_id": "resp_1", "item": final},
        done("resp_1", output=[final]),
    )
    assert kinds(effects, without=(updates.TurnDone,)) == ["ItemUpdated", "ItemCompleted", "ResponseDone"]
    assert ids(machine) == []
    assert machine.conversation.retained_audio_bytes == 0
    assert kinds(receive(machine, done("resp_1"), created("resp_1", "event_1", None))) == []
    assert machine.responses.sequencer.active_id == "resp_0"


def test_an_item_beside_the_conversation_that_is_added_comes_into_it() -> None:
    machine = new_machine()
    item = published(beside(machine), updates.ItemAppended)[0].item
    receive(machine, added(assistant_item("item_1")), done("resp_1"))
    assert machine.conversation["item_1"] is item
    assert item.in_conversation
    assert machine.conversation.retained_audio_bytes == 4


def test_a_response_beside_the_conversation_is_cancelled_by_its_id_and_once() -> None:
    machine = new_machine()
    beside(machine)
    assert [event.response_id for event in sent(cancel(machine, "event_2", "resp_1"))] == ["resp_1"]
    assert sent(cancel(machine, "event_3", "resp_1")) == []
    assert kinds(receive(machine, audio_delta("item_1", b"ab", response_id="resp_1"))) == []
    assert settled(receive(machine, done("resp_1", "cancelled"))) == ["event_2", "event_3"]


def test_a_response_of_another_connection_beside_the_conversation_takes_no_turn() -> None:
    machine = new_machine()
    receive(machine, created("resp_0"), done("resp_0"), created("resp_1", None, None))
    assert [type(event) for event in create(machine, "event_1")] == [client.ResponseCreate]


def test_a_response_beside_the_conversation_whose_created_never_came_is_over_with_its_done() -> None:
    machine = new_machine()
    create(machine, "event_1", conversation="none")
    create(machine, "event_2")
    effects = receive(machine, done("resp_1", metadata={PRIVATE_KEY: "event_1"}))
    assert settled(effects) == ["event_1"]
    assert machine.responses.sequencer.sent is not None
    effects = receive(machine, done("resp_2", metadata={PRIVATE_KEY: "event_2"}))
    assert settled(effects) == ["event_2"]
    assert not machine.responses.busy


# --- the private pair ------------------------------------------------------------------------------------------------


def test_the_private_pair_goes_out_and_is_never_shown() -> None:
    machine = new_machine()
    [out] = create(machine, "event_1", metadata={"mine": "1"})
    assert out.response.metadata == {"mine": "1", PRIVATE_KEY: "event_1"}
    shown: Any = without_token(out)
    assert shown.response.metadata == {"mine": "1"}
    pairs = {"mine": "1", PRIVATE_KEY: "event_1"}
    response = {"id": "resp_1", "metadata": pairs}
    effects = receive(
        machine, {"type": "response.created", "response": response}, {"type": "response.done", "response": response}
    )
    assert {str(update.response.metadata) for update in published(effects, updates.ResponseStarted)} == {
        "{'mine': '1'}"
    }
    assert {str(update.response.metadata) for update in published(effects, updates.ResponseDone)} == {"{'mine': '1'}"}
    assert [each.event.response.metadata for each in effects] == [{"mine": "1"}] * 2
    assert effects[0].settle[0].result.metadata == {"mine": "1"}


def test_what_has_no_private_pair_is_shown_as_it_is() -> None:
    events: list[client.ClientEvent] = [
        client.InputAudioBufferClear(),
        client.ResponseCreate(),
        client.ResponseCreate(response=ResponseParams()),
        client.ResponseCreate(response=ResponseParams(metadata={"mine": "1"})),
    ]
    for event in events:
        assert without_token(event) is event
    machine = new_machine()
    [bare] = create(machine, "event_1")
    assert without_token(bare) == client.ResponseCreate(event_id="event_1")
    [spoken] = create(machine, "event_2", conversation="none")
    assert without_token(spoken) == client.ResponseCreate(
        event_id="event_2", response=ResponseParams(conversation="none")
    )


def test_the_private_key_cannot_be_used_by_the_program() -> None:
    machine = new_machine()
    with pytest.raises(ConfigError, match=PRIVATE_KEY):
        create(machine, "event_1", metadata={PRIVATE_KEY: "x"})
    assert not machine.responses.busy


def test_with_sixteen_pairs_of_its_own_a_request_is_recognised_as_the_only_one() -> None:
    machine = new_machine()
    pairs = {str(number): "" for number in range(16)}
    [out] = create(machine, "event_1", metadata=pairs)
    assert out.response.metadata == pairs
    assert settled(receive(machine, created("resp_1"))) == ["event_1"]
