"""Which responses are one turn: a response, and those that follow from its tools.

A turn is open while anything of it is still to come: a request that was not answered, a response under way, a follow-up
that is due when its tools are done. Each of them holds the turn; when the last lets go, the turn is done.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from ..wire.responses import Response, Usage
from .updates import TurnDone


class TurnRecord(Struct, kw_only=True):
    """One open turn.

    Attributes:
        turn_id: Its id.
        responses: Those that are done, in order.
        holds: How much of it is still to come.
        beside: Whether it stands beside the conversation.
    """

    turn_id: str
    responses: list[Response] = []
    holds: int = 0
    beside: bool = False


class Turns:
    """The open turns of a session."""

    def __init__(self) -> None:
        self._open: dict[str, TurnRecord] = {}
        self._of_request: dict[str, str] = {}
        self._of_response: dict[str, str] = {}

    def requested(self, request_id: str, turn_id: str | None = None, *, beside: bool = False) -> None:
        """A response is wanted: the first of a turn of its own, or a further one of `turn_id`."""
        self._of_request[request_id] = turn_id or request_id
        self.hold(turn_id or request_id)
        self._open[turn_id or request_id].beside |= beside

    def dropped(self, request_id: str) -> TurnRecord | None:
        """A request will not be answered; gives the turn, if that was the last of it."""
        turn_id = self._of_request.pop(request_id, None)
        return None if turn_id is None else self.release(turn_id)

    @property
    def replying(self) -> bool:
        """Whether a turn of the conversation is open."""
        return any(not record.beside for record in self._open.values())

    def created(self, response_id: str, request_id: str | None, *, beside: bool = False) -> str:
        """A response is under way; gives the id of its turn, a new one unless it answers a request.

        Args:
            response_id: The response.
            request_id: The request that it answers, None for the server's own.
            beside: Whether it stands beside the conversation.
        """
        known = self._of_response.get(response_id)
        if known is not None:
            return known
        turn_id = None if request_id is None else self._of_request.pop(request_id, None)
        if turn_id is None:
            turn_id = response_id
            self.hold(turn_id)
        self._of_response[response_id] = turn_id
        self._open[turn_id].beside |= beside
        return turn_id

    def requests_of(self, turn_id: str) -> tuple[str, ...]:
        """The requests of a turn that are not answered."""
        return tuple([request_id for request_id, owner in self._of_request.items() if owner == turn_id])

    def responses_of(self, turn_id: str) -> tuple[str, ...]:
        """The responses of a turn that are under way."""
        return tuple([response_id for response_id, owner in self._of_response.items() if owner == turn_id])

    def all_of(self, turn_id: str) -> tuple[str, ...]:
        """The responses of an open turn, those that are done first."""
        record = self._open.get(turn_id)
        done = () if record is None else tuple([each.id for each in record.responses if each.id is not None])
        return (*done, *self.responses_of(turn_id))

    def done(self, response_id: str, response: Response) -> TurnRecord | None:
        """A response is over; gives its turn, if that was the last of it."""
        turn_id = self._of_response.pop(response_id, None)
        if turn_id is None:
            return None
        self._open[turn_id].responses.append(response)
        return self.release(turn_id)

    def hold(self, turn_id: str) -> None:
        """Something more of a turn is to come."""
        record = self._open.get(turn_id)
        if record is None:
            record = self._open[turn_id] = TurnRecord(turn_id=turn_id)
        record.holds += 1

    def release(self, turn_id: str) -> TurnRecord | None:
        """Something of a turn has come, or will not; gives the turn, if that was the last of it."""
        record = self._open.get(turn_id)
        if record is None:
            return None
        record.holds -= 1
        if record.holds > 0:
            return None
        return self._open.pop(turn_id)


def turn_done(record: TurnRecord | None) -> tuple[TurnDone, ...]:
    """Tell that a turn is done; a turn without any response was none."""
    if record is None or not record.responses:
        return ()
    usage = added_usage([response.usage for response in record.responses])
    return (TurnDone(turn_id=record.turn_id, responses=tuple(record.responses), usage=usage, beside=record.beside),)


def added_usage(usages: Iterable[Usage | None]) -> Usage:
    """The sum of usages, field by field; what none of them states is None."""
    total = Usage()
    for usage in usages:
        if usage is not None:
            total = _added(total, usage)
    return total


def _added(total: Any, more: Any) -> Any:
    values: dict[str, object] = {}
    for name in total.__struct_fields__:
        old: object = getattr(total, name)
        new: object = getattr(more, name)
        if isinstance(old, Struct) and isinstance(new, Struct):
            values[name] = _added(old, new)
        elif isinstance(old, int) and isinstance(new, int):
            values[name] = old + new
        else:
            values[name] = new if old is None else old
    return msgspec.structs.replace(total, **values)
