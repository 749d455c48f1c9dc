"""Whether the simulated server lets a client in: the path, the query and the key of its request to upgrade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from ...wire.codec import Kind
from ..server import Json
from .calls import Switchboard
from .http_server import HttpRequest
from .keys import ClientSecret, Keys
from .refusal import HttpRefusedError, no_such_call

PREFIXES = ("/v1", "/openai/v1")
"""Where the paths of OpenAI begin, and those of Azure."""

_KINDS: dict[str, Kind] = {
    **{f"{prefix}/realtime": "realtime" for prefix in PREFIXES},
    **{f"{prefix}/realtime/translations": "translation" for prefix in PREFIXES},
}


@dataclass(frozen=True, slots=True)
class Admitted:
    """The client may upgrade.

    Attributes:
        kind: The kind of connection that it asks for.
        query: Of the URL.
        configuration: What the session begins with, from an ephemeral key.
        subprotocol: The one that the server chooses, if the client proposed any.
        beta: The client speaks the protocol of 2024, which is shut down: it is told so after the upgrade.
    """

    kind: Kind
    query: Mapping[str, str]
    configuration: Json
    subprotocol: str | None
    beta: bool


def examine_upgrade(request: HttpRequest, keys: Keys, switchboard: Switchboard, *, now: float) -> Admitted:
    """Judge a request to upgrade.

    Args:
        request: What the client sent.
        keys: The keys that are valid.
        switchboard: The calls that may be joined.
        now: The time on the server's clock, in seconds.

    Raises:
        HttpRefusedError: It is none that the server takes.
    """
    url = request.url
    kind = _KINDS.get(url.path)
    if kind is None:
        raise HttpRefusedError(404, f"Invalid URL (GET {url.path})")
    subprotocols = request.subprotocols
    secret = keys.check(request.headers, subprotocols, now=now)
    query = dict(parse_qsl(url.query))
    named = [name for name in ("model", "intent", "call_id") if name in query]
    if kind == "translation" and named != ["model"]:
        raise HttpRefusedError(400, "You must provide a model parameter.", param="model")
    if len(named) != 1 or query.get("intent", "transcription") != "transcription":
        raise HttpRefusedError(400, "You must provide one of model, intent=transcription and call_id.")
    if "call_id" in query and ((call := switchboard.find(query["call_id"])) is None or call.state != "active"):
        raise no_such_call()
    return Admitted(
        kind,
        query,
        {} if secret is None or "call_id" in query else _configuration(secret, kind, query),
        subprotocol="realtime" if "realtime" in subprotocols else None,
        beta="openai-beta" in request.headers or "openai-beta.realtime-v1" in subprotocols,
    )


def _configuration(secret: ClientSecret, kind: Kind, query: Mapping[str, str]) -> Json:
    session_type = "transcription" if "intent" in query else "realtime"
    if secret.kind != kind or secret.configuration.get("type", session_type) != session_type:
        raise HttpRefusedError(400, "This client secret is for a session of another type.", param="session.type")
    # The connection overrides the secret, and every connection states its model.
    return {key: value for key, value in secret.configuration.items() if key != "model"}
