"""What compatible servers say instead, and what no server says until a test makes it."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime import ConfigError
from trio_realtime.testing import Simulator, calls, load_voice


def test_a_compatible_server_states_its_conversation_and_each_item_once(drive: Any) -> None:
    client = drive(Simulator([calls("f", {"x": 1})], dialect="compatible"))
    created, conversation = client.events
    assert (created["type"], conversation["type"]) == ("session.created", "conversation.created")
    assert conversation["conversation"]["object"] == "realtime.conversation"
    (item,) = client.say("Hi")
    assert (item["type"], item["previous_item_id"]) == ("conversation.item.created", None)
    assert item["item"] == client.connection.items[0]
    events = client.respond()
    assert [event["type"] for event in events if event["type"].startswith("conversation.")] == [
        "conversation.item.created"
    ]
    assert [event["type"] for event in events][-1] == "response.done"
    assert events[-1]["response"]["conversation_id"] == conversation["conversation"]["id"]
    ids = [event["event_id"] for event in client.events]
    assert len(set(ids)) == len(ids)


def test_a_compatible_server_leaves_out_what_a_client_can_live_without(drive: Any) -> None:
    client = drive(Simulator([calls("f", {"x": 1})], dialect="compatible"))
    client.configure(audio={"input": {"transcription": {"model": "whisper-1"}}})
    client.speak(load_voice("question"))
    client.wait(60)
    client.respond()
    missing = {
        "response.function_call_arguments.done": "name",
        "conversation.item.input_audio_transcription.completed": "usage",
        "input_audio_buffer.committed": "item_id",
        "response.content_part.done": "part",
    }
    seen = [event for event in client.events if event["type"] in missing]
    assert {event["type"] for event in seen} == set(missing)
    assert not [event for event in seen if missing[event["type"]] in event]


def test_there_are_two_dialects() -> None:
    other: Any = "beta"
    with pytest.raises(ConfigError, match="openai, compatible, not 'beta'"):
        Simulator(dialect=other)


def test_any_event_can_be_said_in_order_with_the_rest(drive: Any, wire: Any) -> None:
    client = drive()
    client.connection.say("conversation.item.created", item={"id": "item_1", "type": "message"}, previous_item_id=None)
    client.connection.say("no.such.event", event_id="mine")
    assert client.connection.next_deadline() == client.now
    first, second, third, _ = client.say("Hi")
    assert first == {
        "type": "conversation.item.created",
        "event_id": first["event_id"],
        "item": {"id": "item_1", "type": "message"},
        "previous_item_id": None,
    }
    assert second == {"type": "no.such.event", "event_id": "mine"}
    assert third["type"] == "conversation.item.added"
    assert client.wait(0) == []
    assert len(client.connection.items) == 1, "what is said changes nothing"


def test_who_carries_the_connection_is_woken(drive: Any) -> None:
    client = drive(call_id="rtc_1")
    woken: list[int] = []
    client.connection.wake = lambda: woken.append(len(client.wait(0)))
    client.connection.say("no.such.event")
    client.connection.press_key("1")
    assert woken == [1, 1]


def test_nothing_is_said_after_the_end(drive: Any) -> None:
    client = drive(Simulator(max_duration=10))
    client.wait(20)
    client.connection.say("no.such.event")
    assert client.wait(0) == []
    assert client.connection.next_deadline() == float("inf")
