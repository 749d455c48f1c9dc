"""What the simulated model says: values that a test writes down, one for each response.

A script is a sequence of turns, one for each response of a connection, in order. A turn is one or several outputs
(`says`, `calls`), which may be cut short (`fails`, `incomplete`), or a function that gives them for a `ModelContext`.
When the script is over, or there is none, the model answers about what the user said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from json import dumps
from typing import Any


class Output:
    """What a response is made of: `Says`, `Calls`, `Fails`, `Incomplete`."""

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
    return Calls(name, arguments if isinstance(arguments, str) else dumps(arguments), call_id)


def fails(code: str = "server_error", message: str = "The server had an error.", type: str = "server_error") -> Fails:  # noqa: A002  the wire's name
    """End the response with status `failed`; as an entry of the transcripts: fail to transcribe."""
    return Fails(code, message, type)


def incomplete(reason: str = "max_output_tokens") -> Incomplete:
    """End the response with status `incomplete`, or `"content_filter"` for another reason; put it after a `says`."""
    return Incomplete(reason)


def converses(context: ModelContext) -> Output:
    """Answer simply, about what the user said or what a function returned: what a script falls back to."""
    if context.items and context.items[-1]["type"] == "function_call_output":
        return Says(f"The function says: {context.items[-1]['output']}")
    if context.heard:
        return Says(f'You said: "{context.heard}" I hear you well.')
    return Says("Hello! How can I help you?")


def outputs_of(turn: ScriptedTurn, context: ModelContext) -> tuple[Output, ...]:
    """Resolve one entry of a script."""
    if callable(turn):
        turn = turn(context)
    return (turn,) if isinstance(turn, Output) else tuple(turn)
