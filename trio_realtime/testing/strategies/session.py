"""Strategies of what a client asks a session to be."""

from __future__ import annotations

from typing import Any, Literal, cast, overload

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET

from ...errors import ConfigError
from ...wire.session_config import SessionConfig, Transcription, TranscriptionAudioConfig, TranscriptionSessionConfig
from ...wire.translation import TranslationSessionConfig
from .valid_values import valid

SessionKind = Literal["realtime", "transcription", "translation"]
"""The kinds of sessions that the protocol has."""

_CONFIGS: dict[SessionKind, type[msgspec.Struct]] = {
    "realtime": SessionConfig,
    "transcription": TranscriptionSessionConfig,
    "translation": TranslationSessionConfig,
}

_WITHOUT_TURNS = {"gpt-realtime-whisper", "gpt-live-transcribe"}
"""Models of a transcription session that find turns themselves."""


def check_session_kind(session: str) -> None:
    """Raise `ConfigError` unless there is such a kind of session."""
    if session not in _CONFIGS:
        raise ConfigError(f"a session is one of {', '.join(_CONFIGS)}, not {session!r}")


@overload
def session_configs(session: Literal["realtime"] = "realtime") -> st.SearchStrategy[SessionConfig]: ...
@overload
def session_configs(session: Literal["transcription"]) -> st.SearchStrategy[TranscriptionSessionConfig]: ...
@overload
def session_configs(session: Literal["translation"]) -> st.SearchStrategy[TranslationSessionConfig]: ...
def session_configs(session: SessionKind = "realtime") -> st.SearchStrategy[Any]:
    """Configurations that a server takes in a `session.update` of a new session.

    Numbers are within their ranges, null stands only where the protocol allows it, tools have names of their own and
    good schemas, and the choice of a tool names one of them. The model is left out, since it cannot be changed.

    Args:
        session: The kind of session.

    Raises:
        ConfigError: There is no such kind of session.

    Example:
        ```python
        @given(session_configs())
        def test_a_configuration_is_stored(config): ...
        ```
    """
    check_session_kind(session)
    configs = valid(_CONFIGS[session])
    return configs.map(_without_turns) if session == "transcription" else configs


def _without_turns(config: msgspec.Struct) -> TranscriptionSessionConfig:
    """Turn detection off where the model finds turns itself."""
    config = cast("TranscriptionSessionConfig", config)
    if config.audio is UNSET or config.audio.input is UNSET:
        return config
    heard = config.audio.input
    if not isinstance(heard.transcription, Transcription) or heard.transcription.model not in _WITHOUT_TURNS:
        return config
    audio = TranscriptionAudioConfig(input=msgspec.structs.replace(heard, turn_detection=None))
    return msgspec.structs.replace(config, audio=audio)
