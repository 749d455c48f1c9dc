"""Calls over WebRTC and SIP, without their media: they begin, are answered, joined, transferred and ended.

Theory of operation: a call has one session, a connection of the server's, to which any number of websockets listen and
talk (`?call_id=`). What the session says goes to each of them; a refusal goes to the one that is refused. Nothing runs
while nobody has joined: what would have happened meanwhile has happened when the next one does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from weakref import WeakSet

from ...errors import ConfigError
from ...transport import Closed
from ...wire.codec import Kind
from ..link import Link, link_to
from ..server import Json, Server, ServerConnection, SharedConnection
from ..simulation.identifiers import IdCounter


class Call:
    """One call; a `Switchboard` makes it.

    Attributes:
        id: `"rtc_..."`.
        state: Whether it waits to be accepted, goes on, or is over.
        offer: The SDP of the client, over WebRTC.
        incoming_event: What a webhook would be sent about it, over SIP: `realtime.call.incoming`.
        rejected_with: The SIP status with which it was rejected.
        referred_to: Where it was transferred to.
    """

    def __init__(self, call_id: str, *, offer: str | None = None, incoming_event: Json | None = None) -> None:
        self.id = call_id
        self.state: Literal["ringing", "active", "over"] = "ringing"
        self.offer = offer
        self.incoming_event = incoming_event
        self.rejected_with: int | None = None
        self.referred_to: str | None = None
        self._session: ServerConnection | None = None
        self._joined: WeakSet[JoinedCall] = WeakSet()  # a websocket that is gone is not told anything

    def begin(self, session: ServerConnection) -> None:
        """Let the call go on with a session."""
        self._session = session
        self.state = "active"
        if isinstance(session, SharedConnection):
            session.wake = self._wake_all  # somebody presses a key

    def end(self) -> None:
        """End the call; every websocket that joined it is closed."""
        self.state = "over"
        self._wake_all()

    def _wake_all(self) -> None:
        for joined in self._joined:
            joined.wake()

    def join(self, now: float) -> JoinedCall:
        """Listen to the call from now on, and talk to its session.

        Raises:
            ConfigError: It was not accepted yet, or is over.
        """
        if self._session is None or self.state == "over":
            raise ConfigError(f"the call {self.id} does not go on: it is {self.state}")
        self._session.advance(now)
        joined = JoinedCall(self, self._session)
        self._joined.add(joined)
        return joined

    def tell(self, events: Sequence[Json]) -> None:
        """Give what the session says to all who joined."""
        if self._session is not None and self._session.closed is not None:
            self.state = "over"
        for joined in self._joined:
            joined.unsent += events
            joined.wake()


class JoinedCall:
    """A websocket that listens to a call, as a `SharedConnection`.

    Attributes:
        wake: See `SharedConnection`.
        unsent: What its client was not told yet.
    """

    def __init__(self, call: Call, session: ServerConnection) -> None:
        self.wake: Callable[[], object] = _nobody
        self.unsent: list[Json] = []
        self._call = call
        self._session = session

    @property
    def closed(self) -> Closed | None:
        """Why the server has closed the connection: the session or the call is over, and everything was said."""
        if self.unsent or self._call.state != "over":
            return None
        return self._session.closed or Closed(1000, "")

    def next_deadline(self) -> float:
        """Say when `advance` has something to do; infinity once the call is over and everything was said."""
        if self.unsent:
            return float("-inf")
        return float("inf") if self._call.state == "over" else self._session.next_deadline()

    def advance(self, now: float) -> list[Json]:
        """Let time pass until `now` and return the events that the server sends, in order."""
        if self._call.state == "active" and (events := self._session.advance(now)):
            self._call.tell(events)
        return self._taken()

    def receive(self, message: str | bytes, now: float, *, binary: bool = False) -> list[Json]:
        """Take one message of the client and return the events that answer it at once, in order."""
        errors: list[Json] = []
        if self._call.state == "active":
            events = self._session.receive(message, now, binary=binary)
            # A refusal concerns who sent the event; everything else, the whole call.
            errors = [event for event in events if event["type"] == "error"]
            self._call.tell([event for event in events if event["type"] != "error"])
        return self._taken() + errors

    def _taken(self) -> list[Json]:
        taken, self.unsent = self.unsent, []
        return taken


def _nobody() -> None:
    """Wake nobody: the connection is not served yet."""


class Switchboard:
    """A server that can be called: `?call_id=` joins one of its calls; every other connection is the server's own.

    Attributes:
        calls: Every call that was made, oldest first, to look at what became of it.
    """

    def __init__(self, server: Server) -> None:
        self.calls: list[Call] = []
        self._server = server
        self._ids = IdCounter(0)

    def ring(self, *, unix_time: float = 0, sip_headers: Sequence[tuple[str, str]] = ()) -> Call:
        """Let somebody call over SIP; the program that is told so (`incoming_event`) accepts or rejects the call.

        Args:
            unix_time: Now, for the event.
            sip_headers: Names and values, such as `("From", "sip:+14255550123@example.com")`.
        """
        call_id = self._ids.next("rtc")
        headers = [{"name": name, "value": value} for name, value in sip_headers]
        event: Json = {
            "id": self._ids.next("evt"),
            "object": "event",
            "type": "realtime.call.incoming",
            "created_at": int(unix_time),
            "data": {"call_id": call_id, "sip_headers": headers},
        }
        call = Call(call_id, incoming_event=event)
        self.calls.append(call)
        return call

    def dial(self, offer: str, configuration: Mapping[str, Any], *, now: float, unix_time: float) -> Call:
        """Let a client call over WebRTC; the call goes on at once.

        Args:
            offer: The client's SDP.
            configuration: As for `accept`.
            now: As for `accept`.
            unix_time: As for `accept`.
        """
        call = Call(self._ids.next("rtc"), offer=offer)
        self.accept(call, configuration, now=now, unix_time=unix_time)
        self.calls.append(call)
        return call

    def accept(self, call: Call, configuration: Mapping[str, Any], *, now: float, unix_time: float) -> None:
        """Let a call go on that rings.

        Args:
            call: The call.
            configuration: What its session begins with instead of the defaults, valid and in the wire's shape.
            now: The time on the server's clock, in seconds.
            unix_time: The same moment, for what states it.
        """
        query = {"call_id": call.id}
        call.begin(self._server.connect(query, configuration=configuration, now=now, unix_time=unix_time))

    def find(self, call_id: str) -> Call | None:
        """Find a call by its id, whatever its state."""
        return next((call for call in self.calls if call.id == call_id), None)

    def open_link(self) -> Link:
        """Make the link of the server's next connection, with the faults that it wants."""
        return link_to(self._server)

    def connect(
        self,
        query: Mapping[str, str],
        *,
        now: float,
        unix_time: float,
        kind: Kind = "realtime",
        configuration: Mapping[str, Any] | None = None,
    ) -> ServerConnection:
        """See `Server.connect`; a call that does not go on is a query that is not known."""
        if "call_id" not in query:
            return self._server.connect(query, now=now, unix_time=unix_time, kind=kind, configuration=configuration)
        call = self.find(query["call_id"])
        if call is None:
            raise ConfigError(f"there is no call {query['call_id']!r}")
        return call.join(now)
