"""What the simulated model says: values that a test writes down, one for each response.

A script is a sequence of turns, one for each response of a connection, in order. A turn is one or several outputs
(`says`, `calls`, `calls_mcp`), which may be cut short (`fails`, `incomplete`), or a function that gives them for a
`ModelContext`. When the script is over, or there is none, the model answers about what the user said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from json import dumps
from typing import Any, cast


class Output:
    """What a response is made of: `Says`, `Calls`, `CallsMcp`, `Fails`, `Incomplete`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Says(Output):
    """A message; made by `says`."""

    text: str
    audio: bytes | float | None = None


@dataclass(frozen=True, slots=True)
class Calls(Output):
    """A function call; made by `calls`."""

    name: str
    arguments: str
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class CallsMcp(Output):
    """A call of a tool of an MCP server, which the server itself runs; made by `calls_mcp`."""

    server_label: str
    name: str
    arguments: str
    output: str
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Fails(Output):
    """A failure; made by `fails`."""

    code: str
    message: str
    type: str


@dataclass(frozen=True, slots=True)
class Incomplete(Output):
    """An early end; made by `incomplete`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hears:
    """What the user says; made by `hears`.

    Attributes:
        segments: Who says what, in order.
        languages: By their ISO 639-1 codes.
    """

    segments: tuple[tuple[str, str], ...]
    languages: tuple[str, ...]

    @property
    def text(self) -> str:
        """All that is said."""
        return " ".join(text for _, text in self.segments)


@dataclass(frozen=True, slots=True)
class ModelContext:
    """What the simulated model knows when it is asked for a response.

    Attributes:
        items: The items that it sees, in the wire's shape, oldest first.
        heard: What the user said last, written or spoken, or `""`; transcription need not be on.
        instructions: Of the response or else of the session.
        tools: Definitions of the tools that it may call.
        tool_choice: `"auto"` and so on, in the wire's shape.
        metadata: Of the response.
    """

    items: Sequence[Mapping[str, Any]] = ()
    heard: str = ""
    instructions: str = ""
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] = "auto"
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


MCP_ERRORS = ("protocol_error", "tool_execution_error", "http_error")
"""How a call of a tool of an MCP server fails; the first and the last have a code."""

ScriptedTurn = Output | Sequence[Output] | Callable[[ModelContext], Output | Sequence[Output]]


def says(text: str, audio: bytes | float | None = None) -> Says:
    """Say `text`: aloud or in writing, as the response's modality asks.

    Args:
        text: The text, or the transcript of the audio.
        audio: Mono PCM16 little-endian at 24,000 Hz to be heard, or how many seconds of speech to make.
            None: 60 ms for each character.

    Raises:
        ValueError: An odd number of bytes, or a negative number of seconds.
    """
    if isinstance(audio, bytes) and len(audio) % 2:
        raise ValueError("PCM16 has an even number of bytes")
    if isinstance(audio, int | float) and not 0 <= audio < float("inf"):
        raise ValueError(f"the speech cannot last {audio} seconds")
    return Says(text, audio)


def calls(name: str, arguments: Mapping[str, Any] | str = "{}", *, call_id: str | None = None) -> Calls:
    """Call a function.

    Args:
        name: Its name, whether or not the session has such a tool.
        arguments: What is sent as JSON, or the text itself, valid or not.
        call_id: None for a fresh one.
    """
    return Calls(name, _text(arguments), call_id)


def calls_mcp(
    server_label: str,
    name: str,
    arguments: Mapping[str, Any] | str = "{}",
    *,
    output: Mapping[str, Any] | str = "",
    error: Mapping[str, Any] | str | None = None,
) -> CallsMcp:
    """Call a tool of an MCP server; when it is allowed and has run, the server states its output or its error.

    The model says nothing about it by itself: as on the real server, the client asks for another response.

    Args:
        server_label: Of the `mcp` tool. Whether a call needs an approval is what this tool demands; a server that the
            session does not name is called all the same, and needs none.
        name: Of the server's tool, whether or not the server offers it.
        arguments: What is sent as JSON, or the text itself, valid or not.
        output: What the tool returns, as JSON or as it is.
        error: Why it fails instead: the message of a tool that failed, or the error in the wire's shape, such as
            `{"type": "http_error", "code": 503, "message": "..."}`.

    Raises:
        ValueError: The error has an unknown type, or there is an output as well.
    """
    if isinstance(error, str):
        error = {"type": "tool_execution_error", "message": error}
    if error is not None and error.get("type") not in MCP_ERRORS:
        raise ValueError(f"the type of an MCP error is one of {', '.join(MCP_ERRORS)}, not {error.get('type')!r}")
    if error is not None and output:
        raise ValueError("a call that fails has no output")
    return CallsMcp(server_label, name, _text(arguments), _text(output), error)


def _text(value: Mapping[str, Any] | str) -> str:
    return value if isinstance(value, str) else dumps(value)


def hears(*said: str | tuple[str, str], languages: Sequence[str] = ("en",)) -> Hears:
    """Hear several speakers or another language, as an entry of the transcripts.

    Args:
        said: What is said, in order: text, by the speaker `"A"`, or pairs of a speaker and text.
        languages: By their ISO 639-1 codes; none when no language can be detected.
    """
    return Hears(tuple(("A", each) if isinstance(each, str) else each for each in said), tuple(languages))


def fails(code: str = "server_error", message: str = "The server had an error.", type: str = "server_error") -> Fails:  # noqa: A002  the wire's name
    """End the response with status `failed`; as an entry of the transcripts: fail to transcribe."""
    return Fails(code, message, type)


def incomplete(reason: str = "max_output_tokens") -> Incomplete:
    """End the response with status `incomplete`, or `"content_filter"` for another reason; put it after a `says`."""
    return Incomplete(reason)


_BESIDE_THE_TALK = {"mcp_list_tools", "mcp_approval_request", "mcp_approval_response"}


def converses(context: ModelContext) -> Output:
    """Answer simply, about what the user said or what a tool returned: what a script falls back to."""
    last = next((item for item in reversed(context.items) if item["type"] not in _BESIDE_THE_TALK), None)
    match last:
        case {"type": "function_call_output", "output": output}:
            return Says(f"The function says: {output}")
        case {"type": "mcp_call", "output": str(output)}:
            return Says(f"The tool says: {output}")
        case {"type": "mcp_call", "error": {"message": message}}:
            return Says(f"The tool failed: {message}")
        case _:
            pass
    if context.heard:
        return Says(f'You said: "{context.heard}" I hear you well.')
    return Says("Hello! How can I help you?")


def outputs_of(turn: ScriptedTurn, context: ModelContext) -> tuple[Output, ...]:
    """Resolve one entry of a script.

    Raises:
        TypeError: It is a function that gives something else, such as one without a `return`.
    """
    given = cast("object", turn(context) if callable(turn) else turn)
    if isinstance(given, Output):
        return (given,)
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        return tuple(cast("Sequence[Output]", given))  # each is looked at when its time comes
    raise TypeError(f"a script is made of says, calls, calls_mcp, fails and incomplete, not of {given!r}")
