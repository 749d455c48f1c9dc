"""A connection to a server that ends after so many of its messages."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import trio

from trio_realtime.errors import ConnectionLost
from trio_realtime.testing.server import Server
from trio_realtime.transport import Closed, Deliver, MessageTransport


class CutTransport(MessageTransport):
    """Carries a server without a task beside the session's own; it ends as it is told.

    Attributes:
        delivered: What the server said, in order.
    """

    def __init__(
        self, server: Server, *, after: int, end: Closed | ConnectionLost, query: Mapping[str, str] | None = None
    ) -> None:
        query = query or {"model": "gpt-realtime-2.1"}
        self.delivered: list[dict[str, Any]] = []
        self._connection = server.connect(query, now=trio.current_time(), unix_time=time.time())
        self._after = after
        self._end = end
        self._unread: list[dict[str, Any]] = []
        self._ended = False
        self._news = trio.lowlevel.ParkingLot()

    async def pump(self, deliver: Deliver) -> Closed:
        await trio.lowlevel.checkpoint()
        while not self._ended:
            self._unread += self._connection.advance(trio.current_time())
            while self._unread and len(self.delivered) < self._after:
                self.delivered.append(self._unread.pop(0))
                deliver(json.dumps(self.delivered[-1]).encode())
            if len(self.delivered) == self._after:
                self._finish()
                if isinstance(self._end, Closed):
                    return self._end
                raise self._end
            with trio.move_on_at(self._connection.next_deadline()):
                await self._news.park()
        raise trio.ClosedResourceError("closed on this side")

    async def send(self, *payloads: bytes) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._ended:
            raise ConnectionLost("the connection is gone")
        for payload in payloads:
            self._unread += self._connection.receive(payload, trio.current_time())
        self._news.unpark_all()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        self._finish()
        await trio.lowlevel.checkpoint()

    def _finish(self) -> None:
        self._ended = True
        self._news.unpark_all()
