"""What callers pass, checked and in the wire's shape."""

import secrets
from collections.abc import Sequence
from typing import Any, cast

from msgspec import UNSET

from . import content as content_parts
from .audio import Encoding
from .errors import ConfigError
from .state.configuration import (
    ResponseKeywords,
    SessionKeywords,
    checked_config,
    merged,
    response_params,
    session_config,
)
from .state.response_events import PRIVATE_KEY
from .tools import Tool
from .wire import client_events as client
from .wire.items import InputAudio, InputText, OutputText, Part
from .wire.responses import ResponseParams
from .wire.session_config import FunctionTool, McpTool, SessionConfig, TranscriptionSessionConfig


def new_id(prefix: str) -> str:
    """A new random id, such as `item_9f2c...`; at most 32 characters, as the protocol wants ids of calls."""
    return f"{prefix[:11]}_{secrets.token_hex(10)}"


def response_create(params: ResponseParams | None, keywords: ResponseKeywords) -> client.ResponseCreate:
    """The request that the struct and the keywords ask for together; raises `ConfigError` for what is not valid."""
    if params is not None and not isinstance(params, ResponseParams):  # pyright: ignore[reportUnnecessaryIsInstance]  not everybody has a type checker
        raise ConfigError(f"params must be a ResponseParams, not {type(params).__name__}; or pass keywords")
    both = merged(ResponseParams() if params is None else params, response_params(keywords))
    if isinstance(both.metadata, dict) and PRIVATE_KEY in both.metadata:
        raise ConfigError(f"the metadata key {PRIVATE_KEY!r} is this library's own; use another")
    return client.ResponseCreate(event_id=new_id("event"), response=UNSET if both == ResponseParams() else both)


def split_tools(tools: Sequence[object]) -> tuple[tuple[Tool[..., Any], ...], tuple[FunctionTool | McpTool, ...]]:
    """The functions and the plain definitions in a list of tools.

    Raises:
        ConfigError: One of them is neither, or two have one name.
    """
    functions = tuple([cast("Tool[..., Any]", each) for each in tools if isinstance(each, Tool)])
    plain = [each for each in tools if not isinstance(each, Tool)]
    config = session_config({"tools": cast("Any", plain)})
    definitions = () if config.tools is UNSET else tuple(config.tools)
    names = [each.name for each in (*functions, *definitions) if not isinstance(each, McpTool)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"there are two tools named {name!r}; give one of them another name")
    return functions, definitions


def requested_configuration(
    config: SessionConfig | TranscriptionSessionConfig | None, keywords: SessionKeywords
) -> SessionConfig | TranscriptionSessionConfig:
    """What the struct and the keywords ask for together; raises `ConfigError` for what the protocol does not allow."""
    if isinstance(config, TranscriptionSessionConfig):
        if keywords:
            raise ConfigError("a transcription session is configured with the struct alone, without keywords")
        return config
    if config is not None and not isinstance(config, SessionConfig):  # pyright: ignore[reportUnnecessaryIsInstance]  as above
        raise ConfigError(
            f"config must be a SessionConfig or a TranscriptionSessionConfig, not {type(config).__name__}"
        )
    below = SessionConfig() if config is None else checked_config(config)
    return merged(below, session_config(keywords))


def message_parts(content: str | Sequence[Part | str], role: str, encoding: Encoding) -> list[Part]:
    """The content of a message, as parts that fit its role; raises `ConfigError` for what is neither text nor part.

    Args:
        content: Text, or a list of parts.
        role: Whose message it is.
        encoding: Of the session's input, which audio in it must have.
    """
    listed: Sequence[Any] = [content] if isinstance(content, str) else content
    if not isinstance(listed, Sequence) or isinstance(listed, bytes | bytearray | memoryview):  # pyright: ignore[reportUnnecessaryIsInstance]  as above
        raise ConfigError(f"content must be text or a list of parts, not {type(content).__name__}")
    parts: list[Part] = []
    for given in listed:
        part = content_parts.text(given) if isinstance(given, str) else given
        if not isinstance(part, Part):
            raise ConfigError(f"content has a {type(given).__name__}; expected text or a part, such as image(...)")
        if role == "assistant" and isinstance(part, InputText):
            part = OutputText(text=part.text)
        if isinstance(part, InputAudio) and part.audio is not None:
            encoding.audio_bytes(part.audio)  # refuses what is no whole number of samples
        parts.append(part)
    return parts
