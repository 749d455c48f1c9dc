"""The microphone's audio as a line of bars that grows with it, and the turn that was found in it."""

import math

from ..audio import PCM16
from .report import level_dbfs

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.:-=+*#"

_QUIETEST_DBFS = -48.0
_LOUDEST_DBFS = -15.0


def bar(level: float | None, bars: str = BARS) -> str:
    """One bar for a level in dBFS; None is silence."""
    share = 0.0 if level is None else (level - _QUIETEST_DBFS) / (_LOUDEST_DBFS - _QUIETEST_DBFS)
    return bars[min(len(bars) - 1, max(0, round(share * (len(bars) - 1))))]


class Waveform:
    """One line of bars.

    Args:
        total_ms: How much audio it should have room for; later audio gets no bars.
        width: How many bars there may be.
        start_ms: Where in all audio sent the line begins.

    Attributes:
        bar_ms: How much audio one bar stands for.
    """

    def __init__(self, total_ms: int, width: int, *, start_ms: int = 0, bars: str = BARS) -> None:
        self.bar_ms: int = max(20, math.ceil(total_ms / width / 20) * 20)
        self._width = width
        self._start_ms = start_ms
        self._bars = bars
        self._waiting = b""
        self.drawn: int = 0

    def extend(self, pcm: bytes) -> str:
        """Take audio, and give the bars that are whole now."""
        self._waiting += pcm
        size = PCM16.ms_to_bytes(self.bar_ms)
        glyphs = ""
        while len(self._waiting) >= size and self.drawn < self._width:
            glyphs += bar(level_dbfs(self._waiting[:size]), self._bars)
            self._waiting = self._waiting[size:]
            self.drawn += 1
        return glyphs

    def span(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """The first bar of a stretch of the audio, and how many it has: at least one, none beyond the line."""
        first = min(max(0, (start_ms - self._start_ms) // self.bar_ms), self._width - 1)
        beyond = min(math.ceil((end_ms - self._start_ms) / self.bar_ms), self._width)
        return first, max(1, beyond - first)
