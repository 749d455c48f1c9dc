"""One response of the simulated server: what it makes of its script, step by step.

Theory of operation: `steps()` emits events and yields how many seconds pass before it goes on. Whoever drives it may
stop between two steps, which is how a response is cancelled, and then calls `finish`. The order of events is the one
that was observed on the wire: an output item is announced before it enters the conversation, but is done there first.
A call of a tool of an MCP server is handed over when its arguments are complete, and outlives the response (see `mcp`).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ..server import Json
from .conversation import ServerConversation, ServerItem
from .emit import Emit
from .identifiers import IdCounter
from .mcp import McpCall, McpServers
from .output_buffer import OutputBuffer
from .prompt_cache import PromptCache, Tokens
from .script import Calls, CallsMcp, Fails, Incomplete, Output, Says
from .sound import BYTES_PER_MS, SPEECH_MS_PER_CHARACTER, voice
from .usage import ASSISTANT_MS_PER_TOKEN, context_pieces, item_tokens, response_usage, tokenise

_SECONDS_PER_CHARACTER = SPEECH_MS_PER_CHARACTER / 1000


@dataclass(frozen=True, slots=True)
class Delivery:
    """How responses are delivered.

    Attributes:
        pace: Seconds that a second of speech takes: 0 is at once, 1 is real time.
        audio_delta_ms: How much audio one delta holds.
        sideband: The connection only watches: audio goes elsewhere.
    """

    pace: float
    audio_delta_ms: int
    sideband: bool = False


class _CutShortError(Exception):
    """The response ends here, with this status."""

    def __init__(self, status: str, details: Json) -> None:
        super().__init__(status)
        self.status = status
        self.details = details


class _OpenOutput:
    """An output item that is still growing."""

    def __init__(self, index: int, held: ServerItem, previous_item_id: str | None) -> None:
        self.index = index
        self.held = held
        self.previous_item_id = previous_item_id
        self.written = ""


class ResponseStream:
    """The life of one response.

    Attributes:
        response: The wire's response object; its status says whether it is over.
        out_of_band: Whether it stands beside the conversation.
        audio_ms: How much audio it has made.
        spoken: The items that hold it, in order.
    """

    def __init__(
        self,
        emit: Emit,
        ids: IdCounter,
        delivery: Delivery,
        *,
        conversation: ServerConversation,
        mcp: McpServers,
        cache: PromptCache,
        sound: OutputBuffer | None,
        out_of_band: bool,
        settings: Mapping[str, Any],
        seen: Sequence[ServerItem],
        outputs: Sequence[Output],
        reasons: bool,
        response: Json,
    ) -> None:
        self._emit = emit
        self._ids = ids
        self._delivery = delivery
        self._conversation = conversation
        self._mcp = mcp
        self._cache = cache
        self._sound = sound
        self._settings = settings
        self._outputs = outputs
        self._reasons = reasons  # these models interleave their outputs, and say which words are a comment
        self._context = context_pieces(settings, seen)
        self._cached = cache.cached(self._context)
        self._tokens = [0, 0]
        self._open: list[_OpenOutput] = []
        self._made: list[ServerItem] = []
        self.response = response
        self.out_of_band = out_of_band
        self.audio_ms: int = 0
        self.spoken: list[ServerItem] = []
        self.steps: Generator[float, None, None] = self._run()
        emit("response.created", response=deepcopy(response))

    @property
    def id(self) -> str:
        """The response's id."""
        return str(self.response["id"])

    @property
    def voice(self) -> Json | str:
        """The voice that it speaks with."""
        voice: Json | str = self.response["audio"]["output"]["voice"]
        return voice

    def cancel(self, reason: str) -> None:
        """End it between two steps, with status `cancelled`."""
        self.steps.close()
        self._finish("cancelled", {"type": "cancelled", "reason": reason})

    def _run(self) -> Generator[float, None, None]:
        try:
            for index, output in enumerate(self._outputs):
                match output:
                    case Says():
                        calls_follow = any(isinstance(each, Calls | CallsMcp) for each in self._outputs[index + 1 :])
                        yield from self._say(output, "commentary" if calls_follow else "final_answer")
                    case Calls():
                        yield from self._call(output)
                    case CallsMcp():
                        yield from self._call_mcp(output)
                    case Fails(code=code, message=message, type=kind):
                        error = {"type": kind, "code": code, "message": message}
                        raise _CutShortError("failed", {"type": "failed", "error": error})
                    case Incomplete(reason=reason):
                        raise _CutShortError("incomplete", {"type": "incomplete", "reason": reason})
                    case _:
                        raise TypeError(
                            f"a script is made of says, calls, calls_mcp, fails and incomplete, not of {output!r}"
                        )
        except _CutShortError as cut:
            self._finish(cut.status, cut.details)
        else:
            self._finish("completed", None)

    # --- streaming ---------------------------------------------------------------------------------------------

    def _say(self, output: Says, phase: str) -> Iterator[float]:
        spoken = self._settings["output_modalities"] == ["audio"]
        item: Json = {"type": "message", "status": "in_progress", "role": "assistant", "content": []}
        opened = self._open_output(item | {"phase": phase} if self._reasons else item)
        part = {"type": "audio", "transcript": ""} if spoken else {"type": "text", "text": ""}
        self._emit("response.content_part.added", **self._part_ids(opened), part=part)
        opened.held.item["content"] = [
            {"type": "output_audio", "transcript": ""} if spoken else {"type": "output_text", "text": ""}
        ]
        yield from self._speak(opened, output) if spoken else self._write(opened, output.text)

    def _write(self, opened: _OpenOutput, text: str) -> Iterator[float]:
        for token in tokenise(text):
            yield len(token) * _SECONDS_PER_CHARACTER * self._delivery.pace
            self._spend(text=1)
            opened.written += token
            opened.held.item["content"][0]["text"] = opened.written
            self._emit_text("response.output_text.delta", token, **self._part_ids(opened))

    def _speak(self, opened: _OpenOutput, output: Says) -> Iterator[float]:
        format_type: str = self._settings["audio"]["output"]["format"]["type"]
        speed: float = self._settings["audio"]["output"]["speed"]
        audio = voice(output.text, output.audio, format_type, speed=speed, after_ms=self.audio_ms)
        opened.held.format_type = format_type
        rate = BYTES_PER_MS[format_type]
        tokens = tokenise(output.text)
        characters, total = 0, max(1, len(output.text))
        chunk_size = self._delivery.audio_delta_ms * rate
        for start in range(0, max(len(audio), 1), chunk_size):
            chunk = audio[start : start + chunk_size]
            chunk_ms = len(chunk) // rate
            yield chunk_ms / 1000 * self._delivery.pace
            # The transcript runs ahead of the voice: the tokens that begin within this chunk come before it.
            while tokens and characters * len(audio) <= total * start + total * len(chunk):
                token = tokens.pop(0)
                characters += len(token)
                self._spend(text=1)
                self._transcribe(opened, token)
            if chunk:
                self._spend(audio=-(-chunk_ms // ASSISTANT_MS_PER_TOKEN))
                opened.held.audio.setdefault(0, bytearray()).extend(chunk)
                if opened.held not in self.spoken:
                    self.spoken.append(opened.held)
                self.audio_ms += chunk_ms
                if self._sound is None:
                    delta = b64encode(chunk).decode()
                    self._emit("response.output_audio.delta", **self._part_ids(opened), delta=delta)
                elif self.audio_ms == chunk_ms:
                    self._sound.begin(self.id, self.spoken)

    def _transcribe(self, opened: _OpenOutput, token: str) -> None:
        opened.written += token
        opened.held.item["content"][0]["transcript"] = opened.written
        self._emit_text("response.output_audio_transcript.delta", token, **self._part_ids(opened))

    def _call(self, output: Calls) -> Iterator[float]:
        call_id = output.call_id or self._ids.next("call")
        item = {"type": "function_call", "status": "in_progress", "name": output.name, "call_id": call_id}
        opened = self._open_output({**item, "arguments": ""})
        yield from self._argue(opened, output.arguments, "response.function_call_arguments.delta")
        yield 0.0

    def _call_mcp(self, output: CallsMcp) -> Iterator[float]:
        item: Json = {"type": "mcp_call", "server_label": output.server_label, "name": output.name, "arguments": ""}
        opened = self._open_output({**item, "approval_request_id": None, "output": None, "error": None})
        yield from self._argue(opened, output.arguments, "response.mcp_call_arguments.delta")
        self._open.remove(opened)
        self._end_arguments(opened)
        call = McpCall(opened.held, opened.index, self.id, opened.previous_item_id, not self.out_of_band, output)
        self._mcp.call(call, self._settings["tools"])

    def _argue(self, opened: _OpenOutput, arguments: str, event_type: str) -> Iterator[float]:
        for start in range(0, len(arguments), 4):
            token = arguments[start : start + 4]
            yield len(token) * _SECONDS_PER_CHARACTER * self._delivery.pace
            self._spend(text=1)
            opened.written += token
            opened.held.item["arguments"] = opened.written
            self._emit_text(event_type, token, **self._argument_ids(opened))

    def _emit_text(self, event_type: str, delta: str, **ids: Any) -> None:
        # The real server pads its text deltas, so that their size does not tell their words.
        self._emit(event_type, **ids, delta=delta, obfuscation="x" * max(1, 16 - len(delta)))

    def _spend(self, *, text: int = 0, audio: int = 0) -> None:
        limit = self.response["max_output_tokens"]
        if isinstance(limit, int) and sum(self._tokens) + text + audio > limit:
            raise _CutShortError("incomplete", {"type": "incomplete", "reason": "max_output_tokens"})
        self._tokens[0] += text
        self._tokens[1] += audio

    # --- items -------------------------------------------------------------------------------------------------

    def _open_output(self, item: Json) -> _OpenOutput:
        if not self._reasons:
            self._close_outputs("completed")
        held = ServerItem({"id": self._ids.next("mcp" if item["type"] == "mcp_call" else "item"), **item})
        opened = _OpenOutput(len(self._made), held, None)
        self._made.append(held)
        self._open.append(opened)
        self._emit("response.output_item.added", response_id=self.id, output_index=opened.index, item=held.shown())
        if not self.out_of_band:
            previous = self._conversation.insert(held)
            # In `done` the real server says null where just one item stands before, and the truth further behind: so
            # it is in all recorded responses.
            opened.previous_item_id = None if previous == self._conversation.items[0].id else previous
            self._emit("conversation.item.added", previous_item_id=previous, item=held.shown())
        return opened

    def _close_outputs(self, last_status: str) -> None:
        while self._open:
            opened = self._open.pop(0)
            status = "completed" if self._open else last_status
            self._close_output(opened, status)

    def _close_output(self, opened: _OpenOutput, status: str) -> None:
        item = opened.held.item
        if "status" in item:
            item["status"] = status
        if item["type"] == "message":
            ids = self._part_ids(opened)
            if item["content"][0]["type"] == "output_audio":
                self._emit("response.output_audio.done", **ids)
                self._emit("response.output_audio_transcript.done", **ids, transcript=opened.written)
                part = {"type": "audio", "transcript": opened.written}
            else:
                self._emit("response.output_text.done", **ids, text=opened.written)
                part = {"type": "text", "text": opened.written}
            self._emit("response.content_part.done", **ids, part=part)
        else:
            self._end_arguments(opened)
        if not self.out_of_band and opened.held in self._conversation.items:
            self._emit("conversation.item.done", previous_item_id=opened.previous_item_id, item=opened.held.shown())
        shown = opened.held.shown()
        self._emit("response.output_item.done", response_id=self.id, output_index=opened.index, item=shown)

    def _end_arguments(self, opened: _OpenOutput) -> None:
        item, ids = opened.held.item, self._argument_ids(opened)
        if item["type"] == "mcp_call":
            self._emit("response.mcp_call_arguments.done", **ids, arguments=opened.written)
        else:
            self._emit("response.function_call_arguments.done", **ids, name=item["name"], arguments=opened.written)

    def _part_ids(self, opened: _OpenOutput) -> Json:
        return {**self._ids_of(opened), "content_index": 0}

    def _argument_ids(self, opened: _OpenOutput) -> Json:
        item = opened.held.item
        return self._ids_of(opened) | ({"call_id": item["call_id"]} if item["type"] == "function_call" else {})

    def _ids_of(self, opened: _OpenOutput) -> Json:
        return {"response_id": self.id, "item_id": opened.held.id, "output_index": opened.index}

    # --- the end -----------------------------------------------------------------------------------------------

    def _finish(self, status: str, details: Json | None) -> None:
        self._close_outputs("completed" if status == "completed" else "incomplete")
        self.response["status"] = status
        self.response["status_details"] = details
        self.response["output"] = [held.shown() for held in self._made]
        if status != "failed":  # the real server has no usage for some failures
            text, audio = self._tokens
            context = sum((tokens for _, tokens in self._context), Tokens())
            self.response["usage"] = response_usage(context, self._cached, (text, audio))
            self._cache.add([*self._context, *((held.id, item_tokens(held)) for held in self._made)])
        self._emit("response.done", response=deepcopy(self.response))
