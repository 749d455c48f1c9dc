"""The simulated server's input audio buffer: what was appended since the last commit, by position in all audio."""

from __future__ import annotations

from .sound import BYTES_PER_MS


class InputBuffer:
    """Audio of one format that is not committed yet.

    Attributes:
        format_type: The format of the audio.
    """

    def __init__(self, format_type: str, start_ms: int = 0) -> None:
        self.format_type = format_type
        self._audio = bytearray()
        self._start_bytes = start_ms * BYTES_PER_MS[format_type]

    @property
    def end_ms(self) -> int:
        """How much audio was written in all, in milliseconds."""
        return (self._start_bytes + len(self._audio)) // BYTES_PER_MS[self.format_type]

    @property
    def held_ms(self) -> float:
        """How much audio waits to be committed, in milliseconds."""
        return len(self._audio) / BYTES_PER_MS[self.format_type]

    @property
    def start_ms(self) -> int:
        """Where the audio that it holds begins."""
        return self._start_bytes // BYTES_PER_MS[self.format_type]

    def append(self, audio: bytes) -> None:
        """Write audio."""
        self._audio += audio

    def take(self, start_ms: int | None = None, end_ms: int | None = None) -> bytes:
        """Take the audio between two positions (or all) out, and forget what stands before it."""
        rate = BYTES_PER_MS[self.format_type]
        start = 0 if start_ms is None else max(0, start_ms * rate - self._start_bytes)
        end = len(self._audio) if end_ms is None else max(0, end_ms * rate - self._start_bytes)
        taken = bytes(self._audio[start:end])
        self._forget(end)
        return taken

    def clear(self) -> None:
        """Forget all that waits to be committed; positions go on."""
        self._forget(len(self._audio))

    def keep_last(self, kept_ms: int) -> None:
        """Forget all but the last `kept_ms`."""
        self._forget(max(0, len(self._audio) - kept_ms * BYTES_PER_MS[self.format_type]))

    def _forget(self, count: int) -> None:
        del self._audio[:count]
        self._start_bytes += count
