"""Every event of the protocol comes out of the simulated server, or is taken by it, and means what the structs say."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest

from trio_realtime.testing import Simulator, says
from trio_realtime.wire.client_events import ClientEvent
from trio_realtime.wire.codec import Codec
from trio_realtime.wire.server_events import KnownServerEvent, ProtocolIssue

from .agreement import check_kept
from .every_event import every_scenario


def tag_of(struct: Any) -> str:
    return str(struct.__struct_config__.tag)


SERVER_EVENTS = {tag_of(struct): struct for struct in get_args(KnownServerEvent)}
CLIENT_EVENTS = {tag_of(struct) for struct in get_args(ClientEvent)}


@pytest.fixture(scope="module")
def clients(drive: Any) -> list[Any]:
    return every_scenario(drive)


def test_the_server_says_every_event(clients: list[Any]) -> None:
    said = {event["type"] for client in clients for event in client.events}
    assert said == set(SERVER_EVENTS)
    assert len(said) == 46


def test_the_client_says_every_event_and_only_one_is_not_known(clients: list[Any]) -> None:
    received = {event["type"] for client in clients for event in client.connection.received}
    assert received == {*CLIENT_EVENTS, "no.such.event"}
    assert len(CLIENT_EVENTS) == 11
    errors = [event["error"] for client in clients for event in client.events if event["type"] == "error"]
    assert [error["event_id"] for error in errors if error["code"] != "session_expired"] == ["mine"]


def test_every_event_is_read_as_its_own_struct_without_an_issue(clients: list[Any]) -> None:
    for client in clients:
        for event in client.events:
            decoded: Any = Codec().decode(json.dumps(event).encode())
            assert not isinstance(decoded, ProtocolIssue), decoded
            assert type(decoded) is SERVER_EVENTS[event["type"]]
            check_kept(msgspec.to_builtins(decoded), event)


def test_all_but_one_event_has_an_id_of_its_own(clients: list[Any]) -> None:
    for client in clients:
        without = {event["type"] for event in client.events if "event_id" not in event}
        assert without <= {"input_audio_buffer.dtmf_event_received"}
        ids = [event["event_id"] for event in client.events if "event_id" in event]
        assert len(set(ids)) == len(ids)


# --- error codes ------------------------------------------------------------------------------------------------------


def audible(drive: Any) -> Any:
    client = drive(Simulator([says("Hello.")]))
    client.respond()
    return client


def responding(drive: Any) -> Any:
    client = drive()
    client.send("response.create")
    return client


def ordinary(drive: Any) -> Any:
    return drive()


ERRORS: dict[str, tuple[Any, dict[str, Any]]] = {
    "missing_required_parameter": (ordinary, {"type": "session.update", "session": {}}),
    "unknown_parameter": (ordinary, {"type": "session.update", "session": {"type": "realtime", "voice": "ash"}}),
    "invalid_value": (ordinary, {"type": "no.such.event"}),
    "invalid_type": (ordinary, {"type": "session.update", "session": {"type": "realtime", "instructions": None}}),
    "invalid_parameter": (ordinary, {"type": "session.update", "session": {"type": "transcription"}}),
    "conversation_already_has_active_response": (responding, {"type": "response.create"}),
    "response_cancel_not_active": (audible, {"type": "response.cancel"}),
    "input_audio_buffer_commit_empty": (ordinary, {"type": "input_audio_buffer.commit"}),
    "cannot_update_voice": (
        audible,
        {"type": "session.update", "session": {"type": "realtime", "audio": {"output": {"voice": "ash"}}}},
    ),
    "invalid_tool_call_id": (
        ordinary,
        {
            "type": "conversation.item.create",
            "item": {"type": "function_call_output", "call_id": "call_x", "output": ""},
        },
    ),
}


@pytest.mark.parametrize("code", ERRORS)
def test_every_error_of_a_client_has_its_code_and_the_clients_event_id(drive: Any, code: str) -> None:
    prepare, event = ERRORS[code]
    client = prepare(drive)
    for event_id in ("event_of_mine", None):
        message = event if event_id is None else {**event, "event_id": event_id}
        (error,) = client.send_raw(json.dumps(message))
        assert (error["type"], error["error"]["code"], error["error"]["event_id"]) == ("error", code, event_id)
        assert error["event_id"] not in {None, event_id}
    assert client.connection.closed is None


def test_an_expired_session_says_so_and_is_closed(drive: Any) -> None:
    client = drive(Simulator(max_duration=3600))
    (error,) = client.wait(3600)
    assert (error["error"]["code"], error["error"]["event_id"]) == ("session_expired", None)
    assert (client.connection.closed.code, client.connection.closed.reason) == (1001, error["error"]["message"])
    assert "60 minutes" in error["error"]["message"]
