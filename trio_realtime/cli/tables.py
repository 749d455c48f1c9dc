"""The report of a demo as tables, for a terminal of any width."""

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from .flowing_text import printable
from .report import DemoReport, EventReport, InterruptionReport, ItemReport, tool_words

_ROLE_STYLES = {"user": "cyan", "assistant": "green", "call": "yellow", "result": "yellow"}
_ITEM_NAMES = {"function_call": "call", "function_call_output": "result"}
_CUT = "(cut where it was interrupted, and its words with it)"


def print_report(console: Console, report: DemoReport) -> None:
    """Print the tables: items, audio and tokens, events."""
    for table in (_items(report.items), _figures(report), _events(report.events)):
        console.print()
        console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", expand=False)
    for column in columns:
        numeric = column.endswith((" s", " ms")) or column in {"sent", "received"}
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    return table


def _items(items: list[ItemReport]) -> Table:
    table = _table("item", "words", "audio s")
    for item in items:
        name = item.role or _ITEM_NAMES.get(item.type, item.type)
        table.add_row(
            Text(printable(name), style=_ROLE_STYLES.get(name, "")),
            Text(_CUT, style="dim") if item.truncated else Text(printable(item.words)),
            f"{item.audio_ms / 1000:.2f}" if item.audio_bytes else "",
        )
    return table


def _figures(report: DemoReport) -> Table:
    audio, tokens = report.audio, report.tokens
    rows: list[tuple[str, str]] = [
        ("audio in", f"{audio.received_ms / 1000:.2f} s ({audio.received_bytes:,} bytes) in {audio.wav}"),
        ("audio out", f"{audio.sent_ms / 1000:.2f} s ({audio.sent_bytes:,} bytes)"),
    ]
    for turn in report.turns:
        end = "?" if turn.end_ms is None else f"{turn.end_ms:,}"
        rows.append(("turn", f"{turn.start_ms:,} to {end} ms, {turn.audio_ms / 1000:.2f} s cut out"))
    rows += [("tool", tool_words(tool)) for tool in report.tools]
    if report.interruption is not None:
        rows.append(("cut at", _cut_words(report.interruption)))
    rows += [
        ("tokens in", f"{tokens.input:,} ({tokens.input_text:,} text, {tokens.input_audio:,} audio)"),
        ("tokens out", f"{tokens.output:,} ({tokens.output_text:,} text, {tokens.output_audio:,} audio)"),
        ("events", f"{sum(report.events.sent.values()):,} sent, {sum(report.events.received.values()):,} received"),
        ("time", f"{report.seconds:.1f} s"),
    ]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(printable(value)))
    return table


def _cut_words(cut: InterruptionReport) -> str:
    return (
        f"{cut.audio_end_ms:,} ms ({cut.heard_ms:,} heard, {cut.played_ms:,} played): "
        f"{cut.kept_bytes:,} of {cut.received_bytes:,} bytes kept"
    )


def _events(events: EventReport) -> RenderableType:
    table = _table("event", "sent", "received")
    for kind in sorted(events.sent | events.received, key=lambda kind: (kind not in events.sent, kind)):
        sent, received = events.sent.get(kind), events.received.get(kind)
        table.add_row(Text(printable(kind)), *("" if count is None else f"{count:,}" for count in (sent, received)))
    return table
