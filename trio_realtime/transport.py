"""The seam between a session and whatever carries its messages.

A transport pushes what arrives and is told what to write. It is already open when a session gets it; whoever opened it
closes it. `websocket.py` is the one that crosses a network, `trio_realtime.testing.memory_transport_pair` the one that
does not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

Payload = bytes | bytearray | memoryview


class Deliver(Protocol):
    """Takes one whole message, synchronously; the payload is valid only during the call and must not be kept.

    It must not raise: what it raises ends the pump and is a bug of the receiver.
    """

    def __call__(self, payload: Payload, binary: bool = False) -> None:
        """Take one text message, or one binary message when `binary` is true."""


@dataclass(frozen=True, slots=True)
class Closed:
    """How a connection ended that the peer closed in an orderly way.

    Attributes:
        code: The websocket close code, 1005 when the close frame had none.
        reason: The reason in the close frame, `""` when it had none.
    """

    code: int
    reason: str = ""


class MessageTransport(ABC):
    """An open, ordered, reliable connection that carries whole messages both ways."""

    @abstractmethod
    async def pump(self, deliver: Deliver) -> Closed:
        """Read until the connection ends, and hand over each message in the order of the wire.

        Nothing is read before this is called. Runs once: a second call raises `trio.BusyResourceError` while the first
        runs, `trio.ClosedResourceError` after it.

        Args:
            deliver: Called in this task for each whole message, before the next is read.

        Returns:
            How the peer closed the connection, when it did so with a close frame.

        Raises:
            ConnectionLost: The connection broke, or a deadline (heartbeat, write) found it dead.
            ProtocolError: The peer broke the framing rules or exceeded the message limit.
            trio.ClosedResourceError: `aclose` was called on this side.

        Cancellation:
            No message is lost or torn that was not yet handed over, but reading cannot be resumed.
        """

    @abstractmethod
    async def send(self, *payloads: bytes) -> None:
        """Write text messages, in order, as one write where the transport can.

        Several tasks may send; each call's messages stand together.

        Raises:
            ConnectionLost: The connection broke, or the write did not finish within its deadline.
            trio.ClosedResourceError: `aclose` was called on this side.

        Cancellation:
            Atomic: each message is written whole or not at all, and the connection stays intact.
        """

    def send_nowait(self, payload: bytes) -> bool:
        """Write one text message now, if nothing has to be waited for.

        Who writes one message at a time saves the way through a task that waits for it. A transport need not have
        this: the default takes nothing.

        Returns:
            True when the message is written, or is being written and comes before all that is sent later. False when
            nothing of it was taken, for whatever reason: `send` it then, which says why.
        """
        return False

    @abstractmethod
    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close: politely within the close deadline, and then at once.

        A second call waits for the first; what the peer does cannot make it raise.

        Cancellation:
            Closes at once instead, and then raises `trio.Cancelled`.
        """
