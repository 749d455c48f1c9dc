"""The output audio buffer of a call: the server itself plays what the model says, and knows how much was heard.

There is one where audio goes another way than the socket (WebRTC and SIP), which a sideband connection watches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .conversation import ServerItem
from .emit import Emit
from .timeline import Steps, Timeline


class OutputBuffer:
    """What sounds on one call. One response sounds at a time: a new one begins where the old one was dropped."""

    def __init__(self, emit: Emit, timeline: Timeline, clock: Callable[[], float]) -> None:
        self._emit = emit
        self._timeline = timeline
        self._clock = clock
        self._response_id: str | None = None
        self._spoken: Sequence[ServerItem] = ()
        self._began = 0.0
        self._end: Steps = iter(())

    def begin(self, response_id: str, spoken: Sequence[ServerItem]) -> None:
        """The first audio of a response is there, and sounds; `spoken` are the items that hold all of it, in order."""
        self._finish("stopped")
        self._response_id, self._spoken, self._began = response_id, spoken, self._clock()
        self._emit("output_audio_buffer.started", response_id=response_id)

    def close(self, response_id: str, audio_ms: int) -> None:
        """A response has made all its audio, which sounds until it is over."""
        if self._response_id == response_id:
            self._end = self._ending()
            self._timeline.add(max(self._clock(), self._began + audio_ms / 1000), self._end)

    def _ending(self) -> Steps:
        self._finish("stopped")
        yield from ()

    def clear(self, response_id: str) -> None:
        """Drop what has not sounded yet; `response_id` is the last response, which is named when none sounds."""
        self._response_id = self._response_id or response_id
        self._finish("cleared")

    def interrupt(self) -> None:
        """The user speaks: drop what has not sounded yet, and cut it off the items that hold it."""
        if self._response_id is None:
            return
        heard_ms = int((self._clock() - self._began) * 1000)
        self._finish("cleared")
        for held in self._spoken:
            held_ms = held.audio_ms
            if heard_ms < held_ms:
                held.truncate(0, heard_ms)
                held.item["content"][0].pop("transcript", None)
                self._emit("conversation.item.truncated", item_id=held.id, content_index=0, audio_end_ms=heard_ms)
            heard_ms = max(0, heard_ms - held_ms)

    def _finish(self, how: str) -> None:
        self._timeline.remove(self._end)
        if self._response_id is not None:
            self._emit(f"output_audio_buffer.{how}", response_id=self._response_id)
            self._response_id = None
