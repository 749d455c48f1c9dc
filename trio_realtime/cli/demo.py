"""The conversation of `trio-realtime demo`: something is written, a question needs tools, the answer is interrupted.

Four tasks share a nursery: the loudspeaker plays, the microphone sends, one task takes each update as it comes, and the
conversation itself waits for what these bring about. The first that fails ends the others, and says why.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
import trio

from ..audio import PCM16
from ..channels import UpdateChannel
from ..errors import RealtimeError, ResponseFailed
from ..playback import Playback
from ..realtime_session import RealtimeSession
from ..state.item import ConversationItem
from ..state.updates import (
    ErrorReported,
    Interrupted,
    ItemAppended,
    ItemCompleted,
    ItemDeleted,
    ItemTruncated,
    ItemUpdated,
    RawEvent,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    ToolCallCancelled,
    ToolCallFinished,
    ToolCallStarted,
    TranscriptionCompleted,
    TranscriptionFailed,
    TurnDone,
    Update,
)
from ..turn import response_error
from ..wire.session_config import SessionInfo
from .loudspeaker import Loudspeaker
from .microphone import Microphone
from .recording import Recording
from .report import (
    DemoReport,
    EventReport,
    InterruptionReport,
    ToolReport,
    TurnReport,
    audio_report,
    item_report,
    level_dbfs,
    parsed,
    token_report,
)

MAX_SILENCE_MS = 5_000
"""How long the microphone waits in silence for the server to find that somebody spoke."""

INTERRUPT_AFTER_MS = 1_500
"""How much of an answer is heard before it is interrupted."""

ANSWER_TIMEOUT = 30.0
"""Seconds without any event of the server after which a server that owes an answer is given up."""

NOTHING_SAID = "the server heard no speech in it"
NO_TOOLS = "the model called no tools"
NOT_INTERRUPTED = "the answer was over before anybody could interrupt it"
NOT_NOTICED = "the server noticed no interruption while the answer sounded"
NOT_CONFIRMED = "the server did not confirm where it cut the answer"

_TAKEN: tuple[type[Any], ...] = (
    ErrorReported,
    Interrupted,
    ItemAppended,
    ItemCompleted,
    ItemDeleted,
    ItemTruncated,
    ItemUpdated,
    RawEvent,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    ToolCallCancelled,
    ToolCallFinished,
    ToolCallStarted,
    TranscriptionCompleted,
    TranscriptionFailed,
    TurnDone,
)


class NoAnswer(RealtimeError):
    """The server fell silent while it owed an answer."""


class Screen(Protocol):
    """Where a demo is watched."""

    def connecting(self, server: str) -> None:
        """The session is about to be opened, with this server."""

    def session_opened(self, info: SessionInfo) -> None:
        """The session is open; this is the server's view of it."""

    def speech_begins(self, speech_ms: int, *, over_answer: bool) -> None:
        """So much recorded speech is sent in real time from now on, maybe while an answer sounds."""

    def show(self, update: Update) -> None:
        """Something happened; appended audio comes as a `RawEvent` of the client."""

    def tool_ended(self, report: ToolReport) -> None:
        """A tool that was shown as `ToolCallStarted` has ended."""

    def interrupted(self, report: InterruptionReport) -> None:
        """The server has confirmed where it cut an item."""

    def note(self, words: str) -> None:
        """Something that was to be shown did not happen."""


class Unwatched:
    """A screen that shows nothing."""

    def connecting(self, server: str) -> None:
        """See `Screen`."""

    def session_opened(self, info: SessionInfo) -> None:
        """See `Screen`."""

    def speech_begins(self, speech_ms: int, *, over_answer: bool) -> None:
        """See `Screen`."""

    def show(self, update: Update) -> None:
        """See `Screen`."""

    def tool_ended(self, report: ToolReport) -> None:
        """See `Screen`."""

    def interrupted(self, report: InterruptionReport) -> None:
        """See `Screen`."""

    def note(self, words: str) -> None:
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

    def __init__(self, session: RealtimeSession, playback: Playback, recording: Recording, screen: Screen) -> None:
        self._session = session
        self._recording = recording
        self._screen = screen
        self._news = trio.lowlevel.ParkingLot()
        self._microphone = Microphone(session)
        self._loudspeaker = Loudspeaker(playback, self._news)
        self._failure: Exception | None = None
        self._server_spoke_at = trio.current_time()
        self._sent: Counter[str] = Counter()
        self._received: Counter[str] = Counter()
        self._received_bytes: Counter[str] = Counter()
        self._streamed: dict[str, str] = {}
        self._turns: list[_Turn] = []
        self._answer_is_due = False
        self._answering: set[str | None] = set()  # turns of the assistant that are under way
        self._outdated: set[str | None] = set()  # those of them that answer what was said before the latest
        self._tools: dict[str, ToolReport] = {}
        self._told_after_tools: set[str] = set()
        self._unconfirmed: dict[str, int] = {}
        self._interruption: InterruptionReport | None = None
        self._notes: list[str] = []

    async def hold(self, updates: UpdateChannel[Any], message: str, speech: bytes, interruption: bytes) -> None:
        """Have the conversation; returns when everything is answered and heard."""
        async with trio.open_nursery() as nursery:

            async def attempt(work: Callable[[], Awaitable[None]]) -> None:
                try:
                    await work()
                except Exception as error:  # noqa: BLE001  raised below, outside the nursery's group
                    self._failure = self._failure or error
                    nursery.cancel_scope.cancel()

            async def talk() -> None:
                await self._write(message)
                nursery.start_soon(attempt, self._microphone.run)
                await self._ask(speech)
                if interruption and self._turns:
                    await self._interrupt(interruption)
                await self._until(lambda: not self._owes_something())
                await self._session.wait_for_playback()
                nursery.cancel_scope.cancel()

            nursery.start_soon(attempt, lambda: self._watch(updates))
            nursery.start_soon(attempt, self._loudspeaker.run)
            await attempt(talk)
        if self._failure is not None:
            raise self._failure
        while True:
            try:
                self._take(updates.receive_nowait())
            except trio.WouldBlock:
                return

    # --- the conversation ---------------------------------------------------------------------------------------

    async def _write(self, message: str) -> None:
        self._answer_is_due = True
        await self._session.send_message(message)
        await self._until(lambda: not self._owes_something())
        await self._session.wait_for_playback()

    async def _ask(self, speech: bytes) -> None:
        self._screen.speech_begins(PCM16.bytes_to_ms(len(speech)), over_answer=False)
        await self._microphone.say(speech)
        if not await self._noticed(0):
            self._note(NOTHING_SAID)

    async def _interrupt(self, speech: bytes) -> None:
        await self._until(lambda: self._is_ripe() or self._is_over())
        if not self._tools:
            self._note(NO_TOOLS)
        if not self._is_ripe():
            self._note(NOT_INTERRUPTED)
            return
        before, turns = self._interruption, len(self._turns)
        self._screen.speech_begins(PCM16.bytes_to_ms(len(speech)), over_answer=True)
        await self._microphone.say(speech)
        await self._noticed(turns)
        await self._until(lambda: not self._owes_something())
        if self._interruption is before:
            self._note(NOT_CONFIRMED if self._unconfirmed else NOT_NOTICED)

    async def _noticed(self, turns: int) -> bool:
        """Wait until the server has found one more turn than so many, but not for ever."""
        with trio.move_on_after(MAX_SILENCE_MS / 1000):
            await self._until(lambda: len(self._turns) > turns)
        return len(self._turns) > turns

    def _is_ripe(self) -> bool:
        """Whether what sounds is an answer, not what leads up to a tool, and has been heard for a while."""
        item_id = self._loudspeaker.item_id
        tells = item_id in self._told_after_tools if self._tools else not self._answer_is_due
        return tells and not self._loudspeaker.quiet and self._loudspeaker.played_ms(item_id) >= INTERRUPT_AFTER_MS

    def _is_over(self) -> bool:
        return not self._owes_something() and self._loudspeaker.quiet

    def _owes_something(self) -> bool:
        understood = all(turn.understood for turn in self._turns)
        return self._answer_is_due or not understood

    async def _until(self, reached: Callable[[], bool]) -> None:
        """Wait; a server that owes something must not be silent for ever meanwhile."""
        while not reached():
            deadline = self._server_spoke_at + ANSWER_TIMEOUT if self._owes_something() else float("inf")
            if trio.current_time() >= deadline:
                raise NoAnswer(f"the server has not answered for {ANSWER_TIMEOUT:g} s")
            with trio.move_on_at(deadline):
                await self._news.park()

    def _note(self, words: str) -> None:
        self._notes.append(words)
        self._screen.note(words)

    # --- what happens -------------------------------------------------------------------------------------------

    async def _watch(self, updates: UpdateChannel[Any]) -> None:
        async for update in updates:
            self._take(update)
            self._news.unpark_all()

    def _take(self, update: Update) -> None:
        self._screen.show(update)
        match update:
            case RawEvent():
                self._count(update)
            case ItemAppended(item=item) if item.role == "assistant" and self._tools and not self._tools_run():
                self._told_after_tools.add(item.id)
            case ItemUpdated(item=item, delta=delta) if delta is not None:
                if delta.audio is not None:
                    self._recording.write(delta.audio)
                    self._received_bytes[item.id] += len(delta.audio)
                self._streamed[item.id] = self._streamed.get(item.id, "") + (delta.text or delta.transcript or "")
            case SpeechStarted():
                self._turns.append(_Turn(update.item_id, update.audio_start_ms))
                self._answer_is_due = True  # also when this interrupts an answer: the new turn gets its own
                self._outdated |= self._answering
            case SpeechStopped():
                self._turns[-1].end_ms = update.audio_end_ms
            case TranscriptionCompleted() | TranscriptionFailed():
                self._understand(update)
            case ToolCallStarted(call_id=call_id, name=name):
                self._tools[call_id] = ToolReport(call_id=call_id, name=name, arguments=parsed(update.arguments))
            case ToolCallFinished() | ToolCallCancelled():
                self._end_tool(update)
            case ResponseStarted(turn_id=turn_id):
                self._answering.add(turn_id)
            case ResponseDone(response=response):
                error = response_error(response)
                if isinstance(error, ResponseFailed):
                    raise error
            case TurnDone(turn_id=turn_id):
                self._answering.discard(turn_id)
                if turn_id not in self._outdated:
                    self._answer_is_due = False
            case Interrupted(item_id=str(item_id), heard_ms=int(heard_ms)):
                self._unconfirmed[item_id] = heard_ms
            case ItemDeleted(item=item):
                self._unconfirmed.pop(item.id, None)  # nothing of it was heard
            case ItemTruncated(item=item, audio_end_ms=audio_end_ms) if item.id in self._unconfirmed:
                self._confirm(item, audio_end_ms)
            case ErrorReported():
                raise update.error
            case _:
                pass

    def _count(self, raw: RawEvent) -> None:
        if raw.source == "server":
            self._server_spoke_at = trio.current_time()
        counted = self._sent if raw.source == "client" else self._received
        counted[_event_type(raw.event)] += 1

    def _understand(self, update: TranscriptionCompleted | TranscriptionFailed) -> None:
        for turn in self._turns:
            if turn.item_id == update.item_id:
                turn.understood = True
                turn.transcript = update.transcript if isinstance(update, TranscriptionCompleted) else None

    def _tools_run(self) -> bool:
        return any(tool.seconds is None for tool in self._tools.values())

    def _end_tool(self, update: ToolCallFinished | ToolCallCancelled) -> None:
        result: Any = None
        error: str | None = "cancelled"
        if isinstance(update, ToolCallFinished):
            result = msgspec.to_builtins(update.result)
            error = None if update.error is None else str(update.error)
        report = msgspec.structs.replace(
            self._tools[update.call_id], result=result, error=error, seconds=round(update.seconds, 3)
        )
        self._tools[update.call_id] = report
        self._screen.tool_ended(report)

    def _confirm(self, item: ConversationItem, audio_end_ms: int) -> None:
        self._interruption = InterruptionReport(
            item_id=item.id,
            heard_ms=self._unconfirmed.pop(item.id),
            played_bytes=self._loudspeaker.played_bytes(item.id),
            played_ms=self._loudspeaker.played_ms(item.id),
            audio_end_ms=audio_end_ms,
            received_bytes=self._received_bytes[item.id],
            kept_bytes=item.audio_held_bytes + item.audio_evicted_bytes,
        )
        self._screen.interrupted(self._interruption)

    # --- what it came to ----------------------------------------------------------------------------------------

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
            tools=list(self._tools.values()),
            interruption=self._interruption,
            notes=self._notes,
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
    interruption: bytes,
    recording: Recording,
    screen: Screen,
) -> DemoReport:
    """Hold the demo's conversation over an open session with server turn detection, transcription and tools.

    Args:
        session: It is not closed here.
        server: What the report calls the server.
        message: What the user writes first.
        speech: What the user says then: mono PCM16 at 24,000 Hz, sent in real time in chunks of 20 ms.
        interruption: What the user says while the answer to that sounds; empty for nothing.
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
    async with session.playback() as playback:
        demo = _Demo(session, playback, recording, screen)
        with session.updates(*_TAKEN, name="demo") as updates:
            await demo.hold(updates, message, speech, interruption)
    return demo.report(server, trio.current_time() - began)


def voice_of(info: SessionInfo) -> str | None:
    """The name of the session's voice, or None."""
    voice = info.audio.output.voice if info.audio and info.audio.output else None
    return voice if isinstance(voice, str) or voice is None else voice.id


def _info(session: RealtimeSession) -> SessionInfo:
    return session.info if isinstance(session.info, SessionInfo) else SessionInfo()


def _event_type(event: Any) -> str:
    config = getattr(event, "__struct_config__", None)
    return str((config and config.tag) or getattr(event, "type", type(event).__name__))
