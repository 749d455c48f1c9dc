"""What a subject measures of itself: its CPU time between two moments, and what it received between them."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass, field


@dataclass
class Meter:
    """CPU time of this process, all its threads, and what came meanwhile.

    Attributes:
        pieces: Deltas.
        received: Bytes of audio and characters of text in them.
        lags_ms: How long after its writing each delta was in the consumer's hands, where the server says so.
        sent: Appends.
    """

    pieces: int = 0
    received: int = 0
    sent: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    lags_ms: list[float] = field(default_factory=list)
    more: dict[str, float] = field(default_factory=dict)
    running: bool = False

    def start(self) -> None:
        """The first moment."""
        self.pieces = self.received = 0
        self.running = True
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def count(self, piece: bytes | str) -> None:
        """One delta."""
        self.pieces += 1
        self.received += len(piece)

    def count_stamped(self, audio: bytes) -> None:
        """One delta of the load `paced`, whose audio begins with the time at which it was written."""
        self.pieces += 1
        self.received += len(audio)
        self.lags_ms.append((time.monotonic() - struct.unpack_from("<d", audio)[0]) * 1000)

    def stop(self) -> None:
        """The second moment."""
        self.cpu_s, self.wall_s = time.process_time() - self._cpu, time.perf_counter() - self._wall
        self.running = False
