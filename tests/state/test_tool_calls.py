"""The ledger of tool calls: one output per call, one follow-up per response, at the right moment, in bounded memory."""

import json

import pytest
from msgspec import UNSET, UnsetType

from tests.state.tool_ledger import call, error_of, ledger
from trio_realtime.errors import ConfigError
from trio_realtime.state import tool_calls
from trio_realtime.state.tool_calls import FollowUp, ToolCall, ToolCalls, ToolEffects, error_output
from trio_realtime.wire.items import FunctionCall, FunctionCallOutput
from trio_realtime.wire.session_config import ToolChoice, ToolChoiceFunction, ToolChoiceMcp

# --- one call ----------------------------------------------------------------------------------------------------


def test_a_completed_call_starts_with_all_that_is_known_of_it() -> None:
    effects = ledger().call_done(call("c1", arguments='{"lat": 1}'), "r1")
    start = ToolCall(call_id="c1", name="weather", arguments='{"lat": 1}', item_id="item_c1", response_id="r1")
    assert effects == ToolEffects(start=(start,))


def test_an_output_goes_out_at_once_and_the_follow_up_after_the_response_is_done() -> None:
    calls = ledger()
    calls.call_done(call("c1"), "r1")
    assert calls.settle("c1", "sunny") == ToolEffects(outputs=(FunctionCallOutput(call_id="c1", output="sunny"),))
    assert calls.response_done("r1", status="completed") == ToolEffects(follow_ups=(FollowUp(response_id="r1"),))


def test_the_follow_up_waits_for_the_last_call_of_the_response() -> None:
    calls = ledger()
    calls.call_done(call("c1"), "r1")
    calls.call_done(call("c2"), "r1")
    calls.settle("c1", "1")
    assert calls.response_done("r1", status="completed") == ToolEffects()
    effects = calls.settle("c2", "2")
    assert effects.outputs == (FunctionCallOutput(call_id="c2", output="2"),)
    assert effects.follow_ups == (FollowUp(response_id="r1"),)


@pytest.mark.parametrize("status", ["incomplete", "cancelled", "in_progress"])
def test_a_call_that_is_not_complete_is_not_run_and_not_answered(status: str) -> None:
    calls = ledger()
    assert calls.call_done(call("c1", status=status), "r1") == ToolEffects()
    assert calls.response_done("r1", status="completed") == ToolEffects()


def test_a_call_without_an_id_cannot_be_answered_and_is_not_run() -> None:
    assert ledger().call_done(FunctionCall(name="weather", arguments="{}"), "r1") == ToolEffects()


def test_a_server_that_states_no_status_means_a_complete_call() -> None:
    assert ledger().call_done(call("c1", status=None), "r1").start


@pytest.mark.parametrize("settled", [False, True])
def test_a_call_that_is_stated_twice_runs_once(settled: bool) -> None:
    calls = ledger()
    calls.call_done(call("c1"), "r1")
    if settled:
        calls.settle("c1", "sunny")
    assert calls.call_done(call("c1"), "r1") == ToolEffects()


@pytest.mark.parametrize("abandoned", [False, True])
@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("name", ["weather", "unknown"])
@pytest.mark.parametrize("other", [call("c1", arguments='{"lat": 2}'), call("c1", name="book")])
def test_a_call_id_that_comes_again_with_another_call_is_refused_and_reported(
    abandoned: bool, settled: bool, name: str, other: FunctionCall
) -> None:
    calls = ledger()
    if abandoned:
        calls.abandon("r1")
    calls.call_done(call("c1", name=name), "r1")
    if settled:
        calls.settle("c1", "sunny")
    effects = calls.call_done(other, "r1")
    assert effects.issue is not None
    assert "'c1'" in effects.issue.reason
    assert effects == ToolEffects(issue=effects.issue)


def test_an_unknown_name_in_a_response_that_is_over_is_followed_up_at_once() -> None:
    calls = ledger()
    calls.response_done("r1", status="completed")
    assert calls.call_done(call("c1", name="unknown"), "r1").follow_ups == (FollowUp(response_id="r1"),)


def test_an_unknown_name_gets_an_error_that_names_what_there_is() -> None:
    calls = ledger()
    (output,) = calls.call_done(call("c1", name="wether"), "r1").outputs
    assert error_of(output) == "there is no tool named 'wether'; there are: ask, book, note, weather"
    assert calls.response_done("r1", status="completed").follow_ups == (FollowUp(response_id="r1"),)


def test_an_unknown_name_without_any_tools_is_an_error_too() -> None:
    (output,) = ToolCalls().call_done(call("c1"), "r1").outputs
    assert error_of(output) == "there is no tool named 'weather'; there are: none"


def test_a_tool_that_is_removed_while_it_runs_is_answered_as_it_was_begun() -> None:
    calls = ledger()
    calls.call_done(call("c1", name="note"), "r1")
    calls.tools.clear()
    calls.response_done("r1", status="completed")
    assert calls.settle("c1", "noted") == ToolEffects(outputs=(FunctionCallOutput(call_id="c1", output="noted"),))


def test_a_result_of_a_call_that_has_its_output_is_dropped() -> None:
    calls = ledger()
    calls.call_done(call("c1"), "r1")
    calls.settle("c1", "sunny")
    assert calls.settle("c1", "rainy") == ToolEffects()
    assert calls.settle("never heard of", "?") == ToolEffects()


# --- follow-ups --------------------------------------------------------------------------------------------------


def test_a_response_whose_calls_all_want_no_reply_is_not_followed_up() -> None:
    calls = ledger()
    calls.call_done(call("c1", name="note"), "r1")
    calls.settle("c1", "noted")
    assert calls.response_done("r1", status="completed") == ToolEffects()


def test_one_call_that_wants_a_reply_is_enough() -> None:
    calls = ledger()
    for call_id, name in (("c1", "weather"), ("c2", "note")):
        calls.call_done(call(call_id, name=name), "r1")
        calls.settle(call_id, "done")
    assert calls.response_done("r1", status="completed").follow_ups


def test_a_response_that_the_users_turn_cancelled_gets_its_outputs_and_no_follow_up() -> None:
    calls = ledger()
    calls.call_done(call("c1", name="book"), "r1")
    assert calls.response_done("r1", status="cancelled", reason="turn_detected") == ToolEffects()
    assert calls.settle("c1", "sunny") == ToolEffects(outputs=(FunctionCallOutput(call_id="c1", output="sunny"),))


def test_the_users_turn_interrupts_the_calls_of_its_response_also_late_ones() -> None:
    calls = ledger()
    calls.interrupt(turn_detected=True)
    for call_id, name in (("c1", "weather"), ("c2", "book"), ("c3", "ask")):
        assert calls.call_done(call(call_id, name=name), "r1").start or name == "ask"
    calls.call_done(call("c4"), "r2")
    effects = calls.response_done("r1", status="cancelled", reason="turn_detected")
    assert effects.cancel == ("c1",)
    assert [(each.call_id, error_of(each)) for each in effects.outputs] == [("c1", tool_calls.CANCELLED)]
    assert not effects.follow_ups
    assert calls.running == ("c2", "c4")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("cancelled", "client_cancelled"),
        ("cancelled", None),
        ("incomplete", "max_output_tokens"),
        ("completed", "turn_detected"),
        (None, None),
    ],
)
def test_a_response_that_ended_in_any_other_way_is_followed_up(status: str | None, reason: str | None) -> None:
    calls = ledger()
    calls.call_done(call("c1"), "r1")
    calls.settle("c1", "sunny")
    assert calls.response_done("r1", status=status, reason=reason).follow_ups == (FollowUp(response_id="r1"),)


def test_a_second_done_changes_nothing() -> None:
    calls = ledger()
    calls.call_done(call("c1"), "r1")
    calls.response_done("r1", status="cancelled", reason="turn_detected")
    calls.response_done("r1", status="completed")
    assert not calls.settle("c1", "sunny").follow_ups


def test_a_call_that_comes_after_the_done_of_its_response_is_followed_up_when_it_is_settled() -> None:
    calls = ledger()
    calls.response_done("r1", status="completed")
    calls.call_done(call("c1"), "r1")
    assert calls.settle("c1", "sunny").follow_ups == (FollowUp(response_id="r1"),)
    calls.call_done(call("c2"), "r1")
    assert not calls.settle("c2", "once is enough").follow_ups


def test_after_a_forced_tool_the_model_is_free() -> None:
    calls = ledger()
    calls.call_done(call("c1"), "r1")
    calls.settle("c1", "sunny")
    (follow_up,) = calls.response_done("r1", status="completed", forced_tool=True).follow_ups
    assert follow_up == FollowUp(response_id="r1", tool_choice="auto")


@pytest.mark.parametrize(
    ("choice", "forced"),
    [
        (None, False),
        (UNSET, False),
        ("auto", False),
        ("none", False),
        ("required", True),
        (ToolChoiceFunction(name="weather"), True),
        (ToolChoiceMcp(server_label="mail"), True),
    ],
)
def test_which_choices_force_a_tool(choice: ToolChoice | UnsetType | None, forced: bool) -> None:
    assert tool_calls.forces_tool(choice) is forced


# --- the program's own outputs -----------------------------------------------------------------------------------


def test_a_call_of_a_plain_definition_waits_for_the_program() -> None:
    calls = ledger()
    assert calls.call_done(call("c1", name="ask"), "r1") == ToolEffects()
    assert calls.response_done("r1", status="completed") == ToolEffects()
    assert (calls.waiting, calls.running) == (("c1",), ())
    assert calls.answer("c1") == ToolEffects(follow_ups=(FollowUp(response_id="r1"),))
    assert calls.waiting == ()


def test_the_program_may_answer_without_asking_for_a_reply() -> None:
    calls = ledger()
    calls.call_done(call("c1", name="ask"), "r1")
    calls.response_done("r1", status="completed")
    assert calls.answer("c1", reply=False) == ToolEffects()


def test_an_answer_of_the_program_takes_the_place_of_a_function_that_runs() -> None:
    calls = ledger()
    calls.call_done(call("c1"), "r1")
    calls.response_done("r1", status="completed")
    assert calls.answer("c1") == ToolEffects(cancel=("c1",), follow_ups=(FollowUp(response_id="r1"),))
    assert calls.settle("c1", "too late") == ToolEffects()


def test_a_second_answer_is_refused() -> None:
    calls = ledger()
    calls.call_done(call("c1"), "r1")
    calls.settle("c1", "sunny")
    with pytest.raises(ConfigError, match="'c1' has its output already"):
        calls.answer("c1")


def test_an_answer_to_a_call_that_is_not_known_asks_for_a_reply_by_itself() -> None:
    assert ledger().answer("c0") == ToolEffects(follow_ups=(FollowUp(response_id=None),))
    assert ledger().answer("c0", reply=False) == ToolEffects()


# --- interruptions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn_detected", [False, True])
def test_an_interruption_cancels_what_may_be_cancelled_and_says_so_at_once(turn_detected: bool) -> None:
    calls = ledger()
    for call_id, name in (("c1", "weather"), ("c2", "book"), ("c3", "ask")):
        calls.call_done(call(call_id, name=name), "r1")
    effects = calls.interrupt(turn_detected=turn_detected)
    assert effects.cancel == ("c1",)
    assert [(each.call_id, error_of(each)) for each in effects.outputs] == [("c1", tool_calls.CANCELLED)]
    assert (calls.running, calls.waiting) == (("c2",), ("c3",))
    assert calls.settle("c1", "too late") == ToolEffects()


@pytest.mark.parametrize("turn_detected", [False, True])
def test_after_an_interruption_the_users_new_turn_gets_the_answer_if_there_is_one(turn_detected: bool) -> None:
    calls = ledger()
    calls.call_done(call("c1"), "r1")
    calls.call_done(call("c2"), "r1")
    calls.response_done("r1", status="completed")
    follow_ups = calls.interrupt(turn_detected=turn_detected).follow_ups
    assert follow_ups == (() if turn_detected else (FollowUp(response_id="r1"),))


def test_a_call_that_outlives_an_interruption_is_followed_up() -> None:
    calls = ledger()
    calls.call_done(call("c1"), "r1")
    calls.call_done(call("c2", name="book"), "r1")
    calls.response_done("r1", status="completed")
    assert not calls.interrupt(turn_detected=True).follow_ups
    assert calls.settle("c2", "booked").follow_ups == (FollowUp(response_id="r1"),)


@pytest.mark.parametrize("done_first", [False, True])
def test_an_abandoned_response_is_never_followed_up(done_first: bool) -> None:
    calls = ledger()
    for call_id, name in (("c1", "weather"), ("c2", "book"), ("c3", "ask"), ("c4", "unknown")):
        calls.call_done(call(call_id, name=name), "r1")
    calls.call_done(call("c5"), "r2")
    if done_first:
        calls.response_done("r1", status="completed")
    effects = calls.abandon("r1")
    assert effects.cancel == ("c1", "c2")
    assert [(each.call_id, error_of(each)) for each in effects.outputs] == [
        ("c1", tool_calls.ABANDONED),
        ("c2", tool_calls.ABANDONED),
    ]
    assert not calls.may_follow("r1")
    assert calls.waiting == ("c3",)
    assert not calls.answer("c3").follow_ups
    assert not calls.response_done("r1", status="completed").follow_ups
    assert calls.running == ("c5",)
    assert not calls.may_follow("never heard of")


def test_a_call_that_comes_after_its_response_was_abandoned_is_not_run() -> None:
    calls = ledger()
    calls.abandon("r1")
    for call_id, name in (("c1", "weather"), ("c2", "unknown")):
        effects = calls.call_done(call(call_id, name=name), "r1")
        assert not effects.start
        assert [(each.call_id, error_of(each)) for each in effects.outputs] == [(call_id, tool_calls.ABANDONED)]
        assert calls.call_done(call(call_id, name=name), "r1") == ToolEffects()
    assert calls.call_done(call("c3", name="ask"), "r1") == ToolEffects()
    assert calls.waiting == ("c3",), "the program may answer its own"
    assert not calls.response_done("r1", status="completed").follow_ups


def test_a_call_that_the_server_knows_and_the_session_does_not_is_somebody_elses() -> None:
    calls = ledger()
    calls.stated = frozenset({"theirs", "weather"})
    assert calls.call_done(call("c1", name="theirs"), "r1") == ToolEffects()
    assert calls.waiting == ("c1",)
    assert calls.call_done(call("c2", name="weather"), "r1").start
    (output,) = calls.call_done(call("c3", name="unknown"), "r1").outputs
    assert "ask, book, note, theirs, weather" in error_of(output)


@pytest.mark.parametrize("reply", [True, False])
def test_an_announced_call_that_is_answered_early_is_not_run_and_followed_up_with_its_response(reply: bool) -> None:
    calls = ledger()
    assert calls.answer("c1", reply=reply, response_id="r1") == ToolEffects()
    assert calls.call_done(call("c1"), "r1") == ToolEffects()
    assert calls.call_done(call("c1", arguments="{ }"), "r1") == ToolEffects(), "what it said was not known yet"
    with pytest.raises(ConfigError, match="already"):
        calls.answer("c1")
    follow_ups = calls.response_done("r1", status="completed").follow_ups
    assert follow_ups == ((FollowUp(response_id="r1"),) if reply else ())


def test_a_call_of_no_response_is_answered_once() -> None:
    calls = ledger()
    assert calls.answer("c1").follow_ups == (FollowUp(response_id=None),)
    with pytest.raises(ConfigError, match="already"):
        calls.answer("c1")


# --- many --------------------------------------------------------------------------------------------------------


def test_a_hundred_parallel_calls_give_a_hundred_outputs_and_one_follow_up() -> None:
    calls = ledger()
    started = [calls.call_done(call(f"c{n}"), "r1").start[0].call_id for n in range(100)]
    assert calls.response_done("r1", status="completed") == ToolEffects()
    settled = [calls.settle(call_id, call_id) for call_id in reversed(started)]
    assert sorted(output.call_id for effects in settled for output in effects.outputs) == sorted(started)
    assert [effects.follow_ups for effects in settled] == [()] * 99 + [(FollowUp(response_id="r1"),)]


def held(calls: ToolCalls) -> int:
    return len(calls._open) + len(calls._settled) + len(calls._responses)


def test_memory_is_bounded_over_a_long_session() -> None:
    calls = ledger()
    names = ("weather", "ask", "unknown")
    for n in range(10_000):
        calls.call_done(call(f"c{n}", name=names[n % 3]), f"r{n}")
        if n % 2:
            calls.response_done(f"r{n}", status="completed")
        calls.settle(f"c{n}" if names[n % 3] == "weather" else "", "sunny")
    assert held(calls) <= tool_calls._MAX_RESPONSES + tool_calls._MAX_SETTLED + tool_calls._MAX_WAITING


def test_1024_settled_calls_are_remembered() -> None:
    calls = ledger()
    for n in range(tool_calls._MAX_SETTLED):
        calls.call_done(call(f"c{n}", name="unknown"), "r")
    assert calls.call_done(call("c0", name="unknown"), "r") == ToolEffects()
    calls.call_done(call("last", name="unknown"), "r")
    assert calls.call_done(call("c0", name="unknown"), "r").outputs
    assert calls.call_done(call("last", name="unknown"), "r") == ToolEffects()


def test_what_is_over_is_forgotten_before_what_is_open() -> None:
    calls = ledger()
    calls.call_done(call("c"), "slow")
    calls.response_done("slow", status="completed")
    for n in range(2 * tool_calls._MAX_RESPONSES):
        calls.response_done(f"r{n}", status="completed")
    assert calls.may_follow("slow")
    assert calls.settle("c", "at last").follow_ups == (FollowUp(response_id="slow"),)


def test_a_response_that_was_pushed_out_is_still_followed_up_when_its_calls_are_settled() -> None:
    calls = ledger()
    calls.call_done(call("c"), "first")
    calls.response_done("first", status="completed")
    for n in range(tool_calls._MAX_RESPONSES):
        calls.call_done(call(f"c{n}"), f"r{n}")  # none of these is ever done
    assert not calls.may_follow("first")
    assert calls.settle("c", "at last").follow_ups == (FollowUp(response_id="first"),)


def test_a_program_that_answers_nothing_is_not_waited_for() -> None:
    calls = ledger()
    calls.call_done(call("c", name="ask"), "r")
    calls.call_done(call("w"), "r")
    calls.settle("w", "sunny")
    calls.response_done("r", status="completed")
    for n in range(tool_calls._MAX_WAITING - 1):
        assert not calls.call_done(call(f"c{n}", name="ask"), "s").follow_ups
    assert calls.call_done(call("last", name="ask"), "s").follow_ups == (FollowUp(response_id="r"),)
    assert "c" not in calls.waiting
    calls.response_done("s", status="completed")
    for n in range(tool_calls._MAX_WAITING):
        assert not calls.call_done(call(f"d{n}", name="ask"), "t").follow_ups, "nobody wants a reply"
    assert calls.answer("c").follow_ups == (FollowUp(response_id=None),)  # better late than never


def test_an_error_output_is_json_whatever_the_message() -> None:
    assert json.loads(error_output('a "quoted" \ud800 line\n')) == {"error": 'a "quoted" ? line\n'}
