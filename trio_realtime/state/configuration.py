"""The configuration that the program asks for: keywords to the wire's shape, and changes key by key."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypedDict, TypeVar, cast

import msgspec
from msgspec import UNSET

from ..errors import ConfigError
from ..wire.items import Item
from ..wire.responses import ResponseParams
from ..wire.session_config import (
    AudioFormat,
    FunctionTool,
    NoiseReduction,
    Prompt,
    Reasoning,
    SessionConfig,
    Tool,
    ToolChoice,
    TracingConfig,
    Transcription,
    Truncation,
    TurnDetection,
    Voice,
)
from ..wire.struct import RequestStruct

_S = TypeVar("_S", bound=RequestStruct)


class HasDefinition(Protocol):
    """Something that stands for a tool and defines it, such as a function under `@tool`."""

    @property
    def definition(self) -> FunctionTool:
        """What the model is told of it."""
        ...


class SessionKeywords(TypedDict, total=False):
    """The configuration of a session as keywords; one that is left out keeps its value.

    A value may be the struct of the protocol, a mapping in its shape, or where it is mostly its tag, that string:
    `turn_detection="semantic_vad"`, `output_format="audio/pcmu"`, `transcription="gpt-realtime-whisper"`.
    """

    instructions: str
    output_modalities: list[str]
    max_output_tokens: int | str
    tools: Sequence[Tool | HasDefinition | dict[str, Any]]
    tool_choice: ToolChoice | dict[str, Any]
    parallel_tool_calls: bool
    reasoning: Reasoning | dict[str, Any]
    tracing: str | TracingConfig | dict[str, Any] | None
    truncation: Truncation | dict[str, Any]
    prompt: Prompt | dict[str, Any] | None
    include: list[str]
    voice: str | Voice | dict[str, Any]
    speed: float
    output_format: str | AudioFormat | dict[str, Any]
    input_format: str | AudioFormat | dict[str, Any]
    turn_detection: str | TurnDetection | dict[str, Any] | None
    transcription: str | Transcription | dict[str, Any] | None
    noise_reduction: str | NoiseReduction | dict[str, Any] | None


class ResponseKeywords(TypedDict, total=False):
    """What one response does differently from its session, as keywords; values as in `SessionKeywords`.

    `conversation="none"` is a response beside the conversation; `input` is what the model sees instead of the
    conversation; `metadata` has at most 16 pairs, one of which is this library's.
    """

    conversation: str
    input: list[Item | dict[str, Any]]
    instructions: str
    max_output_tokens: int | str
    metadata: dict[str, str] | None
    output_modalities: list[str]
    parallel_tool_calls: bool
    prompt: Prompt | dict[str, Any] | None
    reasoning: Reasoning | dict[str, Any]
    tool_choice: ToolChoice | dict[str, Any]
    tools: list[Tool | dict[str, Any]]
    voice: str | Voice | dict[str, Any]
    output_format: str | AudioFormat | dict[str, Any]


_PATHS: dict[str, tuple[str, ...]] = {
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "output_format": ("audio", "output", "format"),
    "input_format": ("audio", "input", "format"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "transcription": ("audio", "input", "transcription"),
    "noise_reduction": ("audio", "input", "noise_reduction"),
}
_STRING_MEANS = {
    "output_format": "type",
    "input_format": "type",
    "turn_detection": "type",
    "noise_reduction": "type",
    "transcription": "model",
}


def session_config(keywords: SessionKeywords) -> SessionConfig:
    """The keywords in the wire's own shape.

    Raises:
        ConfigError: A keyword is unknown, or its value has a type or range that the protocol does not allow.
    """
    if "tools" in keywords:
        given: Any = keywords["tools"]
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise ConfigError(f"tools must be a list, not {type(given).__name__}")
        defined = [getattr(each, "definition", each) for each in cast("list[Any]", given)]
        for each in defined:
            if callable(each):
                raise ConfigError(f"{getattr(each, '__name__', each)!r} is a plain function; put @tool on it")
        keywords = {**keywords, "tools": defined}
    return checked_config({"type": "realtime", **_in_wire_shape(keywords, SessionKeywords, "session")})


def response_params(keywords: ResponseKeywords) -> ResponseParams:
    """The keywords in the wire's own shape.

    Raises:
        ConfigError: A keyword is unknown, or its value has a type or range that the protocol does not allow.
    """
    return _checked(_in_wire_shape(keywords, ResponseKeywords, "response"), ResponseParams, "response's parameters")


def checked_config(config: object) -> SessionConfig:
    """Make a configuration of a mapping, and hold it against the protocol's types and ranges.

    Raises:
        ConfigError: It has a key, a type or a value that the protocol does not allow.
    """
    return _checked(config, SessionConfig, "session configuration")


def _in_wire_shape(keywords: Mapping[str, Any], known: type[Any], whose: str) -> dict[str, Any]:
    wire: dict[str, Any] = {}
    for name, given in keywords.items():
        if name not in known.__annotations__:
            names = ", ".join(sorted(known.__annotations__))
            raise ConfigError(f"there is no {whose} keyword {name!r}; there are {names}")
        value: Any = given
        if isinstance(value, str) and name in _STRING_MEANS:
            value = {_STRING_MEANS[name]: value}
        place = wire
        *folders, leaf = _PATHS.get(name, (name,))
        for folder in folders:
            place = place.setdefault(folder, {})
        place[leaf] = value
    return wire


def _checked(value: object, kind: type[_S], what: str) -> _S:
    try:
        wire = msgspec.to_builtins(value)
        converted = msgspec.convert(wire, kind)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"the {what} is not valid: {error}") from error
    _check_values(wire, what)
    lost = _unknown_keys(wire, msgspec.to_builtins(converted), "")
    if lost:
        raise ConfigError(f"the {what} has keys that the protocol does not know: {', '.join(lost)}")
    return converted


def _check_values(wire: Any, what: str) -> None:
    """Refuse what the structs let through because a server may say it, and no server takes."""
    values = cast("dict[str, Any]", wire)
    tokens = values.get("max_output_tokens", "inf")
    if tokens != "inf" if isinstance(tokens, str) else tokens < 1:
        raise ConfigError(f"the {what} is not valid: max_output_tokens is 1 or more, or 'inf', not {tokens!r}")
    modalities = values.get("output_modalities", ["audio"])
    if modalities not in (["audio"], ["text"]):
        raise ConfigError(f"the {what} is not valid: output_modalities is ['audio'] or ['text'], not {modalities!r}")
    choice = values.get("tool_choice", "auto")
    if isinstance(choice, str) and choice not in {"none", "auto", "required"}:
        raise ConfigError(
            f"the {what} is not valid: tool_choice is 'none', 'auto', 'required' or one function, not {choice!r}"
        )


def _unknown_keys(given: Any, known: Any, where: str) -> list[str]:
    """Keys that the structs ignored: the server refuses a whole update for one of them."""
    if isinstance(given, list) and isinstance(known, list):
        pairs = zip(cast("Sequence[Any]", given), cast("Sequence[Any]", known), strict=True)
        return [key for index, pair in enumerate(pairs) for key in _unknown_keys(*pair, f"{where}[{index}]")]
    if not isinstance(given, dict) or not isinstance(known, dict):
        return []
    keys, kept = cast("dict[str, Any]", given), cast("dict[str, Any]", known)
    lost: list[str] = []
    for key, value in keys.items():
        place = f"{where}.{key}"
        if key in kept:
            lost.extend(_unknown_keys(value, kept[key], place))
        elif value is not None:
            lost.append(place.lstrip("."))
    return lost


def merged(configuration: _S, change: _S) -> _S:
    """`configuration` with what `change` sets, as the server merges it: key by key, `UNSET` keys keep their value."""
    values: dict[str, object] = {}
    for name in change.__struct_fields__:
        new: object = getattr(change, name)
        old: object = getattr(configuration, name)
        if new is UNSET:
            continue
        if isinstance(new, RequestStruct) and isinstance(old, RequestStruct) and type(new) is type(old):
            new = merged(old, new)
        values[name] = new
    return msgspec.structs.replace(configuration, **values)
