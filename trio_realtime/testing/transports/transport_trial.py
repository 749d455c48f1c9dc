"""A pair of transports on trial: what drives both ends, and what words a failure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

import trio
from trio.testing import wait_all_tasks_blocked

from ...transport import Closed, MessageTransport, Payload

PeerT = TypeVar("PeerT", bound=MessageTransport)

_CLOG_MESSAGES = 1000
_CLOG_BYTES = 65536


class Inbox:
    """Pumps a transport, and remembers what came and how it ended.

    Attributes:
        messages: `(payload, binary)` of each message, in order.
        ended: What the pump returned or raised, once it has.
    """

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bool]] = []
        self.ended: Closed | Exception | None = None
        self._news = trio.lowlevel.ParkingLot()

    def __call__(self, payload: Payload, binary: bool = False) -> None:
        """Take a message; see `Deliver`."""
        self.messages.append((bytes(payload), binary))
        self._news.unpark_all()

    async def pump(self, transport: MessageTransport) -> None:
        """Pump a transport to its end."""
        try:
            self.ended = await transport.pump(self)
        except Exception as error:  # noqa: BLE001  whatever it is, a promise is held against it
            self.ended = error
        self._news.unpark_all()

    async def wait_messages(self, count: int) -> None:
        """Wait until there are as many, or there will be no more."""
        while len(self.messages) < count and self.ended is None:
            await self._news.park()

    async def wait_message(self, payload: bytes) -> None:
        """Wait for a text message, or until there will be no more."""
        while (payload, False) not in self.messages and self.ended is None:
            await self._news.park()

    async def wait_ended(self) -> Closed | Exception:
        """Wait until the pump has ended."""
        while self.ended is None:
            await self._news.park()
        return self.ended

    def require(self, payloads: Sequence[bytes]) -> None:
        """Check that what came is text, and these messages."""
        require_messages(self.messages, [(payload, False) for payload in payloads])


@dataclass(frozen=True)
class Pair(Generic[PeerT]):
    """A transport, its peer, and a nursery that is cancelled in the end."""

    transport: MessageTransport
    peer: PeerT
    nursery: trio.Nursery

    def pump_transport(self) -> Inbox:
        """Pump the transport in the background."""
        return self._pump(self.transport)

    def pump_peer(self) -> Inbox:
        """Pump the peer in the background."""
        return self._pump(self.peer)

    def _pump(self, end: MessageTransport) -> Inbox:
        inbox = Inbox()
        self.nursery.start_soon(inbox.pump, end)
        return inbox


@dataclass(frozen=True)
class Trial(Generic[PeerT]):
    """What is on trial; see the arguments of `check_message_transport`."""

    open_pair: Callable[[], AbstractAsyncContextManager[tuple[MessageTransport, PeerT]]]
    drop: Callable[[PeerT], Awaitable[object]] | None
    send_binary: Callable[[PeerT, bytes], Awaitable[object]] | None
    close_timeout: float

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Pair[PeerT]]:
        """Open a fresh pair."""
        async with self.open_pair() as (transport, peer):
            async with trio.open_nursery() as nursery:
                yield Pair(transport, peer, nursery)
                nursery.cancel_scope.cancel()
            # At once, because nobody answers a close any more; what closing promises is tried where that is the point.
            with trio.CancelScope() as scope, suppress(Exception):
                scope.cancel()
                await transport.aclose()


class Clog:
    """Sends messages until a send has to wait, because the other side does not read.

    Attributes:
        sent: How many sends have returned.
        stuck: Whether one waits; never with a transport that takes any amount.
        error: What ended the sending.
    """

    def __init__(self) -> None:
        self.sent: int = 0
        self.stuck: bool = False
        self.error: Exception | None = None
        self.scope: trio.CancelScope = trio.CancelScope()
        self.over: trio.Event = trio.Event()

    @staticmethod
    def message(number: int) -> bytes:
        """The message of a number."""
        return b"%d " % number + b"." * _CLOG_BYTES

    async def run(self, transport: MessageTransport) -> None:
        """Send until there is an error, or `scope` is cancelled."""
        with self.scope:
            try:
                while self.sent < _CLOG_MESSAGES:
                    await transport.send(self.message(self.sent))
                    self.sent += 1
            except Exception as error:  # noqa: BLE001  whatever it is, a promise is held against it
                self.error = error
        self.over.set()

    @classmethod
    async def begin(cls, nursery: trio.Nursery, transport: MessageTransport) -> Clog:
        """Send in the background, and return when nothing moves any more."""
        clog = cls()
        nursery.start_soon(clog.run, transport)
        before = -1
        while before < clog.sent:
            before = clog.sent
            await wait_all_tasks_blocked(0.01)
        clog.stuck = not clog.over.is_set()
        return clog


# --- how a failure is worded ----------------------------------------------------------------------------------------


def require(condition: bool, detail: str) -> None:
    """Raise `AssertionError` with the detail if the condition does not hold."""
    if not condition:
        raise AssertionError(detail)


def require_messages(got: Sequence[tuple[bytes, bool]], expected: Sequence[tuple[bytes, bool]]) -> None:
    """Check what came against what was sent."""
    if list(got) != list(expected):
        at = next((at for at, (one, other) in enumerate(zip(got, expected, strict=False)) if one != other), None)
        place = f"{len(got)} came of {len(expected)}" if at is None else f"message {at} is {_short(got[at])}"
        wanted = "" if at is None else f" and not {_short(expected[at])}"
        raise AssertionError(f"{place}{wanted}")


def require_closed(ended: Closed | Exception, code: int, reason: str) -> None:
    """Check that a pump has returned how its peer closed."""
    require(ended == Closed(code, reason), f"the pump gave {ended!r}, and not {Closed(code, reason)}")


def require_raised(ended: object, kind: type[Exception] | tuple[type[Exception], ...], doing: str) -> None:
    """Check what something has raised."""
    names = " or ".join([each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,))])
    require(isinstance(ended, kind), f"{doing} gave {ended!r}, and not {names}")


async def outcome_of(call: Callable[[], Awaitable[object]]) -> object:
    """Give what a call returns or raises."""
    try:
        return await call()
    except Exception as error:  # noqa: BLE001  whatever it is, a promise is held against it
        return error


@contextmanager
def within(seconds: float, doing: str) -> Generator[None]:
    """Check that a block takes no longer."""
    began = trio.current_time()
    yield
    took = trio.current_time() - began
    require(took <= seconds, f"{doing} took {took:.3g} s, and not at most {seconds:.3g} s")


def _short(message: tuple[bytes, bool]) -> str:
    payload, binary = message
    shown = repr(payload) if len(payload) < 40 else f"{payload[:20]!r}... ({len(payload)} bytes)"
    return f"binary {shown}" if binary else shown
