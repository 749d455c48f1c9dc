"""What goes wrong, by name and by schedule: values that a test writes down, as `script` does for what goes right.

```python
Simulator(script, faults=[latency(0.1, jitter=0.05), drops(on="response.output_audio.delta", nth=3, connection=1)])
simulator.connections[-1].inject(half_open())  # at once, while a test runs
```

When. A fault happens at the beginning of every connection, unless it says otherwise:

* `after_events=n`: once n events of the server were sent.
* `on=type`, `nth=n`: with the n-th event of that type. One of the server's was sent, then the fault happens; one of the
  client's has arrived, and the fault happens before the server takes it. What is done to an event (`duplicate`,
  `fragmented`, `omitted`, `reordered`) is done to that very event, and otherwise to the next one of the server.
* `after_seconds=s`: so many seconds after the beginning, on Trio's clock.
* `connection=n`: only on the n-th connection; those whose handshake fails count. Handshakes take no other.

What faults send by themselves counts as no event of the server. Faults of one moment happen in the order of the
schedule. The `repr` of a fault is the code that makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypedDict, Unpack

from ..errors import ConfigError
from ..limits import check_counts

ERROR_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing_required_parameter": "invalid_request_error",
        "unknown_parameter": "invalid_request_error",
        "invalid_value": "invalid_request_error",
        "invalid_type": "invalid_request_error",
        "invalid_parameter": "invalid_request_error",
        "conversation_already_has_active_response": "invalid_request_error",
        "response_cancel_not_active": "invalid_request_error",
        "input_audio_buffer_commit_empty": "invalid_request_error",
        "session_expired": "invalid_request_error",
        "beta_api_shape_disabled": "invalid_request_error",
        "invalid_api_key": "invalid_request_error",
        "insufficient_quota": "insufficient_quota",
        "rate_limit_exceeded": "rate_limit_exceeded",
        "server_error": "server_error",
        "DeploymentNotFound": "invalid_request_error",
    }
)
"""The documented codes of `error` events, and the type of each."""


class WhichConnection(TypedDict, total=False):
    """Of which connection a fault is."""

    connection: int | None


class When(WhichConnection, total=False):
    """When a fault happens; see the module."""

    after_events: int
    on: str | None
    nth: int
    after_seconds: float | None


@dataclass(frozen=True, kw_only=True, repr=False)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: Of the function that makes it.
        after_events: How many events of the server come first.
        on: Type of the event with which it happens, or None.
        nth: Which event of that type, 1 being the first.
        after_seconds: Seconds from the beginning of the connection, or None.
        connection: Which connection, 1 being the first; None is every one.
    """

    name: ClassVar[str]

    after_events: int = 0
    on: str | None = None
    nth: int = 1
    after_seconds: float | None = None
    connection: int | None = None

    def __post_init__(self) -> None:
        check_counts(0, after_events=self.after_events)
        check_counts(1, nth=self.nth, connection=1 if self.connection is None else self.connection)
        if self.after_seconds is not None:
            _check_seconds("after_seconds", self.after_seconds)
        if (self.after_events > 0) + (self.on is not None) + (self.after_seconds is not None) > 1:
            raise ConfigError("a fault happens either after_events, or on an event, or after_seconds")
        if self.nth > 1 and self.on is None:
            raise ConfigError(f"nth={self.nth} of which events? Say on=...")

    def __repr__(self) -> str:
        shown: list[str] = []
        for each in sorted(fields(self), key=lambda each: each.name in When.__annotations__):
            value = getattr(self, each.name)
            if not each.kw_only:
                shown.append(repr(value))
            elif value != (each.default if each.default_factory is MISSING else each.default_factory()):
                shown.append(f"{each.name}={value!r}")
        return f"{self.name}({', '.join(shown)})"


class HandshakeFault(Fault):
    """Something that goes wrong before a connection is open: `refuses`, `slow_handshake` and so on."""


class EventFault(Fault):
    """Something that is done to an event of the server: `duplicate`, `fragmented`, `omitted`, `reordered`."""


# --- the handshake --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Refuses(HandshakeFault):
    """Made by `refuses`."""

    name = "refuses"
    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str], hash=False, kw_only=True)
    body: bytes = field(default=b"", kw_only=True)


def refuses(
    status: int = 503, *, headers: Mapping[str, str] | None = None, body: bytes = b"", **which: Unpack[WhichConnection]
) -> Refuses:
    """Answer the upgrade request with an HTTP error, and hang up.

    Args:
        status: 200 to 999.
        headers: Such as `retry-after`. The body is sent as it is and framed by a `content-length`, unless there is one
            here, or a `transfer-encoding`: so it may be truncated, or chunked.
        body: Of the answer.
        **which: `connection`.
    """
    if not 200 <= status <= 999:
        raise ConfigError(f"an answer that refuses has a status from 200 to 999, not {status}")
    for text in (part for each in (headers or {}).items() for part in each):
        if not text.isascii() or not text.isprintable():
            raise ConfigError("the headers of an answer are printable ASCII")
    return Refuses(status, headers=dict(headers or {}), body=body, **which)


@dataclass(frozen=True, repr=False)
class SlowHandshake(HandshakeFault):
    """Made by `slow_handshake`."""

    name = "slow_handshake"
    seconds: float


def slow_handshake(seconds: float = 1.0, **which: Unpack[WhichConnection]) -> SlowHandshake:
    """Answer the upgrade request only after so many seconds, 0 or more."""
    _check_seconds("seconds", seconds)
    return SlowHandshake(seconds, **which)


@dataclass(frozen=True, repr=False)
class SilentHandshake(HandshakeFault):
    """Made by `silent_handshake`."""

    name = "silent_handshake"


def silent_handshake(**which: Unpack[WhichConnection]) -> SilentHandshake:
    """Accept the connection, and never answer the upgrade request."""
    return SilentHandshake(**which)


@dataclass(frozen=True, repr=False)
class BreaksHandshake(HandshakeFault):
    """Made by `breaks_handshake`."""

    name = "breaks_handshake"
    answer: bytes


def breaks_handshake(answer: bytes = b"", **which: Unpack[WhichConnection]) -> BreaksHandshake:
    """Hang up instead of answering the upgrade request, after some bytes that need not be HTTP."""
    return BreaksHandshake(answer, **which)


# --- the line -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Latency(Fault):
    """Made by `latency`."""

    name = "latency"
    seconds: float
    jitter: float = field(default=0.0, kw_only=True)


def latency(seconds: float = 0.1, *, jitter: float = 0.0, **when: Unpack[When]) -> Latency:
    """From now on let every event of the server arrive later; events never overtake each other.

    Args:
        seconds: How much later, 0 or more; 0 ends it.
        jitter: At most so many seconds more, 0 or more: at random, and the same in every run.
        **when: See the module.
    """
    _check_seconds("seconds", seconds)
    _check_seconds("jitter", jitter)
    return Latency(seconds, jitter=jitter, **when)


@dataclass(frozen=True, repr=False)
class Drops(Fault):
    """Made by `drops`."""

    name = "drops"


def drops(**when: Unpack[When]) -> Drops:
    """End the connection without a close frame."""
    return Drops(**when)


@dataclass(frozen=True, repr=False)
class Closes(Fault):
    """Made by `closes`."""

    name = "closes"
    code: int | None
    reason: str
    lingers: bool = field(default=False, kw_only=True)


def closes(code: int | None = 1001, reason: str = "", *, lingers: bool = False, **when: Unpack[When]) -> Closes:
    """Close the connection with a close frame.

    Args:
        code: The close code, 0 to 65,535. It is sent even if it may stand in no frame, such as 1006, which a client
            refuses as a protocol error. None sends none, and no reason; a client calls that 1005.
        reason: At most 123 bytes of UTF-8.
        lingers: Say nothing more then, and leave the TCP connection open. Otherwise it ends when the client has
            answered the close frame, or after a second.
        **when: See the module.
    """
    if code is None and reason:
        raise ConfigError("a close frame has a reason only after a code")
    if code is not None and not 0 <= code <= 0xFFFF:
        raise ConfigError(f"a close code has 16 bits; {code} does not fit")
    if len(reason.encode()) > 123:
        raise ConfigError("the reason of a close frame has at most 123 bytes")
    return Closes(code, reason, lingers=lingers, **when)


@dataclass(frozen=True, repr=False)
class Expires(Fault):
    """Made by `expires`."""

    name = "expires"
    report: bool = field(default=True, kw_only=True)
    close_frame: bool = field(default=True, kw_only=True)


def expires(*, report: bool = True, close_frame: bool = True, **when: Unpack[When]) -> Expires:
    """Let the session reach its maximum duration now.

    Args:
        report: Send the `error` event `session_expired` first.
        close_frame: Close with 1001 and a reason that says so; otherwise the connection just ends. Both were seen.
        **when: See the module.
    """
    return Expires(report=report, close_frame=close_frame, **when)


@dataclass(frozen=True, repr=False)
class HalfOpen(Fault):
    """Made by `half_open`."""

    name = "half_open"


def half_open(**when: Unpack[When]) -> HalfOpen:
    """Send nothing more and answer nothing, no ping and no close frame, while TCP stays open."""
    return HalfOpen(**when)


@dataclass(frozen=True, repr=False)
class StopsReading(Fault):
    """Made by `stops_reading`."""

    name = "stops_reading"
    seconds: float | None = field(default=None, kw_only=True)


def stops_reading(*, seconds: float | None = None, **when: Unpack[When]) -> StopsReading:
    """Read nothing more of what the client sends, so that it cannot send on when the buffers between are full.

    Args:
        seconds: Read on after so many, 0 or more; None never does.
        **when: See the module.
    """
    if seconds is not None:
        _check_seconds("seconds", seconds)
    return StopsReading(seconds=seconds, **when)


# --- frames that should not be there --------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Malformed(Fault):
    """Made by `malformed`."""

    name = "malformed"
    payload: bytes


def malformed(payload: bytes = b'{"type": "response.done", "response": {', **when: Unpack[When]) -> Malformed:
    """Send a text frame that holds no event; one that is no UTF-8 either ends the connection."""
    return Malformed(payload, **when)


@dataclass(frozen=True, repr=False)
class Binary(Fault):
    """Made by `binary`."""

    name = "binary"
    payload: bytes


def binary(payload: bytes = b"\x00\x01", **when: Unpack[When]) -> Binary:
    """Send a binary frame; the protocol has none."""
    return Binary(payload, **when)


@dataclass(frozen=True, repr=False)
class Oversized(Fault):
    """Made by `oversized`."""

    name = "oversized"
    message_bytes: int


def oversized(message_bytes: int = 32 * 2**20 + 1, **when: Unpack[When]) -> Oversized:
    """Send an event of a type that nobody knows, of so many bytes, 100 to 2**30."""
    check_counts(100, message_bytes=message_bytes)
    if message_bytes > 2**30:
        raise ConfigError(f"a message of {message_bytes} bytes is more than this can make")
    return Oversized(message_bytes, **when)


@dataclass(frozen=True, repr=False)
class UnknownEvent(Fault):
    """Made by `unknown_event`."""

    name = "unknown_event"
    type: str


def unknown_event(type: str = "simulator.unknown", **when: Unpack[When]) -> UnknownEvent:  # noqa: A002  the wire's name
    """Send an event of a type that nobody knows."""
    return UnknownEvent(type, **when)


@dataclass(frozen=True, repr=False)
class ErrorEvent(Fault):
    """Made by `error_event`."""

    name = "error_event"
    code: str
    message: str | None = field(default=None, kw_only=True)
    type: str | None = field(default=None, kw_only=True)
    param: str | None = field(default=None, kw_only=True)
    with_event_id: bool = field(default=False, kw_only=True)


def error_event(
    code: str = "server_error",
    *,
    message: str | None = None,
    type: str | None = None,  # noqa: A002  the wire's name
    param: str | None = None,
    with_event_id: bool = False,
    **when: Unpack[When],
) -> ErrorEvent:
    """Send an `error` event.

    Args:
        code: `error.code`, one of `ERROR_TYPES` or another.
        message: `error.message`; None makes one.
        type: `error.type`; None is the one that goes with the code.
        param: `error.param`.
        with_event_id: Say that the client's last event is what it is about, by its `event_id`.
        **when: See the module.
    """
    return ErrorEvent(code, message=message, type=type, param=param, with_event_id=with_event_id, **when)


# --- what is done to an event ---------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Fragmented(EventFault):
    """Made by `fragmented`."""

    name = "fragmented"
    fragment_bytes: int


def fragmented(fragment_bytes: int = 100, **when: Unpack[When]) -> Fragmented:
    """Send an event in fragments of so many bytes, 1 or more, cut wherever that is, even inside a character."""
    check_counts(1, fragment_bytes=fragment_bytes)
    return Fragmented(fragment_bytes, **when)


@dataclass(frozen=True, repr=False)
class Duplicate(EventFault):
    """Made by `duplicate`."""

    name = "duplicate"


def duplicate(**when: Unpack[When]) -> Duplicate:
    """Send an event twice."""
    return Duplicate(**when)


@dataclass(frozen=True, repr=False)
class Reordered(EventFault):
    """Made by `reordered`."""

    name = "reordered"


def reordered(**when: Unpack[When]) -> Reordered:
    """Send an event after the one that follows it, or a second later when none does."""
    return Reordered(**when)


@dataclass(frozen=True, repr=False)
class Omitted(EventFault):
    """Made by `omitted`."""

    name = "omitted"


def omitted(**when: Unpack[When]) -> Omitted:
    """Do not send an event at all."""
    return Omitted(**when)


FAULTS: Final[Mapping[str, Callable[..., Fault]]] = MappingProxyType(
    {
        make.__name__: make
        for make in (
            refuses,
            slow_handshake,
            silent_handshake,
            breaks_handshake,
            latency,
            drops,
            closes,
            expires,
            half_open,
            stops_reading,
            malformed,
            binary,
            oversized,
            unknown_event,
            error_event,
            fragmented,
            duplicate,
            reordered,
            omitted,
        )
    }
)
"""Every fault, by name: the functions that make them, each of which needs no argument."""


def _check_seconds(name: str, seconds: Any) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ConfigError(f"{name} must be a number of seconds, 0 or more, not {seconds!r}")
