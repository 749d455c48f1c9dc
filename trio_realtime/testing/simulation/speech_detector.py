"""Finds speech in audio by its energy, frame by frame. No clock: time is the position in the audio.

Theory of operation: audio is cut into frames of 20 ms. A frame is loud when its RMS level exceeds what the threshold
stands for. Three loud frames in a row begin speech (one or two are a click); a run of frames that are not loud, as long
as the silence that is asked for, ends it. Between the ends of speech the detector remembers nothing but these runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from operator import mul
from typing import Any

from .sound import BYTES_PER_MS, samples_of

FRAME_MS = 20
ONSET_FRAMES = 3

# How long the silence is that ends a turn by its meaning: this detector does not understand what is said, so
# eagerness is patience.
_SEMANTIC_SILENCE_MS = {"high": 600, "auto": 1200, "medium": 1200, "low": 2400}
_SEMANTIC_PREFIX_MS = 300
_SEMANTIC_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech began: `audio_start_ms` includes the prefix padding."""

    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """Speech ended: `audio_end_ms` includes the silence that told so."""

    audio_end_ms: int


def threshold_level(threshold: float) -> float:
    """Translate a threshold (0 to 1) to an RMS level of 16-bit samples: -60 dB at 0, -36 dB at 0.5, -12 dB at 1."""
    return float(32768 * 10 ** ((48 * threshold - 60) / 20))


class SpeechDetector:
    """Detects turns in audio of one format.

    Attributes:
        prefix_ms: How much audio before speech belongs to it.
        silence_ms: How much silence ends it.
        speaking: Whether speech has begun and not ended.
    """

    def __init__(self, turn_detection: dict[str, Any], format_type: str, start_ms: int = 0) -> None:
        if turn_detection["type"] == "server_vad":
            self.prefix_ms: int = turn_detection["prefix_padding_ms"]
            self.silence_ms: int = turn_detection["silence_duration_ms"]
            threshold: float = turn_detection["threshold"]
        else:
            self.prefix_ms = _SEMANTIC_PREFIX_MS
            self.silence_ms = _SEMANTIC_SILENCE_MS[turn_detection["eagerness"]]
            threshold = _SEMANTIC_THRESHOLD
        self.speaking: bool = False
        self._level = threshold_level(threshold)
        self._format_type = format_type
        self._frame_bytes = FRAME_MS * BYTES_PER_MS[format_type]
        self._partial = bytearray()
        self._position_ms = start_ms
        self._loud_frames = 0
        self._quiet_ms = 0

    def detect(self, audio: bytes) -> Iterator[SpeechStarted | SpeechStopped]:
        """Take the next audio, of any length, and yield what happens in it."""
        self._partial += audio
        frames, size = bytes(self._partial), self._frame_bytes
        whole = len(frames) // size * size
        self._partial = bytearray(frames[whole:])
        for start in range(0, whole, size):
            self._position_ms += FRAME_MS
            change = self._take_frame(frames[start : start + size], self._position_ms)
            if change is not None:
                yield change

    def forget(self) -> None:
        """Forget speech that has begun: its audio was committed or cleared."""
        self.speaking = False
        self._quiet_ms = self._loud_frames = 0

    def _take_frame(self, frame: bytes, end_ms: int) -> SpeechStarted | SpeechStopped | None:
        samples = samples_of(frame, self._format_type)
        loud = sqrt(sum(map(mul, samples, samples)) / len(samples)) > self._level
        self._loud_frames = self._loud_frames + 1 if loud else 0
        if not self.speaking:
            if self._loud_frames < ONSET_FRAMES:
                return None
            self.speaking = True
            self._quiet_ms = 0
            return SpeechStarted(max(0, end_ms - ONSET_FRAMES * FRAME_MS - self.prefix_ms))
        self._quiet_ms = 0 if loud else self._quiet_ms + FRAME_MS
        if self._quiet_ms < self.silence_ms or loud:
            return None
        self.forget()
        return SpeechStopped(end_ms)
