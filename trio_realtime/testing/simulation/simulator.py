"""The simulated server: what its model says and how fast, for all connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from ...errors import ConfigError
from ...wire.codec import Kind
from ..faults import Fault
from ..link import Link
from ..server import ServerConnection
from .dialect import Dialect
from .mcp import McpTools
from .script import Fails, Hears, Output, ScriptedTurn
from .session_connection import Beginning, Behaviour
from .simulated_connection import SimulatedConnection
from .translation_connection import TranslationConnection


class Simulator:
    """A GA Realtime server without a network: give it to `simulated_transport` or `serve_simulator`.

    Every connection runs the script from its beginning.

    Attributes:
        connections: Every session that was made, oldest first, to look at what it received and holds, and to let
            something go wrong with it.
        translations: The same for translation sessions.
        faults: What goes wrong, and when. Looked at whenever a client connects, so that it may be changed meanwhile.
    """

    def __init__(
        self,
        script: Sequence[ScriptedTurn] = (),
        *,
        transcripts: Sequence[str | Hears | Fails] = (),
        pace: float = 0.2,
        audio_delta_ms: int = 200,
        max_duration: float = 3600.0,
        mcp_tools: McpTools | None = None,
        max_input_tokens: int | None = None,
        dialect: Dialect = "openai",
        faults: Sequence[Fault] = (),
    ) -> None:
        """Describe the server.

        Args:
            script: What the model says (see `script`): a turn for each response, or for each utterance of a
                translation; afterwards it simply converses, or translates in name.
            transcripts: What the user says, in the order of the audio items: text, `hears(...)` for several speakers or
                languages, or `fails(...)` for a transcription that fails; afterwards what is said in `question.wav`.
            pace: Seconds that a second of speech takes to be delivered: 0 is at once, 1 is real time.
            audio_delta_ms: How much audio one delta holds.
            max_duration: Seconds after which a session expires.
            mcp_tools: What MCP servers offer: by `server_label`, tools in the wire's shape (at least a `name`). A
                server that is not among them cannot be reached: its tools fail to be listed.
            max_input_tokens: How much the model can read; what is more is cut off as `truncation` says. None: as much
                as the model of this name can.
            dialect: `"openai"`, or `"compatible"` for what other servers do differently (see `dialect`).
            faults: What goes wrong on each connection, or on one of them, and when; see `faults`.

        Raises:
            ConfigError: A number is out of range, there is no such dialect, or something of another kind stands among
                the turns of the script, the transcripts, the faults or the tools.
        """
        if not 0 <= pace < float("inf"):
            raise ConfigError(f"pace must be a number of seconds, 0 or more, not {pace}")
        if audio_delta_ms < 1:
            raise ConfigError(f"audio_delta_ms must be at least 1, not {audio_delta_ms}")
        if not max_duration > 0:
            raise ConfigError(f"max_duration must be a positive number of seconds, not {max_duration}")
        if max_input_tokens is not None and max_input_tokens < 1:
            raise ConfigError(f"max_input_tokens must be at least 1, not {max_input_tokens}")
        if dialect not in get_args(Dialect):
            raise ConfigError(f"the dialect is one of {', '.join(get_args(Dialect))}, not {dialect!r}")
        _check_each("script", script, _is_turn, "says(...), calls(...) and so on, several of them, or functions")
        _check_each("transcripts", transcripts, _is_transcript, "text, hears(...) and fails(...)")
        _check_each("faults", faults, lambda each: isinstance(each, Fault), "drops(...), latency(...) and so on")
        mcp_tools = mcp_tools or {}
        if not isinstance(mcp_tools, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  such as a list of tools
            raise ConfigError(f"mcp_tools is a mapping, of tools by their server_label; not {mcp_tools!r}")
        for label, tools in mcp_tools.items():
            _check_each(f"mcp_tools[{label!r}]", tools, lambda each: isinstance(each, Mapping), "tools as on the wire")
        self._behaviour = Behaviour(
            script=tuple(script),
            transcripts=tuple(transcripts),
            pace=pace,
            audio_delta_ms=audio_delta_ms,
            max_duration=max_duration,
            mcp_tools=mcp_tools,
            max_input_tokens=max_input_tokens,
            dialect=dialect,
        )
        self.connections: list[SimulatedConnection] = []
        self.translations: list[TranslationConnection] = []
        self.faults: list[Fault] = list(faults)
        self._links = 0

    def open_link(self) -> Link:
        """Make the link of the next connection, whose handshake may fail."""
        self._links += 1
        return Link(self.faults, number=self._links)

    def connect(
        self,
        query: Mapping[str, str],
        *,
        now: float,
        unix_time: float,
        kind: Kind = "realtime",
        configuration: Mapping[str, Any] | None = None,
    ) -> ServerConnection:
        """Open a connection.

        Args:
            query: Of the URL: exactly one of `model`, `intent` (`"transcription"`) and `call_id` (a call that goes on,
                whichever that is; a `Switchboard` knows calls); for a translation, `model`.
            now: The time on the clock that `receive` and `advance` are given, in seconds.
            unix_time: The same moment, for `expires_at`.
            kind: `"translation"` for a translation session.
            configuration: What the session begins with instead of the defaults, valid and in the wire's shape.

        Returns:
            A `SimulatedConnection`, or a `TranslationConnection`.

        Raises:
            ConfigError: The query is another.
        """
        names = [name for name in ("model", "intent", "call_id") if query.get(name)]
        seed = len(self.connections) + len(self.translations) + 1
        beginning = Beginning(dict(query), seed, now, unix_time, configuration)
        if kind == "translation":
            if names != ["model"]:
                raise ConfigError("a translation needs ?model=")
            translation = TranslationConnection(self._behaviour, beginning)
            self.translations.append(translation)
            return translation
        if len(names) != 1 or query.get("intent", "transcription") != "transcription":
            raise ConfigError("a connection needs one of ?model=, ?intent=transcription and ?call_id=")
        connection = SimulatedConnection(self._behaviour, beginning)
        self.connections.append(connection)
        return connection


def _is_turn(turn: object) -> bool:
    if isinstance(turn, Sequence) and not isinstance(turn, str | bytes):
        return all(isinstance(output, Output) for output in cast("Sequence[object]", turn))
    return isinstance(turn, Output) or (callable(turn) and not isinstance(turn, type))  # a class, such as `Says`


def _is_transcript(said: object) -> bool:
    return isinstance(said, str | Hears | Fails)


def _check_each(name: str, values: object, fits: Callable[[Any], bool], what: str) -> None:
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise ConfigError(f"{name} is a sequence, such as a list, of {what}; not {values!r}")
    for each in cast("Sequence[object]", values):
        if not fits(each):
            raise ConfigError(f"{name} has {what}; not {each!r}")
