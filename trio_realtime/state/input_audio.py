"""The audio that the program sent, kept for a while, so that the user's turns can be cut out of it.

The server speaks of positions in milliseconds since the first byte of the session; they stay valid however much of the
beginning is no longer kept.
"""

from collections import deque

from ..audio import Encoding


class InputAudioRing:
    """At most the last `max_bytes` of the audio that was sent; what is older goes in whole chunks.

    Attributes:
        max_bytes: How much is kept.
        end: How many bytes were ever sent.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self.end: int = 0

    @property
    def start(self) -> int:
        """Offset of the first byte that is still kept."""
        return self.end - self._held

    def append(self, chunk: bytes) -> None:
        """Take one more chunk, without a copy."""
        if not chunk:
            return
        self._chunks.append(chunk)
        self._held += len(chunk)
        self.end += len(chunk)
        while self._held > self.max_bytes:
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
            if position <= start:
                break
            position -= len(chunk)
            if position < end:
                pieces.append(chunk[max(0, start - position) : end - position])
        return b"".join(reversed(pieces))


class _Turn:
    """What the user says between `speech_started` and `speech_stopped`: from byte `start` to byte `end`.

    The end, the commit and the item come in any order; `taken` is true when the audio went to the item before the
    commit came.
    """

    __slots__ = ("committed", "end", "start", "taken")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end: int | None = None
        self.committed = False
        self.taken = False


_MAX_TURNS = 64
"""Turns of which the end or the commit is still awaited, and commits that are remembered; a server has one or two."""


class InputAudio:
    """Which stretch of the sent audio belongs to which user item.

    With turn detection a turn is what lies between `speech_started` and `speech_stopped`; without, it is what was sent
    between two commits (or a clear and a commit).
    """

    def __init__(self, encoding: Encoding, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        # From which millisecond and byte on the audio is in which encoding.
        self._stretches: list[tuple[int, int, Encoding]] = [(0, 0, encoding)]
        self._ring = InputAudioRing(int(max_seconds * encoding.bytes_per_second))
        self._turns: dict[str | None, _Turn] = {}
        self._committed: dict[str, None] = {}
        self._commits: deque[int] = deque()
        self._clears: deque[int] = deque()
        self._uncommitted_from = 0

    @property
    def encoding(self) -> Encoding:
        """How the audio that is appended now is encoded; what was appended before stays what it was."""
        return self._stretches[-1][2]

    @encoding.setter
    def encoding(self, encoding: Encoding) -> None:
        since_ms, since_bytes, before = self._stretches[-1]
        if encoding == before:
            return
        sent_ms = since_ms + before.bytes_to_ms(self._ring.end - since_bytes)
        self._stretches.append((sent_ms, self._ring.end, encoding))
        self._ring.max_bytes = int(self._max_seconds * encoding.bytes_per_second)

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
        """The server refused the oldest commit: what it should have taken is still in its buffer."""
        if self._commits:
            self._commits.popleft()

    def cleared(self) -> None:
        """The server emptied its buffer; a turn that goes on has lost what it had so far."""
        end = self._clears.popleft() if self._clears else self._ring.end
        self._uncommitted_from = max(self._uncommitted_from, end)
        for turn in self._turns.values():
            if turn.end is None:
                turn.start = max(turn.start, end)

    def speech_started(self, item_id: str | None, start_ms: int) -> None:
        """The user began to speak."""
        self._turns.pop(item_id, None)
        self._turns[item_id] = _Turn(self._offset(start_ms))
        if len(self._turns) > _MAX_TURNS:
            del self._turns[next(iter(self._turns))]

    def speech_stopped(self, item_id: str | None, end_ms: int, *, has_item: bool) -> bytes | None:
        """The user stopped speaking.

        Args:
            item_id: Id of the turn's item.
            end_ms: When, in milliseconds of all audio that was sent.
            has_item: Whether the item is in the conversation already.

        Returns:
            The audio of the turn if it was committed or its item is there; otherwise None, and the commit gives it.
        """
        key, turn = self._match(item_id, [entry for entry in self._turns.items() if entry[1].end is None])
        if turn is None:
            return None
        turn.end = self._offset(end_ms)
        if turn.committed:
            del self._turns[key]
        elif has_item:
            turn.taken = True
        else:
            return None
        return self._cut(turn.start, turn.end)

    def committed(self, item_id: str | None) -> tuple[str | None, bytes | None, bool]:
        """The buffer became an item.

        Returns:
            The item's id (the one of the turn, where the server leaves it out of `committed`), its audio, or None when
            there is nothing new to know or the turn's end is not known yet, and whether it answers a commit of the
            program.
        """
        if item_id in self._committed:
            return item_id, None, False  # said twice
        key, turn = self._match(item_id, [entry for entry in self._turns.items() if not entry[1].committed])
        if turn is not None:
            del self._turns[key]
        item_id = key if item_id is None else item_id
        if item_id is not None:
            self._committed[item_id] = None
            if len(self._committed) > _MAX_TURNS:
                del self._committed[next(iter(self._committed))]
        if turn is None or (turn.end is None and self._commits):
            # Turn detection commits after the end of speech alone: before it, this answers the program's own commit.
            ours = bool(self._commits)
            end = self._commits.popleft() if ours else self._ring.end
            # And that takes all of the buffer, also what was appended before the user spoke.
            start, self._uncommitted_from = self._uncommitted_from, max(self._uncommitted_from, end)
            return item_id, self._cut(start, end), ours
        if turn.end is None:
            turn.committed = True
            self._turns[item_id] = turn
            self._uncommitted_from = self._ring.end
            return item_id, None, False
        self._uncommitted_from = max(self._uncommitted_from, turn.end)
        return item_id, None if turn.taken else self._cut(turn.start, turn.end), False

    def _match(self, item_id: str | None, turns: list[tuple[str | None, _Turn]]) -> tuple[str | None, _Turn | None]:
        """The turn of an item: by id, or where the server leaves ids out, the first."""
        for key, turn in turns:
            if key == item_id:
                return key, turn
        for key, turn in turns:
            if key is None or item_id is None:
                return key, turn
        return item_id, None

    def _cut(self, start: int, end: int) -> bytes:
        """The bytes from offset `start` to `end`, as far as they are encoded like the last of them."""
        since = [first for _, first, _ in self._stretches if first < end]
        return self._ring.cut(max(start, since[-1] if since else 0), end)

    def _offset(self, ms: int) -> int:
        """Which byte of all audio was sent at a time; the encoding may have changed on the way."""
        since_ms, since_bytes, encoding = self._stretches[0]
        for stretch in self._stretches:
            if stretch[0] <= ms:
                since_ms, since_bytes, encoding = stretch
        return since_bytes + encoding.ms_to_bytes(ms - since_ms)
