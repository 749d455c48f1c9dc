"""Between the ledger of calls and the responses: outputs with ids, follow-ups with parameters, turns that are held."""

from __future__ import annotations

import itertools

import pytest
from msgspec import UNSET, UnsetType

from trio_realtime.errors import ConfigError
from trio_realtime.state.effects import Effects
from trio_realtime.state.requests import Requests
from trio_realtime.state.tool_calls import ABANDONED, CANCELLED, ToolPolicy, error_output
from trio_realtime.state.tool_events import ToolEvents
from trio_realtime.state.turns import Turns
from trio_realtime.state.updates import TurnDone
from trio_realtime.wire import client_events as client
from trio_realtime.wire.items import FunctionCall, FunctionCallOutput, ItemReference, Message
from trio_realtime.wire.responses import Response, ResponseParams, StatusDetails
from trio_realtime.wire.server_events import ProtocolIssue
from trio_realtime.wire.session_config import FunctionTool, McpTool, SessionInfo, TranscriptionSessionInfo


class Fixture:
    """The events of tools, and what they asked for; a request that was asked for is answered by nobody."""

    def __init__(self) -> None:
        numbers = itertools.count(1)
        self.requests = Requests()
        self.turns = Turns()
        self.asked: list[tuple[ResponseParams | UnsetType, str | None]] = []
        self.tools = ToolEvents(
            new_id=lambda prefix: f"{prefix}_{next(numbers)}", requests=self.requests, turns=self.turns, ask=self._ask
        )
        self.tools.calls.tools = {
            "runs": ToolPolicy(),
            "silent": ToolPolicy(reply=False),
            "goes_on": ToolPolicy(on_interrupt="finish"),
            "manual": ToolPolicy(runs=False),
        }

    def _ask(self, event: client.ResponseCreate, turn_id: str | None) -> Effects:
        assert isinstance(event.event_id, str)
        assert not isinstance(event.response, dict)
        self.turns.requested(event.event_id, turn_id)
        self.asked.append((event.response, turn_id))
        return Effects(send=(event,))

    def begin(self, response_id: str = "r1") -> str:
        """A response begins a turn."""
        return self.turns.created(response_id, None)

    def end(self, response_id: str = "r1", params: ResponseParams | None = None, **fields: object) -> Effects:
        """A response is over."""
        response = Response(**{"id": response_id, "status": "completed", **fields})  # type: ignore[arg-type]  # of any
        effects = self.tools.response_done(response, response_id, self.turns.created(response_id, None), params)
        self.turns.done(response_id, response)
        return effects


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


def call(call_id: str, name: str = "runs", arguments: str = "{}") -> FunctionCall:
    return FunctionCall(id=f"item_{call_id}", call_id=call_id, name=name, arguments=arguments, status="completed")


def turns_done(effects: Effects) -> list[list[str | None]]:
    updates = [update for update in effects.publish if isinstance(update, TurnDone)]
    return [[response.id for response in update.responses] for update in updates]


def outputs(effects: Effects) -> list[tuple[str | None, str]]:
    created = [event.item for event in effects.send if isinstance(event, client.ConversationItemCreate)]
    return [(item.call_id, item.output) for item in created if isinstance(item, FunctionCallOutput)]


def test_only_calls_are_for_tools(fixture: Fixture) -> None:
    message = Message(id="m", role="assistant", content=[])
    fixture.tools.item_added(message, "r1")
    assert fixture.tools.item_done(message, "r1") == Effects()


def test_an_output_is_an_item_with_an_id_that_waits_for_its_acknowledgement(fixture: Fixture) -> None:
    fixture.begin()
    (start,) = fixture.tools.item_done(call("c1"), "r1").start
    assert (start.call_id, start.response_id) == ("c1", "r1")
    effects = fixture.tools.settle("c1", "done")
    (event,) = effects.send
    assert isinstance(event, client.ConversationItemCreate)
    assert event.item == FunctionCallOutput(id="item_1", call_id="c1", output="done")
    (request,) = fixture.requests.outstanding("create_item")
    assert (request.event_id, request.key, request.item) == (event.event_id, "item_1", event.item)


def test_a_response_keeps_its_turn_open_until_its_follow_up_is_asked_for(fixture: Fixture) -> None:
    turn_id = fixture.begin()
    fixture.tools.item_done(call("c1"), "r1")
    assert fixture.end() == Effects()
    assert fixture.turns.replying
    effects = fixture.tools.settle("c1", "done")
    assert fixture.asked == [(UNSET, turn_id)]
    assert outputs(effects) == [("c1", "done")]
    assert isinstance(effects.send[-1], client.ResponseCreate), "after the output"
    assert turns_done(effects) == [], "the follow-up holds it now"
    assert fixture.turns.replying


@pytest.mark.parametrize("name", ["silent", "manual"])
def test_a_turn_that_no_follow_up_goes_on_with_is_done(name: str, fixture: Fixture) -> None:
    fixture.begin()
    fixture.tools.item_done(call("c1", name), "r1")
    fixture.end()
    settled = fixture.tools.settle("c1", "done") if name == "silent" else fixture.tools.answer("c1", reply=False)
    assert turns_done(settled) == [["r1"]]
    assert fixture.asked == []


def test_a_response_without_calls_does_not_hold_its_turn(fixture: Fixture) -> None:
    fixture.begin()
    assert fixture.end() == Effects()
    assert not fixture.turns.replying


def test_the_output_of_a_response_states_calls_that_were_not_stated_before(fixture: Fixture) -> None:
    fixture.begin()
    fixture.tools.item_done(call("c1"), "r1")
    effects = fixture.end(output=[call("c1"), call("c2"), call("c3", "unknown")])
    assert [start.call_id for start in effects.start] == ["c2"]
    assert [call_id for call_id, _ in outputs(effects)] == ["c3"]
    assert fixture.asked == []


def test_a_response_without_any_output_has_no_calls(fixture: Fixture) -> None:
    fixture.begin()
    assert fixture.end(output=None) == Effects()


def test_a_call_that_is_stated_differently_is_an_issue(fixture: Fixture) -> None:
    fixture.tools.item_done(call("c1"), "r1")
    (issue,) = fixture.tools.item_done(call("c1", arguments="[]"), "r1").publish
    assert isinstance(issue, ProtocolIssue)


def test_a_response_that_the_users_turn_cancelled_lets_go_of_its_turn_at_once(fixture: Fixture) -> None:
    fixture.begin()
    fixture.tools.item_done(call("c1", "goes_on"), "r1")
    fixture.end(status="cancelled", status_details=StatusDetails(type="cancelled", reason="turn_detected"))
    assert not fixture.turns.replying
    effects = fixture.tools.settle("c1", "done")
    assert outputs(effects) == [("c1", "done")]
    assert (fixture.asked, turns_done(effects)) == ([], [])


# --- the follow-up ----------------------------------------------------------------------------------------------------


def follow_up_of(fixture: Fixture, params: ResponseParams | None) -> ResponseParams | UnsetType:
    fixture.begin()
    fixture.tools.item_done(call("c1"), "r1")
    fixture.tools.settle("c1", "done")
    fixture.end(params=params)
    ((asked, _),) = fixture.asked
    return asked


def test_the_follow_up_keeps_the_parameters_without_the_input(fixture: Fixture) -> None:
    params = ResponseParams(instructions="Be brief.", input=[ItemReference(id="x")], tool_choice="auto")
    assert follow_up_of(fixture, params) == ResponseParams(instructions="Be brief.", tool_choice="auto")


def test_the_follow_up_of_a_bare_request_is_bare(fixture: Fixture) -> None:
    assert follow_up_of(fixture, ResponseParams(input=[])) is UNSET


@pytest.mark.parametrize("of_session", [True, False])
def test_the_follow_up_of_a_forced_tool_is_free(of_session: bool, fixture: Fixture) -> None:
    if of_session:
        fixture.tools.session_stated(SessionInfo(tool_choice="required"))
    params = ResponseParams(instructions="x", tool_choice=UNSET if of_session else "required")
    assert follow_up_of(fixture, params) == ResponseParams(instructions="x", tool_choice="auto")


def test_a_choice_of_the_response_counts_and_not_the_sessions(fixture: Fixture) -> None:
    fixture.tools.session_stated(SessionInfo(tool_choice="required"))
    assert follow_up_of(fixture, ResponseParams(tool_choice="auto")) == ResponseParams(tool_choice="auto")


def test_the_follow_up_of_a_call_that_came_after_its_response_begins_a_turn(fixture: Fixture) -> None:
    fixture.begin()
    fixture.end(params=ResponseParams(instructions="x"))
    fixture.tools.item_done(call("c1"), "r1")
    fixture.tools.settle("c1", "done")
    assert fixture.asked == [(UNSET, None)]


# --- the program ------------------------------------------------------------------------------------------------------


def test_an_answer_to_a_call_of_no_response_is_followed_up_at_once(fixture: Fixture) -> None:
    fixture.tools.answer("c1", reply=True)
    assert fixture.asked == [(UNSET, None)]


def test_an_early_answer_to_an_announced_call_waits_for_the_end_of_its_response(fixture: Fixture) -> None:
    turn_id = fixture.begin()
    fixture.begin("r2")
    fixture.tools.item_added(call("c1", "manual"), "r1")
    fixture.tools.item_added(FunctionCall(name="manual"), "r1")  # some servers give the id later
    fixture.tools.item_added(call("c2", "manual"), "r2")
    fixture.tools.answer("c1", reply=True)
    assert fixture.tools.item_done(call("c1", "manual"), "r1") == Effects()
    assert fixture.asked == []
    fixture.end()
    assert fixture.asked == [(UNSET, turn_id)]
    fixture.tools.answer("c2", reply=True)
    assert len(fixture.asked) == 1, "the other response is still under way"
    with pytest.raises(ConfigError, match="already"):
        fixture.tools.answer("c2", reply=True)


def test_an_interruption_ends_what_gives_way(fixture: Fixture) -> None:
    turn_id = fixture.begin()
    for call_id, name in (("c1", "runs"), ("c2", "goes_on"), ("c3", "manual")):
        fixture.tools.item_done(call(call_id, name), "r1")
    fixture.end()
    effects = fixture.tools.interrupt(turn_detected=False)
    assert effects.cancel == ("c1",)
    assert outputs(effects) == [("c1", error_output(CANCELLED))]
    fixture.tools.settle("c2", "done")
    assert fixture.asked == []
    fixture.tools.answer("c3", reply=False)
    assert fixture.asked == [(UNSET, turn_id)]


def test_abandoning_a_turn_ends_the_calls_of_all_its_responses_and_no_others(fixture: Fixture) -> None:
    turn_id = fixture.begin()
    fixture.begin("other")
    fixture.tools.item_done(call("c1"), "r1")
    fixture.tools.item_done(call("c2"), "other")
    fixture.end()
    fixture.tools.item_done(call("c3", "goes_on"), "under way")
    effects = fixture.tools.abandon(turn_id, ("under way",))
    assert effects.cancel == ("c1", "c3")
    assert outputs(effects) == [("c1", error_output(ABANDONED)), ("c3", error_output(ABANDONED))]
    assert turns_done(effects) == [["r1"]]
    assert fixture.asked == []
    assert fixture.tools.calls.running == ("c2",)


# --- the session ------------------------------------------------------------------------------------------------------


def test_what_the_server_states_of_the_tools_is_known(fixture: Fixture) -> None:
    mcp = McpTool(server_label="docs", server_url="https://mcp.example")
    fixture.tools.session_stated(SessionInfo(tools=[FunctionTool(name="theirs"), mcp], tool_choice="auto"))
    assert fixture.tools.calls.stated == {"theirs"}
    assert fixture.tools.session_tool_choice == "auto"
    fixture.tools.session_stated(TranscriptionSessionInfo())
    assert fixture.tools.calls.stated == {"theirs"}, "it says nothing of tools"
    fixture.tools.session_stated(SessionInfo())
    assert fixture.tools.calls.stated == set()
    assert fixture.tools.session_tool_choice is None
