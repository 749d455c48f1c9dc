"""One translation session of the simulated server, as a state machine like `SimulatedConnection`.

Theory of operation: an interpreter works in frames of 200 ms of input, one after the other, and only when a frame is
whole: input that does not come stops its time. What it hears between two silences is one utterance. While that lasts,
its words are transcribed (where transcription is on); when it ends, the translation of it queues up to be spoken, one
frame of output for each frame of input, with its words just ahead of the voice. `session.close` is answered when
silence instead of input has brought everything out.
"""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ...transport import Closed
from ..server import Json
from .client_event_shapes import MAX_APPEND_BYTES
from .encoded_audio import decoded_audio
from .refusal import RefusedError
from .script import Fails, Hears, ModelContext, Says, outputs_of
from .session_connection import Beginning, Behaviour, SessionConnection
from .sound import BYTES_PER_MS, PCM, QUESTION, SPEECH_MS_PER_CHARACTER, voice
from .speech_detector import SpeechDetector, SpeechStarted
from .translation_shapes import TRANSLATION_EVENT
from .usage import tokenise

FRAME_MS = 200
_FRAME_BYTES = FRAME_MS * BYTES_PER_MS[PCM]
_HEARING: Json = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 0, "silence_duration_ms": 500}


@dataclass(slots=True)
class _Spoken:
    """A translation on its way out."""

    tokens: deque[str]
    characters: int
    audio: bytes
    position: int = 0
    written: int = 0


class TranslationConnection(SessionConnection):
    """What the server knows about one translation session; made by `Simulator.connect`.

    Attributes:
        query: Of the URL.
        session: The effective configuration, in the wire's shape.
        received: The last client events that were JSON objects, oldest first, refused or not.
        closed: Why the server has closed the connection, once it has; nothing is answered any more.
    """

    def __init__(self, behaviour: Behaviour, beginning: Beginning) -> None:
        super().__init__(behaviour, beginning, TRANSLATION_EVENT)
        self._frame_due = float("inf")
        self._audio = bytearray()
        self._elapsed_ms = 0
        self._closing = False
        self._detector = SpeechDetector(_HEARING, PCM)
        self._utterances = 0
        self._utterance = ""
        self._utterance_began_ms = 0
        self._heard: deque[str] = deque()  # words of the utterance that are not transcribed yet
        self._transcribed = 0  # characters of the utterance that are
        self._translations: deque[_Spoken] = deque()
        session = translation_session(self._ids.next("sess"), beginning.query["model"], expires_at=self._expires_at)
        self.session: Json = updated_translation(session, beginning.configuration or {})
        self._emit("session.created", session=deepcopy(self.session))

    # --- time --------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Say when `advance` has something to do; infinity once the connection is closed."""
        if self.closed is not None:
            return float("inf")
        return self._now if self._outgoing else min(self._frame_due, self._expires)

    def advance(self, now: float) -> list[Json]:
        """Let time pass until `now` and return the events that the server sends, in order."""
        while self.closed is None and (due := min(self._frame_due, self._expires)) <= now:
            self._now = max(self._now, due)
            if due == self._expires:
                self._expire()
            else:
                self._take_frame()
        self._now = max(self._now, now)
        return self._sent()

    # --- events ------------------------------------------------------------------------------------------------

    def _handle(self, event: Json) -> None:
        if self._closing:
            raise RefusedError("The session is being closed.", param="type")
        match event["type"]:
            case "session.update":
                self.session = updated_translation(self.session, event["session"])
                self._emit("session.updated", session=deepcopy(self.session))
            case "session.close":
                self._closing = True
                self._await_frame()
            case _:
                self._append(event["audio"])

    def _append(self, encoded: str) -> None:
        audio = decoded_audio(encoded, "audio", PCM)
        if len(audio) > MAX_APPEND_BYTES:
            raise RefusedError(f"The audio of one event must not exceed {MAX_APPEND_BYTES} bytes.", param="audio")
        self._audio += audio
        self._await_frame()

    # --- the interpreter ---------------------------------------------------------------------------------------

    def _await_frame(self) -> None:
        """Work on the next frame, if there is one, after the time that a frame takes."""
        if self._frame_due == float("inf") and (self._closing or len(self._audio) >= _FRAME_BYTES):
            self._frame_due = self._now + FRAME_MS / 1000 * self._behaviour.pace

    def _take_frame(self) -> None:
        self._frame_due = float("inf")
        if self._closing and not (self._audio or self._detector.speaking or self._translations):
            self._emit("session.closed")
            self._close(Closed(1000, ""))
            return
        frame = bytes(self._audio[:_FRAME_BYTES]).ljust(_FRAME_BYTES, b"\0")
        del self._audio[:_FRAME_BYTES]
        self._elapsed_ms += FRAME_MS
        for change in self._detector.detect(frame):
            if isinstance(change, SpeechStarted):
                self._begin_utterance()
            else:
                self._end_utterance()
        self._transcribe(self._elapsed_ms - self._utterance_began_ms)
        self._speak()
        self._await_frame()

    def _begin_utterance(self) -> None:
        transcripts = self._behaviour.transcripts
        transcript = transcripts[self._utterances] if self._utterances < len(transcripts) else QUESTION
        match transcript:
            case Hears(text=text):
                self._utterance = text
            case Fails():
                self._utterance = ""
            case text:
                self._utterance = text
        self._utterance_began_ms = self._elapsed_ms - FRAME_MS
        self._transcribed = 0
        if self.session["audio"]["input"]["transcription"] is not None:
            self._heard.extend(tokenise(self._utterance))

    def _end_utterance(self) -> None:
        self._transcribe(float("inf"))
        script = self._behaviour.script
        if self._utterances < len(script):
            outputs = outputs_of(script[self._utterances], ModelContext(heard=self._utterance))
        else:
            outputs = (Says(f"({self.session['audio']['output']['language']}) {self._utterance}"),)
        self._utterances += 1
        for output in outputs:
            match output:
                case Says(text=text, audio=audio):
                    spoken = voice(text, audio, PCM, after_ms=self._elapsed_ms)
                    self._translations.append(_Spoken(deque(tokenise(text)), max(1, len(text)), spoken))
                case Fails(code=code, message=message, type=kind):
                    error = {"type": kind, "code": code, "message": message, "param": None, "event_id": None}
                    self._emit("error", error=error)
                case _:
                    raise TypeError(f"a translation is made of says and fails, not of {output!r}")

    def _transcribe(self, spoken_ms: float) -> None:
        """Transcribe the words that were begun in so much of the utterance."""
        while self._heard and self._transcribed * SPEECH_MS_PER_CHARACTER < spoken_ms:
            token = self._heard.popleft()
            self._transcribed += len(token)
            self._emit("session.input_transcript.delta", delta=token, elapsed_ms=self._elapsed_ms)

    def _speak(self) -> None:
        """Say one frame of what is to be said."""
        if not self._translations:
            return
        spoken = self._translations[0]
        chunk = spoken.audio[spoken.position : spoken.position + _FRAME_BYTES]
        spoken.position += _FRAME_BYTES
        # The words that begin within this chunk come before it; without a voice, all of them.
        while spoken.tokens and spoken.written * len(spoken.audio) <= spoken.position * spoken.characters:
            token = spoken.tokens.popleft()
            spoken.written += len(token)
            self._emit("session.output_transcript.delta", delta=token, elapsed_ms=self._elapsed_ms)
        if chunk:
            self._emit(
                "session.output_audio.delta",
                delta=b64encode(chunk).decode(),
                sample_rate=24000,
                channels=1,
                format="pcm16",
                elapsed_ms=self._elapsed_ms,
            )
        if spoken.position >= len(spoken.audio):
            self._translations.popleft()


def translation_session(session_id: str, model: str, *, expires_at: int) -> Json:
    """Make the configuration that a translation session begins with."""
    return {
        "id": session_id,
        "type": "translation",
        "model": model,
        "expires_at": expires_at,
        "audio": {"input": {"noise_reduction": None, "transcription": None}, "output": {"language": "en"}},
    }


def updated_translation(session: Json, update: Mapping[str, Any]) -> Json:
    """Apply a valid update, key by key: what it leaves out stays; returns a new configuration."""
    result = deepcopy(session)
    for direction, change in update.get("audio", {}).items():
        settings: Json = result["audio"][direction]
        for key, value in change.items():
            first = {"strength": 1.0} if key == "noise_reduction" else {}
            settings[key] = {**(settings[key] or first), **value} if isinstance(value, dict) else value
    return result
