"""A recording on a terminal of any width, or in a pipe."""

from collections.abc import Callable
from fnmatch import fnmatchcase

from rich.console import Console
from rich.text import Text

from ..testing.recordings.recording import Recording
from .flowing_text import printable
from .timeline import Row, Timeline, Totals, kind_of

LONGEST_WORDS = 400
"""Characters that are shown of one event: an answer, but not all instructions. `--raw` has them."""

_UNICODE = ("→", "←", "\N{MULTIPLICATION SIGN}", "…")
_ASCII = (">", "<", "x", "...")
_STYLES = {"plain": "", "repeated": "dim", "warning": "yellow", "error": "bold red"}


def wants(patterns: list[str]) -> Callable[[str], bool]:
    """Whether a kind of message is wanted: it matches one of the patterns, or there are none."""
    return lambda kind: not patterns or any(fnmatchcase(kind, pattern) for pattern in patterns)


def raw_lines(recording: Recording, patterns: list[str]) -> list[str]:
    """The lines that are wanted, as they stand in the file."""
    wanted = wants(patterns)
    return [printable(message.json) for message in recording.messages if wanted(kind_of(message))]


def print_recording(console: Console, recording: Recording, patterns: list[str]) -> None:
    """Print the timeline, with what it is of above, and what it comes to below."""
    timeline = Timeline()
    rows = timeline.rows(recording.messages, wants(patterns))
    lines = _Lines(console, longest_time=max((row.time for row in rows if row.time is not None), default=None))
    console.print(_heading(recording, timeline.totals), style="bold", markup=False, soft_wrap=True)
    for row in rows:
        lines.print(row)
    if not recording.messages:
        console.print("nothing was sent or received", style="yellow")
    elif not rows:
        console.print("nothing matches: the types are those of the protocol, such as 'response.*'", style="yellow")
    if recording.torn:
        console.print("the last line was cut off, and is not shown", style="yellow")
    console.print(_sum(timeline.totals), style="dim", markup=False)


class _Lines:
    """Prints rows, with the time and the direction in the margin."""

    def __init__(self, console: Console, longest_time: float | None) -> None:
        self._console = console
        self._time_width = 0 if longest_time is None else len(f"{longest_time:.3f} ")
        unicode = console.encoding.lower().startswith("utf")
        self._sent, self._received, self._times, self._dots = _UNICODE if unicode else _ASCII

    def print(self, row: Row) -> None:
        time = "" if row.time is None else f"{row.time:.3f} "
        style = "cyan" if row.sent else "green"
        margin = Text.assemble(
            (time.rjust(self._time_width), "dim"), (f"{self._sent if row.sent else self._received} ", style)
        )
        width = max(20, self._console.width - len(margin))
        for index, line in enumerate(self._text(row, width).wrap(self._console, width, overflow="fold")):
            line.rstrip()
            self._console.print((margin if not index else Text(" " * len(margin))) + line, soft_wrap=True)

    def _text(self, row: Row, width: int) -> Text:
        style = _STYLES[row.tone]
        text = Text(printable(row.kind), style=style or ("cyan" if row.sent else "green"))
        if row.count > 1:
            text.append(f" {self._times}{row.count:,}", style="dim")
        words = f"{row.audio_ms / 1000:.2f} s of audio" if row.audio_ms else " ".join(printable(row.words).split())
        # What repeats something else takes no second line.
        longest = max(0, width - len(text) - 2) if row.tone == "repeated" else LONGEST_WORDS
        if len(words) > longest:
            words = words[: max(0, longest - len(self._dots))] + self._dots
        if words:
            text.append(f"  {words}", style=style or "default")
        return text


def _heading(recording: Recording, totals: Totals) -> str:
    words = [str(recording.header["model"])] if "model" in recording.header else []
    if "began" in recording.header:
        words.append(str(recording.header["began"]).replace("T", " ").replace("+00:00", " UTC"))
    if totals.seconds is not None:
        words.append(f"{totals.seconds:.1f} s")
    words.append(f"{totals.sent:,} sent, {totals.received:,} received")
    return printable(f"{recording.path}: {', '.join(words)}")


def _sum(totals: Totals) -> str:
    words = [f"{totals.responses:,} response{'' if totals.responses == 1 else 's'}"]
    if totals.input_tokens or totals.output_tokens:
        words.append(f"{totals.input_tokens:,} tokens in, {totals.output_tokens:,} out")
    words.append(f"{totals.errors:,} error{'' if totals.errors == 1 else 's'}" if totals.errors else "no errors")
    return ", ".join(words)
