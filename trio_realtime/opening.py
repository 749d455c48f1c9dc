"""What is heard before there is a session: `session.created`, or an error instead of it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import trio

from .errors import (
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    InternalError,
    ProtocolError,
    RealtimeError,
    ServerError,
    SessionRefused,
)
from .wire import server_events as server


class Opening:
    """The time from the upgrade to the acknowledged configuration.

    Args:
        waits_for_created: False on a sideband connection, where the server sends no `session.created`.
    """

    def __init__(self, *, waits_for_created: bool) -> None:
        self._waits_for_created = waits_for_created
        self._heard = trio.Event()
        self._refusal: ServerError | None = None
        self._failure: RealtimeError | None = None

    def hear(self, event: Any) -> ServerError | None:
        """Take an event of the server; returns the error, if it is one."""
        if isinstance(event, server.SessionCreated):
            self._heard.set()
            return None
        if not isinstance(event, server.Error):
            return None
        details = event.error
        self._refusal = ServerError(
            details.message or details.code or "the server sent an error without a message",
            type=details.type,
            code=details.code,
            param=details.param,
            event_id=details.event_id,
        )
        self._heard.set()
        return self._refusal

    def end(self, failure: RealtimeError) -> None:
        """The session has failed: nothing more will be heard."""
        self._failure = failure
        self._heard.set()

    async def wait(self) -> None:
        """Wait until the server has said something, or never will.

        Raises:
            ServerError: It was an error.
            RealtimeError: The session failed with this.
        """
        if self._waits_for_created:
            await self._heard.wait()
            if self._failure is not None:
                raise self._failure
            if self._refusal is not None:
                raise self._refusal

    @contextmanager
    def explained(self) -> Generator[None]:
        """Say of an error in the body that there is no session because of it.

        Raises:
            SessionRefused: The server said so, in its words.
            ConnectError: The connection ended.
        """
        try:
            yield
        except ServerError as error:
            raise _refused(error) from None
        except (ConnectionLost, ProtocolError, InternalError) as error:
            if self._refusal is not None:
                raise _refused(self._refusal) from error
            raise ConnectError(f"the connection ended before there was a session: {error}") from error

    def too_late(self, seconds: float) -> ConnectTimeout:
        """Make the error that says what did not come in time."""
        created = self._heard.is_set() or not self._waits_for_created
        awaited = "session.updated" if created else "session.created"
        return ConnectTimeout(f"the server accepted the connection but sent no {awaited} within {seconds} s")


def _refused(error: ServerError) -> SessionRefused:
    return SessionRefused(error.message, type=error.type, code=error.code, param=error.param, event_id=error.event_id)
