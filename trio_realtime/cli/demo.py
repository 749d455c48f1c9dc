"""The conversation of `trio-realtime demo`: one message is written, one is spoken, both are answered aloud.

It is one task. It takes each update as it comes, and between them sends the microphone's next chunk when that is due:
`receive` loses nothing when it is cancelled, so a deadline around it is all that real time needs.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

import trio

from ..audio import PCM16
from ..channels import UpdateChannel
from ..errors import RealtimeError, ResponseFailed
from ..realtime_session import RealtimeSession
from ..state.item import ConversationItem
from ..state.updates import (
    ErrorReported,
    ItemAppended,
    ItemCompleted,
    ItemUpdated,
    RawEvent,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    TranscriptionFailed,
    Update,
)
from ..turn import response_error
from ..wire.session_config import SessionInfo
from .recording import Recording
from .report import (
    DemoReport,
    EventReport,
    TurnReport,
    audio_report,
    item_report,
    level_dbfs,
    token_report,
)

CHUNK_MS = 20
MAX_SILENCE_MS = 5_000
"""How long the microphone stays open after the recording: a server needs silence to know that a turn is over."""

ANSWER_TIMEOUT = 30.0
"""Seconds without any update after which a server that owes an answer is given up."""

_TAKEN: tuple[type[Any], ...] = (
    ErrorReported,
    ItemAppended,
    ItemCompleted,
    ItemUpdated,
    RawEvent,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    TranscriptionFailed,
)


class NoAnswer(RealtimeError):
    """The server fell silent while it owed an answer."""


class Screen(Protocol):
    """Where a demo is watched."""

    def connecting(self, server: str) -> None:
        """The session is about to be opened, with this server."""

    def session_opened(self, info: SessionInfo) -> None:
        """The session is open; this is the server's view of it."""

    def microphone_opened(self, speech_ms: int) -> None:
        """So much recorded speech will be sent in real time."""

    def show(self, update: Update) -> None:
        """Something happened; appended audio comes as a `RawEvent` of the client."""


class Unwatched:
    """A screen that shows nothing."""

    def connecting(self, server: str) -> None:
        """See `Screen`."""

    def session_opened(self, info: SessionInfo) -> None:
        """See `Screen`."""

    def microphone_opened(self, speech_ms: int) -> None:
        """See `Screen`."""

    def show(self, update: Update) -> None:
        """See `Screen`."""


class _Turn:
    """What is known of one turn of the user."""

    def __init__(self, item_id: str | None, start_ms: int) -> None:
        self.item_id = item_id
        self.start_ms = start_ms
        self.end_ms: int | None = None
        self.transcript: str | None = None
        self.understood = False


class _Demo:
    """One demo under way."""

    def __init__(self, session: RealtimeSession, recording: Recording, screen: Screen) -> None:
        self._session = session
        self._recording = recording
        self._screen = screen
        self._sent: Counter[str] = Counter()
        self._received: Counter[str] = Counter()
        self._streamed: dict[str, str] = {}
        self._turns: list[_Turn] = []
        self._answer_is_due = False

    async def hold(self, updates: UpdateChannel[Any], message: str, speech: bytes) -> None:
        """Have the conversation; returns when everything is answered and nothing more is to be received."""
        await self._session.send_message(message)
        self._answer_is_due = True
        while self._answer_is_due:
            await self._take_next(updates, trio.current_time() + ANSWER_TIMEOUT)
        await self._listen(updates, speech)
        while True:
            try:
                self._take(updates.receive_nowait())
            except trio.WouldBlock:
                return

    async def _listen(self, updates: UpdateChannel[Any], speech: bytes) -> None:
        self._screen.microphone_opened(PCM16.bytes_to_ms(len(speech)))
        began = trio.current_time()
        sent_bytes = 0
        chunks = _chunks(speech + PCM16.silence(MAX_SILENCE_MS))
        chunk = next(chunks, None)
        while sent_bytes < len(speech) or (self._owes_something() if self._turns else chunk):
            if chunk is None:
                await self._take_next(updates, trio.current_time() + ANSWER_TIMEOUT)
                continue
            due = began + sent_bytes / PCM16.bytes_per_second
            if not await self._took_next(updates, due):
                await self._session.append_audio(chunk)
                sent_bytes += len(chunk)
                chunk = next(chunks, None)

    def _owes_something(self) -> bool:
        return self._answer_is_due or not all(turn.understood for turn in self._turns)

    async def _take_next(self, updates: UpdateChannel[Any], deadline: float) -> None:
        if not await self._took_next(updates, deadline):
            raise NoAnswer(f"the server has not answered for {ANSWER_TIMEOUT:g} s")

    async def _took_next(self, updates: UpdateChannel[Any], deadline: float) -> bool:
        """Take the next update, unless there is none until the deadline."""
        update: Update | None = None
        with trio.move_on_at(deadline):
            update = await updates.receive()
        if update is None:
            return False
        self._take(update)
        return True

    def _take(self, update: Update) -> None:
        match update:
            case RawEvent():
                counted = self._sent if update.source == "client" else self._received
                counted[_event_type(update.event)] += 1
            case ItemUpdated(item=item, delta=delta) if delta is not None:
                if delta.audio is not None:
                    self._recording.write(delta.audio)
                self._streamed[item.id] = self._streamed.get(item.id, "") + (delta.text or delta.transcript or "")
            case SpeechStarted():
                self._turns.append(_Turn(update.item_id, update.audio_start_ms))
                self._answer_is_due = True  # also when this interrupts an answer: the new turn gets its own
            case SpeechStopped():
                self._turns[-1].end_ms = update.audio_end_ms
            case TranscriptionCompleted() | TranscriptionFailed():
                self._understand(update)
            case ResponseDone(response=response):
                error = response_error(response)
                if isinstance(error, ResponseFailed):
                    raise error
                # One that was cancelled by the user's next turn answers nothing; that turn's response will.
                self._answer_is_due = response.status == "cancelled"
            case ErrorReported():
                raise update.error
            case _:
                pass
        self._screen.show(update)

    def _understand(self, update: TranscriptionCompleted | TranscriptionFailed) -> None:
        for turn in self._turns:
            if turn.item_id == update.item_id:
                turn.understood = True
                turn.transcript = update.transcript if isinstance(update, TranscriptionCompleted) else None

    def report(self, server: str, seconds: float) -> DemoReport:
        """All that it came to."""
        session = self._session
        info = _info(session)
        return DemoReport(
            server=server,
            session_id=info.id,
            model=info.model,
            voice=voice_of(info),
            items=[item_report(item, self._streamed.get(item.id, "")) for item in session.conversation],
            turns=[self._turn_report(turn) for turn in self._turns],
            audio=audio_report(
                sent_bytes=session.statistics().sent_audio_bytes,
                received_bytes=self._recording.written_bytes,
                wav=str(self._recording.path),
            ),
            events=EventReport(sent=dict(self._sent.most_common()), received=dict(self._received.most_common())),
            tokens=token_report(session),
            seconds=round(seconds, 2),
        )

    def _turn_report(self, turn: _Turn) -> TurnReport:
        item: ConversationItem | None = self._session.conversation.get(turn.item_id) if turn.item_id else None
        audio = b"" if item is None else item.audio
        return TurnReport(
            item_id=turn.item_id,
            start_ms=turn.start_ms,
            end_ms=turn.end_ms,
            audio_bytes=len(audio),
            audio_ms=PCM16.bytes_to_ms(len(audio)),
            level_dbfs=level_dbfs(audio),
            transcript=turn.transcript,
        )


async def hold_demo(
    session: RealtimeSession,
    *,
    server: str,
    message: str,
    speech: bytes,
    recording: Recording,
    screen: Screen,
) -> DemoReport:
    """Hold the demo's conversation over an open session with server turn detection and transcription.

    Args:
        session: It is not closed here.
        server: What the report calls the server.
        message: What the user writes first.
        speech: What the user says then: mono PCM16 at 24,000 Hz, sent in real time in chunks of 20 ms.
        recording: All received audio goes there, in the order in which it came.
        screen: Shown each update as it comes.

    Raises:
        NoAnswer: The server fell silent.
        ResponseFailed: A response failed.
        ServerError: The server reported an error.
        RealtimeError: The session failed.
    """
    began = trio.current_time()
    screen.session_opened(_info(session))
    demo = _Demo(session, recording, screen)
    with session.updates(*_TAKEN, name="demo") as updates:
        await demo.hold(updates, message, speech)
    return demo.report(server, trio.current_time() - began)


def voice_of(info: SessionInfo) -> str | None:
    """The name of the session's voice, or None."""
    voice = info.audio.output.voice if info.audio and info.audio.output else None
    return voice if isinstance(voice, str) or voice is None else voice.id


def _info(session: RealtimeSession) -> SessionInfo:
    return session.info if isinstance(session.info, SessionInfo) else SessionInfo()


def _chunks(pcm: bytes) -> Iterator[bytes]:
    size = PCM16.ms_to_bytes(CHUNK_MS)
    return (pcm[start : start + size] for start in range(0, len(pcm), size))


def _event_type(event: Any) -> str:
    config = getattr(event, "__struct_config__", None)
    return str((config and config.tag) or getattr(event, "type", type(event).__name__))
