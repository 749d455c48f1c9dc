"""One connection of the simulated server, as a state machine.

Theory of operation: there is no clock, input or output here. `receive` takes one message of the client and returns
what answers it at once; `advance` returns what has become due since; `next_deadline` says when that will be. What takes
time (a response, a transcription) is a generator of delays on a timeline. Nothing is shared with the client's code, and
what goes out are plain dicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import chain, repeat
from typing import Any

from ..server import Json
from .client_event_shapes import CLIENT_EVENT, MAX_APPEND_BYTES
from .context_window import ContextWindow, max_input_tokens
from .conversation import ServerConversation
from .dialect import compatible
from .encoded_audio import decoded_audio
from .items import Items
from .listening import Listening
from .mcp import McpServers
from .refusal import RefusedError
from .response_stream import Delivery
from .responses import Responses
from .script import Fails, Hears, hears
from .session_connection import Beginning, Behaviour, SessionConnection
from .session_settings import DEFAULT_MODEL, realtime_session, transcription_session, updated_session
from .sound import QUESTION
from .timeline import Timeline

_KEYS = frozenset("0123456789*#ABCD")


class SimulatedConnection(SessionConnection):
    """What the server knows about one connection; made by `Simulator.connect`.

    Attributes:
        query: Of the URL.
        session: The effective configuration, in the wire's shape.
        received: The last client events that were JSON objects, oldest first, refused or not.
        closed: Why the server has closed the connection, once it has; nothing is answered any more.
    """

    def __init__(self, behaviour: Behaviour, beginning: Beginning) -> None:
        super().__init__(behaviour, beginning, CLIENT_EVENT)
        query, ids = beginning.query, self._ids
        self._unix_time_at_0 = beginning.unix_time - beginning.now
        self._timeline = timeline = Timeline()
        self._conversation = conversation = ServerConversation()
        session_id = ids.next("sess")
        model = str(query.get("model") or (beginning.configuration or {}).get("model", DEFAULT_MODEL))
        self.session: Json = (
            transcription_session(session_id, self._expires_at)
            if "intent" in query
            else realtime_session(session_id, model, self._expires_at)
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
        if beginning.configuration is not None:
            self.session = updated_session(self.session, dict(beginning.configuration))
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

    # --- events ------------------------------------------------------------------------------------------------

    def _handle(self, event: Json) -> None:
        self._handlers[event["type"]](event)

    def _clock(self) -> float:
        return self._now

    def _emit(self, event_type: str, /, **fields: Any) -> None:
        if self._behaviour.dialect == "openai":
            super()._emit(event_type, **fields)
        else:
            event = {"type": event_type, "event_id": self._ids.next("event"), **fields}
            self._outgoing += compatible(event, self._responses.conversation_id, self._ids.next)

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
