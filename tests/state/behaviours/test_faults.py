"""What goes wrong on the way: lost, expired, unknown, malformed, twice."""

from typing import Any

import msgspec
import pytest

from tests.state.behaviours.events import MALFORMED_DONE, answer, create, created, done, ids, kinds
from tests.state.talks import (
    added,
    assistant_item,
    item_done,
    new_machine,
    published,
    receive,
    sent,
    settled,
    user_item,
)
from trio_realtime.errors import ConnectionLost, ProtocolError, SessionExpired
from trio_realtime.state import updates
from trio_realtime.state.response_events import PRIVATE_KEY
from trio_realtime.wire.codec import Codec
from trio_realtime.wire.server_events import ProtocolIssue


def test_a_connection_that_is_lost_in_mid_response_leaves_the_item_incomplete() -> None:
    machine = new_machine()
    receive(machine, *answer()[:8])
    effects = machine.connection_ended(code=None, reason="", cause=None, unix_time=0)
    item = machine.conversation["item_1"]
    assert (item.status, item.transcript, item.audio) == ("incomplete", "Hello", b"abcdefgh")
    assert [update.item for update in published([effects], updates.ItemUpdated)] == [item]
    assert type(effects.failure) is ConnectionLost


def test_a_session_that_expires_says_so_whatever_way_it_is_told() -> None:
    machine = new_machine()
    receive(machine, {"type": "error", "error": {"code": "session_expired", "message": "60 minutes are over"}})
    by_error = machine.connection_ended(code=None, reason="", cause=None, unix_time=0).failure
    assert type(by_error) is SessionExpired
    assert "60 minutes are over" in str(by_error)
    reason = "Your session hit the maximum duration of 60 minutes."
    by_reason = new_machine().connection_ended(code=1001, reason=reason, cause=None, unix_time=0).failure
    assert type(by_reason) is SessionExpired
    assert (by_reason.code, by_reason.reason) == (1001, reason)
    late = new_machine()
    receive(late, {"type": "session.created", "session": {"type": "realtime", "expires_at": 3600}})
    by_time = late.connection_ended(code=1001, reason="", cause=None, unix_time=3599).failure
    assert type(by_time) is SessionExpired


def test_unknown_events_items_and_parts_pass_through() -> None:
    machine = new_machine()
    frames: list[dict[str, Any]] = [
        {"type": "response.sung.delta", "delta": "la"},
        {"type": "conversation.item.added", "item": {"id": "item_1", "type": "dance", "steps": 7}},
        added(assistant_item("item_2") | {"content": [{"type": "output_smell", "smell": "rose"}]}, "item_1"),
        {"type": "response.content_part.added", "item_id": "item_2", "part": {"type": "taste", "taste": "sweet"}},
    ]
    for frame in frames:
        event: Any = Codec().decode(msgspec.json.encode(frame))
        assert machine.receive(event).event is not None
    assert [(item.id, item.type) for item in machine.conversation] == [("item_1", "dance"), ("item_2", "message")]
    assert [part.type for part in machine.conversation["item_2"].content] == ["output_smell"]


def test_created_and_done_twice_are_told_once() -> None:
    machine = new_machine()
    create(machine, "event_1")
    usage = {"total_tokens": 5}
    once = [created("resp_1", "event_1"), done("resp_1", usage=usage)]
    effects = receive(machine, *[event for event in once for _ in range(3)])
    assert kinds(effects) == ["ResponseStarted", "ResponseDone", "TurnDone"]
    assert all(each.event is not None for each in effects)
    assert machine.responses.total_usage.total_tokens == 5
    assert settled(effects) == ["event_1"]


def test_a_second_created_does_not_answer_another_request() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    create(machine, "event_1", conversation="none")
    assert settled(receive(machine, created("resp_1"))) == []


@pytest.mark.parametrize("echoes", [True, False])
def test_a_response_whose_created_never_came_is_over_with_its_done(echoes: bool) -> None:
    machine = new_machine()
    create(machine, "event_1")
    metadata = {PRIVATE_KEY: "event_1"} if echoes else None
    assert create(machine, "event_2") == []
    effects = receive(machine, done("resp_1", metadata=metadata))
    assert settled(effects) == ["event_1"]
    assert [event.event_id for event in sent(effects)] == ["event_2"]


def test_the_servers_own_response_whose_created_never_came_does_not_answer_a_request() -> None:
    machine = new_machine()
    create(machine, "event_0")
    receive(machine, created("resp_0", "event_0"), done("resp_0"))
    create(machine, "event_1")
    assert settled(receive(machine, done("resp_9"))) == []
    assert settled(receive(machine, created("resp_1", "event_1"))) == ["event_1"]


def test_an_item_with_an_unknown_place_is_appended_and_added_wins_over_done() -> None:
    machine = new_machine()
    receive(
        machine,
        added(user_item("item_1")),
        added(user_item("item_2"), "item_1"),
        added(user_item("item_3"), "item_1"),
        item_done(user_item("item_3"), None),
        item_done(user_item("item_3"), "item_2"),
        added(user_item("item_4"), "item_nobody_knows"),
        item_done(user_item("item_5"), "item_1"),
    )
    assert ids(machine) == ["item_1", "item_5", "item_3", "item_2", "item_4"]


@pytest.mark.parametrize(
    "frame", [b"{", b"\xff", b"7", b'{"type": 7}', b'{"type": "conversation.item.deleted"}', b'{"type": "error"}']
)
def test_a_malformed_frame_is_reported_and_a_run_of_them_ends_the_session(frame: bytes) -> None:
    machine = new_machine()
    issue: Any = Codec().decode(frame)
    for number in range(9):
        effects = machine.receive(issue)
        assert [type(update) for update in effects.publish] == [ProtocolIssue]
        assert (effects.failure, machine.malformed_frames) == (None, number + 1)
    failure = machine.receive(issue).failure
    assert type(failure) is ProtocolError
    assert "10 malformed frames" in str(failure)


@pytest.mark.parametrize("good", [b'{"type": "rate_limits.updated"}', b'{"type": "new.event"}', MALFORMED_DONE[3]])
def test_malformed_frames_between_good_ones_do_not_end_the_session(good: bytes) -> None:
    machine = new_machine()
    for _ in range(30):
        for frame in (b"{", good):
            event: Any = Codec().decode(frame)
            assert machine.receive(event).failure is None


def test_what_makes_sense_of_a_malformed_event_takes_effect() -> None:
    machine = new_machine()
    event: Any = Codec().decode(
        b'{"type": "response.created", "response": {"id": "resp_1", "conversation_id": "c", "usage": "many"}}'
    )
    assert kinds([machine.receive(event)]) == ["ProtocolIssue", "ResponseStarted"]
    assert machine.responses.sequencer.active_id == "resp_1"
