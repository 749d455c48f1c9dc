"""What carries a server of the protocol knows of it: whoever has this can be served, in memory or on a socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..transport import Closed
from .conversation import Json


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


class Server(Protocol):
    """What clients connect to."""

    def connect(self, query: Mapping[str, str], *, now: float, unix_time: float) -> ServerConnection:
        """Open a connection.

        Args:
            query: Of the URL.
            now: The time on the clock that `receive` and `advance` are given, in seconds.
            unix_time: The same moment, for what states it.

        Raises:
            ConfigError: The query is not one that the server knows.
        """
        ...
