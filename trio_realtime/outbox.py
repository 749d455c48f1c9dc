"""What waits to be written: filled synchronously, emptied by the one task that writes.

While nothing waits, and the transport can write without waiting, what is put in is written at once: an append costs no
switch to the task that writes and back. Everything goes out in the order in which it was put in, except what is urgent
(a cancel, a truncation): that overtakes what waits, so that it does not stand behind audio. Audio is bounded; who
appends more waits for room.
"""

from collections import deque
from collections.abc import Callable

import trio

from .transport import MessageTransport

MAX_QUEUED_AUDIO_BYTES = 2**20
"""Encoded audio that may wait; 16 seconds of PCM16 at 24,000 Hz."""

BATCH_BYTES = 2**16
"""How much is handed to the transport at once, unless one event is larger: what it has cannot be overtaken."""


class Outbox:
    """The queue between the commands and the socket."""

    def __init__(self) -> None:
        self._urgent: deque[bytes] = deque()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._writer: trio.lowlevel.Task | None = None  # while it waits for something to write
        self._send_nowait: Callable[[bytes], bool] = _takes_nothing
        self._parking = trio.lowlevel.ParkingLot()
        self._idle = True  # nothing has been taken that is not written
        self._abandoned = False  # by the task that writes
        self.closed: bool = False

    @property
    def queued_bytes(self) -> int:
        """How much waits to be written."""
        return self._queued_bytes

    def put(self, payload: bytes, *, urgent: bool = False) -> None:
        """Queue one encoded event; after the session has ended it goes nowhere."""
        if self.closed or (self._writer is not None and self._send_nowait(payload)):
            return
        (self._urgent if urgent else self._queue).append(payload)
        self._queued_bytes += len(payload)
        self._wake_writer()

    async def wait_room(self) -> None:
        """Wait while too much audio is queued; returns at once, without a checkpoint, when there is room."""
        while self._queued_bytes > MAX_QUEUED_AUDIO_BYTES and not self.closed:
            await self._parking.park()

    async def wait_empty(self) -> None:
        """Wait until everything that was put in is written, or nothing will be written any more."""
        while (self._queued_bytes or not self._idle) and not self.closed and not self._abandoned:
            await self._parking.park()

    async def write_to(self, transport: MessageTransport) -> None:
        """Write what is put in, until cancelled or the transport raises; then nothing more is written."""
        self._send_nowait = transport.send_nowait
        try:
            while True:
                while not self._queued_bytes:
                    self._idle = True
                    self._parking.unpark_all()
                    self._writer = trio.lowlevel.current_task()
                    await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)
                self._idle = False
                batch = self._take()
                self._parking.unpark_all()
                await transport.send(*batch)
        finally:
            self._abandoned = True
            self._writer = None
            self._parking.unpark_all()

    def close(self) -> None:
        """Nothing more will be written."""
        self.closed = True
        self._parking.unpark_all()

    def _take(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        while size < BATCH_BYTES and (self._urgent or self._queue):
            payload = (self._urgent or self._queue).popleft()
            batch.append(payload)
            size += len(payload)
        self._queued_bytes -= size
        return batch

    def _wake_writer(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            trio.lowlevel.reschedule(writer)

    def _stop_waiting(self, _: object) -> trio.lowlevel.Abort:
        self._writer = None
        return trio.lowlevel.Abort.SUCCEEDED


def _takes_nothing(_: bytes) -> bool:
    return False
