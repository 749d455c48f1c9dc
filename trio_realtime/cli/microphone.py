"""A microphone that hears what it is given, and silence otherwise, and sends it in real time."""

import trio

from ..audio import PCM16
from ..realtime_session import RealtimeSession

CHUNK_MS = 20


class Microphone:
    """A source of audio for a session; nothing is sent until `run`."""

    def __init__(self, session: RealtimeSession) -> None:
        self._session = session
        self._speech = b""
        self._said = trio.Event()

    async def say(self, pcm: bytes) -> None:
        """Speak, and wait until all of it was sent; one at a time.

        Args:
            pcm: Mono PCM16 at 24,000 Hz.
        """
        self._speech, self._said = pcm, trio.Event()
        await self._said.wait()

    async def run(self) -> None:
        """Send a chunk every 20 ms, until it is cancelled; chunks are cut on one clock, so that none comes late."""
        size = PCM16.ms_to_bytes(CHUNK_MS)
        due = trio.current_time()
        while True:
            chunk, self._speech = self._speech[:size], self._speech[size:]
            await self._session.append_audio(chunk.ljust(size, b"\0"))
            if not self._speech:
                self._said.set()
            due += CHUNK_MS / 1000
            await trio.sleep_until(due)
