"""Two ends of a connection that crosses no network: what one sends, the other's pump delivers.

It keeps the promises of `MessageTransport` on whatever clock Trio has, so that a test of a session needs no socket and
no real time. Like a socket it has a bounded buffer: a sender waits while the peer does not read.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import trio

from ..errors import ConfigError, ConnectionLost
from ..transport import Closed, Deliver, MessageTransport


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


class MemoryTransport(MessageTransport):
    """One end of a `memory_transport_pair`."""

    _peer: MemoryTransport

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self._inbox: deque[bytes] = deque()
        self._ended: Closed | ConnectionLost | None = None  # what the pump ends with, once the inbox is empty
        self._closed = False  # by this side
        self._pump_state: Literal["not yet", "running", "over"] = "not yet"
        self._arrival = trio.lowlevel.ParkingLot()  # where our pump waits
        self._room = trio.lowlevel.ParkingLot()  # where the peer's senders wait

    async def pump(self, deliver: Deliver) -> Closed:
        """See `MessageTransport.pump`; there is no framing here, so that `ProtocolError` is never raised."""
        if self._pump_state == "running":
            raise trio.BusyResourceError("another task is already pumping this transport")
        if self._pump_state == "over" or self._closed:
            raise trio.ClosedResourceError("this transport cannot be read any more")
        self._pump_state = "running"
        try:
            await trio.lowlevel.checkpoint()
            while True:
                while self._inbox and not self._closed:
                    deliver(self._inbox.popleft())
                    self._room.unpark()
                if self._closed:
                    raise trio.ClosedResourceError("this transport was closed on this side")
                if self._ended is not None:
                    break
                await self._arrival.park()
        finally:
            self._pump_state = "over"
        if isinstance(self._ended, Closed):
            return self._ended
        raise self._ended

    async def send(self, *payloads: bytes) -> None:
        """See `MessageTransport.send`; waits while the peer's inbox is full."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._closed and self._ended is None and len(self._peer._inbox) >= self._max_messages:
            await self._peer._room.park()
        if self._closed:
            raise trio.ClosedResourceError("this transport was closed on this side")
        if isinstance(self._ended, Closed):
            raise ConnectionLost("the peer closed the connection", code=self._ended.code, reason=self._ended.reason)
        if self._ended is not None:
            raise ConnectionLost("the connection was dropped", reason="dropped")
        self._peer._inbox.extend(payloads)
        self._peer._arrival.unpark_all()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """See `MessageTransport.aclose`; the peer's pump returns `Closed(code, reason)` after what was sent before."""
        if not self._closed:
            self._closed = True
            self._inbox.clear()
            self._peer._end(Closed(code, reason))
            self._wake()
        await trio.lowlevel.checkpoint()

    def drop(self) -> None:
        """Break the connection without a close frame: both ends get `ConnectionLost` after what had arrived."""
        for end in (self, self._peer):
            end._end(ConnectionLost("the connection was dropped", reason="dropped"))

    def _end(self, ended: Closed | ConnectionLost) -> None:
        if self._ended is None:
            self._ended = ended
        self._wake()

    def _wake(self) -> None:
        self._arrival.unpark_all()
        self._room.unpark_all()
