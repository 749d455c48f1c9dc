"""The responses of one simulated connection: one at a time in the conversation, and any number beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..server import Json
from .context_window import ContextWindow
from .conversation import ServerConversation, ServerItem
from .emit import Emit
from .identifiers import IdCounter
from .items import Items
from .mcp import McpServers
from .output_buffer import OutputBuffer
from .prompt_cache import PromptCache
from .refusal import RefusedError
from .response_stream import Delivery, ResponseStream
from .script import Fails, ModelContext, Output, ScriptedTurn, converses, outputs_of
from .session_settings import response_settings
from .timeline import Steps, Timeline

_TOKENS_PER_MINUTE = 15_000_000
_TOO_LONG = Fails(
    "context_length_exceeded",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "invalid_request_error",
)


class Silence(Protocol):
    """Who is told when the server speaks, because it counts the silence."""

    def response_began(self) -> None:
        """The server speaks."""

    def response_ended(self, playback_end: float) -> None:
        """The server has said all, which sounds until `playback_end`."""


class Responses:
    """Begins, cancels and ends responses.

    Attributes:
        conversation_id: Of the conversation that they are part of.
    """

    def __init__(
        self,
        emit: Emit,
        ids: IdCounter,
        timeline: Timeline,
        *,
        script: Sequence[ScriptedTurn],
        delivery: Delivery,
        conversation: ServerConversation,
        items: Items,
        mcp: McpServers,
        window: ContextWindow,
        session: Callable[[], Json],
        silence: Callable[[], Silence],
        clock: Callable[[], float],
    ) -> None:
        self._emit = emit
        self._ids = ids
        self._timeline = timeline
        self._script = script
        self._delivery = delivery
        self._conversation = conversation
        self._items = items
        self._mcp = mcp
        self._window = window
        self._session = session
        self._silence = silence
        self._clock = clock
        self._cache = PromptCache()
        self._sound = OutputBuffer(emit, timeline, clock) if delivery.sideband else None
        self._under_way: dict[str, tuple[ResponseStream, Steps]] = {}
        self._last_id = ""
        self._count = 0
        self._answer_is_due = False
        self.conversation_id: str = ids.next("conv")
        self._voice: Json | str | None = None  # that was heard in the conversation

    @property
    def active(self) -> ResponseStream | None:
        """The response in the conversation; those beside it do not count."""
        return next((stream for stream, _ in self._under_way.values() if not stream.out_of_band), None)

    # --- the client ----------------------------------------------------------------------------------------------

    def create(self, event: Json) -> None:
        """Answer `response.create`.

        Raises:
            RefusedError: It is refused.
        """
        if self._session()["type"] != "realtime":
            raise RefusedError("A transcription session makes no responses.", param="type")
        params: Json = event.get("response", {})
        conversation = params.get("conversation", "auto")
        if conversation not in {"auto", "none", self.conversation_id}:
            raise RefusedError(f"Invalid value: '{conversation}'.", param="response.conversation")
        if conversation != "none" and (active := self.active) is not None:
            raise RefusedError(
                f"Conversation already has an active response in progress: {active.id}. Wait until the response is "
                "finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        if conversation != "none":
            self.check_voice(response_settings(self._session(), params)["audio"]["output"]["voice"])
        given = None if "input" not in params else self._context(params["input"])
        self._begin(params, given, out_of_band=conversation == "none")

    def check_voice(self, voice: Json | str) -> None:
        """Check that the conversation goes on in the voice that was heard in it, once one was, or in the session's.

        The two differ when a response had a voice of its own; what names no voice means the session's.

        Raises:
            RefusedError: It is another.
        """
        heard = self._voice
        if heard is None and (active := self.active) is not None and active.audio_ms:
            heard = active.voice
        if heard is not None and voice not in (heard, self._session()["audio"]["output"]["voice"]):
            raise RefusedError(
                "Cannot update a conversation's voice if assistant audio is present.", code="cannot_update_voice"
            )

    def _context(self, given: Sequence[Json]) -> list[ServerItem]:
        context: list[ServerItem] = []
        for index, item in enumerate(given):
            path = f"response.input[{index}]"
            if item["type"] == "item_reference":
                context.append(self._items.find(item["id"], f"{path}.id"))
            else:
                context.append(self._items.new(item, path))
        return context

    def cancel(self, event: Json) -> None:
        """Answer `response.cancel`.

        Raises:
            RefusedError: There is no such response under way.
        """
        active = self.active
        response_id = event.get("response_id", active.id if active is not None else None)
        if response_id not in self._under_way:
            raise RefusedError("Cancellation failed: no active response found", code="response_cancel_not_active")
        self._stop(response_id, "client_cancelled")

    def clear_output(self) -> None:
        """Answer `output_audio_buffer.clear`.

        Raises:
            RefusedError: The client itself plays, or nothing was ever said.
        """
        if self._sound is None:
            raise RefusedError("output_audio_buffer.clear is for WebRTC and SIP calls only.", param="type")
        if not self._last_id:
            raise RefusedError("There is no output audio to clear.", param="type")
        self._sound.clear(self._last_id)

    # --- the user ------------------------------------------------------------------------------------------------

    def user_began(self) -> None:
        """See `Turns`: the server's turn detection interrupts the response, and what sounds of it."""
        if (active := self.active) is not None:
            self._stop(active.id, "turn_detected")
        if self._sound is not None:
            self._sound.interrupt()

    def user_ended(self) -> None:
        """See `Turns`: answer now, or after the response that goes on because it was not to be interrupted."""
        if self._session()["type"] != "realtime":
            return
        if self.active is not None:
            self._answer_is_due = True
        else:
            self._begin({}, None)

    # --- from the beginning to the end ---------------------------------------------------------------------------

    def _begin(self, params: Json, given: list[ServerItem] | None, *, out_of_band: bool = False) -> None:
        settings = response_settings(self._session(), params)
        seen = (
            self._window.seen(self._conversation.items, settings)
            if given is None
            else self._window.fitting(given, settings)
        )
        output = settings["audio"]["output"]
        response: Json = {
            "object": "realtime.response",
            "id": self._ids.next("resp"),
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "conversation_id": None if out_of_band else self.conversation_id,
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
            mcp=self._mcp,
            cache=self._cache,
            sound=self._sound,
            out_of_band=out_of_band,
            settings=settings,
            seen=seen or (),
            outputs=(_TOO_LONG,) if seen is None else self._next_turn(seen, settings, params),
            reasons=str(self._session()["model"]).startswith("gpt-realtime-2"),
            response=response,
        )
        if not out_of_band:
            self._silence().response_began()
        # Tools of MCP servers that this response is the first to name are listed before it goes on.
        steps = self._play(stream, self._mcp.list_new(settings["tools"]))
        self._last_id = stream.id
        self._under_way[stream.id] = stream, steps
        self._timeline.add(self._clock(), steps)

    def _next_turn(self, seen: Sequence[ServerItem], settings: Json, params: Json) -> tuple[Output, ...]:
        turn = self._script[self._count] if self._count < len(self._script) else converses
        self._count += 1
        context = ModelContext(
            items=[held.shown() for held in seen],
            heard=next((held.heard for held in reversed(seen) if held.item.get("role") == "user"), ""),
            instructions=settings["instructions"],
            tools=settings["tools"],
            tool_choice=settings["tool_choice"],
            metadata=params.get("metadata") or {},
        )
        return outputs_of(turn, context)

    def _play(self, stream: ResponseStream, listing_seconds: float | None) -> Steps:
        if listing_seconds is not None:
            yield listing_seconds
        yield from stream.steps
        self._end(stream)

    def _end(self, stream: ResponseStream) -> None:
        del self._under_way[stream.id]
        usage: Json = stream.response["usage"] or {"total_tokens": 0}
        remaining = _TOKENS_PER_MINUTE - usage["total_tokens"]
        limits = {"name": "tokens", "limit": _TOKENS_PER_MINUTE, "remaining": remaining, "reset_seconds": 0.004}
        self._emit("rate_limits.updated", rate_limits=[limits])
        if stream.audio_ms:
            if not stream.out_of_band:
                self._voice = self._voice or stream.voice
            if self._sound is not None:
                self._sound.close(stream.id, stream.audio_ms)
        if stream.out_of_band:
            return
        # As documented: from `response.done` on, however long before the audio began.
        self._silence().response_ended(self._clock() + stream.audio_ms / 1000)
        if self._answer_is_due:
            self._answer_is_due = False
            self._begin({}, None)

    def _stop(self, response_id: str, reason: str) -> None:
        stream, steps = self._under_way[response_id]
        self._timeline.remove(steps)
        stream.cancel(reason)
        self._end(stream)
