"""Two ends of a connection that crosses no network: what one sends, the other's pump delivers.

It keeps the promises of `MessageTransport` on whatever clock Trio has, so that a test of a session needs no socket and
no real time. Like a socket it has a bounded buffer: a sender waits while the peer does not read. There is no framing,
unless a simulated server that misbehaves sends frames: then the peer reads them by the rules of a client.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import trio

from ...errors import ConfigError, ConnectionLost, ProtocolError
from ...frames import BINARY, CLOSE, TEXT, FrameError, FrameReader, parse_close
from ...transport import Closed, Deliver
from .server_transport import ServerTransport

_MAX_MESSAGE_BYTES = 32 * 2**20


def memory_transport_pair(*, max_messages: int = 64) -> tuple[MemoryTransport, MemoryTransport]:
    """Make two connected transports.

    Args:
        max_messages: How many messages an end holds that were not pumped yet. A send to an end that holds as many
            waits. The messages of one send stay together, so the last send may exceed this.

    Raises:
        ConfigError: `max_messages` is below 1.
    """
    if max_messages < 1:
        raise ConfigError(f"max_messages must be at least 1, not {max_messages}")
    left, right = MemoryTransport(max_messages), MemoryTransport(max_messages)
    left._peer, right._peer = right, left  # pyright: ignore[reportPrivateUsage]  # the pair is one object in two halves
    return left, right


class MemoryTransport(ServerTransport):
    """One end of a `memory_transport_pair`."""

    _peer: MemoryTransport

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self._inbox: deque[tuple[bytes, bool]] = deque()  # and whether it is binary
        self._frames = FrameReader(_MAX_MESSAGE_BYTES)
        self._reading = True
        self._ended: Closed | ConnectionLost | ProtocolError | None = (
            None  # what the pump ends with, once the inbox is empty
        )
        self._closed = False  # by this side
        self._pump_state: Literal["not yet", "running", "over"] = "not yet"
        self._arrival = trio.lowlevel.ParkingLot()  # where our pump waits
        self._room = trio.lowlevel.ParkingLot()  # where the peer's senders wait

    async def pump(self, deliver: Deliver) -> Closed:
        """See `MessageTransport.pump`; `ProtocolError` is raised only when the peer sent frames."""
        if self._pump_state == "running":
            raise trio.BusyResourceError("another task is already pumping this transport")
        if self._pump_state == "over" or self._closed:
            raise trio.ClosedResourceError("this transport cannot be read any more")
        self._pump_state = "running"
        try:
            await trio.lowlevel.checkpoint()
            while True:
                while self._inbox and self._reading and not self._closed:
                    deliver(*self._inbox.popleft())
                    self._room.unpark()
                if self._closed:
                    raise trio.ClosedResourceError("this transport was closed on this side")
                if self._ended is not None and self._reading:
                    break
                await self._arrival.park()
        finally:
            self._pump_state = "over"
        if isinstance(self._ended, Closed):
            return self._ended
        raise self._ended

    async def send(self, *payloads: bytes) -> None:
        """See `MessageTransport.send`; waits while the peer's inbox is full."""
        await self._wait_room()
        self._peer._inbox.extend((payload, False) for payload in payloads)
        self._peer._arrival.unpark_all()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def send_frames(self, frames: bytes) -> None:
        """See `ServerTransport.send_frames`; waits while the peer's inbox is full."""
        await self._wait_room()
        self._peer._take_frames(frames)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def _wait_room(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._closed and self._ended is None and len(self._peer._inbox) >= self._max_messages:
            await self._peer._room.park()
        if self._closed:
            raise trio.ClosedResourceError("this transport was closed on this side")
        if isinstance(self._ended, Closed):
            raise ConnectionLost("the peer closed the connection", code=self._ended.code, reason=self._ended.reason)
        if self._ended is not None:
            raise ConnectionLost("the connection was dropped", reason="dropped")

    def _take_frames(self, frames: bytes) -> None:
        """Read frames of the peer as a client of a websocket does."""
        try:
            for opcode, payload in self._frames.feed(frames):
                if opcode == CLOSE:
                    self._end(Closed(*parse_close(payload)))
                elif opcode in {TEXT, BINARY}:
                    self._inbox.append((bytes(payload), opcode == BINARY))
        except FrameError as error:
            self._end(ProtocolError(f"the server broke the websocket protocol: {error}", code=error.code))
            self._peer._end(Closed(error.code, str(error)))
        self._arrival.unpark_all()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """See `MessageTransport.aclose`; the peer's pump returns `Closed(code, reason)` after what was sent before."""
        self._close(Closed(code, reason))
        await trio.lowlevel.checkpoint()

    async def aclose_with(self, frames: bytes) -> None:
        """See `ServerTransport.aclose_with`."""
        if not self._closed:
            self._peer._take_frames(frames)
        await self.aclose()

    def _close(self, closed: Closed) -> None:
        if not self._closed:
            self._closed = True
            self._inbox.clear()
            self._peer._end(closed)
            self._wake()

    def set_reading(self, reading: bool) -> None:
        """See `ServerTransport.set_reading`."""
        if self._reading != reading:
            self._reading = reading
            self._wake()

    def fall_silent(self) -> None:
        """See `ServerTransport.fall_silent`; in memory nothing is answered anyway."""

    def drop(self) -> None:
        """Break the connection without a close frame: both ends get `ConnectionLost` after what had arrived."""
        for end in (self, self._peer):
            end._end(ConnectionLost("the connection was dropped", reason="dropped"))

    def _end(self, ended: Closed | ConnectionLost | ProtocolError) -> None:
        if self._ended is None:
            self._ended = ended
        self._wake()

    def _wake(self) -> None:
        self._arrival.unpark_all()
        self._room.unpark_all()
