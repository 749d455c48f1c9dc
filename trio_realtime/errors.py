"""What can go wrong, as exceptions.

* RealtimeError

  - ConfigError            refused here, before anything was sent
  - ConnectError           the connection never became a session

    + ConnectTimeout         the deadline passed
    + HandshakeRejected      the server answered the upgrade with another status
    + SessionRefused         the upgrade was fine, then an error instead of a session

  - ConnectionLost         a connection that was open is gone (also `trio.BrokenResourceError`)

    + SessionExpired         because the session reached its maximum duration

  - ProtocolError          a run of malformed frames, or a message over the limit
  - ServerError            the server refused one command, or reported an error
  - ResponseError          a response did not complete

    + ResponseFailed
    + ResponseIncomplete
    + ResponseCancelled

  - ToolError              a tool under `on_error="raise"` failed
  - SubscriberOverflow     a subscriber fell further behind than its buffer allows
  - InternalError          a bug in this library

Misuse of an object that has ended, or by two tasks at once, raises Trio's own `trio.ClosedResourceError`
and `trio.BusyResourceError`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import trio

_E = TypeVar("_E", bound=BaseException)


class RealtimeError(Exception):
    """Base of every error that this library defines."""


class ConfigError(RealtimeError, ValueError):
    """An argument or a configuration was refused here; nothing was sent and nothing changed."""


class ConnectError(RealtimeError):
    """The connection never became a session: nothing of it is left, and it may be tried again."""


class ConnectTimeout(ConnectError):
    """The connection was not established before `connect_timeout`, unlike a refusal, which has an answer."""


class HandshakeRejected(ConnectError):
    """The server answered the websocket upgrade with an HTTP status other than 101.

    Attributes:
        status: The HTTP status code.
        headers: The response headers, names in lower case.
        body: At most the first 4,096 bytes of the response body.
        request_id: The server's id of the request (`x-request-id`), or None.
        retry_after: Seconds that the server asked to wait, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: Mapping[str, str] = dict(headers or {})
        self.body = body

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, for a support ticket."""
        return self.headers.get("x-request-id") or self.headers.get("apim-request-id")

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asked to wait (a date in `retry-after` reads as None)."""
        try:
            return float(self.headers["retry-after"])
        except (KeyError, ValueError):
            return None


class ConnectionLost(RealtimeError, trio.BrokenResourceError):
    """An open connection ended without the program asking for it.

    Attributes:
        code: The websocket close code of the peer, or None when it sent no close frame.
        reason: The reason in that frame, or what was seen instead.
    """

    def __init__(self, message: str, *, code: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class SessionExpired(ConnectionLost):
    """The session reached the server's maximum duration, unlike a `ConnectionLost` of unknown cause."""


class ProtocolError(RealtimeError):
    """The peer broke the protocol for good: a run of malformed frames, or a message over the limit.

    Attributes:
        code: The websocket close code that says it (1002, 1007, 1009), or None for a run of bad events.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class ServerError(RealtimeError):
    """The server's `error` event, raised from the command that it answers. The session goes on.

    Attributes:
        type: Kind of error, such as `"invalid_request_error"`.
        code: Error code, such as `"invalid_value"`, or None.
        param: The parameter that it is about, or None.
        event_id: Id of the client event that it answers, or None when the server did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        type: str | None = None,  # noqa: A002  the wire's name
        code: str | None = None,
        param: str | None = None,
        event_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.type = type
        self.code = code
        self.param = param
        self.event_id = event_id

    @property
    def message(self) -> str:
        """The server's words."""
        return str(self.args[0])


class SessionRefused(ConnectError, ServerError):
    """The handshake succeeded, then the server sent an error instead of a session, or refused the configuration."""


class ResponseError(RealtimeError):
    """A response ended without completing.

    Attributes:
        response_id: The server's id of the response, or None.
        status_details: The server's details (a `trio_realtime.wire.responses.StatusDetails`), or None.
        retryable: Whether the same request may succeed later.
    """

    def __init__(
        self,
        message: str,
        *,
        response_id: str | None = None,
        status_details: object = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.response_id = response_id
        self.status_details = status_details
        self.retryable = retryable


class ResponseFailed(ResponseError):
    """The server failed to produce the response."""


class ResponseIncomplete(ResponseError):
    """The response was cut short by a limit or by a content filter."""


class ResponseCancelled(ResponseError):
    """The response was cancelled, by this program or by the server's turn detection."""


class ToolError(RealtimeError):
    """A tool failed under `on_error="raise"`; `__cause__` is the tool's own exception.

    Attributes:
        name: Name of the tool.
        call_id: Id of the call.
    """

    def __init__(self, message: str, *, name: str = "", call_id: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.call_id = call_id


class SubscriberOverflow(RealtimeError):
    """A subscriber fell further behind than its buffer allows; it gets this after what it still held.

    Attributes:
        subscriber: Name of the subscription.
        held_bytes: How much it held when the next update no longer fitted.
        dropped: How many deltas were not kept for it.
    """

    def __init__(self, message: str, *, subscriber: str = "", held_bytes: int = 0, dropped: int = 0) -> None:
        super().__init__(message)
        self.subscriber = subscriber
        self.held_bytes = held_bytes
        self.dropped = dropped


class InternalError(RealtimeError):
    """A bug in this library; please report it with its traceback."""


def own_instance(error: _E) -> _E:
    """Copy `error`, so that each waiter raises an instance with a traceback and a context of its own."""
    twin = copy.copy(error)
    twin.__cause__ = error.__cause__
    twin.__suppress_context__ = error.__suppress_context__
    return twin
