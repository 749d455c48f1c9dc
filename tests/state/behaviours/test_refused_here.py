"""What is refused before it is sent."""

from tests.state.behaviours.events import append, error, ids
from tests.state.talks import (
    added,
    new_machine,
    receive,
    session_updated,
    settled,
    user_item,
)
from trio_realtime.wire import client_events as client
from trio_realtime.wire.items import InputText, Message


def test_what_is_refused_leaves_no_item_no_audio_and_no_place() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=None))
    item = Message(id="item_1", role="user", content=[InputText(text="Hi")])
    machine.command(client.ConversationItemCreate(event_id="event_1", item=item, previous_item_id="root"))
    append(machine, bytes(960))
    machine.command(client.InputAudioBufferCommit(event_id="event_2"))
    effects = receive(machine, error("invalid_value", "event_1"), error("input_audio_buffer_commit_empty", "event_2"))
    assert settled(effects) == ["event_1", "event_2"]
    assert ids(machine) == []
    assert not machine.conversation.has_place("item_1")
    assert machine._input.uncommitted_bytes == 960
    machine.command(client.ConversationItemCreate(event_id="event_3", item=item))
    receive(machine, added(user_item("item_0")), added(user_item("item_1"), "item_0"))
    assert ids(machine) == ["item_0", "item_1"]
