"""Lines of a recording, and sessions with a replay of them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from trio_realtime import (
    RawEvent,
    RealtimeSession,
    UpdateChannel,
    open_session,
)
from trio_realtime.testing import (
    replay,
    simulated_transport,
)

Event = dict[str, Any]
CREATED: Event = {"type": "session.created", "session": {"type": "realtime", "id": "sess_1"}}
UPDATE: Event = {"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief."}}
UPDATED: Event = {"type": "session.updated", "session": {"type": "realtime", "id": "sess_1"}}
CLEAR: Event = {"type": "input_audio_buffer.clear"}


def sent(event: Event, time: float | None = None) -> Event:
    return line("sent", time, event=event)


def received(event: Event, time: float | None = None) -> Event:
    return line("received", time, event=event)


def line(direction: str, time: float | None = None, **content: Any) -> Event:
    return {"direction": direction, **({} if time is None else {"time": time}), **content}


OPENING = [received(CREATED), sent(UPDATE), received(UPDATED)]


def write(path: Path, *lines: Event, header: Event | None = None) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in ([header] if header else []) + list(lines)))
    return path


@asynccontextmanager
async def opened(path: Path, *, pace: float = 1, **keywords: Any) -> AsyncGenerator[RealtimeSession]:
    """A session with a replay of a recording, which began with `OPENING`."""
    with replay(path, pace=pace) as server:
        async with (
            simulated_transport(server) as transport,
            open_session(transport=transport, **{"instructions": "Be brief.", **keywords}) as session,
        ):
            yield session


def news(name: str) -> Event:
    return {"type": name}


def message(words: str, item_id: str | None = None) -> Event:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}
    return item if item_id is None else {"id": item_id, **item}


async def arrivals(updates: UpdateChannel[RawEvent], count: int) -> list[tuple[float, str]]:
    """When the next events of the server came."""
    seen: list[tuple[float, str]] = []
    while len(seen) < count:
        update = await updates.receive()
        if update.source == "server":
            seen.append((update.time, update.event.type))
    return seen
