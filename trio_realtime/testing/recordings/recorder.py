"""`record_session`: a session of which everything that crosses the wire is written to a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from os import PathLike
from typing import Unpack

import trio

from ...connection import DEFAULT_MODEL
from ...errors import ConnectionLost, ProtocolError
from ...realtime_session import RealtimeSession
from ...session import OpenSessionKeywords, open_session
from ...transport import Closed, Deliver, MessageTransport, Payload
from .recording import Direction, Lost, header_line
from .recording_writer import Entry, RecordingWriter


class RecordingTransport(MessageTransport):
    """Hands everything on, both ways, and has it written; times count from its making."""

    def __init__(self, transport: MessageTransport, writer: RecordingWriter) -> None:
        self._transport = transport
        self._writer = writer
        self._began = trio.current_time()
        self._end_told = False

    async def pump(self, deliver: Deliver) -> Closed:
        """See `MessageTransport.pump`."""

        def record(payload: Payload, binary: bool = False) -> None:
            # A copy: the payload is valid only during the call, and made into a line later.
            self._tell("received", bytes(payload), binary=binary)
            deliver(payload, binary)

        try:
            closed = await self._transport.pump(record)
        except (ConnectionLost, ProtocolError) as error:
            reason = error.reason if isinstance(error, ConnectionLost) else ""
            self._tell_end("received", Lost(type(error).__name__, str(error), error.code, reason))
            raise
        self._tell_end("received", closed)
        return closed

    async def send(self, *payloads: bytes) -> None:
        """See `MessageTransport.send`."""
        # Before it is sent: the answer may be delivered before the send returns, and would stand before its question.
        for payload in payloads:
            self._tell("sent", payload)
        await self._transport.send(*payloads)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """See `MessageTransport.aclose`."""
        self._tell_end("sent", Closed(code, reason))
        await self._transport.aclose(code, reason)

    def cut(self) -> None:
        """The connection is gone; if nobody has told its end, it was this side."""
        self._tell_end("sent", Lost(message="cut on this side"))

    def _tell(self, direction: Direction, content: bytes | Closed | Lost, *, binary: bool = False) -> None:
        self._writer.put(Entry(direction, trio.current_time() - self._began, content, binary))

    def _tell_end(self, direction: Direction, end: Closed | Lost) -> None:
        if not self._end_told:
            self._end_told = True
            self._tell(direction, end)


@asynccontextmanager
async def record_session(
    path: str | PathLike[str], *, include_audio: bool = False, **keywords: Unpack[OpenSessionKeywords]
) -> AsyncGenerator[RealtimeSession]:
    """Open a session, and write everything that crosses its connection to a file, both ways, with times.

    `replay` serves the file again, and `trio-realtime inspect` shows it. It holds events that this library does not
    know, text that is no event, binary messages and the end of the connection, too. The words of the conversation are
    in it, and images: it is as private as they are. Credentials are not: keys, client secrets, and of MCP servers the
    `authorization`, the `headers`, and user and query of the URL are replaced; of a key that the model repeats in
    deltas the first characters remain. The headers of the connection never come near it.

    The session is not delayed: what crosses waits in memory, up to 64 MiB, for a thread that writes it. Whichever way
    the scope is left, everything is in the file when it has ended. When it cannot be written (the disk is full or does
    not keep up), that is logged at once, the session goes on, and leaving raises it.

    Args:
        path: The file, replaced if it is there.
        include_audio: Whether audio is in it; otherwise its length is, and a replay has silence in its place.
        keywords: What `open_session` takes.

    Raises:
        OSError: The file cannot be opened; nothing was connected.
        RecordingError: On leaving, when nothing else is raised: the file lacks what came last.
        RealtimeError: As `open_session`.

    Cancellation:
        As `open_session`; what is left is still written, which a cancellation does not cut short, but 10 s do.
    """
    began = datetime.now(UTC).isoformat(timespec="seconds")
    header = header_line(model=keywords.get("model", DEFAULT_MODEL), began=began, include_audio=include_audio)
    writer = RecordingWriter(path, header, include_audio=include_audio)
    recorded: list[RecordingTransport] = []

    def record(transport: MessageTransport) -> MessageTransport:
        recorded.append(RecordingTransport(transport, writer))
        return recorded[-1]

    try:
        async with open_session(wrap_transport=record, **keywords) as session:
            yield session
    finally:
        for transport in recorded:
            transport.cut()
        await writer.aclose()
    if writer.failure is not None:
        raise writer.failure
