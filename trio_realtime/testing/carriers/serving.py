"""Lets a connection of a server talk to a client over a transport, on Trio's clock, whichever that is."""

from __future__ import annotations

from contextlib import suppress

import trio

from ...errors import ConnectionLost, ProtocolError
from ...exception_groups import unwrap
from ...transport import Payload
from ..faulty_connection import FaultyConnection
from ..link import Act, Link, Send, SendClose
from ..server import ServerConnection, SharedConnection
from ..transports.server_transport import ServerTransport


async def serve_connection(connection: ServerConnection, transport: ServerTransport, link: Link | None = None) -> None:
    """Let a connection talk over a transport until either side ends it, or a fault does.

    Args:
        connection: What the server says.
        transport: To the client. It is closed when the server closes; otherwise it is the caller's to end.
        link: What goes wrong between the two; None is a link without faults.
    """
    link = Link() if link is None else link
    link.carry(connection, trio.current_time())
    serving = _Serving(link, transport)
    if isinstance(connection, FaultyConnection):
        connection.wake = serving.look  # a fault that is injected happens before anything else does
    elif isinstance(connection, SharedConnection):
        connection.wake = serving.look_soon  # the other connection is in the middle of telling everybody
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serving.read, nursery.cancel_scope)
            nursery.start_soon(serving.keep_time)
            with suppress(ConnectionLost, trio.ClosedResourceError):
                await serving.write()
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise unwrap(group, None) from None


class _Serving:
    """Three tasks, so that neither a client that does not read nor one that does not write holds up the time."""

    def __init__(self, link: Link, transport: ServerTransport) -> None:
        self._link = link
        self._transport = transport
        self._writing = trio.CancelScope()
        self._writer = trio.lowlevel.ParkingLot()
        self._timekeeper = trio.lowlevel.ParkingLot()
        self.look()

    def look(self) -> None:
        """Something may have changed: the time, or what the client sent, or somebody injected a fault."""
        self._link.advance(trio.current_time())
        self._obey()
        self._timekeeper.unpark_all()
        if self._link.has_acts or self._link.cut:
            self._writer.unpark_all()

    def _obey(self) -> None:
        self._transport.set_reading(self._link.reads)
        if self._link.silent:
            self._transport.fall_silent()
        if self._link.silent or self._link.cut:
            self._writing.cancel()

    def look_soon(self) -> None:
        """Something may have changed that no deadline announced."""
        self._timekeeper.unpark_all()

    async def read(self, scope: trio.CancelScope) -> None:
        """Take what the client sends; when it goes away, however that is, the server has nothing more to do."""
        try:
            with suppress(ConnectionLost, ProtocolError):
                await self._transport.pump(self._deliver)
        except trio.ClosedResourceError:
            return  # this side is closing: whoever writes sees to the end
        scope.cancel()

    def _deliver(self, payload: Payload, binary: bool = False) -> None:
        self._link.receive(bytes(payload), trio.current_time(), binary=binary)
        self.look()

    async def keep_time(self) -> None:
        """Let the time pass on the link."""
        while True:
            self.look()
            with trio.move_on_at(self._link.next_deadline()):
                await self._timekeeper.park()

    async def write(self) -> None:
        """Write what is said, until the connection is closed or cut."""
        while not self._link.cut:
            act = self._link.next_act()
            self._obey()
            if act is None:
                self._timekeeper.unpark_all()  # what was written may have begun something that ends later
                if not self._link.cut:
                    await self._writer.park()
                continue
            with trio.CancelScope() as self._writing:
                await self._perform(act)
                if isinstance(act, SendClose) and not act.lingers:
                    return

    async def _perform(self, act: Act) -> None:
        match act:
            case Send():
                await self._transport.send(act.payload)
            case SendClose(lingers=True):
                await self._transport.send_frames(act.frame)
                self._link.silent = True
            case SendClose():
                await self._transport.aclose_with(act.frame)
            case _:
                await self._transport.send_frames(act.frames)
