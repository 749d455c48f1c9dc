"""The simulated server: what its model says and how fast, for all connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import ConfigError
from .faults import Fault
from .link import Link
from .script import Fails, ScriptedTurn
from .simulated_connection import Behaviour, SimulatedConnection


class Simulator:
    """A GA Realtime server without a network: give it to `simulated_transport` or `serve_simulator`.

    Every connection runs the script from its beginning.

    Attributes:
        connections: Every connection that was made, oldest first, to look at what it received and holds, and to let
            something go wrong with it.
        faults: What goes wrong, and when. Looked at whenever a client connects, so that it may be changed meanwhile.
    """

    def __init__(
        self,
        script: Sequence[ScriptedTurn] = (),
        *,
        transcripts: Sequence[str | Fails] = (),
        pace: float = 0.2,
        audio_delta_ms: int = 200,
        max_duration: float = 3600.0,
        faults: Sequence[Fault] = (),
    ) -> None:
        """Describe the server.

        Args:
            script: What the model says, a turn for each response (see `script`); afterwards it simply converses.
            transcripts: What the user says, in the order of the audio items, or `fails(...)` for a transcription that
                fails; afterwards what is said in `question.wav`.
            pace: Seconds that a second of speech takes to be delivered: 0 is at once, 1 is real time.
            audio_delta_ms: How much audio one delta holds.
            max_duration: Seconds after which a session expires.
            faults: What goes wrong on each connection, or on one of them, and when; see `faults`.

        Raises:
            ConfigError: A number is out of range.
        """
        if not 0 <= pace < float("inf"):
            raise ConfigError(f"pace must be a number of seconds, 0 or more, not {pace}")
        if audio_delta_ms < 1:
            raise ConfigError(f"audio_delta_ms must be at least 1, not {audio_delta_ms}")
        if not max_duration > 0:
            raise ConfigError(f"max_duration must be a positive number of seconds, not {max_duration}")
        self._behaviour = Behaviour(tuple(script), tuple(transcripts), pace, audio_delta_ms, max_duration)
        self.connections: list[SimulatedConnection] = []
        self.faults: list[Fault] = list(faults)
        self._links = 0

    def open_link(self) -> Link:
        """Make the link of the next connection, whose handshake may fail."""
        self._links += 1
        return Link(self.faults, number=self._links, connect=self._connect)

    def connect(self, query: Mapping[str, str], *, now: float, unix_time: float) -> SimulatedConnection:
        """Open a connection.

        Args:
            query: Of the URL: exactly one of `model`, `intent` (`"transcription"`) and `call_id`.
            now: The time on the clock that `receive` and `advance` are given, in seconds.
            unix_time: The same moment, for `expires_at`.

        Raises:
            ConfigError: The query is another.
        """
        link = self.open_link()
        connection = self._connect(link, query, now=now, unix_time=unix_time)
        link.carry(connection, now)
        return connection

    def _connect(self, link: Link, query: Mapping[str, str], *, now: float, unix_time: float) -> SimulatedConnection:
        kinds = [name for name in ("model", "intent", "call_id") if query.get(name)]
        if len(kinds) != 1 or query.get("intent", "transcription") != "transcription":
            raise ConfigError("a connection needs one of ?model=, ?intent=transcription and ?call_id=")
        connection = SimulatedConnection(
            self._behaviour, dict(query), link, seed=len(self.connections) + 1, now=now, unix_time=unix_time
        )
        self.connections.append(connection)
        return connection
