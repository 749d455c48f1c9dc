"""Responses of the conversation: one at a time, cancelled in every order, refused, requested again."""

from typing import Any

import msgspec
import pytest

from tests.state.behaviours.events import MALFORMED_DONE, cancel, create, created, done, error, kinds
from tests.state.talks import (
    assistant_item,
    audio_delta,
    new_machine,
    published,
    receive,
    sent,
    settled,
)
from trio_realtime.state import updates
from trio_realtime.wire import client_events as client
from trio_realtime.wire.codec import Codec


def test_a_late_done_of_a_cancelled_response_does_not_clear_a_newer_one() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    cancel(machine, "event_1")
    receive(machine, created("resp_2"))
    create(machine, "event_2")
    effects = receive(machine, done("resp_1", "cancelled"))
    assert settled(effects) == ["event_1"]
    assert sent(effects) == []
    [out] = sent(cancel(machine, "event_3"))
    assert out.response_id == "resp_2"
    assert [type(event) for event in sent(receive(machine, done("resp_2", "cancelled")))] == [client.ResponseCreate]


@pytest.mark.parametrize("frame", MALFORMED_DONE)
def test_a_malformed_done_still_releases_the_response(frame: bytes) -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    cancel(machine, "event_1")
    create(machine, "event_2")
    event: Any = Codec().decode(frame)
    effects = machine.receive(event)
    assert settled([effects]) == ["event_1"]
    assert [type(event) for event in sent(effects)] == [client.ResponseCreate]


def test_a_malformed_created_still_begins_the_response() -> None:
    machine = new_machine()
    create(machine, "event_1")
    effects = receive(machine, {"type": "response.created"})
    assert settled(effects) == ["event_1"]
    [out] = sent(cancel(machine, "event_2"))
    assert out.response_id is msgspec.UNSET
    assert settled(receive(machine, done("resp_1", "cancelled"))) == ["event_2"]
    assert not machine.responses.busy
    effects = receive(machine, {"type": "response.created"}, done("resp_2"))
    assert not machine.responses.busy


def test_a_cancel_before_created_takes_effect_when_the_id_is_known_and_its_deltas_are_dropped() -> None:
    machine = new_machine()
    create(machine, "event_1")
    assert sent(cancel(machine, "event_2")) == []
    assert sent(cancel(machine, "event_3")) == []
    effects = receive(machine, created("resp_1", "event_1"))
    assert sent(effects) == [client.ResponseCancel(event_id="event_2", response_id="resp_1")]
    effects = receive(
        machine,
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_1")},
        audio_delta("item_1", b"ab", response_id="resp_1"),
        {"type": "response.output_text.delta", "item_id": "item_1", "response_id": "resp_1", "delta": "x"},
        {"type": "response.output_audio_transcript.delta", "item_id": "item_1", "response_id": "resp_1", "delta": "x"},
        {"type": "response.function_call_arguments.delta", "item_id": "item_1", "response_id": "resp_1", "delta": "x"},
    )
    assert kinds(effects) == ["ItemAppended"]
    assert all(each.event is not None for each in effects)
    effects = receive(machine, done("resp_1", "cancelled"))
    assert sorted(settled(effects)) == ["event_2", "event_3"]


def test_cancelling_when_idle_sends_nothing_and_is_settled_at_once() -> None:
    machine = new_machine()
    effects = cancel(machine, "event_1")
    assert (sent(effects), settled([effects])) == ([], ["event_1"])
    receive(machine, created("resp_1"), done("resp_1"))
    effects = cancel(machine, "event_2", "resp_1")
    assert (sent(effects), settled([effects])) == ([], ["event_2"])


def test_a_second_cancel_waits_with_the_first_and_does_not_go_out() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    assert len(sent(cancel(machine, "event_1"))) == 1
    effects = cancel(machine, "event_2", "resp_1")
    assert (sent(effects), settled([effects])) == ([], [])
    effects = receive(machine, done("resp_1", "cancelled"))
    assert settled(effects) == ["event_1", "event_2"]
    assert {each.result.id for each in effects[0].settle} == {"resp_1"}


def test_a_cancel_of_another_response_while_one_is_wanted_is_nothing() -> None:
    machine = new_machine()
    create(machine, "event_1")
    cancel(machine, "event_2")
    assert settled([cancel(machine, "event_3", "resp_old")]) == ["event_3"]


def test_a_cancel_that_crosses_done_on_the_wire_is_no_error() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    cancel(machine, "event_1", "resp_1")
    machine._requests.rename("cancel", "resp_1", "resp_other")  # as if its done had not been for this cancel
    [effects] = receive(machine, error("response_cancel_not_active", "event_1"))
    assert [(each.event_id, each.error) for each in effects.settle] == [("event_1", None)]
    assert effects.publish == ()


def test_a_cancel_of_a_request_that_is_refused_is_settled_with_it() -> None:
    machine = new_machine()
    create(machine, "event_1")
    cancel(machine, "event_2")
    [effects] = receive(machine, error("invalid_value", "event_1"))
    assert [(each.event_id, each.error is None) for each in effects.settle] == [("event_1", False), ("event_2", True)]


def test_a_cancel_is_not_settled_by_the_end_of_another_response() -> None:
    machine = new_machine()
    create(machine, "event_1", conversation="none")
    receive(machine, created("resp_1", "event_1", None))
    create(machine, "event_2")
    cancel(machine, "event_3")
    cancel(machine, "event_4", "resp_1")
    receive(machine, created("resp_2", "event_2"))
    assert settled(receive(machine, done("resp_1"))) == ["event_4"]
    assert settled(receive(machine, done("resp_2", "cancelled"))) == ["event_3"]


def test_a_create_after_a_cancel_waits_for_the_cancelled_done() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    cancel(machine, "event_1")
    assert create(machine, "event_2") == []
    out = sent(receive(machine, done("resp_1", "cancelled")))
    assert [event.event_id for event in out] == ["event_2"]


def test_a_request_that_lost_the_race_goes_out_again_and_is_settled_then() -> None:
    machine = new_machine()
    create(machine, "event_0")
    receive(machine, created("resp_0", "event_0"), done("resp_0"))
    create(machine, "event_1")
    effects = receive(machine, created("resp_1"), error("conversation_already_has_active_response", "event_1"))
    assert (settled(effects), sent(effects), published(effects, updates.ErrorReported)) == ([], [], [])
    [again] = sent(receive(machine, done("resp_1")))
    assert again.event_id == "event_1"
    assert settled(receive(machine, created("resp_2", "event_1"))) == ["event_1"]


def test_a_lost_race_that_names_no_event_is_that_of_the_conversation() -> None:
    machine = new_machine()
    create(machine, "event_1", conversation="none")
    create(machine, "event_2")
    effects = receive(machine, created("resp_1"), error("conversation_already_has_active_response"))
    assert settled(effects) == []
    assert [event.event_id for event in sent(receive(machine, done("resp_1")))] == ["event_2"]


def test_a_request_that_nobody_waits_for_any_more_never_goes_out() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    create(machine, "event_1")
    machine.responses.forget("event_1")
    assert sent(receive(machine, done("resp_1"))) == []
