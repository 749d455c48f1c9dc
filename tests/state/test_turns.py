"""Which responses are one turn, and when it is done."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given, strategies as st

from trio_realtime.state.turns import TurnRecord, Turns, added_usage, turn_done
from trio_realtime.wire.responses import InputTokenDetails, Response, Usage


def response(response_id: str | None, tokens: int | None = None) -> Response:
    return Response(id=response_id, usage=None if tokens is None else Usage(total_tokens=tokens))


def test_a_response_that_nobody_asked_for_is_a_turn_of_its_own() -> None:
    turns = Turns()
    assert turns.created("r1", None) == "r1"
    assert turns.created("r2", "of nobody", beside=True) == "r2"
    assert turns.replying
    record = turns.done("r1", response("r1"))
    assert record is not None
    assert (record.turn_id, record.responses, record.beside) == ("r1", [response("r1")], False)
    assert not turns.replying


def test_a_request_begins_a_turn_that_its_response_is_of() -> None:
    turns = Turns()
    turns.requested("e1")
    assert turns.replying
    assert turns.requests_of("e1") == ("e1",)
    assert turns.created("r1", "e1") == "e1"
    assert turns.created("r1", "e1") == "e1", "created twice"
    assert (turns.requests_of("e1"), turns.responses_of("e1"), turns.all_of("e1")) == ((), ("r1",), ("r1",))
    assert turns.done("r1", response("r1")) is not None
    assert (turns.responses_of("e1"), turns.all_of("e1")) == ((), ())
    assert turns.done("r1", response("r1")) is None, "done twice"


def test_a_turn_goes_on_while_something_holds_it() -> None:
    turns = Turns()
    turns.requested("e1")
    turns.created("r1", "e1")
    turns.hold("e1")  # its tools run
    assert turns.done("r1", response("r1")) is None
    assert turns.all_of("e1") == ("r1",)
    turns.requested("e2", "e1")  # the follow-up
    assert turns.release("e1") is None
    assert turns.created("r2", "e2") == "e1"
    assert turns.all_of("e1") == ("r1", "r2")
    record = turns.done("r2", response(None))
    assert record is not None
    assert record.responses == [response("r1"), response(None)]


def test_a_request_that_is_dropped_lets_go_of_its_turn() -> None:
    turns = Turns()
    turns.requested("e1")
    record = turns.dropped("e1")
    assert record is not None
    assert turn_done(record) == (), "a turn without any response was none"
    assert turns.dropped("e1") is None
    assert turns.release("e1") is None


def test_a_turn_beside_the_conversation_is_no_reply() -> None:
    turns = Turns()
    turns.requested("e1", beside=True)
    turns.created("r1", "e1")
    turns.created("r2", None, beside=True)
    assert not turns.replying
    for response_id in ("r1", "r2"):
        (done,) = turn_done(turns.done(response_id, response(response_id)))
        assert done.beside


def test_what_goes_on_beside_the_conversation_stays_there() -> None:
    turns = Turns()
    turns.requested("e1", beside=True)
    turns.requested("e2", "e1")
    assert not turns.replying


def test_a_turn_that_is_done_tells_its_responses_and_what_they_cost() -> None:
    record = TurnRecord(turn_id="e1", responses=[response("r1", 3), response("r2"), response("r3", 4)])
    (done,) = turn_done(record)
    assert done.turn_id == "e1"
    assert done.responses == (response("r1", 3), response("r2"), response("r3", 4))
    assert done.usage == Usage(total_tokens=7)
    assert turn_done(None) == ()


counts = st.none() | st.integers(0, 1000)
details = st.none() | st.builds(InputTokenDetails, text_tokens=counts, audio_tokens=counts)
usages = st.none() | st.builds(Usage, total_tokens=counts, input_tokens=counts, input_token_details=details)


TWO_WITH_DETAILS = [
    Usage(input_token_details=InputTokenDetails(text_tokens=1, audio_tokens=2)),
    Usage(input_token_details=InputTokenDetails(text_tokens=3)),
]


@given(st.lists(usages, max_size=5))
@example(TWO_WITH_DETAILS)
def test_usages_add_up_field_by_field(given_usages: list[Usage | None]) -> None:
    total = added_usage(given_usages)
    stated = [usage for usage in given_usages if usage is not None]

    def added(values: list[int | None]) -> int | None:
        numbers = [value for value in values if value is not None]
        return sum(numbers) if numbers else None

    assert total.total_tokens == added([usage.total_tokens for usage in stated])
    assert total.input_tokens == added([usage.input_tokens for usage in stated])
    inner = [usage.input_token_details for usage in stated if usage.input_token_details is not None]
    assert (total.input_token_details is None) is (not inner)
    if total.input_token_details is not None:
        assert total.input_token_details.text_tokens == added([each.text_tokens for each in inner])
        assert total.input_token_details.audio_tokens == added([each.audio_tokens for each in inner])


happening = st.sampled_from(["request", "created", "own", "done", "drop", "hold", "release"])


@given(st.lists(happening, max_size=10) | st.lists(happening, min_size=20, max_size=60))
def test_every_turn_ends_exactly_when_nothing_of_it_is_to_come(steps: list[str]) -> None:
    """Against a count of what each turn waits for."""
    turns = Turns()
    waits: Counter[str] = Counter()
    requests: list[str] = []
    active: list[tuple[str, str]] = []
    held: list[str] = []

    def ended(record: TurnRecord | None, turn_id: str) -> None:
        waits[turn_id] -= 1
        assert (record is not None) is (waits[turn_id] == 0)
        assert record is None or record.turn_id == turn_id

    for number, step in enumerate(steps):
        if step == "request":
            turns.requested(f"e{number}")
            requests.append(f"e{number}")
            waits[f"e{number}"] += 1
        elif step == "created" and requests:
            request_id = requests.pop(0)
            assert turns.created(f"r{number}", request_id) == request_id
            active.append((f"r{number}", request_id))
        elif step == "own":
            turns.created(f"r{number}", None)
            active.append((f"r{number}", f"r{number}"))
            waits[f"r{number}"] += 1
        elif step == "done" and active:
            response_id, turn_id = active.pop(0)
            ended(turns.done(response_id, response(response_id)), turn_id)
        elif step == "drop" and requests:
            request_id = requests.pop()
            ended(turns.dropped(request_id), request_id)
        elif step == "hold" and active:
            turns.hold(active[-1][1])
            held.append(active[-1][1])
            waits[active[-1][1]] += 1
        elif step == "release" and held:
            turn_id = held.pop()
            ended(turns.release(turn_id), turn_id)
    assert turns.replying is any(count > 0 for count in waits.values())


@pytest.mark.parametrize("first", [True, False])
def test_a_turn_stands_beside_the_conversation_from_its_request_or_from_its_response(first: bool) -> None:
    turns = Turns()
    turns.requested("e1", beside=first)
    turns.created("r1", "e1", beside=not first)
    record = turns.done("r1", response("r1"))
    assert record is not None
    assert record.beside
