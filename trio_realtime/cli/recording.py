"""The WAV file that the received audio goes to."""

import wave
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..audio import PCM16


class Recording:
    """Received audio on its way to a file; `open_recording` makes it.

    Attributes:
        path: The file.
        written_bytes: How much audio was written.
    """

    def __init__(self, path: Path, wav: wave.Wave_write) -> None:
        self.path = path
        self.written_bytes: int = 0
        self._wav = wav

    def write(self, pcm: bytes) -> None:
        """Append PCM16. A few kilobytes at a time into a buffer, so it may be called from a Trio task."""
        self._wav.writeframesraw(pcm)
        self.written_bytes += len(pcm)


@contextmanager
def open_recording(path: Path) -> Generator[Recording]:
    """Write a WAV file; however the block ends, the file is then valid and holds what was written.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("wb") as file, wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(PCM16.bytes_per_sample)
        wav.setframerate(PCM16.rate_hz)
        yield Recording(path, wav)
