"""How the simulated server listens: the input audio buffer, turn detection, commits, transcription, idle timeouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from ..server import Json
from .conversation import ServerConversation, ServerItem
from .emit import Emit
from .identifiers import IdCounter
from .input_buffer import InputBuffer
from .refusal import RefusedError
from .script import Fails, Hears
from .sound import SPEECH_MS_PER_CHARACTER
from .speech_detector import SpeechDetector, SpeechStarted
from .timeline import Steps, Timeline
from .usage import tokenise, transcript_usage

_MIN_COMMIT_MS = 100
_MAX_UNCOMMITTED_SILENCE_MS = 60_000


class Turns(Protocol):
    """Who is told about turns."""

    def user_began(self) -> None:
        """The user began to speak over whatever is being said."""

    def user_ended(self) -> None:
        """The user's turn is an item now, and wants an answer."""


class Listening:
    """The ear of one connection.

    Attributes:
        idle_due: When silence makes the server speak by itself; infinity when it does not.
    """

    def __init__(
        self,
        emit: Emit,
        ids: IdCounter,
        timeline: Timeline,
        *,
        session: Json,
        conversation: ServerConversation,
        turns: Turns,
        speech: Iterator[Hears | Fails],
        pace: float,
        clock: Callable[[], float],
    ) -> None:
        self._emit = emit
        self._ids = ids
        self._timeline = timeline
        self._conversation = conversation
        self._turns = turns
        self._speech = speech
        self._pace = pace
        self._clock = clock
        self._session: Json = session
        self._detector: SpeechDetector | None = None
        self._speech_item_id: str | None = None
        self._speech_start_ms = 0
        self._playback_end = 0.0
        self._playback_end_ms = 0
        self._buffer = InputBuffer(self._input["format"]["type"])
        self.idle_due: float = float("inf")
        self.reconfigure(session)

    @property
    def _input(self) -> Json:
        settings: Json = self._session["audio"]["input"]
        return settings

    def reconfigure(self, session: Json) -> None:
        """Listen as the session now says; what a change of format makes unreadable is dropped."""
        before, self._session = self._input, session
        format_type: str = self._input["format"]["type"]
        if format_type != self._buffer.format_type:
            self._buffer = InputBuffer(format_type, self._buffer.end_ms)
        elif self._detector is not None and before["turn_detection"] == self._input["turn_detection"]:
            return
        turn_detection: Json | None = self._input["turn_detection"]
        self._detector = None
        if turn_detection is not None:
            self._detector = SpeechDetector(turn_detection, format_type, self._buffer.end_ms)
        self._speech_item_id = None
        self.idle_due = float("inf")

    # --- what the client does ----------------------------------------------------------------------------------

    def append(self, audio: bytes) -> None:
        """Hear more audio."""
        self._buffer.append(audio)
        if self._clock() < self._playback_end:
            self._playback_end_ms = self._buffer.end_ms
        if self._detector is None:
            return
        for change in self._detector.detect(audio):
            if isinstance(change, SpeechStarted):
                self._begin_speech(change.audio_start_ms)
            else:
                self._end_speech(change.audio_end_ms)
        if not self._detector.speaking:
            self._buffer.keep_last(_MAX_UNCOMMITTED_SILENCE_MS)

    def commit(self) -> None:
        """Make an item of all that was heard since the last.

        Raises:
            RefusedError: There are less than 100 ms of audio.
        """
        held_ms = self._buffer.held_ms
        if held_ms < _MIN_COMMIT_MS:
            raise RefusedError(
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer "
                f"only has {held_ms:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        self._commit(self._buffer.take())

    def clear(self) -> None:
        """Forget all that was heard since the last item."""
        self._buffer.clear()
        self._forget_speech()
        self._emit("input_audio_buffer.cleared")

    # --- turns -------------------------------------------------------------------------------------------------

    def _begin_speech(self, start_ms: int) -> None:
        self.idle_due = float("inf")
        self._speech_item_id = self._ids.next("item")
        # What was committed before is another turn's: the padding cannot reach into it.
        self._speech_start_ms = max(start_ms, self._buffer.start_ms)
        self._emit(
            "input_audio_buffer.speech_started", audio_start_ms=self._speech_start_ms, item_id=self._speech_item_id
        )
        if self._input["turn_detection"]["interrupt_response"]:
            self._turns.user_began()

    def _end_speech(self, end_ms: int) -> None:
        self._emit("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=self._speech_item_id)
        self._commit(self._buffer.take(self._speech_start_ms, end_ms))
        if self._input["turn_detection"]["create_response"]:
            self._turns.user_ended()

    def _forget_speech(self) -> None:
        self._speech_item_id = None
        if self._detector is not None:
            self._detector.forget()

    def _commit(self, audio: bytes, *, is_silence: bool = False) -> None:
        item_id = self._speech_item_id or self._ids.next("item")
        self._forget_speech()
        self.idle_due = float("inf")
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": item_id, "type": "message", "status": "completed", "role": "user", "content": content}
        held = ServerItem(item, {0: bytearray(audio)}, self._buffer.format_type)
        said = None if is_silence else next(self._speech)
        held.heard = said.text if isinstance(said, Hears) else ""
        previous = self._conversation.insert(held)
        self._emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        self._emit("conversation.item.added", previous_item_id=previous, item=held.shown())
        self._emit("conversation.item.done", previous_item_id=previous, item=held.shown())
        transcription: Json | None = self._input["transcription"]
        if transcription is not None and said is not None:
            self._timeline.add(self._clock(), self._transcribe(held, said, transcription["model"]))

    # --- transcription -----------------------------------------------------------------------------------------

    def _transcribe(self, held: ServerItem, said: Hears | Fails, model: str) -> Steps:
        event, ids = "conversation.item.input_audio_transcription", {"item_id": held.id, "content_index": 0}
        if isinstance(said, Fails):
            error = {"type": said.type, "code": said.code, "message": said.message, "param": None}
            self._emit(f"{event}.failed", **ids, error=error)
            return
        confidence = bool(self._session["include"])
        logprobs: list[Json] = []
        written = 0
        for index, (speaker, text) in enumerate(said.segments):
            began = written
            for token in _deltas(model, text, is_first=not index):
                yield len(token) * SPEECH_MS_PER_CHARACTER / 1000 * self._pace
                written += len(token)
                log_probability = {"token": token, "logprob": -0.01, "bytes": list(token.encode(errors="replace"))}
                logprobs.append(log_probability)
                extra: Json = {"logprobs": [log_probability]} if confidence else {}
                self._emit(f"{event}.delta", **ids, delta=token, **extra, obfuscation="x" * max(1, 16 - len(token)))
            if "diarize" in model:
                # Who speaks for how long is told from the words: all characters take the same time.
                seconds = held.audio_ms / 1000 / max(1, len(said.text))
                times = {"start": round(began * seconds, 3), "end": round(written * seconds, 3)}
                segment_id = self._ids.next("seg")
                self._emit(f"{event}.segment", **ids, id=segment_id, text=text, speaker=speaker, **times)
        held.item["content"][0]["transcript"] = said.text
        usage = transcript_usage(model, said.text, held.audio_ms)
        extra = {"logprobs": logprobs} if confidence else {}
        if model == "gpt-transcribe":  # the one that says so
            extra["languages"] = [{"code": code} for code in said.languages]
        self._emit(f"{event}.completed", **ids, transcript=said.text, **extra, usage=usage)

    # --- silence -----------------------------------------------------------------------------------------------

    def response_began(self) -> None:
        """The server speaks: the silence is over."""
        self.idle_due = float("inf")

    def response_ended(self, playback_end: float) -> None:
        """The server has said all; what it said sounds until `playback_end`."""
        turn_detection: Json = self._input["turn_detection"] or {}
        timeout_ms: int | None = turn_detection.get("idle_timeout_ms")
        if timeout_ms is not None and self._speech_item_id is None:
            self._playback_end, self._playback_end_ms = playback_end, self._buffer.end_ms
            self.idle_due = playback_end + timeout_ms / 1000

    def time_out(self) -> None:
        """The user has been silent for too long: commit the silence, and speak."""
        self.idle_due = float("inf")
        self._speech_item_id = self._ids.next("item")
        self._emit(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=self._playback_end_ms,
            audio_end_ms=self._buffer.end_ms,
            item_id=self._speech_item_id,
        )
        self._commit(self._buffer.take(self._playback_end_ms), is_silence=True)
        self._turns.user_ended()


def _deltas(model: str, text: str, *, is_first: bool) -> list[str]:
    """Split what one speaker says into deltas, as the model does."""
    if not is_first:
        text = f" {text}"
    if model == "whisper-1":  # does not stream
        return [text] if text else []
    if model == "gpt-realtime-whisper" and is_first and text:
        text = f" {text}"  # seen on the wire; the transcript begins without it
    return tokenise(text)
