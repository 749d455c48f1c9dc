"""The simulated server's side of one HTTP request, over any Trio stream: h11's rules, one request for a connection."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, urlsplit

import h11
import trio

from ...errors import ConnectionLost
from .refusal import HttpRefusedError

MAX_BODY_BYTES = 1024 * 1024
_RECEIVE_BYTES = 65536
_CLOSE_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a client asks for.

    Attributes:
        method: In capitals.
        target: Path and query.
        headers: Names in lower case.
        body: All of it.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def url(self) -> SplitResult:
        """The path and the query, apart.

        Raises:
            HttpRefusedError: The target is no URL.
        """
        try:
            return urlsplit(self.target)
        except ValueError:
            raise HttpRefusedError(400, "The target of the request is not a URL.") from None

    @property
    def asks_to_upgrade(self) -> bool:
        """Whether it opens a websocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def subprotocols(self) -> list[str]:
        """What a websocket client proposes, in its order of preference."""
        return [name.strip() for name in self.headers.get("sec-websocket-protocol", "").split(",")]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What it gets.

    Attributes:
        status: The HTTP status code.
        body: All of it.
        headers: Beside those that every answer has.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def json_response(status: int, body: bytes) -> HttpResponse:
    """Answer with JSON."""
    return HttpResponse(status, body, (("content-type", "application/json"),))


def error_response(refusal: HttpRefusedError) -> HttpResponse:
    """Answer with the JSON of an error."""
    return json_response(refusal.status, refusal.body)


class HttpExchange:
    """A request, and then the answer to it.

    Attributes:
        received: The bytes of the request, for who reads it again to upgrade.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.received: bytes = b""
        self._stream = stream
        self._protocol = h11.Connection(h11.SERVER)
        self._method = ""

    async def receive_request(self) -> HttpRequest:
        """Read the request; of one that asks to upgrade, the head alone.

        Raises:
            ConnectionLost: The client went away.
            HttpRefusedError: It breaks the rules of HTTP, or is too long.
        """
        while (event := self._next_event()) is h11.NEED_DATA:
            self.received += await self._feed()
        if not isinstance(event, h11.Request):
            raise ConnectionLost("the client went away without a request")
        self._method = event.method.decode()
        headers: dict[str, str] = {}
        for name, value in event.headers:
            # A header that is there several times is a list.
            headers[name.decode()] = ", ".join(filter(None, (headers.get(name.decode()), value.decode("latin-1"))))
        request = HttpRequest(self._method, event.target.decode("latin-1"), headers)
        return request if request.asks_to_upgrade else replace(request, body=await self._receive_body())

    async def _receive_body(self) -> bytes:
        body, length = bytearray(), 0
        while not isinstance(event := self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                # What is too long is read and forgotten: some clients read no answer before they wrote everything.
                length += len(event.data)
                body += event.data[: MAX_BODY_BYTES - len(body)]
            else:
                if self._protocol.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                await self._feed()
        if length > MAX_BODY_BYTES:
            raise HttpRefusedError(413, f"The body of a request must not exceed {MAX_BODY_BYTES} bytes.")
        return bytes(body)

    async def respond(self, response: HttpResponse) -> None:
        """Answer; the connection is of no use afterwards.

        Raises:
            ConnectionLost: The client is gone.
        """
        headers = [
            *response.headers,
            ("x-request-id", "req_Sim000000000000000000"),
            ("content-length", str(len(response.body))),
            ("connection", "close"),
        ]
        head = h11.Response(status_code=response.status, headers=headers)
        body = b"" if self._method == "HEAD" else response.body
        await self._send(head, h11.Data(data=body), h11.EndOfMessage())
        if self._protocol.their_state is h11.ERROR:
            # Whatever the client still sends is read: a socket that closes on unread bytes resets the connection, and
            # the client may never see why it was refused.
            with trio.move_on_after(_CLOSE_TIMEOUT), suppress(ConnectionLost, trio.BrokenResourceError):
                if isinstance(self._stream, trio.abc.HalfCloseableStream):
                    await self._stream.send_eof()
                while await self._receive():
                    pass

    def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            return self._protocol.next_event()
        except h11.RemoteProtocolError as error:
            raise HttpRefusedError(error.error_status_hint, f"This is no HTTP request: {error}") from error

    async def _feed(self) -> bytes:
        data = await self._receive()
        self._protocol.receive_data(data)
        return data

    async def _receive(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(_RECEIVE_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost("the client broke the connection") from error

    async def _send(self, *events: h11.Event) -> None:
        try:
            await self._stream.send_all(b"".join(self._protocol.send(event) or b"" for event in events))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost("the client is gone") from error
