"""Responses from the request to the end of the turn: what goes out, what is told, who is answered."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from trio_realtime.errors import ConfigError
from trio_realtime.state.effects import Effects
from trio_realtime.state.machine import Machine
from trio_realtime.state.response_events import PRIVATE_KEY, without_token
from trio_realtime.state.updates import (
    ErrorReported,
    ItemUpdated,
    ResponseDone,
    ResponseStarted,
    TurnDone,
)
from trio_realtime.wire import server_events as server
from trio_realtime.wire.client_events import (
    ClientEvent,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
)
from trio_realtime.wire.responses import Response, ResponseParams, Usage
from trio_realtime.wire.server_events import ProtocolIssue

from .talks import (
    assistant_item,
    audio_delta,
    call_item,
    new_machine,
    published,
    receive,
    sent,
    session_updated,
    settled,
)

CONFLICT = "conversation_already_has_active_response"


def create(machine: Machine, event_id: str = "e1", **params: Any) -> Effects:
    return machine.command(ResponseCreate(event_id=event_id, response=ResponseParams(**params) if params else UNSET))


def automatic(machine: Machine, event_id: str) -> Effects:
    return machine.responses.create(ResponseCreate(event_id=event_id), automatic=True)


def response(event: str, response_id: str | None, token: str | None = None, **fields: Any) -> dict[str, Any]:
    stated = {"id": response_id, "conversation_id": "c", **fields}
    if token is not None:
        stated["metadata"] = {**(fields.get("metadata") or {}), PRIVATE_KEY: token}
    return {"type": f"response.{event}", "response": stated}


def created(response_id: str | None, token: str | None = None, **fields: Any) -> dict[str, Any]:
    return response("created", response_id, token, **fields)


def done(response_id: str | None, token: str | None = None, **fields: Any) -> dict[str, Any]:
    return response("done", response_id, token, **fields)


def refused(event_id: str | None, code: str | None = None) -> dict[str, Any]:
    return {"type": "error", "error": {"message": "no", "code": code, "event_id": event_id}}


def ids(events: list[ClientEvent]) -> list[object]:
    """What goes out, by id: of the request, or of the response that is cancelled."""
    return [event.response_id if isinstance(event, ResponseCancel) else event.event_id for event in events]


# --- requests -------------------------------------------------------------------------------------------------------


def test_a_request_is_recognised_by_a_private_pair_that_nobody_sees() -> None:
    machine = new_machine()
    (event,) = sent(create(machine, metadata={"a": "b"}))
    assert event.response.metadata == {"a": "b", PRIVATE_KEY: "e1"}
    shown = without_token(event)
    assert isinstance(shown, ResponseCreate)
    assert shown.response == ResponseParams(metadata={"a": "b"})
    effects = receive(machine, created("r1", "e1", metadata={"a": "b"}), done("r1", "e1", metadata={"a": "b"}))
    (started,) = published(effects, ResponseStarted)
    (ended,) = published(effects, ResponseDone)
    assert started.response.metadata == ended.response.metadata == {"a": "b"}
    assert effects[0].event.response.metadata == effects[1].event.response.metadata == {"a": "b"}
    assert started.turn_id == ended.turn_id == "e1"
    assert settled(effects) == ["e1"]


def test_what_has_no_private_pair_is_shown_as_it_is() -> None:
    (event,) = sent(create(new_machine()))
    assert without_token(event) == ResponseCreate(event_id="e1")
    for plain in (
        ResponseCreate(event_id="e1"),
        ResponseCreate(event_id="e1", response=ResponseParams(metadata=None)),
        ResponseCreate(event_id="e1", response=ResponseParams(metadata={"a": "b"})),
        InputAudioBufferCommit(event_id="e1"),
    ):
        assert without_token(plain) is plain


def test_the_private_pair_cannot_be_used() -> None:
    machine = new_machine()
    with pytest.raises(ConfigError, match=PRIVATE_KEY):
        create(machine, metadata={PRIVATE_KEY: "mine"})
    assert not machine.responses.busy


def test_where_all_pairs_are_taken_the_only_request_is_the_one() -> None:
    machine = new_machine()
    pairs = {str(number): "x" for number in range(16)}
    (event,) = sent(create(machine, metadata=pairs))
    assert event.response.metadata == pairs
    assert settled(receive(machine, created("r1", metadata=pairs))) == ["e1"]


def test_requests_wait_while_a_response_is_under_way_and_go_out_in_order() -> None:
    machine = new_machine()
    assert ids(sent(create(machine, "e1"))) == ["e1"]
    assert [sent(create(machine, each)) for each in ("e2", "e3")] == [[], []]
    assert machine.responses.busy
    receive(machine, created("r1", "e1"))
    assert ids(sent(receive(machine, done("r1")))) == ["e2"]
    receive(machine, created("r2", "e2"))
    assert ids(sent(receive(machine, done("r2")))) == ["e3"]
    receive(machine, created("r3", "e3"), done("r3"))
    assert not machine.responses.busy


def test_automatic_requests_that_wait_become_one_and_manual_ones_stay_distinct() -> None:
    machine = new_machine()
    assert ids(sent(automatic(machine, "e1"))) == ["e1"]
    for event_id in ("e2", "e3"):
        assert sent(automatic(machine, event_id)) == []
    create(machine, "e4")
    create(machine, "e5")
    out: list[object] = []
    for number, event_id in enumerate(("e1", "e2", "e4", "e5")):
        out += ids(sent(receive(machine, created(f"r{number}", event_id), done(f"r{number}"))))
    assert out == ["e2", "e4", "e5"]


def test_without_turn_detection_what_was_said_is_committed_before_a_response_once() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=None))
    machine.command(InputAudioBufferAppend(audio=bytes(960)))
    commit, event = sent(create(machine))
    assert isinstance(commit, InputAudioBufferCommit)
    assert event.event_id == "e1"
    receive(machine, created("r1", "e1"), done("r1"))
    assert ids(sent(create(machine, "e2"))) == ["e2"]


def test_with_turn_detection_nothing_is_committed() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection={"type": "server_vad"}))
    machine.command(InputAudioBufferAppend(audio=bytes(960)))
    assert ids(sent(create(machine))) == ["e1"]


def test_a_request_that_waits_can_be_forgotten() -> None:
    machine = new_machine()
    create(machine, "e1")
    create(machine, "e2", instructions="x")
    assert machine.responses.forget("e2") == Effects()
    assert machine.responses.forget("e1") == Effects(), "it has gone out"
    assert sent(receive(machine, created("r1", "e1"), done("r1"))) == []


# --- the server's own -----------------------------------------------------------------------------------------------

SPEECH = [
    {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "i"},
    {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 500, "item_id": "i"},
]


def test_the_answer_to_what_the_user_said_is_the_servers_own_although_a_request_is_out() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection={"type": "server_vad"}))
    create(machine)
    effects = receive(machine, *SPEECH, created("r1"))
    assert settled(effects) == []
    assert published(effects, ResponseStarted)[0].turn_id == "r1"
    assert settled(receive(machine, refused("e1", CONFLICT))) == []
    assert ids(sent(receive(machine, done("r1")))) == ["e1"]
    assert settled(receive(machine, created("r2"))) == ["e1"], "the next one is ours"


@pytest.mark.parametrize("detection", [None, {"type": "server_vad", "create_response": False}])
def test_where_the_server_does_not_answer_speech_the_only_request_is_the_one(detection: dict[str, Any] | None) -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=detection))
    create(machine)
    assert settled(receive(machine, *SPEECH, created("r1"))) == ["e1"]


@pytest.mark.parametrize("winner_first", [True, False])
def test_a_lost_race_sends_the_request_again_after_the_winner(winner_first: bool) -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection={"type": "server_vad"}))
    create(machine)
    race = [created("r1"), refused("e1", CONFLICT)]
    effects = receive(machine, *SPEECH, *(race if winner_first else reversed(race)))
    assert sent(effects) == []
    assert settled(effects) == []
    assert published(effects, ErrorReported) == []
    assert ids(sent(receive(machine, done("r1", status="cancelled")))) == ["e1"]
    assert settled(receive(machine, created("r2", "e1"))) == ["e1"]


def test_a_refusal_of_another_kind_ends_the_request_and_lets_the_next_out() -> None:
    machine = new_machine()
    create(machine, "e1", instructions="x")
    create(machine, "e2")
    effects = receive(machine, refused("e1", "invalid_value"))
    assert settled(effects) == ["e1"]
    assert ids(sent(effects)) == ["e2"]
    assert published(effects, TurnDone) == []


def test_an_error_about_something_else_does_not_release_a_request() -> None:
    machine = new_machine()
    create(machine)
    effects = receive(machine, refused("e9"), refused(None, "invalid_value"))
    assert len(published(effects, ErrorReported)) == 2
    create(machine, "e2")
    assert sent(receive(machine, refused("e9"))) == []


# --- responses ------------------------------------------------------------------------------------------------------


def test_created_twice_and_done_twice_are_told_once_and_shown_as_they_came() -> None:
    machine = new_machine()
    create(machine)
    effects = receive(machine, created("r1", "e1"), created("r1", "e1"), done("r1", "e1"), done("r1", "e1"))
    assert [len(each.publish) for each in effects] == [1, 0, 2, 0]
    assert [each.event.response.metadata for each in effects] == [None] * 4


@pytest.mark.parametrize("token", ["e1", None])
def test_a_response_whose_created_never_came_answers_its_request(token: str | None) -> None:
    machine = new_machine()
    create(machine, instructions="x")
    effects = receive(machine, done("r1", token, status="completed"))
    assert settled(effects) == ["e1"]
    assert [update.turn_id for update in published(effects, TurnDone)] == ["e1"]
    assert not machine.responses.busy


def test_one_beside_the_conversation_whose_created_never_came_does_too() -> None:
    machine = new_machine()
    create(machine, conversation="none")
    (ended,) = published(receive(machine, done("r1", "e1", conversation_id=None)), TurnDone)
    assert (ended.turn_id, ended.beside) == ("e1", True)


def test_a_malformed_done_ends_what_is_under_way() -> None:
    machine = new_machine()
    create(machine)
    create(machine, "e2")
    receive(machine, created("r1", "e1"))
    effects = receive(machine, {"type": "response.done", "response": None})
    assert [update.response.id for update in published(effects, ResponseDone)] == ["r1"]
    assert ids(sent(effects)) == ["e2"]
    nothing = receive(new_machine(), {"type": "response.done", "response": None})
    assert [update.response.id for update in published(nothing, ResponseDone)] == [None]


def test_usage_adds_up() -> None:
    machine = new_machine()
    usage = {"total_tokens": 5, "output_tokens": 2}
    receive(machine, created("r1"), done("r1", usage=usage), created("r2"), done("r2"))
    assert machine.responses.usage == Usage(total_tokens=5, output_tokens=2)
    receive(machine, created("r3"), done("r3", usage=usage))
    assert machine.responses.total_usage == Usage(total_tokens=10, output_tokens=4)


# --- cancelling -----------------------------------------------------------------------------------------------------


def cancel(machine: Machine, event_id: str, response_id: str | None = None) -> Effects:
    return machine.command(ResponseCancel(event_id=event_id, response_id=UNSET if response_id is None else response_id))


def test_a_cancel_names_the_response_goes_out_once_and_is_answered_by_its_done() -> None:
    machine = new_machine()
    receive(machine, created("r1"))
    assert ids(sent(cancel(machine, "c1"))) == ["r1"]
    assert sent(cancel(machine, "c2", "r1")) == []
    assert settled(receive(machine, done("r9"), done("r1", status="cancelled"))) == ["c1", "c2"]
    effects = cancel(machine, "c3", "r1")
    assert (sent(effects), settled([effects])) == ([], ["c3"]), "nothing is under way"


def test_a_response_without_an_id_is_cancelled_without_one() -> None:
    machine = new_machine()
    receive(machine, created(None))
    (event,) = sent(cancel(machine, "c1"))
    assert event.response_id is UNSET
    assert settled(receive(machine, {"type": "response.done", "response": None})) == ["c1"]


def test_a_cancel_before_created_goes_out_with_the_id() -> None:
    machine = new_machine()
    create(machine)
    assert sent(cancel(machine, "c1")) == []
    effects = receive(machine, created("r1", "e1"))
    assert ids(sent(effects)) == ["r1"]
    assert settled(receive(machine, done("r1", status="cancelled"))) == ["c1"]


def test_a_cancel_of_a_request_that_is_refused_is_over_with_it() -> None:
    machine = new_machine()
    create(machine)
    cancel(machine, "c1")
    assert settled(receive(machine, refused("e1", CONFLICT))) == ["e1", "c1"]


@pytest.mark.parametrize("done_first", [True, False])
def test_a_cancel_that_crosses_the_done_is_no_error(done_first: bool) -> None:
    machine = new_machine()
    receive(machine, created("r1"))
    cancel(machine, "c1")
    crossing = [done("r1"), refused("c1", "response_cancel_not_active")]
    effects = receive(machine, *(crossing if done_first else reversed(crossing)))
    assert settled(effects) == ["c1"]
    assert all(answer.error is None for each in effects for answer in each.settle)
    assert published(effects, ErrorReported) == []


def test_late_deltas_of_a_cancelled_response_are_told_to_nobody_until_it_is_done() -> None:
    machine = new_machine()
    added = {"type": "response.output_item.added", "response_id": "r1", "item": assistant_item("i1")}
    late = [
        audio_delta("i1", bytes(4), response_id="r1"),
        {"type": "response.output_text.delta", "response_id": "r1", "item_id": "i1", "delta": "late"},
        {"type": "response.output_audio_transcript.delta", "response_id": "r1", "item_id": "i1", "delta": "late"},
        {"type": "response.function_call_arguments.delta", "response_id": "r1", "item_id": "i1", "delta": "late"},
    ]
    receive(machine, created("r1"), added)
    assert len(published(receive(machine, *late), ItemUpdated)) == 4
    cancel(machine, "c1")
    effects = receive(machine, *late)
    assert published(effects, ItemUpdated) == []
    assert all(each.event is not None for each in effects), "the raw events are delivered"


# --- beside the conversation ----------------------------------------------------------------------------------------


def test_responses_beside_the_conversation_wait_for_nothing_and_are_cancelled_by_id_once() -> None:
    machine = new_machine()
    create(machine, "e1")
    assert ids(sent(create(machine, "e2", conversation="none"))) == ["e2"]
    assert ids(sent(create(machine, "e3", conversation="none"))) == ["e3"]
    receive(machine, created("r1", "e1"), created("r3", "e3", conversation_id=None))
    receive(machine, created("r2", "e2", conversation_id=None))
    assert ids(sent(cancel(machine, "c1", "r3"))) == ["r3"]
    assert sent(cancel(machine, "c2", "r3")) == []
    assert settled(receive(machine, done("r2", conversation_id=None))) == []
    assert settled(receive(machine, done("r3", conversation_id=None, status="cancelled"))) == ["c1", "c2"]
    assert machine.responses.sequencer.active_id == "r1"


def test_one_that_nobody_asked_for_is_known_by_its_missing_conversation() -> None:
    machine = new_machine()
    receive(machine, created("r1"))
    effects = receive(machine, created("r2", conversation_id=None), done("r2", conversation_id=None))
    assert published(effects, TurnDone)[0].beside
    assert machine.responses.sequencer.active_id == "r1"


# --- turns ----------------------------------------------------------------------------------------------------------


def test_stopping_a_turn_cancels_what_is_under_way_of_it() -> None:
    machine = new_machine()
    create(machine, "e1")
    receive(machine, created("r1", "e1"))
    assert machine.responses.responses_of("e1") == ("r1",)
    assert ids(sent(machine.stop_turn("e1"))) == ["r1"]
    assert sent(machine.stop_turn("e1")) == []
    receive(machine, done("r1", status="cancelled"))
    assert sent(machine.stop_turn("e1")) == []


def test_there_is_a_reply_to_wait_for_until_the_last_turn_is_done() -> None:
    machine = new_machine()
    replying = [machine.responses.replying]
    for step in (lambda: create(machine), lambda: receive(machine, created("r1", "e1"), done("r1"))):
        step()
        replying.append(machine.responses.replying)
    assert replying == [False, True, False]


def test_stopping_a_turn_that_waits_sends_nothing_ever() -> None:
    machine = new_machine()
    create(machine, "e1")
    create(machine, "e2")
    assert machine.stop_turn("e2").publish == ()
    assert sent(receive(machine, created("r1", "e1"), done("r1"))) == []


@pytest.mark.parametrize("beside", [True, False])
def test_stopping_a_turn_that_is_not_answered_cancels_it_when_it_is(beside: bool) -> None:
    machine = new_machine()
    create(machine, "e1", conversation="none" if beside else "auto")
    assert sent(machine.stop_turn("e1")) == []
    conversation_id = None if beside else "c"
    assert ids(sent(receive(machine, created("r1", "e1", conversation_id=conversation_id)))) == ["r1"]
    (ended,) = published(receive(machine, done("r1", conversation_id=conversation_id)), TurnDone)
    assert ended.beside is beside


def test_a_turn_that_lost_the_race_and_is_not_wanted_any_more_is_not_asked_for_again() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection={"type": "server_vad"}))
    create(machine)
    receive(machine, *SPEECH, created("r1"))
    assert sent(machine.stop_turn("e1")) == []
    assert "e1" in settled(receive(machine, refused("e1", CONFLICT)))
    assert sent(receive(machine, done("r1"))) == []
    assert not machine.responses.busy


def test_what_follows_from_tools_is_of_the_same_turn() -> None:
    machine = new_machine()
    create(machine)
    receive(machine, created("r1", "e1"))
    effects = receive(machine, done("r1", status="completed", output=[call_item("i1", "{}", "completed")]))
    output, follow_up = sent(effects)
    assert output.item.call_id == "call_1"
    assert published(effects, TurnDone) == []
    effects = receive(machine, created("r2", follow_up.event_id), done("r2", status="completed"))
    (ended,) = published(effects, TurnDone)
    assert (ended.turn_id, [each.id for each in ended.responses]) == ("e1", ["r1", "r2"])


# --- stalls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside", [True, False])
def test_a_response_that_stalled_has_failed_and_the_server_is_told_to_stop_it(beside: bool) -> None:
    machine = new_machine()
    create(machine, "e1", conversation="none" if beside else "auto")
    receive(machine, created("r1", "e1", conversation_id=None if beside else "c"))
    effects = machine.end_stalled("r1", 5)
    assert ids(sent(effects)) == ["r1"]
    (ended,) = published([effects], ResponseDone)
    assert ended.response.status == "failed"
    assert ended.response.status_details is not None
    assert ended.response.status_details.error is not None
    assert ended.response.status_details.error.code == "stalled"
    assert len(published([effects], TurnDone)) == 1
    assert published(receive(machine, done("r1", conversation_id=None if beside else "c")), ResponseDone) == []


def test_a_request_that_the_stalled_response_still_blocks_goes_out_after_it() -> None:
    machine = new_machine()
    create(machine, "e1")
    create(machine, "e2")
    receive(machine, created("r1", "e1"))
    assert ids(sent(machine.end_stalled("r1", 5))) == ["r1", "e2"]
    assert sent(receive(machine, refused("e2", CONFLICT))) == []
    assert ids(sent(receive(machine, done("r1", status="cancelled")))) == ["e2"]
    receive(machine, created("r2", "e2"))
    assert machine.responses.sequencer.active_id == "r2"


def test_an_issue_about_a_malformed_response_shows_nothing_that_is_private() -> None:
    machine = Machine(
        new_id=lambda prefix: f"{prefix}_1", retained_audio_bytes=0, input_audio_seconds=1, malformed_run_limit=2
    )
    response = Response(id="resp_1", metadata={"theirs": "1", PRIVATE_KEY: "event_1"})
    issue = ProtocolIssue(reason="usage is no object", event=server.ResponseCreated(response=response))
    published = machine.receive(issue).publish[0]
    assert isinstance(published, ProtocolIssue)
    assert published.event.response.metadata == {"theirs": "1"}
