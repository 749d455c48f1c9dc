"""Which response is meant, and what it was asked for with: by a token, by an id, or where a server says neither."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from trio_realtime.audio import PCM16
from trio_realtime.state.updates import ResponseStarted, TurnDone
from trio_realtime.wire.client_events import (
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
)
from trio_realtime.wire.responses import Response, Usage

from .responding import answers, called, create, names, turns, with_tool
from .talks import (
    added,
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

NO_RESPONSE = {"type": "response.done", "response": None}
CALL = call_item("i1", "{}", "completed")


# --- what it was asked for with -------------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [True, False])
def test_a_follow_up_asks_as_the_response_was_asked_for(announced: bool) -> None:
    machine = with_tool()
    request = create(machine, instructions="Be brief.")
    if announced:
        receive(machine, answers("created", request, "r1"))
    receive(machine, answers("done", request, "r1", output=[CALL]))
    _, follow_up = sent(machine.responses.tools.settle("call_1", "1"))
    assert follow_up.response.instructions == "Be brief."


def test_a_call_that_is_answered_while_it_is_written_is_followed_up_as_its_response_was_asked_for() -> None:
    machine = new_machine()
    request = create(machine, instructions="Be brief.")
    begun = {"type": "response.output_item.added", "response_id": "r1", "item": call_item("i1")}
    receive(machine, answers("created", request, "r1"), begun)
    assert sent(machine.responses.tools.answer("call_1", reply=True)) == []
    [follow_up] = sent(receive(machine, answers("done", request, "r1", output=[CALL])))
    assert follow_up.response.instructions == "Be brief."


def test_a_follow_up_of_the_servers_own_response_asks_for_nothing_in_particular() -> None:
    machine = with_tool()
    receive(machine, answers("created", None, "r1"))
    create(machine, "e2", instructions="Be brief.")
    [request] = sent(receive(machine, answers("done", None, "r1", output=[CALL])))
    machine.responses.tools.settle("call_1", "1")
    [follow_up] = sent(receive(machine, answers("created", request, "r2"), answers("done", request, "r2")))
    assert follow_up.response.instructions is UNSET


@pytest.mark.parametrize("conversation_id", ["c", None])
def test_what_is_over_leaves_nothing_in_the_books(conversation_id: str | None) -> None:
    machine = new_machine()
    conversation = "auto" if conversation_id else "none"
    audio = {"output": {"format": {"type": "audio/pcmu"}}}
    request = create(machine, conversation=conversation, instructions="x")
    machine.stop_turn("e1")
    stated: dict[str, Any] = {"conversation_id": conversation_id, "audio": audio}
    receive(machine, answers("created", request, "r1", **stated), answers("done", request, "r1", **stated))
    responses = machine.responses
    assert not responses._params
    assert not responses._unwanted_beside
    assert not responses._output.muted
    assert not responses._formats._by_response
    assert not responses._items.beside
    assert not machine._requests.outstanding("cancel", "create_response", "create_beside")


def test_before_anything_was_said_nothing_was_used_and_nothing_is_committed() -> None:
    machine = new_machine()
    assert machine.responses.total_usage == Usage()
    machine.command(InputAudioBufferAppend(audio=bytes(960)))
    assert names(sent([machine.command(ResponseCreate(event_id="e1"))])) == [("ask", "e1")]


def test_what_is_committed_before_a_response_is_answered_as_any_commit() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=None))
    machine.command(InputAudioBufferAppend(audio=bytes(960)))
    commit, _ = sent(machine.command(ResponseCreate(event_id="e1")))
    assert isinstance(commit, InputAudioBufferCommit)
    assert settled(receive(machine, {"type": "input_audio_buffer.committed", "item_id": "i1"})) == [commit.event_id]


# --- by a token -----------------------------------------------------------------------------------------------------


def test_a_request_has_the_response_for_its_answer_also_if_only_the_end_came() -> None:
    for event in ("created", "done"):
        machine = new_machine()
        [effects] = receive(machine, answers(event, create(machine), "r1"))
        [answer] = effects.settle
        assert isinstance(answer.result, Response)
        assert answer.result.id == "r1"


def test_what_the_server_says_is_shown_under_its_own_id() -> None:
    machine = new_machine()
    request = create(machine)
    events = [answers(event, request, "r1") | {"event_id": f"ev_{event}"} for event in ("created", "created", "done")]
    shown = [each.event.event_id for each in receive(machine, *events)]
    assert shown == ["ev_created", "ev_created", "ev_done"]


@pytest.mark.parametrize("announced", [True, False])
def test_calls_of_a_response_beside_the_conversation_are_not_run(announced: bool) -> None:
    machine = with_tool()
    request = create(machine, conversation="none")
    if announced:
        receive(machine, answers("created", request, "r1", conversation_id=None))
    [effects] = receive(machine, answers("done", request, "r1", conversation_id=None, output=[CALL]))
    assert effects.start == ()
    assert [turn.beside for turn in published([effects], TurnDone)] == [True]


def test_one_beside_the_conversation_that_is_created_twice_is_told_once() -> None:
    machine = new_machine()
    created = answers("created", create(machine, conversation="none"), "r1", conversation_id=None)
    assert len(published(receive(machine, created, created), ResponseStarted)) == 1


# --- by an id, or by none -------------------------------------------------------------------------------------------


def test_the_first_response_is_of_the_conversation_whatever_it_says() -> None:
    machine = new_machine()
    receive(machine, answers("created", None, "r1", conversation_id=None))
    assert machine.responses.sequencer.active_id == "r1"


def test_a_response_without_any_id_is_of_the_conversation() -> None:
    machine = new_machine()
    receive(machine, answers("created", None, "r1"), answers("done", None, "r1"))
    effects = receive(machine, {"type": "response.created", "response": {}})
    assert machine.responses.busy
    effects += receive(machine, NO_RESPONSE)
    [started] = published(effects, ResponseStarted)
    assert [turn.turn_id for turn in published(effects, TurnDone)] == [started.turn_id]
    assert not machine.responses.busy


def test_a_follow_up_of_a_response_without_an_id_asks_as_it_was_asked_for() -> None:
    machine = with_tool()
    request = create(machine, instructions="Be brief.")
    metadata = request.response.metadata
    receive(machine, {"type": "response.created", "response": {"metadata": metadata}})
    receive(machine, {"type": "response.done", "response": {"status": "completed", "output": [CALL]}})
    _, follow_up = sent(machine.responses.tools.settle("call_1", "1"))
    assert follow_up.response.instructions == "Be brief."


def test_one_beside_the_conversation_without_an_id_ends_as_it_began() -> None:
    machine = with_tool()
    metadata = create(machine, conversation="none").response.metadata
    receive(machine, {"type": "response.created", "response": {"metadata": metadata}})
    [effects] = receive(machine, {"type": "response.done", "response": {"metadata": metadata, "output": [CALL]}})
    assert effects.start == ()
    assert [turn.beside for turn in published([effects], TurnDone)] == [True]


def test_a_cancel_that_waited_for_a_response_without_an_id_is_answered_by_its_end() -> None:
    machine = new_machine()
    request = create(machine)
    machine.command(ResponseCancel(event_id="c1"))
    receive(machine, {"type": "response.created", "response": {"metadata": request.response.metadata}})
    assert settled(receive(machine, NO_RESPONSE)) == ["c1"]


def test_an_end_without_an_id_does_not_answer_a_request_that_is_out() -> None:
    machine = new_machine()
    request = create(machine)
    assert settled(receive(machine, NO_RESPONSE)) == []
    assert settled(receive(machine, answers("created", request, "r1"))) == ["e1"]


def test_the_end_of_an_unknown_response_does_not_answer_one_beside_the_conversation() -> None:
    machine = new_machine()
    create(machine, conversation="none")
    assert settled(receive(machine, answers("done", None, "r9"))) == []


def test_the_end_of_a_response_that_is_known_answers_no_other_request() -> None:
    machine = new_machine()
    first = create(machine, "e1", conversation="none")
    receive(machine, answers("created", first, "r1", conversation_id=None, metadata=None))
    create(machine, "e2")
    assert settled(receive(machine, answers("done", first, "r1", conversation_id=None, metadata=None))) == []


def test_what_comes_after_the_end_of_a_cancelled_response_is_told() -> None:
    machine = new_machine()
    receive(machine, answers("created", None, "r1"), added(assistant_item("i1")))
    machine.command(ResponseCancel(event_id="c1"))
    delta = audio_delta("i1", bytes(PCM16.ms_to_bytes(10)), response_id="r1")
    told = [len(each.publish) for each in receive(machine, delta, answers("done", None, "r1"), delta)]
    assert (told[0], told[2]) == (0, 1)


def test_a_turn_goes_on_with_what_its_tools_gave() -> None:
    machine = with_tool()
    called(machine)
    _, follow_up = sent(machine.responses.tools.settle("call_1", "1"))
    effects = receive(machine, answers("created", follow_up, "r2"), answers("done", follow_up, "r2"))
    assert turns(effects) == [("e1", ["r1", "r2"])]
