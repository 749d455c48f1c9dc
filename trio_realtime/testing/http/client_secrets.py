"""Ephemeral keys: what a request for one may say, and what it is answered."""

from __future__ import annotations

from ...wire.codec import Kind
from ..server import Json
from ..simulation.client_event_shapes import SESSION
from ..simulation.identifiers import IdCounter
from ..simulation.json_shape import integer, record, string
from ..simulation.session_settings import DEFAULT_MODEL, realtime_session, transcription_session, updated_session
from ..simulation.translation_connection import translation_session, updated_translation
from ..simulation.translation_shapes import TRANSLATION_SESSION
from .keys import ClientSecret

_DEFAULT_SECONDS = 600
_EXPIRES_AFTER = record({"anchor": string(choices=("created_at",)), "seconds": integer(10, 7200)})
_SHAPES = {
    "realtime": record({"expires_after": _EXPIRES_AFTER, "session": SESSION}),
    "translation": record({"expires_after": _EXPIRES_AFTER, "session": TRANSLATION_SESSION}, required=["session"]),
}


def create_client_secret(
    request: Json, kind: Kind, *, ids: IdCounter, now: float, unix_time: float
) -> tuple[ClientSecret, Json]:
    """Make an ephemeral key as a request asks for it.

    Args:
        request: The JSON of the request.
        kind: The kind of connection that the key is for.
        ids: Where the key and the session's id come from.
        now: The time on the server's clock, in seconds.
        unix_time: The same moment, for `expires_at`.

    Returns:
        The key, and the JSON of the answer.

    Raises:
        RefusedError: The request is not valid.
    """
    _SHAPES[kind](request, "")
    configuration: Json = request.get("session", {"type": "realtime"})
    seconds: int = request.get("expires_after", {}).get("seconds", _DEFAULT_SECONDS)
    secret = ClientSecret(ids.next("ek"), kind, configuration, now + seconds)
    session = _session(configuration, kind, ids.next("sess"))
    return secret, {"value": secret.value, "expires_at": int(unix_time) + seconds, "session": session}


def _session(configuration: Json, kind: Kind, session_id: str) -> Json:
    # No session has begun, so that none expires: the real server says 0 here.
    if kind == "translation":
        session = translation_session(session_id, configuration["model"], expires_at=0)
        return updated_translation(session, configuration)
    if configuration["type"] == "transcription":
        return updated_session(transcription_session(session_id, 0), configuration)
    return updated_session(realtime_session(session_id, configuration.get("model", DEFAULT_MODEL), 0), configuration)
