"""`wrap_transport`: what stands between a session and its transport, given or dialled."""

from __future__ import annotations

import inspect
from typing import get_type_hints

import pytest
import trio

from trio_realtime import OpenAI, open_session
from trio_realtime.session import OpenSessionKeywords
from trio_realtime.state.configuration import SessionKeywords
from trio_realtime.testing import Simulator, serve_simulator
from trio_realtime.transport import Closed, Deliver, MessageTransport

from .scripted_server import ScriptedServer


class Counting(MessageTransport):
    """Hands everything on, but for a close, and counts it."""

    def __init__(self, inside: MessageTransport) -> None:
        self.inside = inside
        self.received = self.sent = self.closes = 0

    async def pump(self, deliver: Deliver) -> Closed:
        def count(payload: bytes | bytearray | memoryview, binary: bool = False) -> None:
            self.received += 1
            deliver(payload, binary)

        return await self.inside.pump(count)

    async def send(self, *payloads: bytes) -> None:
        self.sent += len(payloads)
        await self.inside.send(*payloads)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        self.closes += 1
        await trio.lowlevel.checkpoint()


async def test_a_given_transport_is_wrapped_and_closed_whatever_the_wrapper_does() -> None:
    server, wrapped = ScriptedServer(), list[Counting]()

    def wrap(transport: MessageTransport) -> MessageTransport:
        wrapped.append(Counting(transport))
        return wrapped[-1]

    async with open_session(transport=server, wrap_transport=wrap) as session:
        await session.send_message("Hello", respond=False)
    (counting,) = wrapped
    assert counting.inside is server
    assert (counting.received, counting.sent, counting.closes) == (4, 2, 1)
    assert server.cut


async def test_a_dialled_transport_is_wrapped_too() -> None:
    wrapped: list[Counting] = []

    def wrap(transport: MessageTransport) -> MessageTransport:
        wrapped.append(Counting(transport))
        return wrapped[-1]

    async with serve_simulator(Simulator()) as server:
        endpoint = OpenAI(server.api_key, base_url=server.url)
        async with open_session(endpoint=endpoint, wrap_transport=wrap) as session:
            await session.send_message("Hello", respond=False)
    assert (wrapped[0].received, wrapped[0].sent) == (4, 2)


async def test_what_a_wrapper_raises_leaves_as_itself_and_nothing_open() -> None:
    def wrap(transport: MessageTransport) -> MessageTransport:
        raise KeyError("mine")

    server = ScriptedServer()
    with pytest.raises(KeyError, match="mine"):
        async with open_session(transport=server, wrap_transport=wrap):
            pytest.fail("there is no session")
    assert server.closed == 1000


def test_the_keywords_that_can_be_passed_on_are_those_of_open_session() -> None:
    parameters = inspect.signature(open_session).parameters.keys() - {"wrap_transport", "keywords"}
    assert get_type_hints(OpenSessionKeywords).keys() - get_type_hints(SessionKeywords).keys() == parameters
