"""The program stops the assistant: what goes out, what is cut, what is told. And the tools, on the whole machine."""

from typing import Any

import msgspec
import pytest

from tests.state.talks import (
    added,
    assistant_item,
    audio_delta,
    call_item,
    new_machine,
    published,
    receive,
    sent,
    settled,
    user_item,
)
from trio_realtime.audio import PCM16
from trio_realtime.errors import ConfigError
from trio_realtime.state import updates
from trio_realtime.state.machine import Machine
from trio_realtime.state.response_events import without_token
from trio_realtime.state.tool_calls import ToolPolicy
from trio_realtime.wire import client_events as client, server_events as server
from trio_realtime.wire.items import FunctionCallOutput


def created(response_id: str) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": response_id, "conversation_id": "conv_1"}}


def done(response_id: str, **more: Any) -> dict[str, Any]:
    response = {"id": response_id, "conversation_id": "conv_1", "status": "completed", **more}
    return {"type": "response.done", "response": response}


def speaking(machine: Machine, *, ms: int = 1000) -> None:
    """An answer of so many milliseconds is under way."""
    receive(
        machine,
        created("resp_1"),
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_1")},
        audio_delta("item_1", bytes(PCM16.ms_to_bytes(ms)), response_id="resp_1"),
    )


def without_ids(events: list[Any]) -> list[Any]:
    return [msgspec.structs.replace(event, event_id=msgspec.UNSET) for event in events]


CANCEL = client.ResponseCancel(response_id="resp_1")


def test_without_an_item_the_response_is_cancelled_and_nothing_cut() -> None:
    machine = new_machine()
    speaking(machine)
    effects = machine.interrupt(None, None)
    assert without_ids(sent(effects)) == [CANCEL]
    assert published([effects], updates.Interrupted) == [updates.Interrupted(item_id="item_1")]


def test_with_an_item_and_what_was_heard_of_it_the_rest_is_cut() -> None:
    machine = new_machine()
    speaking(machine)
    effects = machine.interrupt("item_1", 12_345)
    cut = client.ConversationItemTruncate(item_id="item_1", content_index=0, audio_end_ms=514)
    assert without_ids(sent(effects)) == [CANCEL, cut]
    assert published([effects], updates.Interrupted) == [updates.Interrupted(item_id="item_1", heard_ms=514)]
    truncated = {"type": "conversation.item.truncated", "item_id": "item_1", "audio_end_ms": 514}
    assert settled(receive(machine, truncated)) == [sent(effects)[1].event_id]


def test_an_item_of_which_nothing_was_heard_is_deleted() -> None:
    machine = new_machine()
    speaking(machine)
    cancel, delete = sent(machine.interrupt("item_1", 0))
    assert without_ids([cancel, delete]) == [CANCEL, client.ConversationItemDelete(item_id="item_1")]
    assert settled(receive(machine, {"type": "conversation.item.deleted", "item_id": "item_1"})) == [delete.event_id]


NEITHER = "interrupt takes an item and how many samples of it were played, or neither"


@pytest.mark.parametrize(
    ("item_id", "samples", "words"),
    [
        ("item_1", None, NEITHER),
        (None, 7, NEITHER),
        ("item_9", 7, "there is no item 'item_9' in the conversation"),
        ("item_2", 7, "item 'item_2' is not a message of the assistant; only those can be interrupted"),
        ("item_3", 7, "item 'item_3' has no audio; interrupt() without an item stops the response"),
        ("item_1", -1, "played_samples is 0 or more, not -1"),
    ],
)
def test_what_cannot_be_interrupted_is_refused_and_changes_nothing(
    item_id: str | None, samples: int | None, words: str
) -> None:
    machine = new_machine()
    speaking(machine)
    receive(machine, added(user_item("item_2")), added(assistant_item("item_3")))
    with pytest.raises(ConfigError) as caught:
        machine.interrupt(item_id, samples)
    assert str(caught.value) == words
    assert machine.responses.sequencer.stopping is None
    assert len(machine._requests) == 0


def test_before_anything_was_said_there_is_nothing_to_cut() -> None:
    machine = new_machine()
    effects = machine.interrupt(None, None)
    assert sent(effects) == []
    assert published([effects], updates.Interrupted) == [updates.Interrupted(item_id=None)]


def test_with_a_playback_what_was_handed_out_counts_as_heard() -> None:
    machine = new_machine()
    ledger = machine.begin_playback()
    speaking(machine)
    assert ledger.take() is not None
    ledger.played(ms=300)
    cut = client.ConversationItemTruncate(item_id="item_1", content_index=0, audio_end_ms=300)
    assert without_ids(sent(machine.interrupt(None, None))) == [CANCEL, cut]
    assert ledger.take() is None


def test_with_a_playback_the_programs_own_clock_may_still_say_what_was_heard() -> None:
    machine = new_machine()
    ledger = machine.begin_playback()
    speaking(machine)
    effects = machine.interrupt("item_1", 24_00)
    cut = client.ConversationItemTruncate(item_id="item_1", content_index=0, audio_end_ms=100)
    assert without_ids(sent(effects)) == [CANCEL, cut]
    assert ledger.take() is None


def test_with_a_playback_that_is_silent_nothing_is_interrupted() -> None:
    machine = new_machine()
    machine.begin_playback()
    assert published([machine.interrupt(None, None)], updates.Interrupted) == []
    machine.end_playback()
    assert len(published([machine.interrupt(None, None)], updates.Interrupted)) == 1


def test_a_response_that_has_to_stop_is_cancelled_and_told_if_it_is_under_way() -> None:
    machine = new_machine()
    speaking(machine)
    effects = machine.stop_response("resp_0")
    assert (sent(effects), effects.publish) == ([], ())
    effects = machine.stop_response("resp_1")
    assert without_ids(sent(effects)) == [CANCEL]
    assert len(published([effects], updates.Interrupted)) == 1


def test_a_response_that_has_to_stop_is_not_heard_any_more() -> None:
    machine = new_machine()
    ledger = machine.begin_playback()
    speaking(machine)
    assert ledger.take() is not None
    ledger.played(ms=300)
    out = without_ids(sent(machine.stop_response("resp_1")))
    assert CANCEL in out
    assert ledger.take() is None


def second_answer(machine: Machine, *, ms: int = 100, **response: Any) -> None:
    """A second response is under way, whose item is `item_2`."""
    stated = {"id": "resp_2", "conversation_id": "conv_1", **response}
    receive(
        machine,
        {"type": "response.created", "response": stated},
        {"type": "response.output_item.added", "response_id": "resp_2", "item": assistant_item("item_2")},
        audio_delta("item_2", bytes(PCM16.ms_to_bytes(ms)), response_id="resp_2"),
    )


def test_a_response_that_has_to_stop_before_it_is_heard_lets_what_sounds_go_on() -> None:
    machine = new_machine()
    ledger = machine.begin_playback()
    speaking(machine, ms=100)
    receive(machine, done("resp_1"))
    second_answer(machine)
    effects = machine.stop_response("resp_2")
    cut = client.ConversationItemDelete(item_id="item_2")
    assert without_ids(sent(effects)) == [client.ResponseCancel(response_id="resp_2"), cut]
    assert published([effects], updates.Interrupted) == []
    assert [ledger.plays("resp_1"), ledger.plays("resp_2")] == [True, False]


def test_a_turn_that_is_stopped_while_it_is_heard_is_told_to_the_player() -> None:
    machine = new_machine()
    ledger = machine.begin_playback()
    speaking(machine)
    assert ledger.take() is not None
    ledger.played(ms=300)
    effects = machine.stop_turn("resp_1")
    assert published([effects], updates.Interrupted) == [updates.Interrupted(item_id="item_1", heard_ms=300)]


def test_an_interruption_cancels_all_that_sounds_and_cuts_what_the_conversation_holds() -> None:
    machine = new_machine()
    machine.begin_playback()
    receive(machine, created("resp_0"))
    second_answer(machine, conversation_id=None)  # beside the conversation
    item_1 = {"type": "response.output_item.added", "response_id": "resp_0", "item": assistant_item("item_1")}
    receive(machine, item_1, audio_delta("item_1", bytes(4800), response_id="resp_0"))
    assert without_ids(sent(machine.interrupt(None, None))) == [
        client.ResponseCancel(response_id="resp_0"),
        client.ResponseCancel(response_id="resp_2"),
        client.ConversationItemDelete(item_id="item_1"),
    ]


def test_a_response_that_the_player_holds_together_with_another_takes_it_with_it() -> None:
    machine = new_machine()
    ledger = machine.begin_playback()
    speaking(machine, ms=100)
    receive(
        machine,
        {"type": "response.output_audio.done", "response_id": "resp_1", "item_id": "item_1"},
        done("resp_1"),
        created("resp_2"),
        {"type": "response.output_item.added", "response_id": "resp_2", "item": assistant_item("item_2")},
        audio_delta("item_2", bytes(4800), response_id="resp_2"),
    )
    assert ledger.take() is not None
    ledger.played(bytes=0)
    assert ledger.take() is not None
    effects = machine.stop_response("resp_2")
    assert client.ResponseCancel(response_id="resp_2") in without_ids(sent(effects))
    assert len(published([effects], updates.Interrupted)) == 1
    assert not ledger.sounding


def test_what_still_comes_of_a_response_that_stalled_is_not_wanted() -> None:
    machine = new_machine()
    speaking(machine)
    machine.responses.end_stalled("resp_1", 5)
    before = machine.conversation["item_1"].audio_held_bytes
    [effects] = receive(machine, audio_delta("item_1", b"ab", response_id="resp_1"))
    assert effects.publish == ()
    assert effects.event is not None
    assert machine.conversation["item_1"].audio_held_bytes == before


def test_when_the_connection_ends_what_was_received_is_still_played() -> None:
    machine = new_machine()
    ledger = machine.begin_playback()
    speaking(machine)
    machine.connection_ended(code=None, reason="", cause=None, unix_time=0)
    chunk = ledger.take()
    assert chunk is not None
    assert len(chunk.audio) == PCM16.ms_to_bytes(1000)
    assert not ledger.take()
    assert not ledger.sounding


# --- tools ----------------------------------------------------------------------------------------------------------


def called(machine: Machine, **policy: Any) -> list[Any]:
    machine.responses.tools.calls.tools = {"get_weather": ToolPolicy(**policy)}
    final = call_item("item_2", '{"lat": 1}', "completed")
    return receive(
        machine,
        created("resp_1"),
        {"type": "response.output_item.added", "response_id": "resp_1", "item": call_item("item_2")},
        {"type": "response.output_item.done", "response_id": "resp_1", "item": final},
        done("resp_1", output=[final]),
    )


def test_a_call_is_started_and_its_output_goes_out_with_what_asks_the_model_to_go_on() -> None:
    machine = new_machine()
    effects = called(machine)
    [call] = [call for each in effects for call in each.start]
    assert (call.call_id, call.arguments, call.response_id) == ("call_1", '{"lat": 1}', "resp_1")
    output, follow_up = sent(machine.responses.tools.settle("call_1", '"sunny"'))
    assert isinstance(output.item, FunctionCallOutput)
    assert (output.item.call_id, output.item.output) == ("call_1", '"sunny"')
    assert without_token(follow_up) == client.ResponseCreate(event_id=follow_up.event_id)
    echo = {"type": "function_call_output", "id": output.item.id, "call_id": "call_1", "output": '"sunny"'}
    assert settled(receive(machine, added(echo))) == [output.event_id]


@pytest.mark.parametrize("conversation_id", ["conv_1", None])
def test_a_call_that_is_answered_while_it_is_written_is_followed_up_after_its_response(
    conversation_id: str | None,
) -> None:
    machine = new_machine()
    receive(machine, created("resp_0"), done("resp_0"))
    response = {"id": "resp_1", "conversation_id": conversation_id}
    receive(
        machine,
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "response_id": "resp_1", "item": call_item("item_2")},
    )
    effects = machine.responses.tools.answer("call_1", reply=True)
    ended = receive(machine, {"type": "response.done", "response": response | {"status": "completed"}})
    beside = conversation_id is None  # no call of it is the session's
    assert [type(event) for event in sent(effects)] == ([client.ResponseCreate] if beside else [])
    assert [type(event) for event in sent(ended)] == ([] if beside else [client.ResponseCreate])


def test_a_call_that_belongs_to_no_response_is_not_run() -> None:
    machine = new_machine()
    machine.responses.tools.calls.tools = {"get_weather": ToolPolicy()}
    for response_id in ("resp_2", None):
        receive(machine, created("resp_1"), {"type": "response.created", "response": {"id": "resp_2"}})
        final = call_item("item_2", "{}", "completed")
        [effects] = receive(machine, {"type": "response.output_item.done", "response_id": response_id, "item": final})
        assert (effects.start, sent(effects)) == ((), [])


def test_a_call_that_the_program_answers_itself_is_followed_up_if_it_says_so() -> None:
    machine = new_machine()
    assert [call for each in called(machine, runs=False) for call in each.start] == []
    effects = machine.responses.tools.answer("call_1", reply=True)
    assert [type(event) for event in sent(effects)] == [client.ResponseCreate]


def test_a_call_that_the_program_interrupts_is_still_followed_up() -> None:
    machine = new_machine()
    called(machine)
    effects = machine.interrupt(None, None)
    assert effects.cancel == ("call_1",)
    assert [type(event) for event in sent(effects)] == [client.ConversationItemCreate, client.ResponseCreate]


def test_a_call_that_the_user_speaks_over_is_answered_and_not_followed_up() -> None:
    machine = new_machine()
    called(machine)
    speech = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "item_3"}
    [effects] = receive(machine, speech)
    assert effects.cancel == ("call_1",)
    assert [type(event) for event in sent(effects)] == [client.ConversationItemCreate]


def test_what_follows_a_forced_call_is_free_to_speak() -> None:
    machine = new_machine()
    receive(machine, {"type": "session.updated", "session": {"type": "realtime", "tool_choice": "required"}})
    called(machine)
    _, follow_up = sent(machine.responses.tools.settle("call_1", "1"))
    assert follow_up.response.tool_choice == "auto"


def test_a_second_call_under_the_same_id_with_other_arguments_is_reported() -> None:
    machine = new_machine()
    called(machine)
    other = call_item("item_3", '{"lat": 2}', "completed")
    effects = receive(machine, {"type": "response.output_item.done", "response_id": "resp_1", "item": other})
    issue = effects[0].publish[-1]
    assert isinstance(issue, server.ProtocolIssue)
    assert issue.event_type == "response.output_item.done"
    assert issue.reason == "a second call with the id 'call_1', but another name or other arguments; it is not run"
    assert effects[0].start == ()
