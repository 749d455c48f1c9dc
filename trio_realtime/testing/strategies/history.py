"""The history of a conversation: all that a client and a server sent each other, and what came of it."""

from __future__ import annotations

from typing import cast

from msgspec import Struct

from ...wire.client_events import ClientEvent
from ...wire.items import Item
from ...wire.server_events import ServerEvent
from ..server import Json
from ..simulation.script import Fails, ScriptedTurn
from .program import Step


class HistoryEntry(Struct, frozen=True):
    """One event of a history.

    Attributes:
        time: When it was sent, in seconds since the connection was made.
        source: `"server"` or `"client"`, as in `RawEvent`.
        event: The event, a struct of `trio_realtime.wire`.
        raw: The same in the wire's shape.
    """

    time: float
    source: str
    event: ServerEvent | ClientEvent
    raw: Json

    def __repr__(self) -> str:
        return f"<{self.time:.3f} s, {self.source}: {self.event!r}>"


class History(Struct, frozen=True):
    """All that a client and a server sent each other; made by `play_conversation`, whose call is its `repr`.

    Attributes:
        program: What the client did.
        script: What the model said.
        transcripts: What the user said.
        entries: The events, in order.
        items: The conversation as the server holds it at the end, with audio.
    """

    program: tuple[Step, ...]
    script: tuple[ScriptedTurn, ...]
    transcripts: tuple[str | Fails, ...]
    entries: tuple[HistoryEntry, ...]
    items: tuple[Item, ...]

    @property
    def server_events(self) -> tuple[ServerEvent, ...]:
        """What the server sent."""
        return cast(
            "tuple[ServerEvent, ...]", tuple([entry.event for entry in self.entries if entry.source == "server"])
        )

    @property
    def client_events(self) -> tuple[ClientEvent, ...]:
        """What the client sent."""
        return cast(
            "tuple[ClientEvent, ...]", tuple([entry.event for entry in self.entries if entry.source == "client"])
        )

    def __repr__(self) -> str:
        script = f", script={list(self.script)}" if self.script else ""
        transcripts = f", transcripts={list(self.transcripts)}" if self.transcripts else ""
        return f"play_conversation({list(self.program)}{script}{transcripts})"
