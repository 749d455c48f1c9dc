"""When a request may go out, and which response a cancel means, held against a server."""

import re
from collections import deque

from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trio_realtime.state import responses
from trio_realtime.state.responses import TRANSITIONS, Event, ResponseRequest, ResponseSequencer, State
from trio_realtime.wire.client_events import ResponseCancel, ResponseCreate


def request(event_id: str, *, automatic: bool = False) -> ResponseRequest:
    return ResponseRequest(event=ResponseCreate(event_id=event_id), event_id=event_id, automatic=automatic)


def sequencer(state: State) -> ResponseSequencer:
    """One in a state, with `r1` under way or `e1` sent."""
    made = ResponseSequencer()
    if state is State.REQUESTED:
        made.create(request("e1"))
    elif state is not State.IDLE:
        made.created("r1", None)
    if state is State.CANCELLING:
        made.cancel("c1")
    assert made.state is state
    return made


# --- the table ---------------------------------------------------------------------------------------------------


def test_the_docstring_draws_the_transitions_that_there_are() -> None:
    rows = re.findall(r"^    ([a-z]+) +([a-z]+) +([a-z]+)(?: |$)", responses.__doc__ or "", re.MULTILINE)
    drawn = {(State(state), Event(event)): State(then) for state, event, then in rows if state != "state"}
    assert {pair: then for pair, then in drawn.items() if then is not pair[0] or pair in TRANSITIONS} == TRANSITIONS
    assert len(drawn) >= len(TRANSITIONS)


def test_a_request_goes_out_when_nothing_is_under_way_and_waits_otherwise() -> None:
    for state in State:
        made = sequencer(state)
        due = made.create(request("e2"))
        assert (due is not None) == (state is State.IDLE)
        assert [waiting.event_id for waiting in made.queued] == ([] if due else ["e2"])


def test_a_cancel_goes_out_once_and_names_the_response() -> None:
    made = sequencer(State.ACTIVE)
    assert made.stopping is None
    assert made.cancel("c1") == ResponseCancel(event_id="c1", response_id="r1")
    assert made.cancel("c2") is None
    assert made.stopping == "r1"


def test_a_cancel_of_another_response_is_nothing() -> None:
    made = sequencer(State.ACTIVE)
    assert made.cancel("c1", "r0") is None
    assert made.cancel("c1", "r1") == ResponseCancel(event_id="c1", response_id="r1")


def test_cancelling_when_idle_sends_nothing() -> None:
    made = sequencer(State.IDLE)
    assert made.cancel("c1") is None
    assert made.stopping is None


def test_a_cancel_before_created_goes_out_when_the_id_is_known() -> None:
    made = sequencer(State.REQUESTED)
    assert made.cancel("c1") is None
    assert made.cancel("c2") is None
    assert made.stopping == "e1"
    assert made.created("r1", "e1") == ResponseCancel(event_id="c1", response_id="r1")
    assert made.stopping == "r1"


def test_a_cancel_of_a_response_without_an_id_cannot_name_it() -> None:
    made = sequencer(State.IDLE)
    made.created(None, None)
    assert made.cancel("c1") == ResponseCancel(event_id="c1")
    assert made.stopping == ""
    assert made.done("r9") is None
    assert made.state is State.IDLE


def test_a_create_after_a_cancel_waits_for_the_end_of_the_cancelled_response() -> None:
    made = sequencer(State.CANCELLING)
    assert made.create(request("e2")) is None
    assert made.done("r1") == request("e2")


def test_a_late_done_of_an_older_response_neither_ends_the_newer_nor_keeps_it_from_being_cancelled() -> None:
    made = sequencer(State.CANCELLING)
    made.created("r2", None)
    assert made.done("r1") is None
    assert made.state is State.ACTIVE
    assert made.cancel("c2") == ResponseCancel(event_id="c2", response_id="r2")


def test_created_and_done_twice_are_as_once() -> None:
    made = sequencer(State.REQUESTED)
    made.created("r1", "e1")
    made.cancel("c1")
    assert made.created("r1", "e1") is None
    assert made.cancel("c2") is None, "it is being cancelled still"
    made.done("r1")
    assert made.created("r1", None) is None, "its done came before"
    made.create(request("e2"))
    assert made.done("r1") is None
    assert made.sent == request("e2")


def test_a_done_without_an_id_ends_what_is_under_way() -> None:
    made = sequencer(State.ACTIVE)
    made.create(request("e2"))
    assert made.done(None) == request("e2")


def test_a_request_whose_created_never_came_is_over_with_its_done() -> None:
    made = sequencer(State.REQUESTED)
    made.create(request("e2"))
    made.cancel("c1")
    assert made.done("r1", "e1") == request("e2")
    assert made.stopping is None
    assert made.created("r1", None) is None


def test_a_request_that_is_answered_while_another_response_is_under_way_is_over_too() -> None:
    made = sequencer(State.REQUESTED)
    made.created("r1", None)
    assert made.done("r2", "e1") is None
    assert (made.state, made.active_id, made.sent) == (State.ACTIVE, "r1", None)


def test_the_done_of_an_unknown_response_leaves_the_request_that_waits() -> None:
    made = sequencer(State.REQUESTED)
    assert made.done("r9") is None
    assert made.state is State.REQUESTED


def test_a_lost_race_goes_out_again_after_the_winner() -> None:
    made = sequencer(State.REQUESTED)
    made.created("r9", None)
    assert made.refused("e1", lost_race=True) is None
    assert made.queued == (request("e1"),)
    assert made.done("r9") == request("e1")


def test_a_lost_race_whose_winner_is_not_known_yet_waits_for_its_end() -> None:
    made = sequencer(State.REQUESTED)
    assert made.refused("e1", lost_race=True) is None
    assert made.state is State.ACTIVE
    made.created("r9", None)
    assert made.done("r9") == request("e1")


def test_a_lost_race_whose_winner_is_over_already_goes_out_at_once() -> None:
    made = sequencer(State.REQUESTED)
    made.created("r9", None)
    made.done("r9")
    assert made.state is State.REQUESTED
    assert made.refused("e1", lost_race=True) == request("e1")
    assert made.refused("e1", lost_race=True) is None, "the next winner is still on its way"


def test_a_request_that_lost_the_race_and_was_cancelled_does_not_go_out_again() -> None:
    made = sequencer(State.REQUESTED)
    made.cancel("c1")
    made.created("r9", None)
    assert made.refused("e1", lost_race=True) is None
    assert made.done("r9") is None
    assert made.state is State.IDLE


def test_a_refused_request_lets_the_next_go_out() -> None:
    made = sequencer(State.REQUESTED)
    made.create(request("e2"))
    assert made.refused("e7", lost_race=False) is None
    assert made.refused("e1", lost_race=False) == request("e2")


def test_a_request_that_waits_can_be_forgotten_one_that_went_out_cannot() -> None:
    made = sequencer(State.REQUESTED)
    made.create(request("e2"))
    made.create(request("e3"))
    assert not made.forget("e1")
    assert made.forget("e3")
    assert not made.forget("e3")
    assert made.queued == (request("e2"),)


def test_a_sent_request_can_be_cancelled_while_another_response_is_under_way() -> None:
    made = sequencer(State.IDLE)
    made.cancel_sent("c0")
    made.create(request("e1"))
    made.created("r9", None)
    made.cancel_sent("c1")
    made.cancel_sent("c2")
    assert made.stopping == "e1"
    assert made.created("r1", "e1") == ResponseCancel(event_id="c1", response_id="r1")


def test_what_is_remembered_of_old_responses_is_bounded() -> None:
    made = ResponseSequencer()
    for number in range(1000):
        made.created(f"r{number}", None)
        made.done(f"r{number}")
    assert len(made._over) <= 256
    assert made.is_over("r999")
    assert not made.knows("r0")
    assert not made.is_over(None)


def test_before_anything_happened_no_response_is_under_way() -> None:
    made = ResponseSequencer()
    assert (made.active_id, made.sent, made.queued, made.stopping) == (None, None, (), None)
    assert made.is_over("r1") is False


def test_a_response_that_answers_another_request_is_not_ours() -> None:
    made = sequencer(State.IDLE)
    assert made.created("r1", "e9") is None
    assert made.state is State.ACTIVE
    made = sequencer(State.REQUESTED)
    made.cancel("c1")
    assert made.created("r1", "e9") is None
    assert (made.state, made.sent) == (State.ACTIVE, request("e1"))


def test_a_cancel_that_waited_is_used_once() -> None:
    made = sequencer(State.REQUESTED)
    made.cancel("c1")
    made.created("r1", "e1")
    made.done("r1")
    made.create(request("e2"))
    assert made.created("r2", "e2") is None
    assert made.state is State.ACTIVE


def test_the_end_of_a_response_that_answers_another_request_is_not_ours() -> None:
    made = sequencer(State.REQUESTED)
    assert made.done("r9", "e9") is None
    assert (made.state, made.sent) == (State.REQUESTED, request("e1"))
    assert sequencer(State.IDLE).done("r9", "e9") is None


def test_a_response_that_is_over_twice_does_not_end_one_without_an_id() -> None:
    made = sequencer(State.ACTIVE)
    made.done("r1")
    made.created(None, None)
    made.done("r1")
    assert made.state is State.ACTIVE


def test_256_responses_are_remembered() -> None:
    made = ResponseSequencer()
    for number in range(257):
        made.remember(f"r{number}", over=True)
    assert [made.knows(f"r{number}") for number in (0, 1, 256)] == [False, True, True]


# --- against a server --------------------------------------------------------------------------------------------


class AgainstServer(RuleBasedStateMachine):
    """A server with one response at a time, whose events come late but in order, some of them twice or never.

    The server may begin a response by itself whenever none is under way. A request that reaches it while one is under
    way is refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.client = ResponseSequencer()
        self.wanted: list[str] = []
        self.refused_for_good: set[str] = set()
        self.answered: set[str] = set()
        self.up: deque[tuple[str, str]] = deque()
        self.down: deque[tuple[str, str, str | None]] = deque()
        self.active: str | None = None
        self.numbers = 0
        self.outstanding: set[str] = set()
        self.cancelled: list[str] = []
        self.client_cancelled: set[str] = set()
        self.owners: dict[str, str] = {}
        self.past: list[tuple[str, str, str | None]] = []

    def new(self, prefix: str) -> str:
        self.numbers += 1
        return f"{prefix}{self.numbers}"

    def go_out(self, due: ResponseRequest | None) -> None:
        if due is not None:
            assert not self.outstanding, "two requests at once"
            self.outstanding.add(due.event_id)
            self.up.append(("create", due.event_id))

    # the program

    @rule()
    def create(self) -> None:
        event_id = self.new("e")
        self.wanted.append(event_id)
        self.go_out(self.client.create(request(event_id)))

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if self.wanted:
            event_id = data.draw(st.sampled_from(self.wanted))
            if self.client.forget(event_id):
                self.wanted.remove(event_id)

    @rule()
    def cancel(self) -> None:
        sent, state = self.client.sent, self.client.state
        cancel = self.client.cancel(self.new("c"))
        if cancel is None and state is State.REQUESTED and sent is not None:
            self.client_cancelled.add(sent.event_id)
        self.take_cancel(cancel)

    def take_cancel(self, cancel: ResponseCancel | None) -> None:
        if cancel is not None:
            # Only of the winner of a race whose `created` has not come, the id is not known.
            name = cancel.response_id if isinstance(cancel.response_id, str) else ""
            assert name or self.client.active_id is None
            assert name not in self.cancelled, "cancelled twice"
            self.cancelled.extend([name] if name else [])
            self.up.append(("cancel", name))

    # the server

    @precondition(lambda self: self.up)
    @rule()
    def server_reads(self) -> None:
        kind, name = self.up.popleft()
        if kind == "cancel":
            if self.active is not None and name in {self.active, ""}:
                self.end()
        elif self.active is None:
            self.begin(name)
        else:
            self.down.append(("lost race", name, None))

    @precondition(lambda self: self.up and self.up[0][0] == "create")
    @rule()
    def server_refuses(self) -> None:
        self.down.append(("refused", self.up.popleft()[1], None))

    @precondition(lambda self: self.active is None)
    @rule()
    def server_begins(self) -> None:
        self.begin(None)

    def begin(self, event_id: str | None) -> None:
        self.active = self.new("r")
        if event_id is not None:
            self.owners[self.active] = event_id
        self.down.append(("created", self.active, event_id))

    @precondition(lambda self: self.active is not None)
    @rule()
    def end(self) -> None:
        assert self.active is not None
        self.down.append(("done", self.active, self.owners.get(self.active)))
        self.active = None

    # the wire

    @precondition(lambda self: self.down)
    @rule(fate=st.sampled_from(["once", "once", "once", "twice", "lost"]))
    def client_reads(self, fate: str) -> None:
        kind, name, owner = self.down.popleft()
        if fate == "lost" and kind == "created":
            return
        for _ in range(2 if fate == "twice" else 1):
            self.deliver(kind, name, owner)
        if kind in {"created", "done"}:
            self.past.append((kind, name, owner))

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def client_reads_again(self, data: st.DataObject) -> None:
        """Something that was said before comes once more, late."""
        self.deliver(*data.draw(st.sampled_from(self.past)))

    def deliver(self, kind: str, name: str, owner: str | None) -> None:
        client = self.client
        before = (client.state, client.active_id, client.sent, client.queued)
        known = client.knows(name)
        if kind == "created":
            cancel = client.created(name, owner)
            if known:
                assert cancel is None
                assert before == (client.state, client.active_id, client.sent, client.queued)
            elif owner is not None:
                self.outstanding.discard(owner)
                self.answered.add(owner)
            self.take_cancel(cancel)
        elif kind == "done":
            was_over = client.is_over(name)
            if owner is not None and not known:
                self.outstanding.discard(owner)
                self.answered.add(owner)
            self.go_out(client.done(name, None if known else owner))
            if was_over:
                assert before == (client.state, client.active_id, client.sent, client.queued)
        else:
            lost_race = kind == "lost race"
            if client.sent is not None and client.sent.event_id == name:
                self.outstanding.discard(name)
                if not lost_race or name in self.client_cancelled:
                    self.refused_for_good.add(name)
            self.go_out(client.refused(name, lost_race=lost_race))

    @invariant()
    def counts_agree(self) -> None:
        assert self.outstanding == ({self.client.sent.event_id} if self.client.sent else set())
        waiting = [each.event_id for each in self.client.queued]
        over = self.answered | self.refused_for_good
        assert sorted(self.wanted) == sorted({*waiting, *self.outstanding, *over} & set(self.wanted))
        assert not over & set(waiting)

    def teardown(self) -> None:
        """When the server has ended everything, every request that was not forgotten has been answered."""
        for _ in range(500):
            if self.up:
                self.server_reads()
            elif self.down:
                self.deliver(*self.down.popleft())
            elif self.active is not None:
                self.end()
            else:
                break
        assert set(self.wanted) == (self.answered | self.refused_for_good) & set(self.wanted)
        assert self.client.state is State.IDLE
        assert not self.client.queued


TestAgainstServer = AgainstServer.TestCase
TestAgainstServer.settings = settings(stateful_step_count=40)


@given(st.lists(st.tuples(st.sampled_from(Event), st.sampled_from([None, "r1", "r2"]), st.booleans()), max_size=12))
def test_whatever_happens_at_most_one_request_is_out_and_a_cancel_names_what_is_under_way(
    happenings: list[tuple[Event, str | None, bool]],
) -> None:
    made = ResponseSequencer()
    for number, (event, response_id, flag) in enumerate(happenings):
        sent = made.sent
        out: object = None
        if event is Event.CREATE:
            out = made.create(request(f"e{number}"))
        elif event is Event.CREATED:
            made.created(response_id, sent.event_id if sent and flag else None)
        elif event is Event.REFUSED:
            out = made.refused(sent.event_id if sent else "e", lost_race=flag)
        elif event is Event.DONE:
            out = made.done(response_id)
        else:
            active = made.active_id
            cancel = made.cancel("c", response_id)
            if cancel is not None and active is not None:
                assert cancel.response_id == active
        if out is not None:
            assert made.sent is out
            assert made.state is State.REQUESTED
        assert (made.state is State.REQUESTED) <= (made.sent is not None)
        assert (made.state is State.IDLE) <= (made.sent is None and not made.queued)
