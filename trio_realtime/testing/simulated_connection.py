"""One connection of the simulated server, as a state machine.

Theory of operation: there is no clock, input or output here. `receive` takes one message of the client and returns
what answers it at once; `advance` returns what has become due since; `next_deadline` says when that will be. What takes
time (a response, a transcription) is a generator of delays on a timeline. Nothing is shared with the client's code, and
what goes out are plain dicts.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, cast

from ..transport import Closed
from .client_event_shapes import CLIENT_EVENT, MAX_APPEND_BYTES
from .context_window import ContextWindow, max_input_tokens
from .conversation import Json, ServerConversation
from .dialect import Dialect, compatible
from .encoded_audio import decoded_audio
from .faulty_connection import FaultyConnection
from .identifiers import IdCounter
from .items import Items
from .json_shape import type_name
from .listening import Listening
from .mcp import McpServers, McpTools
from .refusal import RefusedError
from .response_stream import Delivery
from .responses import Responses
from .script import Fails, Hears, ScriptedTurn, hears
from .session_settings import DEFAULT_MODEL, realtime_session, transcription_session, updated_session
from .sound import QUESTION
from .timeline import Timeline

REMEMBERED_EVENTS = 1_000
_KEYS = frozenset("0123456789*#ABCD")


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


class SimulatedConnection(FaultyConnection):
    """What the server knows about one connection; made by `Simulator.connect`.

    Attributes:
        query: Of the URL.
        session: The effective configuration, in the wire's shape.
        received: The last client events that were JSON objects, oldest first, refused or not.
        closed: Why the server has closed the connection, once it has; nothing is answered any more.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        query: Mapping[str, str],
        *,
        seed: int,
        now: float,
        unix_time: float,
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.query = query
        self.received: deque[Json] = deque(maxlen=REMEMBERED_EVENTS)
        self.closed: Closed | None = None
        self._behaviour = behaviour
        self._now = now
        self._unix_time_at_0 = unix_time - now
        self._expires = now + behaviour.max_duration
        self._ids = ids = IdCounter(seed)
        self._outgoing: list[Json] = []
        self._timeline = timeline = Timeline()
        self._conversation = conversation = ServerConversation()
        session_id, expires_at = ids.next("sess"), int(unix_time + behaviour.max_duration)
        model = str(query.get("model") or (configuration or {}).get("model", DEFAULT_MODEL))
        self.session: Json = (
            transcription_session(session_id, expires_at)
            if "intent" in query
            else realtime_session(session_id, model, expires_at)
        )
        speech = _speech(behaviour.transcripts)
        self._mcp = McpServers(
            self._emit,
            ids,
            timeline,
            conversation=conversation,
            offered=behaviour.mcp_tools,
            pace=behaviour.pace,
            clock=self._clock,
        )
        self._items = Items(
            self._emit,
            ids,
            conversation=conversation,
            mcp=self._mcp,
            speech=speech,
            input_format=lambda: str(self.session["audio"]["input"]["format"]["type"]),
        )
        self._responses = Responses(
            self._emit,
            ids,
            timeline,
            script=behaviour.script,
            delivery=Delivery(behaviour.pace, behaviour.audio_delta_ms, sideband="call_id" in query),
            conversation=conversation,
            items=self._items,
            mcp=self._mcp,
            window=ContextWindow(behaviour.max_input_tokens or max_input_tokens(model)),
            session=lambda: self.session,
            silence=lambda: self._listening,
            clock=self._clock,
        )
        if configuration is not None:
            self.session = updated_session(self.session, dict(configuration))
        self._listening = Listening(
            self._emit,
            ids,
            timeline,
            session=self.session,
            conversation=conversation,
            turns=self._responses,
            speech=speech,
            pace=behaviour.pace,
            clock=self._clock,
        )
        self._handlers: dict[str, Callable[[Json], None]] = {
            "session.update": self._update_session,
            "input_audio_buffer.append": self._append_audio,
            "input_audio_buffer.commit": lambda event: self._listening.commit(),
            "input_audio_buffer.clear": lambda event: self._listening.clear(),
            "conversation.item.create": self._items.create,
            "conversation.item.retrieve": self._items.retrieve,
            "conversation.item.truncate": self._items.truncate,
            "conversation.item.delete": self._items.delete,
            "response.create": self._responses.create,
            "response.cancel": self._responses.cancel,
            "output_audio_buffer.clear": lambda event: self._responses.clear_output(),
        }
        if "call_id" not in query:
            self._emit("session.created", session=deepcopy(self.session))

    @property
    def items(self) -> list[Json]:
        """The server's own view of the conversation, in order, without audio."""
        return [held.shown() for held in self._conversation.items]

    # --- what nobody asked for -----------------------------------------------------------------------------------

    def say(self, event_type: str, /, **fields: Any) -> None:
        """Send an event out of turn, in order with all others: what the real server never says, or says elsewhere.

        It is sent as it is, whatever the dialect, and changes nothing in the server. After the connection was closed
        nothing is sent.

        Args:
            event_type: Its type, known or not.
            fields: Its fields; without an `event_id` it gets the next one.
        """
        self._say_out_of_turn({"type": event_type, "event_id": self._ids.next("event"), **fields})

    def press_key(self, key: str) -> None:
        """Press a key of the telephone whose call this sideband connection watches.

        Raises:
            ValueError: It is no key, or there is no telephone.
        """
        if "call_id" not in self.query:
            raise ValueError("only a call has keys: connect with ?call_id=")
        if key not in _KEYS:
            raise ValueError(f"a key is one of 0-9, *, # and A-D, not {key!r}")
        received_at = int(self._unix_time_at_0 + self._now)
        # The only event without an id.
        self._say_out_of_turn(
            {"type": "input_audio_buffer.dtmf_event_received", "event": key, "received_at": received_at}
        )

    def _say_out_of_turn(self, event: Json) -> None:
        if self.closed is None:
            self._outgoing.append(event)
            self.wake()

    # --- time --------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Say when `advance` has something to do; infinity once the connection is closed."""
        if self.closed is not None:
            return float("inf")
        if self._outgoing:
            return self._now
        return min(self._timeline.next_due, self._listening.idle_due, self._expires)

    def advance(self, now: float) -> list[Json]:
        """Let time pass until `now` and return the events that the server sends, in order."""
        while self.closed is None:
            due = min(self._timeline.next_due, self._listening.idle_due, self._expires)
            if due > now:
                break
            self._now = max(self._now, due)
            if due == self._expires:
                self._expire()
            elif due == self._timeline.next_due:
                self._timeline.run_next()
            else:
                self._listening.time_out()
        self._now = max(self._now, now)
        return self._sent()

    def _expire(self) -> None:
        minutes = self._behaviour.max_duration / 60
        message = f"Your session hit the maximum duration of {minutes:g} minutes."
        self._emit_error(RefusedError(message, code="session_expired"), None)
        self.closed = Closed(1001, message)

    # --- events ------------------------------------------------------------------------------------------------

    def receive(self, message: str | bytes, now: float, *, binary: bool = False) -> list[Json]:
        """Take one message of the client and return the events that answer it at once, in order."""
        if self.closed is not None:
            return []
        self._now = max(self._now, now)
        event: Json = {}
        try:
            event = parse_event(message, binary=binary)
            self.received.append(event)
            CLIENT_EVENT(event, "")
            self._handlers[event["type"]](event)
        except RefusedError as refusal:
            event_id = event.get("event_id")
            self._emit_error(refusal, event_id if isinstance(event_id, str) else None)
        return self._sent()

    def _sent(self) -> list[Json]:
        sent, self._outgoing = self._outgoing, []
        return sent

    def _clock(self) -> float:
        return self._now

    def _emit(self, event_type: str, /, **fields: Any) -> None:
        event = {"type": event_type, "event_id": self._ids.next("event"), **fields}
        if self._behaviour.dialect == "openai":
            self._outgoing.append(event)
        else:
            self._outgoing += compatible(event, self._responses.conversation_id, self._ids.next)

    def _emit_error(self, refusal: RefusedError, event_id: str | None) -> None:
        error = {
            "type": "invalid_request_error",
            "code": refusal.code,
            "message": refusal.message,
            "param": refusal.param,
            "event_id": event_id,
        }
        self._emit("error", error=error)

    # --- the session -------------------------------------------------------------------------------------------

    def _update_session(self, event: Json) -> None:
        update: Json = event["session"]
        if update["type"] != self.session["type"]:
            raise RefusedError(
                f"Passing a {update['type']} session update event to a {self.session['type']} session is not allowed.",
                code="invalid_parameter",
                param="session.type",
            )
        if update.get("model", self.session.get("model")) != self.session.get("model"):
            raise RefusedError("The model of a session cannot be changed.", param="session.model")
        tracing = self.session.get("tracing")
        if tracing is not None and update.get("tracing", tracing) != tracing:
            raise RefusedError("Tracing cannot be modified once it is enabled.", param="session.tracing")
        session = updated_session(self.session, update)
        if session["type"] == "realtime":
            self._check_output(session["audio"]["output"])
        self.session = session
        self._listening.reconfigure(session)
        self._emit("session.updated", session=deepcopy(session))
        self._mcp.list_new(session.get("tools", ()))

    def _check_output(self, output: Json) -> None:
        before: Json = self.session["audio"]["output"]
        self._responses.check_voice(output["voice"])
        if self._responses.active is not None and output["speed"] != before["speed"]:
            raise RefusedError(
                "The speed cannot be changed while a response is in progress.", param="session.audio.output.speed"
            )

    # --- input audio -------------------------------------------------------------------------------------------

    def _append_audio(self, event: Json) -> None:
        audio = decoded_audio(event["audio"], "audio", self.session["audio"]["input"]["format"]["type"])
        if len(audio) > MAX_APPEND_BYTES:
            raise RefusedError(f"The audio of one event must not exceed {MAX_APPEND_BYTES} bytes.", param="audio")
        self._listening.append(audio)


def _speech(transcripts: Sequence[str | Hears | Fails]) -> Iterator[Hears | Fails]:
    """All that the user ever says, by the script and after it."""
    return chain((hears(each) if isinstance(each, str) else each for each in transcripts), repeat(hears(QUESTION)))


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
