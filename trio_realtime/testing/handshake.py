"""Whether the simulated server lets a client in: the path, the query and the key of its HTTP request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

PATHS = ("/v1/realtime", "/openai/v1/realtime")
"""The path of OpenAI, and that of Azure."""

_KEY_SUBPROTOCOL = "openai-insecure-api-key."


@dataclass(frozen=True, slots=True)
class Admitted:
    """The client may upgrade.

    Attributes:
        query: Of the URL.
        subprotocol: The one that the server chooses, if the client proposed any.
        beta: The client speaks the protocol of 2024, which is shut down: it is told so after the upgrade.
    """

    query: Mapping[str, str]
    subprotocol: str | None
    beta: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """The client gets an HTTP error.

    Attributes:
        status: The HTTP status code.
        body: JSON, as OpenAI's.
    """

    status: int
    body: bytes


def examine_upgrade(
    target: str, headers: Mapping[str, str], subprotocols: Sequence[str], api_key: str
) -> Admitted | Rejected:
    """Judge a request to upgrade.

    Args:
        target: Path and query.
        headers: Names in lower case.
        subprotocols: What the client proposes; browsers send their key this way.
        api_key: The only key that is valid.
    """
    url = urlsplit(target)
    if url.path not in PATHS:
        return _rejected(404, f"Invalid URL (GET {url.path})")
    given = _given_key(headers, subprotocols)
    if not given:
        return _rejected(
            401, "You didn't provide an API key. Send it in an Authorization header (Authorization: Bearer YOUR_KEY)."
        )
    if given != api_key:
        return _rejected(401, f"Incorrect API key provided: {given[:3]}***.", code="invalid_api_key")
    query = dict(parse_qsl(url.query))
    named = [name for name in ("model", "intent", "call_id") if name in query]
    if len(named) != 1 or query.get("intent", "transcription") != "transcription":
        return _rejected(400, "You must provide one of model, intent=transcription and call_id.")
    return Admitted(
        query,
        subprotocol="realtime" if "realtime" in subprotocols else None,
        beta="openai-beta" in headers or "openai-beta.realtime-v1" in subprotocols,
    )


def _given_key(headers: Mapping[str, str], subprotocols: Sequence[str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    in_subprotocol = (name.removeprefix(_KEY_SUBPROTOCOL) for name in subprotocols if name.startswith(_KEY_SUBPROTOCOL))
    return headers.get("api-key") or next(in_subprotocol, "")


def _rejected(status: int, message: str, *, code: str | None = None) -> Rejected:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return Rejected(status, json.dumps({"error": error}).encode())
