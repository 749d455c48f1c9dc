"""What a simulated server needs of a transport beyond what a well-behaved one does."""

from __future__ import annotations

from abc import abstractmethod

from ...transport import MessageTransport


class ServerTransport(MessageTransport):
    """The server's end of a connection, which can misbehave."""

    @abstractmethod
    async def send_frames(self, frames: bytes) -> None:
        """Write websocket frames as they are, right or wrong; raises as `send`."""

    @abstractmethod
    async def aclose_with(self, frames: bytes) -> None:
        """Close as `aclose` does, with these frames instead of a close frame of the transport's own."""

    @abstractmethod
    def set_reading(self, reading: bool) -> None:
        """Read what the client sends, or leave it where it is, so that the client is held back."""

    @abstractmethod
    def fall_silent(self) -> None:
        """Answer nothing any more, no ping and no close frame; what comes is read and dropped, up to the end."""
