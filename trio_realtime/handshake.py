"""The opening handshake, without any I/O: what may be asked of a server, and what it answers.

`trio_websocket` performs the upgrade itself. This module stands on either side of it: it refuses here what would fail
there with the secret in its words, and reads the answer first, so that a rejection is known at once, however its body
is framed and whether or not it ever ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import h11

from .errors import ConfigError

MAX_BODY_BYTES: Final = 4096

_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_FIELD_VALUE: Final = re.compile(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?|")
# Written by the handshake itself; a second one of a name would make the request invalid.
_OWN_FIELDS: Final = frozenset({"host", "upgrade", "connection", "content-length", "transfer-encoding"})


class NotAnAnswer(Exception):
    """What the server sent is not an HTTP response."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a websocket URL points. Its `str` is fit for messages: it leaves out the query, which may hold a secret.

    Attributes:
        scheme: `"ws"` or `"wss"`.
        host: Name or address, without brackets.
        port: TCP port.
        resource: Path and query.
    """

    scheme: str
    host: str
    port: int
    resource: str

    @property
    def authority(self) -> str:
        """The value of the `Host` header; the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_url(url: str) -> Target:
    """Take a websocket URL apart.

    Raises:
        ConfigError: It is not a `ws://` or `wss://` URL with a host, or it carries a fragment, credentials or
            characters that must be escaped. The message does not repeat the URL, whose query may hold a secret.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError as error:
        raise ConfigError(f"not a websocket URL ({type(error).__name__} in its host or port)") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ConfigError(f"a websocket URL begins with ws:// or wss://, not with {parts.scheme!r}")
    if not host:
        raise ConfigError("the websocket URL names no host")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("the websocket URL carries credentials; send them as a header")
    if parts.fragment:
        raise ConfigError("a websocket URL has no fragment")
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # `urlsplit` drops tabs and line ends silently, so look at the whole.
    if not _VISIBLE.fullmatch(resource) or any(character in url for character in "\r\n\t\0"):
        raise ConfigError("the websocket URL contains characters that must be percent-encoded")
    return Target(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], resource)


def check_headers(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Encode request headers.

    Raises:
        ConfigError: A name or a value that HTTP does not allow, or a name that the handshake writes itself. The message
            has the name, never the value.
    """
    fields: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise ConfigError("the name of a request header is not an HTTP token")
        if name.lower() in _OWN_FIELDS or name.lower().startswith("sec-websocket-"):
            raise ConfigError(f"the websocket handshake writes the header {name!r} itself")
        if not _FIELD_VALUE.fullmatch(value):
            raise ConfigError(
                f"the value of the header {name!r} has a line end, another control character, a character outside "
                "ASCII, or a space at one of its ends"
            )
        fields.append((name.encode(), value.encode()))
    return fields


class AnswerReader:
    """Reads the answer to an upgrade request.

    Attributes:
        status: 101, or the status of the rejection; 0 until it is known.
        headers: Of a rejection; names in lower case.
        body: Of a rejection; its first 4,096 bytes.
        complete: Whether everything that matters has arrived.
        upgrade: The bytes of the 101 response alone.
        early: What the server sent after them.
    """

    __slots__ = ("_http", "_unread", "body", "complete", "early", "headers", "status", "upgrade")

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT)
        # h11 reads an answer only to a question; that trio-websocket words it otherwise makes no difference to it.
        self._http.send(h11.Request(method="GET", target="/", headers=[("Host", ""), ("Upgrade", "websocket")]))
        self._http.send(h11.EndOfMessage())
        self._unread = b""
        self.status: int = 0
        self.headers: dict[str, str] = {}
        self.body: bytes = b""
        self.complete: bool = False
        self.upgrade: bytes = b""
        self.early: bytes = b""

    def feed(self, data: bytes | bytearray) -> None:
        """Read the next bytes; `b""` is the end of the stream.

        Raises:
            NotAnAnswer: This is not HTTP, or it ends before its headers do. A truncated body is not an error.
        """
        self._unread += data
        try:
            self._http.receive_data(bytes(data))
            while not self.complete:
                event = self._http.next_event()
                if isinstance(event, h11.Response):
                    self._take_head(event)
                elif isinstance(event, h11.InformationalResponse):
                    self._take_informational(event)
                elif isinstance(event, h11.Data):
                    self.body = (self.body + bytes(event.data))[:MAX_BODY_BYTES]
                    self.complete = len(self.body) == MAX_BODY_BYTES
                elif isinstance(event, h11.EndOfMessage):
                    self.complete = True
                else:  # it needs data
                    break
        except h11.RemoteProtocolError:
            if not self.status:
                # Not h11's words: they repeat what was received.
                raise NotAnAnswer("its answer is not HTTP" if data else "it closed the connection") from None
            self.complete = True

    def _take_head(self, head: h11.Response | h11.InformationalResponse) -> None:
        self.status = head.status_code
        self.headers = {bytes(name).decode("latin-1"): bytes(value).decode("latin-1") for name, value in head.headers}

    def _take_informational(self, head: h11.InformationalResponse) -> None:
        rest = self._http.trailing_data[0]
        if head.status_code == 101:
            self._take_head(head)
            self.upgrade = self._unread[: len(self._unread) - len(rest)]
            self.early = rest
            self.complete = True
        else:  # such as 103: the answer is still to come, and trio-websocket would take this for a rejection
            self._unread = rest
