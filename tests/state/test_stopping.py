"""What is left of a turn that is stopped, refused or stalls: what goes out, what is told, what is answered."""

from __future__ import annotations

import pytest

from trio_realtime.state.updates import ResponseDone
from trio_realtime.wire.client_events import ResponseCreate
from trio_realtime.wire.responses import Response, StatusDetails, StatusError

from .responding import CONFLICT, answers, called, create, names, refused, turns, with_tool
from .talks import call_item, new_machine, published, receive, sent, settled

# --- nobody wants a turn any more -----------------------------------------------------------------------------------


def test_the_cancel_of_a_turn_that_was_not_answered_is_settled_by_the_end_of_its_response() -> None:
    machine = new_machine()
    request = create(machine)
    machine.stop_turn("e1")
    [cancel] = sent(receive(machine, answers("created", request, "r1")))
    assert cancel.response_id == "r1"
    assert settled(receive(machine, answers("done", request, "r1", status="cancelled"))) == [cancel.event_id]


def test_the_cancel_of_a_turn_that_was_not_answered_can_be_refused() -> None:
    machine = new_machine()
    request = create(machine)
    machine.stop_turn("e1")
    [cancel] = sent(receive(machine, answers("created", request, "r1")))
    assert settled(receive(machine, refused(cancel.event_id))) == [cancel.event_id]


def test_stopping_a_turn_ends_the_calls_that_hold_it_and_with_them_the_turn() -> None:
    machine = with_tool(on_interrupt="finish")
    called(machine)
    effects = machine.stop_turn("e1")
    assert effects.cancel == ("call_1",)
    assert names(sent(effects)) == [("output", "call_1")]
    assert turns([effects]) == [("e1", ["r1"])]


def test_stopping_a_turn_whose_follow_up_waits_ends_it_at_once() -> None:
    machine = with_tool()
    called(machine)
    receive(machine, answers("created", None, "r2"))
    assert names(sent(machine.responses.tools.settle("call_1", "1"))) == [("output", "call_1")]
    effects = machine.stop_turn("e1")
    assert turns([effects]) == [("e1", ["r1"])]
    assert sent([effects, *receive(machine, answers("done", None, "r2"))]) == []


def test_stopping_a_turn_beside_the_conversation_cancels_nothing_else() -> None:
    machine = new_machine()
    one, other = create(machine, "e1"), create(machine, "e2", conversation="none")
    receive(machine, answers("created", one, "r1"), answers("created", other, "r2", conversation_id=None))
    assert names(sent(machine.stop_turn("e2"))) == [("cancel", "r2")]


# --- the server refuses ---------------------------------------------------------------------------------------------


def test_a_follow_up_that_is_refused_ends_its_turn_and_one_that_lost_a_race_does_not() -> None:
    machine = with_tool()
    called(machine)
    _, follow_up = sent(machine.responses.tools.settle("call_1", "1"))
    race = [answers("created", None, "r2"), refused(follow_up.event_id, CONFLICT)]
    assert turns(receive(machine, *race)) == []
    assert sent(receive(machine, answers("done", None, "r2"))) == [follow_up]
    assert turns(receive(machine, refused(follow_up.event_id))) == [("e1", ["r1"])]


def test_a_request_that_lost_a_race_is_followed_up_as_it_was_asked_for() -> None:
    machine = with_tool()
    request = create(machine, instructions="Be brief.")
    receive(machine, refused("e1", CONFLICT), answers("created", None, "r0"))
    assert sent(receive(machine, answers("done", None, "r0"))) == [request]
    final = call_item("i1", "{}", "completed")
    receive(machine, answers("created", request, "r1"), answers("done", request, "r1", output=[final]))
    _, follow_up = sent(machine.responses.tools.settle("call_1", "1"))
    assert follow_up.response.instructions == "Be brief."


def test_a_message_that_waits_with_a_follow_up_is_answered_by_itself() -> None:
    machine = with_tool()
    called(machine)
    receive(machine, answers("created", None, "r2"))
    machine.responses.tools.settle("call_1", "1")
    machine.responses.create(ResponseCreate(event_id="e9"), automatic=True)
    [follow_up] = sent(receive(machine, answers("done", None, "r2")))
    assert follow_up.event_id != "e9"
    ended = receive(machine, answers("created", follow_up, "r3"), answers("done", follow_up, "r3"))
    assert names(sent(ended)) == [("ask", "e9")]


def test_forgetting_a_follow_up_that_waits_ends_its_turn() -> None:
    machine = with_tool()
    called(machine)
    receive(machine, answers("created", None, "r2"))
    machine.responses.tools.settle("call_1", "1")
    [waiting] = machine.responses.sequencer.queued
    assert turns([machine.responses.forget(waiting.event_id)]) == [("e1", ["r1"])]


@pytest.mark.parametrize("conversation", ["auto", "none"])
def test_what_is_refused_or_forgotten_leaves_nothing_in_the_books(conversation: str) -> None:
    machine = new_machine()
    create(machine, "e1", conversation=conversation, instructions="x")
    create(machine, "e2", instructions="x")
    machine.stop_turn("e1")
    machine.responses.forget("e2")
    receive(machine, refused("e1"), refused("e2"))
    responses = machine.responses
    assert not responses._params
    assert not responses._unwanted_beside
    assert not responses._turns._of_request
    assert not responses.replying


# --- nothing comes of a response ------------------------------------------------------------------------------------


def test_a_stall_is_told_as_the_failure_that_it_is() -> None:
    machine = new_machine()
    receive(machine, answers("created", None, "r1"))
    effects = machine.end_stalled("r1", 2.5)
    [ended] = published([effects], ResponseDone)
    message = "nothing came of the response for 2.5 s"
    error = StatusError(type="stalled", code="stalled", message=message)
    details = StatusDetails(type="failed", error=error)
    assert ended.response == Response(id="r1", status="failed", status_details=details)
    assert effects.event is None, "the server has said nothing"


def test_a_stall_ends_no_calls_of_a_response_that_had_no_id() -> None:
    machine = with_tool()
    final = call_item("i1", "{}", "completed")
    receive(machine, {"type": "response.created", "response": {}})
    receive(machine, {"type": "response.done", "response": {"status": "completed", "output": [final]}})
    receive(machine, answers("created", None, "r2"))
    effects = machine.end_stalled("r2", 5)
    assert effects.cancel == ()
    assert names(sent(machine.responses.tools.settle("call_1", "1")))[0] == ("output", "call_1")


def test_the_late_end_of_a_response_that_stalled_does_not_end_the_next() -> None:
    machine = new_machine()
    create(machine, "e1")
    create(machine, "e2")
    receive(machine, answers("created", None, "r1"))
    [_, second] = sent(machine.end_stalled("r1", 5))
    receive(machine, answers("created", second, "r2"), answers("done", None, "r1"))
    assert machine.responses.sequencer.active_id == "r2"
    assert not machine.responses.stalled


def test_the_calls_of_a_response_that_stalls_end_and_are_not_followed_up() -> None:
    machine = with_tool(on_interrupt="finish")
    request = create(machine)
    final = call_item("i1", "{}", "completed")
    receive(
        machine,
        answers("created", request, "r1"),
        {"type": "response.output_item.done", "response_id": "r1", "item": final},
    )
    effects = machine.end_stalled("r1", 5)
    assert effects.cancel == ("call_1",)
    assert names(sent(effects)) == [("cancel", "r1"), ("output", "call_1")]
    assert turns([effects]) == [("e1", ["r1"])]
