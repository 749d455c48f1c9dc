"""The audio that the program sent, kept for a while, so that the user's turns can be cut out of it.

The server speaks of positions in milliseconds since the first byte of the session; they stay valid however much of the
beginning is no longer kept.
"""

from collections import deque

from ..audio import Encoding


class InputAudioRing:
    """The last `max_bytes` of the audio that was sent.

    Attributes:
        end: How many bytes were ever sent.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self.end = 0

    @property
    def start(self) -> int:
        """Offset of the first byte that is still kept."""
        return self.end - self._held

    def append(self, chunk: bytes) -> None:
        """Take one more chunk, without a copy."""
        self._chunks.append(chunk)
        self._held += len(chunk)
        self.end += len(chunk)
        while self._held > self._max_bytes:
            self._held -= len(self._chunks.popleft())

    def cut(self, start: int, end: int) -> bytes:
        """The bytes from offset `start` to `end`, as far as they were sent and are still kept."""
        end = min(end, self.end)
        start = max(start, self.start)
        if start >= end:
            return b""
        pieces: list[bytes] = []
        position = self.end
        for chunk in reversed(self._chunks):  # a turn that is cut out has just ended
            position -= len(chunk)
            if position >= end:
                continue
            pieces.append(chunk[max(0, start - position) : end - position])
            if position <= start:
                break
        return b"".join(reversed(pieces))


class _Speech:
    __slots__ = ("end_ms", "start_ms")

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self.end_ms: int | None = None


_MAX_OPEN_TURNS = 64
"""Turns of which the end or the item is still awaited; a server has one or two."""


class InputAudio:
    """Which stretch of the sent audio belongs to which user item.

    With turn detection a turn is what lies between `speech_started` and `speech_stopped`; without, it is what was sent
    between two commits (or a clear and a commit).
    """

    def __init__(self, encoding: Encoding, max_seconds: float) -> None:
        self.encoding = encoding
        self._ring = InputAudioRing(int(max_seconds * encoding.bytes_per_second))
        self._turns: dict[str | None, _Speech] = {}
        self._commits: deque[int] = deque()
        self._clears: deque[int] = deque()
        self._uncommitted_from = 0

    @property
    def sent_bytes(self) -> int:
        """How much audio was ever sent."""
        return self._ring.end

    @property
    def uncommitted_bytes(self) -> int:
        """How much was sent since the last commit or clear."""
        marks = (*self._commits, *self._clears, self._uncommitted_from)
        return self._ring.end - max(marks)

    def append(self, audio: bytes) -> None:
        """`input_audio_buffer.append` goes out."""
        self._ring.append(audio)

    def commit(self) -> None:
        """`input_audio_buffer.commit` goes out."""
        self._commits.append(self._ring.end)

    def clear(self) -> None:
        """`input_audio_buffer.clear` goes out."""
        self._clears.append(self._ring.end)

    def commit_refused(self) -> None:
        """The server refused a commit: what it should have taken is still in its buffer."""
        if self._commits:
            self._commits.popleft()

    def cleared(self) -> None:
        """The server emptied its buffer."""
        self._uncommitted_from = max(self._uncommitted_from, self._clears.popleft() if self._clears else self._ring.end)

    def speech_started(self, item_id: str | None, start_ms: int) -> None:
        """The user began to speak."""
        while len(self._turns) >= _MAX_OPEN_TURNS:
            del self._turns[next(iter(self._turns))]
        self._turns[item_id] = _Speech(start_ms)

    def speech_stopped(self, item_id: str | None, end_ms: int) -> None:
        """The user stopped speaking."""
        turn = self._turns.get(item_id) or self._turns.get(None)
        if turn is not None:
            turn.end_ms = end_ms

    def committed(self, item_id: str | None) -> tuple[str | None, bytes | None, bool]:
        """The buffer became an item.

        Returns:
            The item's id (the one of the turn, where the server leaves it out of `committed`), its audio, or None when
            the turn's end is not known yet, and whether it answers a commit of the program.
        """
        key = item_id if item_id in self._turns else None
        if item_id is None and None not in self._turns and self._turns:
            key = item_id = next(reversed(self._turns))
        if key in self._turns:
            turn = self._turns[key]
            if key != item_id:
                self._turns[item_id] = self._turns.pop(key)
            self._uncommitted_from = self._ring.end if turn.end_ms is None else self._offset(turn.end_ms)
            return item_id, self.take(item_id), False
        end = self._commits.popleft() if self._commits else self._ring.end
        audio = self._ring.cut(self._uncommitted_from, end)
        self._uncommitted_from = end
        return item_id, audio, True

    def take(self, item_id: str | None) -> bytes | None:
        """The audio of a turn that has ended, once; None while it has not."""
        turn = self._turns.get(item_id)
        if turn is None or turn.end_ms is None:
            return None
        del self._turns[item_id]
        return self._ring.cut(self._offset(turn.start_ms), self._offset(turn.end_ms))

    def _offset(self, ms: int) -> int:
        return self.encoding.ms_to_bytes(ms)
