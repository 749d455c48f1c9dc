"""What the machine answers with: everything that has to happen outside of it."""

from typing import Any

from msgspec import Struct

from ..errors import RealtimeError
from ..wire.client_events import ClientEvent
from .requests import Settled
from .updates import Update


class Effects(Struct, frozen=True, kw_only=True):
    """What has to happen because of one event or command, in this order.

    Attributes:
        urgent: Events for the server that overtake what is queued: cancels, and the cuts of an interruption.
        send: Events for the server.
        publish: Updates for the subscribers.
        settle: Commands that have their answer.
        event: The server's event as subscribers may see it.
        failure: Why the session is over, if it is.
    """

    urgent: tuple[ClientEvent, ...] = ()
    send: tuple[ClientEvent, ...] = ()
    publish: tuple[Update, ...] = ()
    settle: tuple[Settled, ...] = ()
    event: Any = None
    failure: RealtimeError | None = None
