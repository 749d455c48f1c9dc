"""A loudspeaker that plays nothing aloud, but takes the time that it would take, and keeps count of what sounded."""

from collections import Counter

import trio

from ..audio import PCM16
from ..playback import Playback
from ..state.playback import PlaybackChunk

FRAME_SAMPLES = 512
"""What an audio device takes at a time: 21.3 ms at 24,000 Hz, so that what was played ends within a millisecond."""


class Loudspeaker:
    """The consumer of a session's playback, for PCM16 at 24,000 Hz.

    Args:
        playback: It is told of each frame that has sounded.
        news: Woken whenever something has sounded or was dropped.

    Attributes:
        item_id: The item that was played last.
    """

    def __init__(self, playback: Playback, news: trio.lowlevel.ParkingLot) -> None:
        self._playback = playback
        self._news = news
        self._played: Counter[str] = Counter()
        self._finished_bytes = 0
        self._generation = 0
        self._generation_bytes = 0
        self._due = trio.current_time()
        self.item_id: str = ""

    @property
    def quiet(self) -> bool:
        """Whether nothing sounds, and nothing waits to be played."""
        statistics = self._playback.statistics()
        return not statistics.queued_bytes and statistics.handed_out_bytes == self._finished_bytes

    def played_bytes(self, item_id: str) -> int:
        """How much of an item has sounded."""
        return self._played[item_id]

    def played_ms(self, item_id: str) -> int:
        """The same in whole milliseconds."""
        return PCM16.bytes_to_ms(self._played[item_id])

    async def run(self) -> None:
        """Play until the session ends, or it is cancelled."""
        async for chunk in self._playback:
            await self._play(chunk)
            self._finished_bytes += len(chunk.audio)
            self._news.unpark_all()

    async def _play(self, chunk: PlaybackChunk) -> None:
        self.item_id = chunk.item_id
        if chunk.generation != self._generation:
            self._generation, self._generation_bytes = chunk.generation, 0
        size = PCM16.samples_to_bytes(FRAME_SAMPLES)
        self._due = max(self._due, trio.current_time())  # it ran dry, or goes on where the last frame ends
        for start in range(0, len(chunk.audio), size):
            frame = chunk.audio[start : start + size]
            self._due += len(frame) / PCM16.bytes_per_second
            await trio.sleep_until(self._due)
            if self._playback.generation != chunk.generation:  # interrupted: this frame and what follows is dropped
                return
            self._played[chunk.item_id] += len(frame)
            self._generation_bytes += len(frame)
            self._playback.played(bytes=self._generation_bytes, generation=chunk.generation)
            self._news.unpark_all()
