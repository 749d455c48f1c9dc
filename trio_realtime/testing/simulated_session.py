"""A session with a simulated server, in one step."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Unpack

from ..connection import DEFAULT_MODEL
from ..realtime_session import RealtimeSession
from ..session import SessionOptions, open_session, session_query
from ..transport import MessageTransport
from .carriers.simulated_transport import simulated_transport
from .server import Server
from .simulation.script import ScriptedTurn
from .simulation.simulator import Simulator


@asynccontextmanager
async def open_simulated_session(
    server_or_script: Server | Sequence[ScriptedTurn] = (),
    *,
    query: Mapping[str, str] | None = None,
    wrap_transport: Callable[[MessageTransport], MessageTransport] | None = None,
    **session_options: Unpack[SessionOptions],
) -> AsyncGenerator[RealtimeSession]:
    """Open a session with a simulated server in memory, on whatever clock Trio has.

    With `trio.testing.MockClock(autojump_threshold=0)`, the fixture `autojump_clock` of pytest-trio, it runs on virtual
    time: a conversation of an hour takes no longer than its work. When the scope ends, the session and the server have
    ended.

    Args:
        server_or_script: What is connected to, to look at it afterwards; or only what its model says.
        query: Of the URL that the client would use; None is what `open_session` would use.
        wrap_transport: As that of `open_session`.
        session_options: As those of `open_session`.

    Yields:
        The session.

    Raises:
        ConfigError: An argument is not valid, or the query is not one that the server knows.
        SessionRefused: The server refused the configuration.
        RealtimeError: The session failed, as from `open_session`.

    Cancellation:
        At any point: nothing of the session or the server is left.
    """
    server = Simulator(server_or_script) if isinstance(server_or_script, Sequence) else server_or_script
    if query is None:
        query = session_query(
            model=session_options.get("model", DEFAULT_MODEL),
            call_id=session_options.get("call_id"),
            config=session_options.get("config"),
        )
    async with (
        simulated_transport(
            server, query=query, connect_timeout=session_options.get("connect_timeout", 10.0)
        ) as transport,
        open_session(transport=transport, wrap_transport=wrap_transport, **session_options) as session,
    ):
        yield session
