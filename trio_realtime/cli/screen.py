"""The demo as it happens, on a terminal or in a pipe: lines that only ever grow."""

from collections.abc import Callable

from rich.console import Console

from ..audio import PCM16
from ..state.item import ConversationItem
from ..state.updates import (
    ItemAppended,
    ItemCompleted,
    ItemUpdated,
    RawEvent,
    SpeechStarted,
    SpeechStopped,
    ToolCallStarted,
    TranscriptionCompleted,
    TranscriptionFailed,
    Update,
)
from ..wire.client_events import InputAudioBufferAppend
from ..wire.session_config import SessionInfo
from .flowing_text import FlowingText
from .report import InterruptionReport, ToolReport, call_words, level_dbfs, parsed, tool_words
from .waveform import ASCII_BARS, BARS, Waveform

MARGIN = 13

_SIMULATED = "Its answers are scripted, its voice reads a passage. With --live it is OpenAI."
_MADE_UP = "The tools are real functions; the weather that they tell is made up."
_STYLES = {
    "user": "bold cyan",
    "assistant": "bold green",
    "microphone": "bold magenta",
    "tool": "bold yellow",
    "interrupted": "bold red",
}


class TerminalScreen:
    """Shows a demo on a console; see `Screen`.

    What the assistant says while the transcription of what it answers is still coming waits for that: the one that asks
    is shown before the one that answers, whatever the order on the wire.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._flow = FlowingText(console, MARGIN)
        self._unicode = console.encoding.lower().startswith("utf")
        self._speaker: str | None = None
        self._speech_ms = 0
        self._sent_ms = 0
        self._waveform: Waveform | None = None
        self._turn_start_ms = 0
        self._cut: tuple[str | None, int] | None = None
        self._awaited: str | None = None
        self._held: list[Callable[[], None]] = []
        self._speaking = False
        self._unshown: bytes | None = None
        self._interruption: InterruptionReport | None = None
        self._cut_item_ids: set[str] = set()

    def connecting(self, server: str) -> None:
        """See `Screen`."""
        self._console.print(f"trio-realtime demo: {server}", style="bold", markup=False)
        if server.startswith("simulator"):
            self._console.print(_SIMULATED, style="dim", markup=False)
        self._console.print(_MADE_UP, style="dim", markup=False)

    def session_opened(self, info: SessionInfo) -> None:
        """See `Screen`."""
        self._flow.line(f"session {info.id} with {info.model}", "dim")

    def speech_begins(self, speech_ms: int, *, over_answer: bool) -> None:
        """See `Screen`."""
        self._speech_ms = speech_ms
        if over_answer:
            self._unshown = b""
        else:
            self._open_waveform(f"{speech_ms / 1000:.1f} s of recorded speech, sent in real time")

    def close(self) -> None:
        """End the line that grows; nothing more will come."""
        self._release()
        self._flow.end()

    def show(self, update: Update) -> None:
        """See `Screen`."""
        if _is_the_assistants(update):
            self._in_turn(lambda: self._show(update))
        else:
            self._show(update)

    def tool_ended(self, report: ToolReport) -> None:
        """See `Screen`."""
        self._in_turn(lambda: self._tool(tool_words(report)))

    def interrupted(self, report: InterruptionReport) -> None:
        """See `Screen`."""
        self._cut_item_ids.add(report.item_id)
        if self._waveform is None:
            self._show_interruption(report)
        else:
            self._interruption = report

    def note(self, words: str) -> None:
        """See `Screen`."""
        self._in_turn(lambda: self._note(words))

    def _in_turn(self, act: Callable[[], None]) -> None:
        """Show something now, or after what the user is saying and what it is that was said."""
        if self._awaited is None and (self._waveform is None or not self._speaking):
            act()
        else:
            self._held.append(act)

    def _show(self, update: Update) -> None:
        match update:
            case RawEvent(event=InputAudioBufferAppend(audio=audio)):
                self._hear(audio)
            case SpeechStarted():
                self._turn_start_ms = update.audio_start_ms
                self._speaking = True
                if self._waveform is None:  # over an answer, or another turn after the line for the first was ended
                    over = self._unshown is not None
                    self._open_waveform(f"{self._speech_ms / 1000:.1f} s of recorded speech, over it" if over else "")
            case SpeechStopped():
                self._close_waveform(update.audio_end_ms)
                self._cut = update.item_id, update.audio_end_ms
            case ItemAppended(item=item) | ItemUpdated(item=item, delta=None):
                self._show_cut_turn(item)
                if item.text and item.role == "user" and isinstance(update, ItemAppended):
                    self._say("user", item.text)
                    self._flow.end()
            case ItemUpdated(item=item, delta=delta) if delta is not None:
                self._say(f"{item.role} {item.id}", delta.text or delta.transcript or "")
            case TranscriptionCompleted() | TranscriptionFailed():
                self._finish_transcription(update)
            case ToolCallStarted():
                self._tool(call_words(update.name, parsed(update.arguments)))
            case ItemCompleted(item=item) if item.role == "assistant" and item.id not in self._cut_item_ids:
                self._flow.line(_audio_line(item), "dim")
                self._speaker = None
            case _:
                pass

    # --- words --------------------------------------------------------------------------------------------------

    def _begin(self, label: str, speaker: str | None = None) -> None:
        self._waveform = None  # what it would draw from now on would stand in the wrong place
        self._flow.begin(label, label_style=_STYLES.get(label, "bold"))
        self._speaker = speaker

    def _say(self, speaker: str, words: str) -> None:
        if not words:
            return
        if self._speaker != speaker:
            self._begin(speaker.partition(" ")[0], speaker)
        self._flow.write(words)

    def _finish_transcription(self, update: TranscriptionCompleted | TranscriptionFailed) -> None:
        speaker = f"user {update.item_id}"
        if isinstance(update, TranscriptionFailed):
            self._flow.line(f"not transcribed: {update.error.message or update.error.code}", "yellow")
        elif self._speaker != speaker:  # it came without deltas
            self._say(speaker, update.transcript or "(nothing was understood)")
        self._flow.end()
        self._release()

    def _release(self) -> None:
        self._awaited = None
        held, self._held = self._held, []
        for act in held:
            act()

    def _tool(self, words: str) -> None:
        if self._speaker == "tool":
            self._flow.line(words)
        else:
            self._begin("tool", "tool")
            self._flow.write(words)
            self._flow.end()

    def _note(self, words: str) -> None:
        self._begin("")
        self._flow.write(f"({words})")
        self._flow.end()

    # --- the microphone -----------------------------------------------------------------------------------------

    def _open_waveform(self, words: str) -> None:
        self._begin("microphone")
        self._flow.write(words)
        if words:
            self._flow.begin("", label_style="", style="magenta")
        bars = BARS if self._unicode else ASCII_BARS
        unshown, self._unshown = self._unshown or b"", None
        start_ms = self._sent_ms - PCM16.bytes_to_ms(len(unshown))
        self._waveform = Waveform(self._speech_ms, self._flow.width, start_ms=start_ms, bars=bars)
        self._flow.glyphs(self._waveform.extend(unshown), "magenta")

    def _hear(self, audio: bytes) -> None:
        self._sent_ms += PCM16.bytes_to_ms(len(audio))
        if self._waveform is not None:
            self._flow.glyphs(self._waveform.extend(audio), "magenta")
        elif self._unshown is not None:
            self._unshown += audio

    def _close_waveform(self, end_ms: int) -> None:
        if self._waveform is None:
            return
        first, length = self._waveform.span(self._turn_start_ms, end_ms)
        left, line, right = "╰─╯" if self._unicode else "\\_/"
        self._flow.begin("", label_style="")
        self._flow.glyphs(" " * first + (left + line * (length - 2) + right if length > 1 else line), "bold")
        self._flow.end()
        self._waveform = None
        self._speaking = False

    def _show_cut_turn(self, item: ConversationItem) -> None:
        """Once, when the turn's audio has been cut out of what was sent."""
        if self._cut is None or item.id != self._cut[0] or not item.audio_held_bytes:
            return
        _, end_ms = self._cut
        self._cut = None
        audio_ms = item.encoding.bytes_to_ms(item.audio_held_bytes)
        level = level_dbfs(item.audio)
        loudness = "silent" if level is None else f"{level:.0f} dBFS"
        self._flow.line(
            f"your turn: {self._turn_start_ms:,} to {end_ms:,} ms, {audio_ms:,} ms cut out ({loudness})", "dim"
        )
        self._awaited = item.id
        if self._interruption is not None:
            self._show_interruption(self._interruption)

    def _show_interruption(self, report: InterruptionReport) -> None:
        self._interruption = None
        self._begin("interrupted")
        received_ms = PCM16.bytes_to_ms(report.received_bytes)
        self._flow.write(f"after {report.heard_ms:,} ms, of {received_ms:,} ms received")
        self._flow.line(f"loudspeaker played {report.played_ms:,} ms ({report.played_bytes:,} bytes)", "dim")
        self._flow.line(f"server cut it at {report.audio_end_ms:,} ms ({report.kept_bytes:,} bytes kept)", "dim")


def _is_the_assistants(update: Update) -> bool:
    if isinstance(update, ItemAppended | ItemUpdated | ItemCompleted):
        return update.item.role == "assistant"
    return isinstance(update, ToolCallStarted)


def _audio_line(item: ConversationItem) -> str:
    size = item.audio_held_bytes + item.audio_evicted_bytes
    return f"{item.encoding.bytes_to_ms(size) / 1000:.2f} s of audio" if size else "no audio"
