"""One connection of the simulated server, as a state machine.

Theory of operation: there is no clock, input or output here. `receive` takes one message of the client and returns
what answers it at once; `advance` returns what has become due since; `next_deadline` says when that will be. What takes
time (a response, a transcription) is a generator of delays on a timeline. Nothing is shared with the client's code, and
what goes out are plain dicts.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

from ..transport import Closed
from .client_event_shapes import CLIENT_EVENT, MAX_APPEND_BYTES
from .conversation import Json, ServerConversation, ServerItem
from .faults import Fault
from .identifiers import IdCounter
from .json_shape import type_name
from .link import Link
from .listening import Listening
from .refusal import RefusedError
from .response_stream import Delivery, ResponseStream
from .script import Fails, ModelContext, ScriptedTurn, converses, outputs_of
from .session_settings import realtime_session, response_settings, transcription_session, updated_session
from .sound import PCM
from .timeline import Steps, Timeline

_TOKENS_PER_MINUTE = 15_000_000
_REMEMBERED_EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a `Simulator` was told, for each of its connections."""

    script: tuple[ScriptedTurn, ...]
    transcripts: tuple[str | Fails, ...]
    pace: float
    audio_delta_ms: int
    max_duration: float


class SimulatedConnection:
    """What the server knows about one connection; made by `Simulator.connect`.

    Attributes:
        query: Of the URL.
        session: The effective configuration, in the wire's shape.
        received: The last client events that were JSON objects, oldest first, refused or not.
        closed: Why the server has closed the connection, once it has; nothing is answered any more.
    """

    def __init__(
        self, behaviour: Behaviour, query: Mapping[str, str], link: Link, *, seed: int, now: float, unix_time: float
    ) -> None:
        self.query = query
        self._link = link
        self.received: deque[Json] = deque(maxlen=_REMEMBERED_EVENTS)
        self.closed: Closed | None = None
        self._behaviour = behaviour
        self._delivery = Delivery(behaviour.pace, behaviour.audio_delta_ms, sideband="call_id" in query)
        self._now = now
        self._expires = now + behaviour.max_duration
        self._ids = IdCounter(seed)
        self._outgoing: list[Json] = []
        self._timeline = Timeline()
        self._conversation = ServerConversation()
        self._conversation_id = self._ids.next("conv")
        self._responses: dict[str, tuple[ResponseStream, Steps, float]] = {}  # those under way, and since when
        self._response_count = 0
        self._answer_is_due = False
        self._has_spoken = False
        expires_at = int(unix_time + behaviour.max_duration)
        session_id = self._ids.next("sess")
        self.session: Json = (
            transcription_session(session_id, expires_at)
            if "intent" in query
            else realtime_session(session_id, query.get("model", "gpt-realtime-2.1"), expires_at)
        )
        self._listening = Listening(
            self._emit,
            self._ids,
            self._timeline,
            session=self.session,
            conversation=self._conversation,
            turns=self,
            transcripts=behaviour.transcripts,
            pace=behaviour.pace,
            clock=lambda: self._now,
        )
        self._handlers: dict[str, Callable[[Json], None]] = {
            "session.update": self._update_session,
            "input_audio_buffer.append": self._append_audio,
            "input_audio_buffer.commit": lambda event: self._listening.commit(),
            "input_audio_buffer.clear": lambda event: self._listening.clear(),
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve_item,
            "conversation.item.truncate": self._truncate_item,
            "conversation.item.delete": self._delete_item,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
            "output_audio_buffer.clear": self._clear_output,
        }
        if not self._delivery.sideband:
            self._emit("session.created", session=deepcopy(self.session))

    @property
    def items(self) -> list[Json]:
        """The server's own view of the conversation, in order, without audio."""
        return [held.shown() for held in self._conversation.items]

    def inject(self, fault: Fault) -> None:
        """Let a fault happen at once, or when it says so, counted from now; see `faults`.

        Raises:
            ConfigError: It is one of the handshake, which is over.
        """
        self._link.inject(fault)

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
            event = _parse(message, binary=binary)
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
        if self._has_spoken and session["audio"]["output"]["voice"] != self.session["audio"]["output"]["voice"]:
            raise RefusedError(
                "Cannot update a conversation's voice if assistant audio is present.",
                code="cannot_update_voice",
                param="session.audio.output.voice",
            )
        self.session = session
        self._listening.reconfigure(session)
        self._emit("session.updated", session=deepcopy(session))

    # --- input audio -------------------------------------------------------------------------------------------

    def _append_audio(self, event: Json) -> None:
        audio = self._decoded_audio(event["audio"], "audio")
        if len(audio) > MAX_APPEND_BYTES:
            raise RefusedError(f"The audio of one event must not exceed {MAX_APPEND_BYTES} bytes.", param="audio")
        self._listening.append(audio)

    def _decoded_audio(self, encoded: str, param: str) -> bytes:
        try:
            audio = b64decode(encoded, validate=True)
        except ValueError:
            raise RefusedError(
                f"Invalid '{param}'. Expected base64-encoded audio bytes but got something else.", param=param
            ) from None
        if self.session["audio"]["input"]["format"]["type"] == PCM and len(audio) % 2:
            raise RefusedError(f"Invalid '{param}'. 16-bit audio has an even number of bytes.", param=param)
        return audio

    # --- items -------------------------------------------------------------------------------------------------

    def _create_item(self, event: Json) -> None:
        previous_item_id: str | None = event.get("previous_item_id")
        if previous_item_id not in {None, "root"}:
            self._find(previous_item_id, "previous_item_id")
        held = self._new_item(event["item"], "item")
        if self._conversation.find(held.id) is not None:
            raise RefusedError(f"Item with item_id '{held.id}' already exists.", param="item.id")
        if held.item["type"] == "function_call_output" and not self._knows_call(held.item["call_id"]):
            raise RefusedError(
                f"Tool call ID '{held.item['call_id']}' not found in conversation.",
                code="invalid_tool_call_id",
                param="item.call_id",
            )
        previous = self._conversation.insert(held, after=previous_item_id)
        self._emit("conversation.item.added", previous_item_id=previous, item=held.shown())
        self._emit("conversation.item.done", previous_item_id=previous, item=held.shown())

    def _new_item(self, given: Json, path: str) -> ServerItem:
        if given["type"] == "mcp_approval_response":
            raise RefusedError("There is no such approval request.", param=f"{path}.approval_request_id")
        item: Json = {"id": given.get("id") or self._ids.next("item"), "type": given["type"]}
        if given["type"] != "function_call_output":
            item["status"] = given.get("status", "completed")
        left_out = {"id", "type", "status", "object"}
        item.update({key: deepcopy(value) for key, value in given.items() if key not in left_out})
        if given["type"] == "function_call":
            item.setdefault("call_id", self._ids.next("call"))
        held = ServerItem(item, format_type=self.session["audio"]["input"]["format"]["type"])
        for index, part in enumerate(item.get("content", ())):
            words = part.get("text", "")
            if part["type"] == "input_audio":
                audio = self._decoded_audio(part.pop("audio"), f"{path}.content[{index}].audio")
                held.audio[index] = bytearray(audio)
                words = part.setdefault("transcript", None) or self._listening.next_transcript()
            if item["role"] == "user" and isinstance(words, str):
                held.heard = f"{held.heard} {words}".strip()
        return held

    def _knows_call(self, call_id: str) -> bool:
        calls = (held.item for held in self._conversation.items if held.item["type"] == "function_call")
        return any(item["call_id"] == call_id for item in calls)

    def _find(self, item_id: str | None, param: str) -> ServerItem:
        held = self._conversation.find(item_id) if item_id is not None else None
        if held is None:
            raise RefusedError(f"Item with item_id '{item_id}' not found.", param=param)
        return held

    def _retrieve_item(self, event: Json) -> None:
        self._emit("conversation.item.retrieved", item=self._find(event["item_id"], "item_id").retrieved())

    def _truncate_item(self, event: Json) -> None:
        held = self._find(event["item_id"], "item_id")
        if held.item.get("role") != "assistant":
            raise RefusedError("Only model output audio messages can be truncated.", param="item_id")
        index, end_ms = event["content_index"], event["audio_end_ms"]
        parts = held.item["content"]
        if index >= len(parts) or parts[index]["type"] != "output_audio":
            raise RefusedError("Only model output audio messages can be truncated.", param="content_index")
        if not held.truncate(index, end_ms):
            raise RefusedError(
                f"Audio content of {held.audio_ms}ms is already shorter than {end_ms}ms", param="audio_end_ms"
            )
        parts[index].pop("transcript", None)
        self._emit("conversation.item.truncated", item_id=held.id, content_index=index, audio_end_ms=end_ms)

    def _delete_item(self, event: Json) -> None:
        held = self._find(event["item_id"], "item_id")
        self._conversation.items.remove(held)
        self._emit("conversation.item.deleted", item_id=held.id)

    # --- responses ---------------------------------------------------------------------------------------------

    @property
    def _active(self) -> ResponseStream | None:
        """The response in the conversation; those beside it do not count."""
        return next((stream for stream, _, _ in self._responses.values() if not stream.out_of_band), None)

    def _create_response(self, event: Json) -> None:
        if self.session["type"] != "realtime":
            raise RefusedError("A transcription session makes no responses.", param="type")
        params: Json = event.get("response", {})
        conversation = params.get("conversation", "auto")
        if conversation not in {"auto", "none", self._conversation_id}:
            raise RefusedError(f"Invalid value: '{conversation}'.", param="response.conversation")
        if conversation != "none" and (active := self._active) is not None:
            raise RefusedError(
                f"Conversation already has an active response in progress: {active.id}. Wait until the response is "
                "finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        seen = self._conversation.items
        if "input" in params:
            seen = [
                self._find(given["id"], f"response.input[{index}].id")
                if given["type"] == "item_reference"
                else self._new_item(given, f"response.input[{index}]")
                for index, given in enumerate(params["input"])
            ]
        self._begin_response(params, seen, out_of_band=conversation == "none")

    def _begin_response(self, params: Json, seen: list[ServerItem], *, out_of_band: bool = False) -> None:
        settings = response_settings(self.session, params)
        script = self._behaviour.script
        turn = script[self._response_count] if self._response_count < len(script) else converses
        self._response_count += 1
        context = ModelContext(
            items=[held.shown() for held in seen],
            heard=next((held.heard for held in reversed(seen) if held.item.get("role") == "user"), ""),
            instructions=settings["instructions"],
            tools=settings["tools"],
            tool_choice=settings["tool_choice"],
            metadata=params.get("metadata") or {},
        )
        output = settings["audio"]["output"]
        response: Json = {
            "object": "realtime.response",
            "id": self._ids.next("resp"),
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "conversation_id": None if out_of_band else self._conversation_id,
            "output_modalities": settings["output_modalities"],
            "max_output_tokens": settings["max_output_tokens"],
            "audio": {"output": {"format": output["format"], "voice": output["voice"]}},
            "usage": None,
            "metadata": params.get("metadata"),
        }
        stream = ResponseStream(
            self._emit,
            self._ids,
            self._delivery,
            conversation=self._conversation,
            out_of_band=out_of_band,
            settings=settings,
            seen=seen,
            outputs=outputs_of(turn, context),
            interleaves=str(self.session["model"]).startswith("gpt-realtime-2"),
            response=response,
        )
        if not out_of_band:
            self._listening.response_began()
        steps = self._play(stream)
        self._responses[stream.id] = stream, steps, self._now
        self._timeline.add(self._now, steps)

    def _play(self, stream: ResponseStream) -> Steps:
        yield from stream.steps
        self._end_response(stream)

    def _end_response(self, stream: ResponseStream) -> None:
        _, _, began = self._responses.pop(stream.id)
        usage: Json = stream.response["usage"] or {"total_tokens": 0}
        remaining = _TOKENS_PER_MINUTE - usage["total_tokens"]
        limits = {"name": "tokens", "limit": _TOKENS_PER_MINUTE, "remaining": remaining, "reset_seconds": 0.004}
        self._emit("rate_limits.updated", rate_limits=[limits])
        if stream.audio_ms:
            self._has_spoken = True
            if self._delivery.sideband:
                self._emit("output_audio_buffer.stopped", response_id=stream.id)
        if stream.out_of_band:
            return
        self._listening.response_ended(max(self._now, began + stream.audio_ms / 1000))
        if self._answer_is_due:
            self._answer_is_due = False
            self._begin_response({}, self._conversation.items)

    def _stop_response(self, response_id: str, reason: str) -> None:
        stream, steps, _ = self._responses[response_id]
        self._timeline.remove(steps)
        stream.cancel(reason)
        self._end_response(stream)

    def _cancel_response(self, event: Json) -> None:
        active = self._active
        response_id = event.get("response_id", active.id if active is not None else None)
        if response_id not in self._responses:
            raise RefusedError("Cancellation failed: no active response found", code="response_cancel_not_active")
        self._stop_response(response_id, "client_cancelled")

    def _clear_output(self, event: Json) -> None:
        if not self._delivery.sideband:
            raise RefusedError("output_audio_buffer.clear is for WebRTC and SIP calls only.", param="type")
        active = self._active
        self._emit("output_audio_buffer.cleared", response_id=active.id if active is not None else "")

    def user_began(self) -> None:
        """See `Turns`: the server's turn detection interrupts the response."""
        if (active := self._active) is not None:
            self._stop_response(active.id, "turn_detected")

    def user_ended(self) -> None:
        """See `Turns`: answer now, or after the response that goes on because it was not to be interrupted."""
        if self.session["type"] != "realtime":
            return
        if self._active is not None:
            self._answer_is_due = True
        else:
            self._begin_response({}, self._conversation.items)


def _refused_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError(f"{text} is out of range")
    return number


def _parse(message: str | bytes, *, binary: bool) -> Json:
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
