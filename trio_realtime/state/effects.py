"""What the machine answers with: everything that has to happen outside of it."""

from typing import Any

from msgspec import Struct

from ..errors import RealtimeError
from ..wire.client_events import ClientEvent
from .requests import Settled
from .tool_calls import ToolCall
from .updates import Update


class Effects(Struct, frozen=True, kw_only=True):
    """What has to happen because of one event or command.

    First it is told, then done: updates and the raw event, then what is sent, then what is settled.

    Attributes:
        publish: Updates for the subscribers.
        event: The server's event as subscribers may see it.
        urgent: Events for the server that overtake what is queued: cancels, and the cuts of an interruption.
        send: Events for the server.
        cancel: Ids of calls whose functions have to end; what they still give is ignored.
        start: Calls of tools to run.
        settle: Commands that have their answer.
        failure: Why the session is over, if it is.
    """

    publish: tuple[Update, ...] = ()
    event: Any = None
    urgent: tuple[ClientEvent, ...] = ()
    send: tuple[ClientEvent, ...] = ()
    cancel: tuple[str, ...] = ()
    start: tuple[ToolCall, ...] = ()
    settle: tuple[Settled, ...] = ()
    failure: RealtimeError | None = None


def combined(*effects: Effects) -> Effects:
    """All of them as one, in order; the first event and the first failure count."""
    some = [each for each in effects if each is not _NOTHING]
    if len(some) <= 1:
        return some[0] if some else _NOTHING
    return Effects(
        urgent=tuple([event for each in some for event in each.urgent]),
        send=tuple([event for each in some for event in each.send]),
        cancel=tuple([call_id for each in some for call_id in each.cancel]),
        start=tuple([call for each in some for call in each.start]),
        publish=tuple([update for each in some for update in each.publish]),
        settle=tuple([settled for each in some for settled in each.settle]),
        event=next((each.event for each in some if each.event is not None), None),
        failure=next((each.failure for each in some if each.failure is not None), None),
    )


_NOTHING = Effects()
