"""What lies between a simulated server and one client, and where faults happen; no clock, input or output here.

Theory of operation. What the server says is under way first, for as long as the latency wants. Then its turn comes to
be written, which is later still when the client does not read; only now is it counted, and what is due with it
happens, in its turn. So a fault that follows an event follows it on the wire. A fault that is injected, or whose time
has come, happens at once, even while a write is blocked: `reads`, `silent` and `cut` say what it changes. Only what the
connection injects itself, while it says something, is under way like the rest, and keeps its place.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from random import Random
from typing import Any, Protocol, runtime_checkable

from ..errors import ConfigError
from ..frames import BINARY, CLOSE, CONTINUATION, TEXT, encode_close
from ..transport import Closed
from .faults import (
    ERROR_TYPES,
    Binary,
    BreaksHandshake,
    Closes,
    Drops,
    Duplicate,
    ErrorEvent,
    EventFault,
    Expires,
    Fault,
    Fragmented,
    HalfOpen,
    HandshakeFault,
    Latency,
    Malformed,
    Omitted,
    Oversized,
    Refuses,
    Reordered,
    SilentHandshake,
    SlowHandshake,
    StopsReading,
    UnknownEvent,
)
from .faulty_connection import FaultyConnection
from .server import Json, Server, ServerConnection

_REORDERING_SECONDS = 1.0
_EXPIRED = "Your session hit the maximum duration of 60 minutes."


@dataclass(frozen=True, slots=True)
class Send:
    """Write a text message."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class SendFrames:
    """Write frames as they are."""

    frames: bytes


@dataclass(frozen=True, slots=True)
class SendClose:
    """Write a close frame; then close, or `lingers` and say nothing more."""

    frame: bytes
    lingers: bool


Act = Send | SendFrames | SendClose
"""What is to be written."""


class Link:
    """The line between a server and one client: as good as the faults let it be.

    Args:
        faults: The schedule of all connections; those of this one are chosen.
        number: Of the connection, 1 being the first.

    Attributes:
        reads: Whether what the client sends is read.
        silent: Nothing is written or answered any more, while the connection stays open.
        cut: The connection is to end, without a close frame.
    """

    def __init__(self, faults: Sequence[Fault] = (), *, number: int = 1) -> None:
        mine = [fault for fault in faults if fault.connection in {None, number}]
        self.reads: bool = True
        self.silent: bool = False
        self.cut: bool = False
        self._handshake = [fault for fault in mine if isinstance(fault, HandshakeFault)]
        self._schedule = [fault for fault in mine if not isinstance(fault, HandshakeFault)]
        self._injected: deque[Fault] = deque()  # of the connection, if it takes faults
        self._connection: ServerConnection | None = None
        self._number = number
        self._random = Random(number)
        self._now = 0.0
        self._awaited: list[_Awaited] = []
        self._timed: list[tuple[float, Fault]] = []
        self._latency = Latency(0.0)
        self._under_way: deque[tuple[float, _Said]] = deque()
        self._ready: deque[_Said] = deque()
        self._acts: deque[Act] = deque()
        self._following: deque[Fault] = deque()  # they happen when the acts are written
        self._strikes: list[EventFault] = []  # the next event that is written
        self._answer_strikes: list[EventFault] = []  # the next event that is said
        self._held: list[Act] = []  # until the next event is written, or this long:
        self._held_until = float("inf")
        self._reads_at = float("inf")
        self._closing = False
        self._last_message: bytes | str = b""
        self._own_events = 0

    # --- the handshake ----------------------------------------------------------------------------------------------

    def handshake(self) -> tuple[float, bytes | None]:
        """Say how the upgrade request is answered.

        Returns:
            After how many seconds, infinity for never; and the answer, or None if the server itself gives it.
        """
        seconds, answer = 0.0, None
        for fault in self._handshake:
            match fault:
                case SlowHandshake():
                    seconds += fault.seconds
                case SilentHandshake():
                    seconds = float("inf")
                case Refuses():
                    answer = _http_answer(fault)
                case BreaksHandshake():
                    answer = fault.answer
                case _:
                    raise ConfigError(f"a link knows nothing of {fault!r}")
        return seconds, answer

    def carry(self, connection: ServerConnection, now: float) -> None:
        """Let a connection talk over this link from `now` on."""
        self._connection, self._now = connection, now
        if isinstance(connection, FaultyConnection):
            self._injected = connection.injected
        for fault in self._schedule:
            self._expect(fault, self._happen_in_turn)

    # --- faults -----------------------------------------------------------------------------------------------------

    def _expect(self, fault: Fault, happen_now: Callable[[Fault], None]) -> None:
        if fault.after_seconds:
            self._timed.append((self._now + fault.after_seconds, fault))
        elif fault.on is not None:
            self._awaited.append(_Awaited(fault, fault.nth))
        elif fault.after_events:
            self._awaited.append(_Awaited(fault, fault.after_events))
        else:
            happen_now(fault)

    def _due_with(self, event_type: str, *, of_server: bool) -> list[Fault]:
        """Count an event, and take out the faults that were waiting for it."""
        due: list[Fault] = []
        for awaited in self._awaited[:]:
            on = awaited.fault.on
            if on == event_type or (on is None and of_server):
                awaited.left -= 1
                if not awaited.left:
                    self._awaited.remove(awaited)
                    due.append(awaited.fault)
        return due

    def _happen_in_turn(self, fault: Fault) -> None:
        """Let a fault happen after what is being written, if it shows there."""
        if isinstance(fault, EventFault | Latency | StopsReading):
            self._happen(fault)
            return
        self._following.append(fault)
        self._closing = self._closing or isinstance(fault, Drops | HalfOpen | Closes | Expires)

    def _happen(self, fault: Fault) -> None:
        match fault:
            case EventFault():
                self._strikes.append(fault)
            case Latency():
                self._latency = fault
            case Drops():
                self.cut = True
            case HalfOpen():
                self.silent = True
            case StopsReading():
                self.reads = False
                self._reads_at = float("inf") if fault.seconds is None else self._now + fault.seconds
            case Closes():
                payload = b"" if fault.code is None else encode_close(fault.code, fault.reason)
                self._close(payload, lingers=fault.lingers)
            case Expires():
                self._expire(fault)
            case Malformed():
                self._acts.append(SendFrames(server_frame(TEXT, fault.payload)))
            case Binary():
                self._acts.append(SendFrames(server_frame(BINARY, fault.payload)))
            case Oversized():
                self._acts.append(SendFrames(server_frame(TEXT, _event_of(fault.message_bytes))))
            case UnknownEvent():
                self._send_own({"type": fault.type})
            case ErrorEvent():
                self._send_error(fault)
            case _:
                raise ConfigError(f"a link knows nothing of {fault!r}")

    def _send_own(self, event: Json) -> None:
        self._own_events += 1
        event["event_id"] = f"event_Fault{self._number:04}{self._own_events:08}"
        self._acts.append(Send(json.dumps(event).encode()))

    def _send_error(self, fault: ErrorEvent) -> None:
        error = {
            "type": fault.type or ERROR_TYPES.get(fault.code, "invalid_request_error"),
            "code": fault.code,
            "message": fault.message or f"The simulated server was told to report {fault.code}.",
            "param": fault.param,
            "event_id": _parsed(self._last_message).get("event_id") if fault.with_event_id else None,
        }
        self._send_own({"type": "error", "error": error})

    def _expire(self, fault: Expires) -> None:
        if fault.report:
            self._send_error(ErrorEvent("session_expired", message=_EXPIRED))
        if fault.close_frame:
            self._close(encode_close(1001, _EXPIRED))
        else:
            self._happen_in_turn(Drops())

    def _close(self, payload: bytes, *, lingers: bool = False) -> None:
        self._closing = True
        self._acts.append(SendClose(server_frame(CLOSE, payload), lingers))

    # --- time and messages ------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Say when `advance` has something to do; infinity when it never will."""
        times = [due for due, _ in self._timed]
        times += [self._reads_at, self._held_until]
        if self._under_way:
            times.append(self._under_way[0][0])
        if self._connection is not None and self._talks:
            times.append(self._connection.next_deadline())
        return min(times)

    def advance(self, now: float) -> None:
        """Let time pass until `now`."""
        self._now = max(self._now, now)
        while self._injected:
            self._expect(self._injected.popleft(), self._happen)
        for each in sorted((each for each in self._timed if each[0] <= now), key=lambda each: each[0]):
            self._timed.remove(each)
            self._happen(each[1])
        if self._reads_at <= now:
            self.reads, self._reads_at = True, float("inf")
        if self._connection is not None and self._talks:
            self._take(self._connection.advance(now))
        while self._under_way and self._under_way[0][0] <= now:
            self._ready.append(self._under_way.popleft()[1])
        if self._held_until <= now:
            self._release()

    def receive(self, message: bytes, now: float, *, binary: bool = False) -> None:
        """Take one message of the client."""
        self._now = max(self._now, now)
        if not self._talks or self._connection is None:
            return
        self._last_message = message
        if any(awaited.fault.on for awaited in self._awaited):
            for fault in self._due_with(str(_parsed(message).get("type")), of_server=False):
                if isinstance(fault, EventFault):
                    self._answer_strikes.append(fault)
                else:
                    self._happen_in_turn(fault)
        if self._talks:
            self._take(self._connection.receive(message, now, binary=binary))

    @property
    def _talks(self) -> bool:
        """Whether the two sides still hear each other."""
        return not (self.silent or self.cut or self._closing)

    def _take(self, events: list[Json]) -> None:
        """Send off what the server says."""
        connection = self._connection
        said: list[Json | Fault | Closed] = [*events, *self._injected]  # which were injected meanwhile
        self._injected.clear()
        if connection is not None and connection.closed is not None:
            self._closing = True
            said.append(connection.closed)
        for each in said:
            due = self._now + self._latency.seconds + self._latency.jitter * self._random.random()
            if self._under_way:
                due = max(due, self._under_way[-1][0])
            one = _Said(each, self._answer_strikes)
            self._answer_strikes = []
            if due > self._now:
                self._under_way.append((due, one))
            else:
                self._ready.append(one)

    # --- what is written --------------------------------------------------------------------------------------------

    @property
    def has_acts(self) -> bool:
        """Whether `next_act` has something to give."""
        return not (self.cut or self.silent) and bool(self._acts or self._following or self._ready)

    def next_act(self) -> Act | None:
        """Take what is to be written next, now that it can be; None when there is nothing, or never will be."""
        while self.has_acts:
            if self._acts:
                return self._acts.popleft()
            if self._following:
                self._happen(self._following.popleft())
            else:
                self._write(self._ready.popleft())
        return None

    def _write(self, said: _Said) -> None:
        event = said.event
        if isinstance(event, Closed):
            self._release()
            self._close(encode_close(event.code, event.reason))
            return
        if isinstance(event, Fault):
            self._strikes += said.strikes  # what is done to an event waits for one
            self._expect(event, self._happen_in_turn)
            return
        due = self._due_with(event["type"], of_server=True)
        struck = [fault for fault in due if isinstance(fault, EventFault) and fault.on]
        strikes, self._strikes = self._strikes + said.strikes + struck, []
        acts = _acts_of(event, strikes)
        if any(isinstance(fault, Reordered) for fault in strikes):
            self._held[:0] = acts
            self._held_until = self._now + _REORDERING_SECONDS
        else:
            self._acts += acts
            self._release()
        for fault in due:
            if fault not in struck:
                self._happen_in_turn(fault)

    def _release(self) -> None:
        self._acts += self._held
        self._held, self._held_until = [], float("inf")


@dataclass(frozen=True, slots=True)
class _Said:
    """An event of the server, a fault in its place, or the close; and what is done to it."""

    event: Json | Fault | Closed
    strikes: list[EventFault]


@dataclass(slots=True, eq=False)
class _Awaited:
    """A fault, and how many events must come first."""

    fault: Fault
    left: int


@runtime_checkable
class LinkedServer(Protocol):
    """A server that brings the links to its clients."""

    def open_link(self) -> Link:
        """Make the link of the next connection."""
        ...


def link_to(server: Server) -> Link:
    """Make the link between a server and its next client."""
    if isinstance(server, LinkedServer):
        return server.open_link()
    return Link()


def server_frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """Make a frame as a server sends it."""
    first = (0x80 if final else 0) | opcode
    if len(payload) < 126:
        return bytes((first, len(payload))) + payload
    if len(payload) < 2**16:
        return bytes((first, 126)) + len(payload).to_bytes(2, "big") + payload
    return bytes((first, 127)) + len(payload).to_bytes(8, "big") + payload


def _acts_of(event: Json, strikes: list[EventFault]) -> list[Act]:
    """How an event is written, whatever is done to it but reordering."""
    act: Act = Send(json.dumps(event).encode())
    copies = 1
    for fault in strikes:
        if isinstance(fault, Omitted):
            return []
        if isinstance(fault, Duplicate):
            copies += 1
        elif isinstance(fault, Fragmented):
            # Not as ASCII, so that characters can be cut; but half a surrogate pair stays an escape of JSON.
            payload = json.dumps(event, ensure_ascii=False).encode("utf-8", "backslashreplace")
            act = SendFrames(_fragments(payload, fault.fragment_bytes))
    return [act] * copies


def _fragments(payload: bytes, fragment_bytes: int) -> bytes:
    parts = [payload[start : start + fragment_bytes] for start in range(0, len(payload), fragment_bytes)]
    return b"".join(
        server_frame(CONTINUATION if index else TEXT, part, final=index == len(parts) - 1)
        for index, part in enumerate(parts)
    )


def _event_of(size: int) -> bytes:
    head, tail = b'{"type":"simulator.oversized","padding":"', b'"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


def _http_answer(fault: Refuses) -> bytes:
    headers = dict(fault.headers)
    if not {name.lower() for name in headers} & {"content-length", "transfer-encoding"}:
        headers["content-length"] = str(len(fault.body))
    reason = HTTPStatus(fault.status).phrase if fault.status in set(HTTPStatus) else "Refused"
    lines = [f"HTTP/1.1 {fault.status} {reason}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + fault.body


def _parsed(message: bytes | str) -> dict[str, Any]:
    """Read what the client sent, as far as it can be read."""
    with suppress(ValueError, RecursionError):
        event = json.loads(message)
        if isinstance(event, dict):
            return event  # pyright: ignore[reportUnknownVariableType]  JSON has strings as keys
    return {}
