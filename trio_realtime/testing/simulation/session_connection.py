"""What the sessions of the simulated server have in common: how one begins, hears the client, answers and expires."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ...transport import Closed
from ..faulty_connection import FaultyConnection
from ..server import Json
from .dialect import Dialect
from .identifiers import IdCounter
from .json_shape import Shape, type_name
from .mcp import McpTools
from .refusal import RefusedError
from .script import Fails, Hears, ScriptedTurn

REMEMBERED_EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a `Simulator` was told, for each of its connections."""

    script: tuple[ScriptedTurn, ...]
    transcripts: tuple[str | Hears | Fails, ...]
    pace: float
    audio_delta_ms: int
    max_duration: float
    mcp_tools: McpTools
    max_input_tokens: int | None
    dialect: Dialect


@dataclass(frozen=True, slots=True)
class Beginning:
    """What one connection begins with.

    Attributes:
        query: Of the URL.
        seed: For its ids.
        now: The time on the clock that `receive` and `advance` are given, in seconds.
        unix_time: The same moment, for what states it.
        configuration: What the session begins with instead of the defaults, valid and in the wire's shape.
    """

    query: Mapping[str, str]
    seed: int
    now: float
    unix_time: float
    configuration: Mapping[str, Any] | None


class SessionConnection(FaultyConnection, ABC):
    """A connection that holds a session, of whichever kind.

    Attributes:
        query: Of the URL.
        received: The last client events that were JSON objects, oldest first, refused or not.
        closed: Why the server has closed the connection, once it has; nothing is answered any more.
    """

    def __init__(self, behaviour: Behaviour, beginning: Beginning, client_event: Shape) -> None:
        super().__init__()
        self.query: Mapping[str, str] = beginning.query
        self.received: deque[Json] = deque(maxlen=REMEMBERED_EVENTS)
        self.closed: Closed | None = None
        self._behaviour = behaviour
        self._client_event = client_event
        self._now = beginning.now
        self._expires = beginning.now + behaviour.max_duration
        self._expires_at = int(beginning.unix_time + behaviour.max_duration)
        self._ids = IdCounter(beginning.seed)
        self._outgoing: list[Json] = []

    def receive(self, message: str | bytes, now: float, *, binary: bool = False) -> list[Json]:
        """Take one message of the client and return the events that answer it at once, in order."""
        if self.closed is not None:
            return []
        self._now = max(self._now, now)
        event: Json = {}
        try:
            event = parse_event(message, binary=binary)
            self.received.append(event)
            self._client_event(event, "")
            self._handle(event)
        except RefusedError as refusal:
            event_id = event.get("event_id")
            self._emit_error(refusal, event_id if isinstance(event_id, str) else None)
        return self._sent()

    @abstractmethod
    def _handle(self, event: Json) -> None:
        """Do what a client event of the right shape says; raises `RefusedError`."""

    def _sent(self) -> list[Json]:
        sent, self._outgoing = self._outgoing, []
        return sent

    def _emit(self, event_type: str, /, **fields: Any) -> None:
        self._outgoing.append({"type": event_type, "event_id": self._ids.next("event"), **fields})

    def _emit_error(self, refusal: RefusedError, event_id: str | None) -> None:
        error = {
            "type": "invalid_request_error",
            "code": refusal.code,
            "message": refusal.message,
            "param": refusal.param,
            "event_id": event_id,
        }
        self._emit("error", error=error)

    def _expire(self) -> None:
        message = f"Your session hit the maximum duration of {self._behaviour.max_duration / 60:g} minutes."
        self._emit_error(RefusedError(message, code="session_expired"), None)
        self._close(Closed(1001, message))

    def _close(self, closed: Closed) -> None:
        self.closed = closed


def _refused_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError(f"{text} is out of range")
    return number


def parse_event(message: str | bytes, *, binary: bool) -> Json:
    """Read a message of a client as a JSON object.

    Raises:
        RefusedError: It is none.
    """
    if binary:
        raise RefusedError("Binary messages are not accepted; send JSON as text.")
    try:
        event = json.loads(message, parse_constant=_refused_constant, parse_float=_finite)
        if isinstance(event, dict):
            return cast("Json", event)
        raise RefusedError(f"Invalid type for event: expected object, got {type_name(event)}.", code="invalid_type")
    except (ValueError, RecursionError):
        raise RefusedError(
            "We could not parse the JSON of your event. What was sent does not look like valid JSON."
        ) from None
