"""What carries a server of the protocol knows of it: whoever has this can be served, in memory or on a socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from ..transport import Closed
from ..wire.codec import Kind

Json = dict[str, Any]


class ServerConnection(Protocol):
    """One connection, without clock, input or output: told the time, it says what is due."""

    @property
    def closed(self) -> Closed | None:
        """Why the server has closed the connection, once it has; nothing is answered any more."""

    def next_deadline(self) -> float:
        """Say when `advance` has something to do; infinity when it never will, or the connection is closed."""
        ...

    def advance(self, now: float) -> list[Json]:
        """Let time pass until `now` and return the events that the server sends, in order."""
        ...

    def receive(self, message: str | bytes, now: float, *, binary: bool = False) -> list[Json]:
        """Take one message of the client and return the events that answer it at once, in order."""
        ...


@runtime_checkable
class SharedConnection(ServerConnection, Protocol):
    """A connection to something that others change too, between what it was told itself.

    Attributes:
        wake: Set by who serves the connection; called when `advance` has something to do that no deadline announced.
    """

    wake: Callable[[], object]


class Server(Protocol):
    """What clients connect to."""

    def connect(
        self,
        query: Mapping[str, str],
        *,
        now: float,
        unix_time: float,
        kind: Kind = "realtime",
        configuration: Mapping[str, Any] | None = None,
    ) -> ServerConnection:
        """Open a connection.

        Args:
            query: Of the URL.
            now: The time on the clock that `receive` and `advance` are given, in seconds.
            unix_time: The same moment, for what states it.
            kind: `"translation"` for `/realtime/translations`, whose events are its own.
            configuration: What the session begins with instead of the defaults, valid and in the wire's shape.

        Raises:
            ConfigError: The query is not one that the server knows.
        """
        ...
