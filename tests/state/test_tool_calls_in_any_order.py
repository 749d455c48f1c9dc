"""The ledger of tool calls against a list of them that is read from scratch, whatever happens in whichever order."""

from dataclasses import dataclass

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import UNSET

from tests.state.tool_ledger import TOOLS, call, ledger
from trio_realtime.errors import ConfigError
from trio_realtime.state.tool_calls import FollowUp, ToolEffects


@dataclass
class ModelCall:
    response_id: str
    name: str
    outputs: int = 0
    wants_reply: bool = False
    early: bool = False


@dataclass
class ModelResponse:
    done: bool = False
    forced: bool = False
    never: bool = False
    abandoned: bool = False
    follow_ups: int = 0


class LedgerMachine(RuleBasedStateMachine):
    """A server, a session and a program that do what they like, against a list of calls that is read from scratch."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ledger()
        self.calls: dict[str, ModelCall] = {}
        self.responses: dict[str, ModelResponse] = {}

    def took_effect(self, effects: ToolEffects) -> None:
        for output in effects.outputs:
            self.calls[output.call_id].outputs += 1
        expected = {
            FollowUp(response_id=key, tool_choice="auto" if response.forced else UNSET)
            for key, response in self.responses.items()
            if response.done
            and not response.never
            and not response.follow_ups
            and all(one.outputs for one in self.calls.values() if one.response_id == key)
            and any(one.wants_reply for one in self.calls.values() if one.response_id == key)
        }
        assert set(effects.follow_ups) == expected
        assert len(effects.follow_ups) == len(expected)
        for follow_up in effects.follow_ups:
            self.responses[str(follow_up.response_id)].follow_ups += 1

    def open_calls(self, *names: str) -> list[str]:
        return [key for key, one in self.calls.items() if not one.outputs and one.name in names]

    @rule()
    def response_begins(self) -> None:
        self.responses[f"r{len(self.responses)}"] = ModelResponse()

    @precondition(lambda self: self.responses)
    @rule(data=st.data(), name=st.sampled_from([*TOOLS, "unknown"]))
    def call_completes(self, data: st.DataObject, name: str) -> None:
        response_id = data.draw(st.sampled_from(sorted(self.responses)))
        call_id = f"c{len(self.calls)}"
        abandoned = self.responses[response_id].abandoned
        self.calls[call_id] = ModelCall(response_id, name, wants_reply=name == "unknown")
        effects = self.ledger.call_done(call(call_id, name), response_id)
        runs = TOOLS.get(name, TOOLS["ask"]).runs and not abandoned
        assert [start.call_id for start in effects.start] == ([call_id] if runs else [])
        self.took_effect(effects)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), same=st.booleans())
    def call_is_stated_again(self, data: st.DataObject, same: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.calls)))
        again = call(call_id, self.calls[call_id].name, "{}" if same else "{ }")
        effects = self.ledger.call_done(again, self.calls[call_id].response_id)
        assert (effects.issue is None) == (same or self.calls[call_id].early)
        assert not effects.start
        self.took_effect(effects)

    @precondition(lambda self: self.responses)
    @rule(data=st.data())
    def call_stays_incomplete(self, data: st.DataObject) -> None:
        response_id = data.draw(st.sampled_from(sorted(self.responses)))
        self.took_effect(self.ledger.call_done(call("half", status="incomplete"), response_id))

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def function_ends(self, data: st.DataObject) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.calls)))
        if call_id in self.open_calls("ask"):
            return  # nothing runs for it
        if not self.calls[call_id].outputs:
            self.calls[call_id].wants_reply = TOOLS[self.calls[call_id].name].reply
        self.took_effect_of_settling(call_id)

    def took_effect_of_settling(self, call_id: str) -> None:
        before = self.calls[call_id].outputs
        effects = self.ledger.settle(call_id, "done")
        assert len(effects.outputs) == 1 - before
        self.took_effect(effects)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), reply=st.booleans())
    def program_answers(self, data: st.DataObject, reply: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.calls)))
        one = self.calls[call_id]
        if one.outputs:
            with pytest.raises(ConfigError):
                self.ledger.answer(call_id, reply=reply)
            return
        one.outputs, one.wants_reply = 1, reply
        effects = self.ledger.answer(call_id, reply=reply)
        assert effects.outputs == ()
        assert effects.cancel == ((call_id,) if TOOLS[one.name].runs else ())
        self.took_effect(effects)

    @precondition(lambda self: self.responses)
    @rule(data=st.data(), reply=st.booleans())
    def program_answers_early(self, data: st.DataObject, reply: bool) -> None:
        response_id = data.draw(st.sampled_from(sorted(self.responses)))
        call_id = f"c{len(self.calls)}"
        self.calls[call_id] = ModelCall(response_id, "ask", outputs=1, wants_reply=reply, early=True)
        self.took_effect(self.ledger.answer(call_id, reply=reply, response_id=response_id))

    @precondition(lambda self: self.responses)
    @rule(
        data=st.data(),
        ended=st.sampled_from([("completed", None), ("cancelled", "turn_detected"), ("cancelled", "client_cancelled")]),
        forced=st.booleans(),
    )
    def response_ends(self, data: st.DataObject, ended: tuple[str, str | None], forced: bool) -> None:
        response_id = data.draw(st.sampled_from(sorted(self.responses)))
        response = self.responses[response_id]
        if not response.done:
            response.done, response.forced = True, forced
            response.never |= ended == ("cancelled", "turn_detected")
            interrupted = self.open_calls("weather", "note") if ended == ("cancelled", "turn_detected") else []
            cancelled = [key for key in interrupted if self.calls[key].response_id == response_id]
        else:
            cancelled = []
        status, reason = ended
        effects = self.ledger.response_done(response_id, status=status, reason=reason, forced_tool=forced)
        assert list(effects.cancel) == [output.call_id for output in effects.outputs] == cancelled
        self.took_effect(effects)

    @rule(turn_detected=st.booleans())
    def user_interrupts(self, turn_detected: bool) -> None:
        cancelled = self.open_calls("weather", "note")
        for call_id in cancelled:
            one = self.calls[call_id]
            one.wants_reply = TOOLS[one.name].reply and not turn_detected
        effects = self.ledger.interrupt(turn_detected=turn_detected)
        assert list(effects.cancel) == [output.call_id for output in effects.outputs] == cancelled
        self.took_effect(effects)

    @precondition(lambda self: self.responses)
    @rule(data=st.data())
    def turn_is_left(self, data: st.DataObject) -> None:
        response_id = data.draw(st.sampled_from(sorted(self.responses)))
        self.responses[response_id].never = self.responses[response_id].abandoned = True
        running = self.open_calls("weather", "note", "book")
        effects = self.ledger.abandon(response_id)
        assert list(effects.cancel) == [key for key in running if self.calls[key].response_id == response_id]
        self.took_effect(effects)

    @invariant()
    def a_call_has_one_output_at_most_and_is_open_without(self) -> None:
        assert all(one.outputs in {0, 1} for one in self.calls.values())
        assert list(self.ledger.running) == self.open_calls("weather", "note", "book")
        assert list(self.ledger.waiting) == self.open_calls("ask")
        for key in self.responses:
            is_open = any(one.response_id == key and not one.outputs for one in self.calls.values())
            followed = self.responses[key].never or self.responses[key].follow_ups
            assert self.ledger.may_follow(key) == (is_open and not followed)

    @invariant()
    def a_response_is_followed_up_once_at_most_and_never_after_the_users_turn(self) -> None:
        assert all(response.follow_ups in {0, 1} for response in self.responses.values())

    def teardown(self) -> None:
        for call_id in self.open_calls("weather", "note", "book"):
            self.calls[call_id].wants_reply = TOOLS[self.calls[call_id].name].reply
            self.took_effect_of_settling(call_id)
        for call_id in self.open_calls("ask"):
            self.calls[call_id].outputs, self.calls[call_id].wants_reply = 1, True
            self.took_effect(self.ledger.answer(call_id))
        assert all(one.outputs == 1 for one in self.calls.values())


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(stateful_step_count=40)
