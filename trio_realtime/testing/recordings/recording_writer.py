"""The file of a recording, written by a thread of its own.

To make lines and to write them takes time, and a disk may take any; so what is to be written waits in a queue for a
thread. It is a plain thread and none of Trio's, because of virtual time: a task that waits for one of Trio's looks
idle, and a clock that jumps when all are idle would jump hours ahead while a file is closed.
"""

from __future__ import annotations

import logging
import threading
import time
from os import PathLike
from queue import SimpleQueue
from typing import IO, NamedTuple

import trio

from ...transport import Closed
from .recording import Direction, Lost, RecordingError, message_line
from .redaction import KeysInDeltas

logger: logging.Logger = logging.getLogger("trio_realtime")

MAX_UNWRITTEN_BYTES = 64 * 2**20
"""What may wait for the disk; beyond it the recording ends, for the memory is the program's."""

LONGEST_CLOSE_S = 10.0
"""How long a disk may take for what is left at the end."""

_WAIT_S = 0.001
"""How long the thread is waited for at a time; all tasks wait as long."""


class Entry(NamedTuple):
    """Something that crossed a transport: as in `message_line`."""

    direction: Direction
    time: float
    content: bytes | Closed | Lost
    binary: bool = False

    @property
    def size(self) -> int:
        """How much memory it takes, nearly."""
        return len(self.content) if isinstance(self.content, bytes) else 0


class RecordingWriter:
    """A file that grows by what it is given; `put` never waits.

    Args:
        path: The file, replaced if it is there.
        header: Its first line.
        include_audio: Whether audio stands in it.

    Attributes:
        failure: Why it lacks what came last; None as long as it lacks nothing.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: str | PathLike[str], header: str, *, include_audio: bool) -> None:
        self.failure: RecordingError | None = None
        self._file: IO[str] = open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115  the thread closes it
        self._include_audio = include_audio
        self._keys = KeysInDeltas()
        self._entries: SimpleQueue[Entry | None] = SimpleQueue()  # None is the end
        # Two counters, because each belongs to one thread.
        self._put_bytes = 0
        self._taken_bytes = 0
        self._thread = threading.Thread(target=self._run, args=(header,), name=f"recording {path!s}", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Have something written soon."""
        if self.failure is not None:
            return
        if self._put_bytes - self._taken_bytes + entry.size > MAX_UNWRITTEN_BYTES:
            self._fail("the disk does not keep up with the session")
            return
        self._put_bytes += entry.size
        self._entries.put(entry)

    async def aclose(self) -> None:
        """Write what is left, and close the file.

        Cancellation:
            Does not reach it; it takes as long as the disk, at most 10 s.
        """
        self._entries.put(None)
        deadline = time.monotonic() + LONGEST_CLOSE_S
        with trio.CancelScope(shield=True):
            while self._thread.is_alive():
                if time.monotonic() > deadline:
                    self._fail(f"the disk has not taken what was left within {LONGEST_CLOSE_S:g} s")
                    break
                self._thread.join(_WAIT_S)
                await trio.lowlevel.checkpoint()

    def _run(self, header: str) -> None:
        self._attempt(header)
        while (entry := self._entries.get()) is not None:
            self._taken_bytes += entry.size
            self._attempt(entry)
        try:
            self._file.close()
        except OSError as error:  # what was in its buffer
            self._fail(error.strerror or repr(error), error)

    def _attempt(self, line: Entry | str) -> None:
        if self.failure is not None:
            return
        try:
            if isinstance(line, Entry):
                line = message_line(
                    line.direction,
                    line.time,
                    line.content,
                    binary=line.binary,
                    include_audio=self._include_audio,
                    keys=self._keys,
                )
            self._file.write(line + "\n")
            if self._entries.empty():
                self._file.flush()
        except OSError as error:
            self._fail(error.strerror or repr(error), error)
        except Exception as error:  # noqa: BLE001  a bug here: it must not go unnoticed in a thread
            self._fail(repr(error), error)

    def _fail(self, words: str, cause: Exception | None = None) -> None:
        if self.failure is None:
            self.failure = RecordingError(f"the recording ended early: {words}")
            self.failure.__cause__ = cause
            logger.error("%s", self.failure)
