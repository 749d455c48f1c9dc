"""How the server's answers find the commands that wait for them."""

from typing import get_args

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from trio_realtime.state.requests import Kind, Request, Requests, server_error
from trio_realtime.wire.items import (
    FunctionCall,
    FunctionCallOutput,
    InputText,
    Item,
    ItemReference,
    Message,
    OutputText,
)
from trio_realtime.wire.server_events import ErrorDetails

IN_ORDER = [kind for kind in get_args(Kind) if kind not in {"create_response", "create_beside", "cancel"}]


def waiting(*requests: Request) -> Requests:
    all_requests = Requests()
    for request in requests:
        all_requests.add(request)
    return all_requests


def user(text: str) -> Message:
    return Message(role="user", content=[InputText(text=text)])


class RequestsAgainstModel(RuleBasedStateMachine):
    """Requests, held against a list."""

    events = Bundle("events")

    def __init__(self) -> None:
        super().__init__()
        self.requests = Requests()
        self.model: list[Request] = []
        self.count = 0

    @rule(target=events, kind=st.sampled_from(get_args(Kind)), key=st.sampled_from(["a", "b"]))
    def add(self, kind: Kind, key: str) -> str:
        self.count += 1
        request = Request(event_id=f"event_{self.count}", kind=kind, key=key)
        self.requests.add(request)
        self.model.append(request)
        return request.event_id

    @rule(kind=st.sampled_from(get_args(Kind)), key=st.sampled_from(["a", "b", "c", None]))
    def confirm(self, kind: Kind, key: str | None) -> None:
        found = [each for each in self.model if each.kind == kind and key in {None, each.key}]
        settled = self.requests.confirm(kind, "result", key)
        assert (settled and settled.event_id) == (found[0].event_id if found else None)
        if found:
            assert settled is not None
            assert (settled.result, settled.error) == ("result", None)
            self.model.remove(found[0])

    @rule(event_id=events)
    def refuse(self, event_id: str) -> None:
        found = [each for each in self.model if each.event_id == event_id]
        refused = self.requests.refuse(ErrorDetails(event_id=event_id, message="no"))
        assert (refused and refused[0]) == (found[0] if found else None)
        if found:
            assert refused is not None
            assert (refused[1].event_id, str(refused[1].error)) == (event_id, "no")
            self.model.remove(found[0])

    @rule(
        details=st.sampled_from(
            [
                ErrorDetails(code="server_error"),
                ErrorDetails(message="no"),
                ErrorDetails(param="tools"),
                ErrorDetails(event_id="event_of_another", code="input_audio_buffer_commit_empty"),
            ]
        )
    )
    def refuse_something_else(self, details: ErrorDetails) -> None:
        assert self.requests.refuse(details) is None

    @invariant()
    def waits_for_the_same(self) -> None:
        assert self.requests.outstanding(*get_args(Kind)) == self.model
        assert len(self.requests) == len(self.model)


TestRequestsAgainstModel = RequestsAgainstModel.TestCase


# --- errors that do not say what they answer -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        (ErrorDetails(code="input_audio_buffer_commit_empty"), "commit"),
        (ErrorDetails(code="item_retrieve_invalid_item_id"), "retrieve"),
        (ErrorDetails(code="item_delete_invalid_item_id"), "delete"),
        (ErrorDetails(code="item_truncate_invalid_item_id"), "truncate"),
        (ErrorDetails(code="unsupported_content_type"), "truncate"),
        (ErrorDetails(code="cannot_update_voice"), "update"),
        (ErrorDetails(code="unknown_parameter", param="session.voice"), "update"),
        (ErrorDetails(code="invalid_value", param="item.content[0].type"), "create_item"),
        (ErrorDetails(code="invalid_value", param="previous_item_id"), "create_item"),
        (ErrorDetails(code="invalid_value", param="item_id"), "delete"),
        (ErrorDetails(code="invalid_value", param="item_id"), "truncate"),
        (ErrorDetails(code="invalid_value", param="item_id"), "retrieve"),
        (ErrorDetails(code="invalid_value", param="audio_end_ms"), "truncate"),
        (ErrorDetails(code="invalid_value", param="content_index"), "truncate"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.param or value.code,
)
def test_an_error_without_an_event_id_answers_the_oldest_command_that_it_can_be_about(
    details: ErrorDetails, kind: Kind
) -> None:
    others = [Request(event_id=f"other_{other}", kind=other) for other in IN_ORDER if other != kind]
    others = [
        each for each in others if not (details.param == "item_id" and each.kind in {"delete", "truncate", "retrieve"})
    ]
    requests = waiting(*others, Request(event_id="first", kind=kind), Request(event_id="second", kind=kind))
    refused = [requests.refuse(details) for _ in range(3)]
    assert [each and each[0].event_id for each in refused] == ["first", "second", None]
    assert len(requests) == len(others)


@pytest.mark.parametrize(
    ("details", "kinds"),
    [
        (ErrorDetails(code="response_cancel_not_active"), ("cancel",)),
        (ErrorDetails(param="response.voice"), ("create_response", "create_beside")),
        (ErrorDetails(param="response_id"), ("cancel",)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value.param or value.code,
)
def test_an_error_without_an_event_id_answers_what_is_out_of_order_only_when_it_stands_alone(
    details: ErrorDetails, kinds: tuple[Kind, ...]
) -> None:
    requests = waiting(Request(event_id="first", kind=kinds[0]), Request(event_id="second", kind=kinds[-1]))
    assert requests.refuse(details) is None
    alone = waiting(Request(event_id="first", kind=kinds[0]))
    refused = alone.refuse(details)
    assert refused is not None
    assert refused[0].event_id == "first"


def test_a_lost_race_is_that_of_the_conversation_not_of_a_response_beside_it() -> None:
    requests = waiting(
        Request(event_id="beside", kind="create_beside"), Request(event_id="ours", kind="create_response")
    )
    refused = requests.refuse(ErrorDetails(code="conversation_already_has_active_response"))
    assert refused is not None
    assert refused[0].event_id == "ours"


def test_an_unrelated_error_releases_nothing() -> None:
    requests = waiting(*[Request(event_id=kind, kind=kind) for kind in get_args(Kind)])
    assert requests.refuse(ErrorDetails(type="server_error", message="overloaded")) is None
    assert len(requests) == len(get_args(Kind))


@pytest.mark.parametrize(
    ("details", "words"),
    [
        (ErrorDetails(type="invalid_request_error", message="no such voice", code="invalid_value"), "no such voice"),
        (ErrorDetails(code="invalid_value"), "invalid_value"),
        (ErrorDetails(), "the server reported an error without a message"),
    ],
)
def test_an_error_always_says_something(details: ErrorDetails, words: str) -> None:
    assert str(server_error(details)) == words
    assert server_error(details).code == details.code
    assert server_error(details).type == details.type


# --- items -----------------------------------------------------------------------------------------------------------


def test_an_item_under_its_own_id_answers_its_command_whatever_it_looks_like() -> None:
    requests = waiting(
        Request(event_id="first", kind="create_item", key="item_1", item=user("a")),
        Request(event_id="second", kind="create_item", key="item_2", item=user("b")),
    )
    taken = requests.take_item("item_2", user("something else"))
    assert taken is not None
    assert taken.event_id == "second"


@pytest.mark.parametrize(
    ("wanted", "came", "same"),
    [
        (user("a"), user("a "), True),
        (user("a"), Message(role="system", content=[InputText(text="a")]), False),
        (user("a"), Message(role="user", content=[InputText(), InputText()]), False),
        (user("a"), Message(role="user", content=[OutputText(text="a")]), False),
        (user("a"), FunctionCallOutput(call_id="call_1", output="1"), False),
        (FunctionCallOutput(call_id="c", output="1"), FunctionCallOutput(call_id="c", output="1 "), True),
        (FunctionCallOutput(call_id="c", output="1"), FunctionCallOutput(call_id="d", output="1"), False),
        (FunctionCall(call_id="c", name="f"), FunctionCallOutput(call_id="c", output="1"), False),
        (ItemReference(id="i"), ItemReference(id="i"), True),
    ],
)
def test_an_item_under_another_id_answers_a_command_of_its_shape(wanted: Item, came: Item, same: bool) -> None:
    requests = waiting(Request(event_id="first", kind="create_item", key="item_1", item=wanted))
    assert requests.take_item("item_9", None) is None
    taken = requests.take_item("item_9", came)
    assert (taken is not None) == same
    assert len(requests) == (not same)


# --- responses -------------------------------------------------------------------------------------------------------


def test_a_response_answers_the_request_whose_token_it_carries() -> None:
    requests = waiting(
        Request(event_id="first", kind="create_response", key="first"),
        Request(event_id="second", kind="create_beside", key="second"),
    )
    confirmed = requests.confirm_response("second", "response")
    assert confirmed is not None
    assert (confirmed[0].event_id, confirmed[1].event_id, confirmed[1].result) == ("second", "second", "response")
    assert requests.confirm_response("second", "response") is None


def test_a_response_without_a_token_answers_the_only_request() -> None:
    requests = waiting(Request(event_id="first", kind="create_response", key="first"))
    confirmed = requests.confirm_response(None, "response")
    assert confirmed is not None
    assert confirmed[0].event_id == "first"


def test_a_response_without_a_token_answers_none_of_two_requests() -> None:
    requests = waiting(
        Request(event_id="first", kind="create_response", key="first"),
        Request(event_id="second", kind="create_beside", key="second"),
    )
    assert requests.confirm_response(None, "response") is None
    assert len(requests) == 2


def test_a_response_without_a_token_is_the_servers_own_once_it_is_known_to_echo_tokens() -> None:
    requests = waiting(Request(event_id="first", kind="create_response", key="first"))
    requests.confirm_response("first", "response")
    requests.add(Request(event_id="second", kind="create_response", key="second"))
    assert requests.confirm_response(None, "response") is None


def test_a_request_that_carries_no_token_is_answered_without_one() -> None:
    requests = waiting(Request(event_id="first", kind="create_response", key="first"))
    requests.confirm_response("first", "response")
    requests.add(Request(event_id="second", kind="create_response", key="second"))
    requests.add(Request(event_id="third", kind="create_response"))
    confirmed = requests.confirm_response(None, "response")
    assert confirmed is not None
    assert confirmed[0].event_id == "third"
