"""When a `response.create` may go out, and which response a `response.cancel` means.

Theory of operation. The conversation has at most one response under way. The program asks for one, the server's turn
detection may start one at any moment, and the two can cross on the wire. So requests wait in a queue while a response
is under way, a request that lost the race goes back to the head of the queue, and everything is matched by id: a late
`done` of an older response neither ends a newer one nor keeps it from being cancelled. Responses beside the
conversation (`conversation="none"`) take no part in this.

The transitions, all of them (a pair that is not listed changes nothing):

    state       event            next
    ----------  ---------------  ----------
    idle        create           requested   the event goes out
    idle        created          active
    requested   created          active      ours, or the server's: then ours is refused and queued again
    requested   refused          idle        the next in the queue goes out
    requested   done             idle        ours, whose `created` never came
    requested   cancel           requested   the cancel goes out when the id is known
    active      done             idle        or requested, when a request of ours is still unanswered
    active      cancel           cancelling  `response.cancel` goes out, with the id
    active      created          active      a newer response takes the place of one whose `done` was lost
    cancelling  done             idle
    cancelling  created          active
"""

from collections import deque
from enum import Enum

from msgspec import Struct

from ..wire.client_events import ResponseCancel, ResponseCreate

_MAX_KNOWN = 256
"""Responses that are remembered, to tell a late or second event of one from one whose `created` never came."""


class State(Enum):
    """What the conversation's response is doing, as far as this side knows."""

    IDLE = "idle"
    REQUESTED = "requested"
    ACTIVE = "active"
    CANCELLING = "cancelling"


class Event(Enum):
    """What can happen to it."""

    CREATE = "create"
    CREATED = "created"
    REFUSED = "refused"
    CANCEL = "cancel"
    DONE = "done"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.IDLE, Event.CREATE): State.REQUESTED,
    (State.IDLE, Event.CREATED): State.ACTIVE,
    (State.REQUESTED, Event.CREATED): State.ACTIVE,
    (State.REQUESTED, Event.REFUSED): State.IDLE,
    (State.REQUESTED, Event.DONE): State.IDLE,
    (State.ACTIVE, Event.CREATED): State.ACTIVE,
    (State.ACTIVE, Event.CANCEL): State.CANCELLING,
    (State.ACTIVE, Event.DONE): State.IDLE,
    (State.CANCELLING, Event.CREATED): State.ACTIVE,
    (State.CANCELLING, Event.DONE): State.IDLE,
}


class ResponseRequest(Struct, frozen=True, kw_only=True):
    """A `response.create` of the program.

    Attributes:
        event: What goes out; its `event_id` is set.
        event_id: The same id.
        automatic: Asked for by sending a message, not by itself.
    """

    event: ResponseCreate
    event_id: str
    automatic: bool = False


class ResponseSequencer:
    """The state of the conversation's response, and the requests that wait for their turn."""

    def __init__(self) -> None:
        self.state: State = State.IDLE
        self.active_id: str | None = None
        self._sent: ResponseRequest | None = None
        self._overtaken = False
        self._queue: deque[ResponseRequest] = deque()
        self._cancel_when_created: str | None = None
        self._over: dict[str, bool] = {}

    @property
    def queued(self) -> tuple[ResponseRequest, ...]:
        """The requests that have not gone out, in order."""
        return tuple(self._queue)

    @property
    def sent(self) -> ResponseRequest | None:
        """The request that has gone out and is not answered."""
        return self._sent

    def create(self, request: ResponseRequest) -> ResponseRequest | None:
        """The program wants a response.

        Returns:
            The request, if it goes out now; None if it waits.
        """
        if self.state is State.IDLE:
            self._step(Event.CREATE)
            self._sent = request
            self._overtaken = False
            return request
        self._queue.append(request)
        return None

    def forget(self, event_id: str) -> bool:
        """A request is no longer wanted; true if it had not gone out, and now never will."""
        for request in self._queue:
            if request.event_id == event_id:
                self._queue.remove(request)
                return True
        return False

    def created(self, response_id: str | None, request_id: str | None) -> ResponseCancel | None:
        """A response is under way; `request_id` is the event id of the request that it answers, None for the server's.

        Returns:
            The cancel that was waiting for the id, if there is one.
        """
        if self.knows(response_id):
            return None  # created twice
        self.remember(response_id, over=False)
        self._step(Event.CREATED)
        self.active_id = response_id
        if request_id is None or self._sent is None or self._sent.event_id != request_id:
            self._overtaken = True
            return None
        self._sent = None
        if self._cancel_when_created is None:
            return None
        cancel = ResponseCancel(event_id=self._cancel_when_created)
        self._cancel_when_created = None
        self._step(Event.CANCEL)
        return _with_id(cancel, response_id)

    def refused(self, event_id: str, *, lost_race: bool) -> ResponseRequest | None:
        """The server refused a request.

        Args:
            event_id: Of the request.
            lost_race: Whether it was refused because another response is under way; then it waits for its turn again.

        Returns:
            The next request, which goes out now, if there is one.
        """
        if self._sent is None or self._sent.event_id != event_id:
            return None
        if lost_race and self._cancel_when_created is None:
            self._queue.appendleft(self._sent)
        self._sent = None
        self._cancel_when_created = None
        if lost_race and self.state is State.REQUESTED and not self._overtaken:
            # The winner's `created` is still on its way, or lost; its `done` ends it all the same.
            self._step(Event.CREATED)
            return None
        self._step(Event.REFUSED)
        return self._next()

    def cancel(self, event_id: str, response_id: str | None = None) -> ResponseCancel | None:
        """The program wants the response to stop; nothing happens when none is under way, or when it is stopping.

        Args:
            event_id: For the `response.cancel`.
            response_id: Which response; None for the one under way.

        Returns:
            What goes out now. A cancel of a request that is not answered yet goes out when its id is known.
        """
        if response_id is not None and response_id != self.active_id:
            return None
        if self.state is State.REQUESTED:
            self._cancel_when_created = self._cancel_when_created or event_id
            return None
        if self.state is not State.ACTIVE:
            return None
        self._step(Event.CANCEL)
        return _with_id(ResponseCancel(event_id=event_id), self.active_id)

    def cancel_sent(self, event_id: str) -> None:
        """The request that has gone out is not wanted any more: its response is cancelled when its id is known."""
        if self._sent is not None:
            self._cancel_when_created = self._cancel_when_created or event_id

    @property
    def stopping(self) -> str | None:
        """What is being stopped: a response by its id (`""` if it has none), or a request that is not answered."""
        if self.state is State.CANCELLING:
            return self.active_id or ""
        return self._sent.event_id if self._sent is not None and self._cancel_when_created is not None else None

    def remember(self, response_id: str | None, *, over: bool) -> None:
        """A response was created, or is done; those beside the conversation are remembered with the others."""
        if response_id is not None:
            self._over[response_id] = over
            if len(self._over) > _MAX_KNOWN:
                del self._over[next(iter(self._over))]

    def knows(self, response_id: str | None) -> bool:
        """Whether a response was created or done before."""
        return response_id in self._over

    def is_over(self, response_id: str | None) -> bool:
        """Whether a response is known to be done."""
        return response_id is not None and self._over.get(response_id, False)

    def ends(self, response_id: str | None) -> bool:
        """Whether the `done` of this response ends the one under way; without an id on either side it does."""
        under_way = self.state in {State.ACTIVE, State.CANCELLING}
        return under_way and (response_id is None or self.active_id is None or response_id == self.active_id)

    def done(self, response_id: str | None, request_id: str | None = None) -> ResponseRequest | None:
        """A response is over; with no id (a malformed event) it is the one under way.

        Args:
            response_id: Which response.
            request_id: The request that it answers, if its `created` never came.

        Returns:
            The next request, which goes out now, if there is one.
        """
        if self.is_over(response_id):
            return None  # done twice
        ends = self.ends(response_id)
        self.remember(response_id, over=True)
        if request_id is not None and self._sent is not None and self._sent.event_id == request_id:
            self._sent = None
            self._cancel_when_created = None
            ends = ends or self.state is State.REQUESTED
        if not ends:
            return None
        self._step(Event.DONE)
        self.active_id = None
        if self._sent is not None:
            self._step(Event.CREATE)  # it has gone out already, and was not answered
        return self._next()

    def _next(self) -> ResponseRequest | None:
        return self.create(self._queue.popleft()) if self._queue and self.state is State.IDLE else None

    def _step(self, event: Event) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)


def _with_id(cancel: ResponseCancel, response_id: str | None) -> ResponseCancel:
    return cancel if response_id is None else ResponseCancel(event_id=cancel.event_id, response_id=response_id)
