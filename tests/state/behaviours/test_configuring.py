"""The configuration, before and after connecting."""

from typing import Any

import pytest

from tests.state.behaviours.events import error
from tests.state.talks import (
    new_machine,
    receive,
    sent,
    session_updated,
)
from trio_realtime.state.configuration import session_config
from trio_realtime.wire import client_events as client
from trio_realtime.wire.codec import Codec
from trio_realtime.wire.session_config import SessionConfig


def test_the_whole_configuration_goes_out_as_one_update_with_its_type() -> None:
    machine = new_machine()
    update = client.SessionUpdate(event_id="event_1", session=session_config({"instructions": "x", "voice": "marin"}))
    [out] = sent(machine.command(update))
    assert Codec().encode(out) == (
        b'{"type":"session.update","event_id":"event_1","session":'
        b'{"type":"realtime","instructions":"x","audio":{"output":{"voice":"marin"}}}}'
    )


def test_an_update_merges_key_by_key_and_null_stays_null() -> None:
    machine = new_machine()
    changes: list[Any] = [{"voice": "marin", "transcription": "m"}, {"speed": 1.5, "transcription": None}]
    for number, change in enumerate(changes):
        machine.command(client.SessionUpdate(event_id=f"event_{number}", session=session_config(change)))
        receive(machine, {"type": "session.updated", "session": {"type": "realtime"}})
    assert machine.config == session_config({"voice": "marin", "speed": 1.5, "transcription": None})


def test_a_change_that_the_server_refuses_leaves_the_configuration_as_it_was() -> None:
    machine = new_machine()
    machine.command(client.SessionUpdate(event_id="event_1", session=SessionConfig(instructions="kept")))
    receive(machine, session_updated(turn_detection=None))
    machine.command(client.SessionUpdate(event_id="event_2", session=SessionConfig(instructions="bad")))
    receive(machine, error("invalid_value", "event_2"))
    assert machine.config == SessionConfig(instructions="kept")
    receive(machine, session_updated(turn_detection=None))
    assert machine.config == SessionConfig(instructions="kept")


def test_definitions_of_tools_stay_when_something_else_is_updated() -> None:
    machine = new_machine()
    tools: list[Any] = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    machine.command(client.SessionUpdate(event_id="event_1", session=session_config({"tools": tools})))
    machine.command(client.SessionUpdate(event_id="event_2", session=session_config({"instructions": "x"})))
    receive(machine, session_updated(), session_updated())
    assert machine.config == session_config({"tools": tools, "instructions": "x"})


@pytest.mark.parametrize("kind", [None, "server_vad", "semantic_vad"])
def test_the_turn_detection_type_is_what_the_server_says(kind: str | None) -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=None if kind is None else {"type": kind}))
    assert machine.turn_detection_type == kind
