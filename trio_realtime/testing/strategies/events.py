"""Strategies of the protocol's events, one at a time; `conversations` makes whole histories of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, get_args, overload

import msgspec
from hypothesis import strategies as st

from ...errors import ConfigError
from ...wire import client_events as client, server_events as server
from ...wire.client_events import ClientEvent
from ...wire.server_events import KnownServerEvent, ServerEvent, UnknownEvent
from ...wire.session_config import TranscriptionSessionInfo
from ...wire.translation import (
    KnownTranslationServerEvent,
    TranslationClientEvent,
    TranslationServerEvent,
    TranslationSessionUpdate,
)
from .any_values import instances, structs, texts, unknown_objects
from .session import SessionKind, check_session_kind, session_configs
from .valid_values import ids, valid

Kinds = Collection[type[Any]]

_CLIENT_KINDS: dict[SessionKind, tuple[type[msgspec.Struct], ...]] = {
    "realtime": get_args(ClientEvent),
    "transcription": (
        client.SessionUpdate,
        client.InputAudioBufferAppend,
        client.InputAudioBufferCommit,
        client.InputAudioBufferClear,
        client.ConversationItemRetrieve,
        client.ConversationItemDelete,
    ),
    "translation": get_args(TranslationClientEvent),
}

_SERVER_KINDS: dict[SessionKind, tuple[type[msgspec.Struct], ...]] = {
    "realtime": get_args(KnownServerEvent),
    "transcription": (
        server.SessionCreated,
        server.SessionUpdated,
        server.Error,
        server.ConversationItemAdded,
        server.ConversationItemDone,
        server.ConversationItemRetrieved,
        server.ConversationItemDeleted,
        server.ConversationItemInputAudioTranscriptionDelta,
        server.ConversationItemInputAudioTranscriptionCompleted,
        server.ConversationItemInputAudioTranscriptionFailed,
        server.ConversationItemInputAudioTranscriptionSegment,
        server.InputAudioBufferCommitted,
        server.InputAudioBufferCleared,
        server.InputAudioBufferSpeechStarted,
        server.InputAudioBufferSpeechStopped,
    ),
    "translation": get_args(KnownTranslationServerEvent),
}


def _unknown_event(raw: dict[str, Any], event_id: str | None) -> UnknownEvent:
    raw = {key: value for key, value in raw.items() if key != "event_id"}
    return UnknownEvent(
        type=raw["type"], event_id=event_id, raw=raw if event_id is None else {**raw, "event_id": event_id}
    )


_unknown_events = st.builds(_unknown_event, unknown_objects, st.none() | texts)


@overload
def client_events(
    kinds: Kinds | None = None, *, session: Literal["realtime", "transcription"] = "realtime"
) -> st.SearchStrategy[ClientEvent]: ...
@overload
def client_events(
    kinds: Kinds | None = None, *, session: Literal["translation"]
) -> st.SearchStrategy[TranslationClientEvent]: ...
def client_events(kinds: Kinds | None = None, *, session: SessionKind = "realtime") -> st.SearchStrategy[Any]:
    """Events of a client, each valid by itself: a server may refuse it only for when it comes or what it refers to.

    Args:
        kinds: Structs of `trio_realtime.wire.client_events` (or `translation`), such as `ResponseCreate`. None: all
            that such a session has.
        session: The kind of session.

    Raises:
        ConfigError: There is no such kind of session, or it has no such event.

    Example:
        ```python
        @given(client_events([SessionUpdate, ResponseCreate]))
        def test_the_relay_passes_it_on(event): ...
        ```
    """
    return st.one_of([_client_event(kind, session) for kind in _chosen(kinds, _CLIENT_KINDS, session)])


def _client_event(kind: type[msgspec.Struct], session: SessionKind) -> st.SearchStrategy[Any]:
    if kind is client.SessionUpdate and session == "transcription":
        return _session_updates(kind, session_configs("transcription"))
    if kind is client.SessionUpdate:
        return _session_updates(kind, session_configs("realtime"))
    if kind is TranslationSessionUpdate:
        return _session_updates(kind, session_configs("translation"))
    return valid(kind)


def _session_updates(kind: type[msgspec.Struct], configs: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return instances(kind, {"session": configs}, {"event_id": ids})


@overload
def server_events(
    kinds: Kinds | None = None,
    *,
    session: Literal["realtime", "transcription"] = "realtime",
    unknown: bool = False,
) -> st.SearchStrategy[ServerEvent]: ...
@overload
def server_events(
    kinds: Kinds | None = None, *, session: Literal["translation"], unknown: bool = False
) -> st.SearchStrategy[TranslationServerEvent]: ...
def server_events(
    kinds: Kinds | None = None, *, session: SessionKind = "realtime", unknown: bool = False
) -> st.SearchStrategy[Any]:
    """Events of a server, each by itself, as the protocol describes them.

    Args:
        kinds: Structs of `trio_realtime.wire.server_events` (or `translation`), such as `ResponseDone`. None: all
            that such a session has.
        session: The kind of session.
        unknown: Also what a later or a compatible server may say: items and content parts of unknown types, new words
            and numbers out of range, fields that are missing, and (where `kinds` is None) events of unknown types.

    Raises:
        ConfigError: There is no such kind of session, or it has no such event.

    Example:
        ```python
        @given(server_events(unknown=True))
        def test_no_event_stops_the_recorder(event): ...
        ```
    """
    chosen = _chosen(kinds, _SERVER_KINDS, session)
    if not unknown:
        return st.one_of([_server_event(kind, session) for kind in chosen])
    others = [_unknown_events] if kinds is None else []
    return st.one_of([*[structs(kind, unknown=True) for kind in chosen], *others])


def _server_event(kind: type[msgspec.Struct], session: SessionKind) -> st.SearchStrategy[Any]:
    if kind in {server.SessionCreated, server.SessionUpdated} and session == "transcription":
        return instances(kind, {"event_id": ids, "session": valid(TranscriptionSessionInfo)})
    return valid(kind)


def _chosen(
    kinds: Kinds | None, known: dict[SessionKind, tuple[type[msgspec.Struct], ...]], session: SessionKind
) -> tuple[type[msgspec.Struct], ...]:
    check_session_kind(session)
    for kind in kinds or ():
        if kind not in known[session]:
            raise ConfigError(f"{kind.__name__} is no event of a {session} session in this direction")
    return known[session] if kinds is None else tuple(kinds)
