"""A server that does what a test tells it, as a transport without a task: nothing runs beside the session's own."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import trio

from trio_realtime import RealtimeSession, open_session
from trio_realtime.errors import ConnectionLost
from trio_realtime.transport import Closed, Deliver, MessageTransport

Event = dict[str, Any]
Answer = Callable[[Event], list[Event]]
_E = TypeVar("_E", bound=BaseException)


class ScriptedServer(MessageTransport):
    """Answers each client event at once, by its type; a test may replace an answer, push events, stall or drop.

    Attributes:
        received: The client events, in the order of the wire.
        answers: What is answered to each type.
        reads: Whether it reads; while it does not, sends wait.
        close_hangs: Whether it never answers a close.
        closed: The code of the polite close that it saw.
        cut: Whether the connection was closed without one.
    """

    def __init__(self, *, created: bool = True) -> None:
        self.received: list[Event] = []
        self.reads = True
        self.close_hangs = False
        self.closed: int | None = None
        self.cut = False
        self.send_error: Exception | None = None
        self.answers: dict[str, Answer] = {
            "session.update": lambda event: [{"type": "session.updated", "session": event["session"]}],
            "conversation.item.create": self._create_item,
            "conversation.item.delete": lambda event: [
                {"type": "conversation.item.deleted", "item_id": event["item_id"]}
            ],
            "conversation.item.retrieve": lambda event: [
                {"type": "conversation.item.retrieved", "item": message(event["item_id"])}
            ],
            "conversation.item.truncate": lambda event: [{**event, "type": "conversation.item.truncated"}],
            "input_audio_buffer.commit": lambda _: [{"type": "input_audio_buffer.committed", "item_id": "item_heard"}],
            "input_audio_buffer.clear": lambda _: [{"type": "input_audio_buffer.cleared"}],
            "response.create": lambda event: [self.response("response.created", event)],
            "response.cancel": lambda event: [
                {"type": "response.done", "response": {"id": event["response_id"], "status": "cancelled"}}
            ],
        }
        self._held: list[tuple[Answer, Event]] = []
        self._responses = 0
        self._inbox: deque[bytes | None] = deque()  # None stands for a binary message
        self._ended: Closed | Exception | None = None
        self._news = trio.lowlevel.ParkingLot()
        if created:
            self.push("session.created", session={"type": "realtime", "id": "sess_1"})

    # --- what a test does -------------------------------------------------------------------------------------------

    def push(self, event_type: str, /, **fields: Any) -> None:
        """Send an event."""
        self.push_raw(json.dumps({"type": event_type, **fields}).encode())

    def push_raw(self, payload: bytes | None) -> None:
        """Send a message as it is; None is a binary one."""
        self._inbox.append(payload)
        self._news.unpark_all()

    def push_error(self, message: str = "no", **fields: Any) -> None:
        """Send an error."""
        self.push("error", error={"type": "invalid_request_error", "message": message, **fields})

    def refuse(self, event_type: str, *, with_event_id: bool = True, **fields: Any) -> None:
        """Answer events of a type with an error from now on."""

        def answer(event: Event) -> list[Event]:
            error = {"type": "invalid_request_error", "message": f"no {event_type}", **fields}
            if with_event_id:
                error["event_id"] = event["event_id"]
            return [{"type": "error", "error": error}]

        self.answers[event_type] = answer

    def ignore(self, *event_types: str) -> None:
        """Answer nothing to events of these types from now on."""
        for event_type in event_types:
            self.answers[event_type] = lambda _: []

    def hold(self, event_type: str) -> None:
        """Answer events of a type only in `answer_all`."""
        answer = self.answers[event_type]
        self.answers[event_type] = lambda event: self._held.append((answer, event)) or []  # type: ignore[func-returns-value]

    def answer_all(self) -> None:
        """Answer what was held, and everything from now on."""
        for answer, event in self._held:
            self.answers[event["type"]] = answer
            for answered in answer(event):
                self.push_raw(json.dumps(answered).encode())
        self._held.clear()

    def end(self, ended: Closed | Exception) -> None:
        """End the connection, after what was pushed."""
        self._ended = ended
        self._news.unpark_all()

    def read_on(self) -> None:
        """Read again."""
        self.reads = True
        self._news.unpark_all()

    def types(self) -> list[str]:
        """The types of what was received."""
        return [event["type"] for event in self.received]

    def response(self, event_type: str, request: Event, **fields: Any) -> Event:
        """An event about a response to a request."""
        self._responses += 1
        response = {
            "id": f"resp_{self._responses}",
            "status": "in_progress",
            "conversation_id": "conv_1",
            "metadata": request.get("response", {}).get("metadata"),
        }
        return {"type": event_type, "response": {**response, **fields}}

    def _create_item(self, event: Event) -> list[Event]:
        return [
            {"type": "conversation.item.added", "item": event["item"]},
            {"type": "conversation.item.done", "item": event["item"]},
        ]

    # --- the transport ----------------------------------------------------------------------------------------------

    async def pump(self, deliver: Deliver) -> Closed:
        await trio.lowlevel.checkpoint()
        while True:
            while self._inbox:
                payload = self._inbox.popleft()
                deliver(b"\0" if payload is None else payload, payload is None)
            if self._ended is not None:
                break
            await self._news.park()
        if isinstance(self._ended, Closed):
            return self._ended
        raise self._ended

    async def send(self, *payloads: bytes) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self.reads and self._ended is None and self.send_error is None:
            await self._news.park()
        if self.send_error is not None:
            raise self.send_error
        if self._ended is not None:
            raise ConnectionLost("the connection is gone")
        for payload in payloads:
            event = json.loads(payload)
            self.received.append(event)
            answer = self.answers.get(event["type"])
            for answered in [] if answer is None else answer(event):
                self.push_raw(json.dumps(answered).encode())
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        if self._ended is None:
            try:
                await trio.lowlevel.checkpoint()
                if self.close_hangs:
                    await trio.sleep_forever()
                self.closed = code
            except trio.Cancelled:
                self.cut = True
                raise
            finally:
                self.end(trio.ClosedResourceError("closed on this side"))
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def opened(
    server: ScriptedServer | None = None, **arguments: Any
) -> AsyncGenerator[tuple[RealtimeSession, ScriptedServer]]:
    """Open a session with a scripted server."""
    server = server or ScriptedServer()
    async with open_session(transport=server, **arguments) as session:
        yield session, server


def message(item_id: str, role: str = "user", **fields: Any) -> Event:
    """A message, as a server sends it."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"id": item_id, "type": "message", "role": role, "content": [{"type": kind, "text": "x"}], **fields}


def leaving_raises(error: type[_E], match: str | None = None) -> pytest.RaisesExc[_E]:
    """Expect an error from the end of the scope inside, after whatever its body does."""
    return pytest.raises(error, match=match)
