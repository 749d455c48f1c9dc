"""The keys that a served simulator takes: its own, and the ephemeral ones that it gave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...wire.codec import Kind
from ..server import Json
from .refusal import HttpRefusedError

_KEY_SUBPROTOCOL = "openai-insecure-api-key."


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """An ephemeral key.

    Attributes:
        value: What the client sends, `"ek_..."`.
        kind: The kind of connection that it is for.
        configuration: What its sessions begin with instead of the defaults, in the wire's shape.
        expires: When it is no longer valid, on the server's clock, in seconds.
    """

    value: str = field(repr=False)
    kind: Kind
    configuration: Json
    expires: float


class Keys:
    """Tells a valid key from others."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key
        self._secrets: dict[str, ClientSecret] = {}

    def add(self, secret: ClientSecret) -> None:
        """Take an ephemeral key from now on, until it expires; connections that it opened outlive it."""
        self._secrets[secret.value] = secret

    def check(self, headers: Mapping[str, str], subprotocols: Sequence[str] = (), *, now: float) -> ClientSecret | None:
        """Judge the key of a request.

        Args:
            headers: Names in lower case.
            subprotocols: What the client proposes; browsers send their key this way.
            now: The time on the server's clock, in seconds.

        Returns:
            The ephemeral key, or None for the server's own.

        Raises:
            HttpRefusedError: There is no key, or it is not valid, or no longer.
        """
        given = _given_key(headers, subprotocols)
        if not given:
            raise HttpRefusedError(
                401,
                "You didn't provide an API key. Send it in an Authorization header (Authorization: Bearer YOUR_KEY).",
            )
        if given == self._api_key:
            return None
        secret = self._secrets.get(given)
        if secret is None or now >= secret.expires:
            raise HttpRefusedError(401, f"Incorrect API key provided: {given[:3]}***.", code="invalid_api_key")
        return secret


def _given_key(headers: Mapping[str, str], subprotocols: Sequence[str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    in_subprotocol = (name.removeprefix(_KEY_SUBPROTOCOL) for name in subprotocols if name.startswith(_KEY_SUBPROTOCOL))
    return headers.get("api-key") or next(in_subprotocol, "")
