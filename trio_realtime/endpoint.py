"""Where a session connects, and with which credentials.

`OpenAI` and `Azure` know the addresses of their services, `Relay` is a server of your own that holds the key itself,
and `Endpoint` is anything else that speaks the protocol. All of them are immutable, check everything when they are
made, and show no credentials in their `repr`, in exceptions or in a pickle.
"""

from __future__ import annotations

import inspect
import ipaddress
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, cast
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import trio

from .errors import ConfigError, ConnectError
from .wire.excerpt import excerpt

TokenProvider = Callable[[], str | Awaitable[str]]
"""Gives a fresh token, for one connection; a plain function runs in a worker thread, since it may block."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~\t]*[!-~])?")
_PATH = re.compile(r"realtime(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~%-]+)*")
_AZURE_RESOURCE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")

# The websocket handshake writes these itself; a second copy is a broken or a smuggled request.
_RESERVED_HEADERS = frozenset({"host", "connection", "upgrade", "content-length", "transfer-encoding"})

_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_HTTP_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class _HoldsCredentials:
    """Refuses to be pickled: a pickle would be a copy of the key."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds credentials and cannot be pickled; make another one instead")


@dataclass(frozen=True, slots=True, repr=False)
class ConnectRequest(_HoldsCredentials):
    """An address and the headers to send to it, for one connection or one HTTP request.

    Attributes:
        url: Absolute; `ws` or `wss` for a connection, `http` or `https` for a request.
        headers: Names and values, without those of the websocket handshake itself.
    """

    url: str
    headers: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"ConnectRequest(url={_shown_url(self.url)!r}, headers={_shown_headers(self.headers)})"


class Endpoint(_HoldsCredentials):
    """A server that speaks the Realtime protocol, at an address of its own.

    Args:
        url: Address of its `realtime` resource, such as `"wss://speech.example/v1/realtime"`; `https` means `wss`.
            Query parameters in it stay, and win over the session's.
        headers: Headers of the handshake, such as `{"Authorization": "Bearer ..."}`.
        allow_insecure: Whether the connection may be unencrypted (`ws`, `http`) to a host other than this one.

    Raises:
        ConfigError: The address or a header is not valid, or the address is not encrypted.
    """

    __slots__ = ("_headers", "_url")

    _url: SplitResult
    _headers: tuple[tuple[str, str], ...]

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, *, allow_insecure: bool = False) -> None:
        object.__setattr__(self, "_url", _checked_url(url, allow_insecure=allow_insecure))
        object.__setattr__(self, "_headers", _checked_headers(headers or {}))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_shown_url(self._url.geturl())!r}, headers={_shown_headers(self._headers)})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable; make another one instead")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable; make another one instead")

    async def connect_request(self, *, path: str = "realtime", query: Mapping[str, str]) -> ConnectRequest:
        """Where and how to open one websocket.

        Args:
            path: `"realtime"`, or something below it such as `"realtime/translations"`.
            query: One of `{"model": ...}`, `{"intent": "transcription"}` and `{"call_id": ...}`.

        Raises:
            ConfigError: The path or the query is not valid, or a token provider gave something that is no token.
            ConnectError: A token provider failed; `__cause__` is its exception.

        Cancellation:
            Leaves nothing behind, except a blocking token provider in its thread, whose token is then not used.
        """
        return await self._request(_WEBSOCKET_SCHEMES, path, query)

    async def rest_request(self, path: str, *, query: Mapping[str, str] | None = None) -> ConnectRequest:
        """Where and how to send one HTTP request; arguments, errors and cancellation as in `connect_request`.

        Args:
            path: Such as `"realtime/client_secrets"` or `"realtime/calls/<quoted id>/accept"`.
            query: Query parameters.
        """
        return await self._request(_HTTP_SCHEMES, path, query or {})

    async def _request(self, schemes: Mapping[str, str], path: str, query: Mapping[str, str]) -> ConnectRequest:
        if _PATH.fullmatch(path) is None:
            raise ConfigError(f"path {excerpt(path)!r} is not valid: expected 'realtime' or 'realtime/...', URL-quoted")
        own = self._url.query
        stays = {name for name, _ in parse_qsl(own, keep_blank_values=True)}
        try:
            added = urlencode({name: value for name, value in self._query(query).items() if name not in stays})
        except UnicodeEncodeError as error:
            raise ConfigError("a query parameter holds half a character (a lone surrogate); remove it") from error
        below = path.removeprefix("realtime")
        url = self._url._replace(
            scheme=schemes[self._url.scheme],
            path=self._url.path.rstrip("/") + below if below else self._url.path or "/",
            query="&".join(part for part in (own, added) if part),
        )
        await trio.lowlevel.checkpoint()
        return ConnectRequest(url=url.geturl(), headers=self._headers + await self._fresh_headers())

    def _query(self, query: Mapping[str, str]) -> Mapping[str, str]:
        return query

    async def _fresh_headers(self) -> tuple[tuple[str, str], ...]:
        return ()


class Relay(Endpoint):
    """A server of your own between this program and the service: it holds the key, so none is needed here.

    Args and errors as of `Endpoint`.
    """

    __slots__ = ()


class OpenAI(Endpoint):
    """The service of OpenAI, or a compatible one that takes its key in the same way.

    Args:
        api_key: A key, or an ephemeral key (`ek_...`); None takes it from the environment variable `OPENAI_API_KEY`.
        organization: Id of the organization that pays, for a key that belongs to several.
        project: Id of the project.
        base_url: Address of the API, up to and including its version.
        safety_identifier: A stable, pseudonymous id of the end user, for the service's abuse detection.
        allow_insecure: As of `Endpoint`.

    Raises:
        ConfigError: There is no key, or an argument is not valid.
    """

    __slots__ = ()

    def __init__(
        self,
        api_key: str | None = None,
        *,
        organization: str | None = None,
        project: str | None = None,
        base_url: str = "https://api.openai.com/v1",
        safety_identifier: str | None = None,
        allow_insecure: bool = False,
    ) -> None:
        if api_key is None:
            api_key = _key_from_environment(
                "OPENAI_API_KEY", "pass api_key=, or use Relay(url) for a server that needs no key"
            )
        identity = {
            "OpenAI-Organization": organization,
            "OpenAI-Project": project,
            "OpenAI-Safety-Identifier": safety_identifier,
        }
        headers = {"Authorization": f"Bearer {_checked_key(api_key, 'api_key')}"}
        headers |= {name: value for name, value in identity.items() if value is not None}
        super().__init__(_below(base_url, "/realtime"), headers=headers, allow_insecure=allow_insecure)


class Azure(Endpoint):
    """Azure OpenAI, in its GA form (without `api-version`).

    Args:
        resource: Name of the resource: the `NAME` of `https://NAME.openai.azure.com`.
        url: Address of the resource, instead of its name: another domain, or a gateway in front of it.
        deployment: Name of the deployment, which is what Azure calls a model; None takes the session's `model` for it.
        api_key: A key of the resource; with neither a key nor a provider, the environment variable
            `AZURE_OPENAI_API_KEY`.
        token_provider: Gives a Microsoft Entra token for each connection, as a plain or an async function.
        allow_insecure: As of `Endpoint`.

    Raises:
        ConfigError: There is no key, an argument is not valid, or two of them exclude each other.
    """

    __slots__ = ("_deployment", "_token_provider")

    _deployment: str | None
    _token_provider: TokenProvider | None

    def __init__(
        self,
        *,
        resource: str | None = None,
        url: str | None = None,
        deployment: str | None = None,
        api_key: str | None = None,
        token_provider: TokenProvider | None = None,
        allow_insecure: bool = False,
    ) -> None:
        if (resource is None) == (url is None):
            given = "both" if url is not None else "neither"
            raise ConfigError(f"expected one of resource= and url=, got {given}: pass the name or the address")
        if api_key is not None and token_provider is not None:
            raise ConfigError("expected one of api_key= and token_provider=, got both: leave one out")
        if deployment is not None and not (isinstance(deployment, str) and deployment):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
            raise ConfigError("deployment must be the name of a deployment (a str that is not empty), or None")
        headers: dict[str, str] = {}
        if token_provider is None:
            if api_key is None:
                api_key = _key_from_environment("AZURE_OPENAI_API_KEY", "pass api_key= or token_provider=")
            headers["api-key"] = _checked_key(api_key, "api_key")
        elif not callable(token_provider):
            raise ConfigError(f"token_provider must be a function without arguments, got {_kind(token_provider)}")
        if url is None:
            if not (isinstance(resource, str) and _AZURE_RESOURCE.fullmatch(resource)):
                raise ConfigError("resource must be letters, digits and hyphens; for a whole address use url=")
            url = f"https://{resource}.openai.azure.com"
        elif isinstance(url, str) and "api-version=" in url:  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
            raise ConfigError("url names an api-version, which only the retired preview takes: leave the query out")
        super().__init__(_below(url, "/openai/v1/realtime"), headers=headers, allow_insecure=allow_insecure)
        object.__setattr__(self, "_deployment", deployment)
        object.__setattr__(self, "_token_provider", token_provider)

    def _query(self, query: Mapping[str, str]) -> Mapping[str, str]:
        if "model" in query and self._deployment is not None:
            return {**query, "model": self._deployment}
        return query

    async def _fresh_headers(self) -> tuple[tuple[str, str], ...]:
        provider = self._token_provider
        if provider is None:
            return ()
        try:
            if inspect.iscoroutinefunction(provider):
                token: object = await provider()
            else:
                # A provider may well do HTTP: in a thread it delays nobody. Abandoned, so that deadlines hold.
                # In a tuple, because what it gives may have to be awaited, which Trio refuses of a thread's result.
                (given,) = await trio.to_thread.run_sync(lambda: (provider(),), abandon_on_cancel=True)
                token = await given if inspect.isawaitable(given) else given
        except Exception as error:
            # Only the type: the text of a failed request may quote the token.
            raise ConnectError(f"the token provider failed with {type(error).__name__}") from error
        return (("Authorization", f"Bearer {_checked_key(token, 'what the token provider gave')}"),)


def _checked_url(url: str, *, allow_insecure: bool) -> SplitResult:
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
        raise ConfigError(f"the address must be a str such as 'wss://host/v1/realtime', got {_kind(url)}")
    # urlsplit would silently drop line ends and tabs.
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise ConfigError("the address holds whitespace, control or non-ASCII characters: URL-quote or remove them")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"the address {_shown_url(url)!r} is not a URL: check its host and port") from error
    if parts.scheme not in _WEBSOCKET_SCHEMES or not host:
        raise ConfigError(
            f"the address {_shown_url(url)!r} is not valid: expected 'wss://host/...' (or https, ws, http)"
        )
    if "@" in parts.netloc or "#" in url:
        raise ConfigError("the address holds a user name, a password or a fragment: use headers= for credentials")
    if _WEBSOCKET_SCHEMES[parts.scheme] == "ws" and not allow_insecure and not _is_loopback(host):
        raise ConfigError(
            f"the address {_shown_url(url)!r} would send credentials unencrypted to another host: "
            "use wss:// or, in a network that you trust, allow_insecure=True"
        )
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if not isinstance(headers, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
        raise ConfigError(f"headers must be a mapping of names to values, got {_kind(headers)}")
    seen: set[str] = set()
    for name, value in cast("Mapping[object, object]", headers).items():
        if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
            raise ConfigError(f"a header's name is not valid: {excerpt(repr(name))}; expected letters, digits, hyphens")
        lower = name.lower()
        if lower in _RESERVED_HEADERS or lower.startswith("sec-websocket-"):
            raise ConfigError(f"the header {name} belongs to the websocket handshake: leave it out")
        if lower in seen:
            raise ConfigError(f"the header {name} is there twice: leave one out")
        if not (isinstance(value, str) and _HEADER_VALUE.fullmatch(value)):
            raise ConfigError(
                f"the value of the header {name} is not valid: expected printable ASCII without line ends, "
                "not empty, without spaces around it"
            )
        seen.add(lower)
    return tuple(headers.items())


def _checked_key(key: object, what: str) -> str:
    """`key` itself; never part of the text of an error."""
    if not isinstance(key, str):
        raise ConfigError(f"{what} must be a str, got {_kind(key)}")
    if not key:
        raise ConfigError(f"{what} is empty: expected a key")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"{what} holds whitespace or characters that no key has: was something copied with it?")
    return key


def _key_from_environment(variable: str, otherwise: str) -> str:
    key = os.environ.get(variable)
    if not key:
        raise ConfigError(f"there is no API key: set the environment variable {variable}, or {otherwise}")
    return _checked_key(key, f"the environment variable {variable}")


def _below(url: str, path: str) -> str:
    """Add `path` to the path of `url`, as far as it is not there yet."""
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
        raise ConfigError(f"the address must be a str such as 'https://host/v1', got {_kind(url)}")
    address, question_mark, query = url.partition("?")
    address = address.rstrip("/")
    segments = path.split("/")
    beginnings = ("/".join(segments[:count]) for count in range(len(segments), 0, -1))
    there = next(beginning for beginning in beginnings if address.endswith(beginning))  # the last one is empty
    return address.removesuffix(there) + path + question_mark + query


def _kind(value: object) -> str:
    return type(value).__name__


def _shown_url(url: str) -> str:
    """`url` without what may be secret in it: user and password, values of the query, long runs."""
    address, _, query = url.partition("?")
    address = re.sub(r"//[^/]*@", "//<redacted>@", address)
    names = "&".join(f"{pair.partition('=')[0]}=..." for pair in query.split("&") if pair)
    return excerpt(f"{address}?{names}" if names else address)


def _shown_headers(headers: tuple[tuple[str, str], ...]) -> str:
    return "{" + ", ".join(f"{name!r}: <redacted>" for name, _ in headers) + "}"
