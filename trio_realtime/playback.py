"""Playing the assistant's audio, and knowing what of it was heard: `async with session.playback() as playback:`."""

from types import TracebackType
from typing import Any

import trio

from .errors import own_instance
from .session_scope import SessionScope
from .state.playback import PlaybackChunk, PlaybackLedger, PlaybackStatistics
from .state.updates import Interrupted, ItemCompleted, ItemDeleted, ItemTruncated, ItemUpdated, ResponseDone


class Playback(trio.abc.ReceiveChannel[PlaybackChunk]):
    """The audio to play, in order, as chunks; `session.playback` makes it. Iterate it, or call `receive`.

    Without acknowledgements a chunk counts as heard when the next is asked for; the first `played` ends that. When the
    user speaks, or the program interrupts, what waits is dropped, and the server forgets what was not heard; chunks
    that were handed out before carry an earlier `generation` than `playback.generation` and are not to be played.
    """

    types: tuple[type[Any], ...] = (ItemUpdated, ItemCompleted, ItemDeleted, ItemTruncated, Interrupted, ResponseDone)

    def __init__(self, scope: SessionScope) -> None:
        self._scope = scope
        self._ledger: PlaybackLedger | None = None
        self._news = trio.lowlevel.ParkingLot()
        self._receiving = False
        self._closed = False  # by this side
        self._ended = False  # by the session
        self._error: BaseException | None = None

    async def __aenter__(self) -> "Playback":
        await trio.lowlevel.checkpoint()
        self._scope.check_open()
        if self._closed:
            raise trio.ClosedResourceError("this playback was left; open another with session.playback")
        self._ledger = self._scope.begin_playback(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is not None and self._sounding() and not (self._closed or self._ended):
            self._scope.interrupt(None, None)
        self._close()
        if exc_type is None:
            await trio.lowlevel.checkpoint()  # noqa: ASYNC102  only after a clean end

    async def aclose(self) -> None:
        """Stop playing; what waits is dropped, nothing is truncated. Leaving the scope does it too."""
        self._close()
        await trio.lowlevel.checkpoint()

    def _close(self) -> None:
        self._scope.end_playback(self)
        self._closed = True
        self._news.unpark_all()

    @property
    def generation(self) -> int:
        """How many interruptions there were."""
        return self._open().generation

    def heard_ms(self, item_id: str) -> int | None:
        """How much of an item was heard, in whole milliseconds; None for one that was never queued."""
        return self._open().heard_ms(item_id)

    def statistics(self) -> PlaybackStatistics:
        """Where the audio is."""
        return self._open().statistics()

    async def receive(self) -> PlaybackChunk:
        """Take the next chunk to play.

        Raises:
            trio.EndOfChannel: The session has ended.
            trio.BusyResourceError: Another task receives.
            trio.ClosedResourceError: The playback was left.
            RealtimeError: The session failed; what had arrived before was handed out.

        Cancellation:
            Loses nothing, and acknowledges nothing.
        """
        if self._receiving:
            raise trio.BusyResourceError("another task receives from this playback")
        await trio.lowlevel.checkpoint_if_cancelled()
        ledger = self._open()
        self._receiving = True
        try:
            while (chunk := ledger.take()) is None:
                self._news.unpark_all()  # what was handed out before counts as heard now
                if self._ended:
                    raise trio.EndOfChannel if self._error is None else own_instance(self._error)
                await self._news.park()
                self._open()
        finally:
            self._receiving = False
        await trio.lowlevel.cancel_shielded_checkpoint()
        return chunk

    def played(
        self,
        *,
        bytes: int | None = None,  # noqa: A002  the unit
        ms: float | None = None,
        mark: int | None = None,
        generation: int | None = None,
    ) -> None:
        """Acknowledge what was heard, by one of `bytes`, `ms` and `mark`; the first time ends the automatic counting.

        Args:
            bytes: All that was heard since the last interruption, across items, in bytes as handed out.
            ms: The same as a duration in milliseconds.
            mark: `chunk.mark` of the last chunk that was heard to its end.
            generation: `chunk.generation` of what is counted; one of before an interruption changes nothing.

        Raises:
            ConfigError: It is more than was handed out, or negative, or not one of the three. Nothing has changed.
        """
        self._open().played(bytes=bytes, ms=ms, mark=mark, generation=generation)
        self._news.unpark_all()

    async def wait_heard(self) -> None:
        """Wait until all that was received was heard, and no response is under way.

        Raises:
            trio.ClosedResourceError: The playback or the session ended first.
            RealtimeError: The session failed first.
        """
        await trio.lowlevel.checkpoint()
        while not (self._closed or self._ended) and (self._sounding() or self._scope.machine.responses.busy):
            await self._news.park()
        if self._error is not None and not self._closed:
            raise own_instance(self._error)
        if self._closed or self._ended:
            raise trio.ClosedResourceError("the playback ended before everything was heard")

    def push(self, update: Any = None) -> None:
        """Something has happened; it may mean audio, or that there will be no more."""
        del update
        if self._news:
            self._news.unpark_all()

    def end(self, error: BaseException | None) -> None:
        """The session is over."""
        self._ended = True
        self._error = error
        self._news.unpark_all()

    def _open(self) -> PlaybackLedger:
        if self._ledger is None or self._closed:
            raise trio.ClosedResourceError("the playback is not open: use it inside `async with session.playback()`")
        return self._ledger

    def _sounding(self) -> bool:
        return self._ledger is not None and self._ledger.sounding
