"""The command line: options in, exit code out.

Exit codes: 0, 1 for an error, 2 for a command line that cannot be run, 130 after Ctrl-C.
"""

import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import trio
import typer
from rich.console import Console

from ..audio import PCM16, read_wav, resample
from ..connection import DEFAULT_MODEL
from ..endpoint import Endpoint, OpenAI
from ..errors import ConfigError, RealtimeError
from ..session import open_session
from ..state.configuration import SessionKeywords
from ..testing.recordings.recording import read_recording
from .demo import Screen, Unwatched, hold_demo
from .hints import explained
from .inspection import print_recording, raw_lines
from .recording import open_recording
from .report import DemoReport
from .screen import TerminalScreen
from .tables import print_report
from .weather import TOOLS

TRANSCRIPTION_MODEL = "gpt-realtime-whisper"
INSTRUCTIONS = (
    "Introduce yourself in one short sentence. Asked about the weather, call get_weather and get_daylight at once, in "
    "parallel, before you say anything; then tell in three or four sentences all that they gave."
)

app: typer.Typer = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Its boxes have colours even where NO_COLOR asks for none.
    rich_markup_mode=None if os.environ.get("NO_COLOR") else "rich",
)


class _PipeableConsole(Console):
    """A console that says when nobody reads any more, where Rich would end the process in the middle of a task."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704  called while the BrokenPipeError is handled


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trio-realtime {version('trio-realtime')}")
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Structured concurrency for the OpenAI Realtime API."""


@app.command()
def demo(
    live: Annotated[bool, typer.Option("--live", help="Talk to OpenAI, with the key in OPENAI_API_KEY.")] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the received audio goes.", dir_okay=False, writable=True)
    ] = Path("trio-realtime-demo.wav"),
    message: Annotated[str, typer.Option("--message", "-m", help="What is written first.")] = "Hello! Who are you?",
    wav: Annotated[
        Path | None,
        typer.Option("--wav", help="What is said then, a mono WAV file.", exists=True, dir_okay=False, readable=True),
    ] = None,
    voice: Annotated[str | None, typer.Option("--voice", help="The assistant's voice.")] = None,
    model: Annotated[str, typer.Option("--model", help="The model.")] = DEFAULT_MODEL,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object instead.")] = False,
) -> None:
    """Write a message, ask a question that takes two tools, and interrupt the answer.

    Without --live it talks to a simulated server, over a real websocket on this machine: no key, no cost.
    """
    # What is logged is raised, too, and said in one line below; without a handler Python would print it as well.
    logging.getLogger("trio_realtime").addHandler(logging.NullHandler())
    console = _console()
    screen = Unwatched() if as_json else TerminalScreen(console)
    try:
        if live and not os.environ.get("OPENAI_API_KEY"):
            _fail(screen, "--live needs a key: set the environment variable OPENAI_API_KEY, or leave --live out", 2)
        speech = _voice("question") if wav is None else _recorded(wav)
        keywords: SessionKeywords = {
            "instructions": INSTRUCTIONS,
            "turn_detection": "server_vad",
            "transcription": TRANSCRIPTION_MODEL,
            "tools": TOOLS,
        }
        if voice is not None:
            keywords["voice"] = voice
        server = _openai() if live else _simulator(understands=wav is None)
        run = partial(_run, server, model, keywords, message, speech, output, screen)
        report = trio.run(_until_interrupted, run)
        if report is None:
            raise KeyboardInterrupt
        if as_json:
            typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
        else:
            print_report(console, report)
    except KeyboardInterrupt:
        _fail(screen, "interrupted", 130)
    except RealtimeError as error:
        _fail(screen, explained(error), 1)
    except BrokenPipeError:
        raise  # nobody reads on: Typer ends quietly
    except OSError as error:
        _fail(screen, f"{error.strerror or error}: {error.filename} (choose another file)", 1)


@app.command()
def inspect(
    recording: Annotated[
        Path, typer.Argument(help="What record_session wrote.", exists=True, dir_okay=False, readable=True)
    ],
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type", "-t", help="Only events of this type, such as 'response.*'; may be given several times."
        ),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print the lines as they stand in the file instead.")] = False,
) -> None:
    """Show a recording of a session: what was sent and received, when, and what of it matters."""
    console = _console()
    try:
        read = read_recording(recording)
        if raw:
            for line in raw_lines(read, types or []):
                typer.echo(line)
        else:
            print_recording(console, read, types or [])
    except RealtimeError as error:
        _fail(Unwatched(), explained(error), 1)


def _console() -> Console:
    """What is printed on; a terminal's encoding may lack characters, and its user may want no colours."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    # Bold and dim are escape codes, too: without colours there are none at all.
    return _PipeableConsole(color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False)


def _fail(screen: Screen, words: str, code: int) -> NoReturn:
    if isinstance(screen, TerminalScreen):
        screen.close()
    typer.echo(f"trio-realtime: {words}", err=True)
    raise typer.Exit(code)


def _voice(name: str) -> bytes:
    """What a user says, of what comes with the package."""
    with files("trio_realtime.testing").joinpath("voice", f"{name}.wav").open("rb") as file:
        return read_wav(file)[0]


def _recorded(path: Path) -> bytes:
    """The audio of a file."""
    try:
        pcm, rate_hz = read_wav(path)
        if not pcm:
            raise ConfigError("it holds no audio")
        return resample(pcm, rate_hz, PCM16.rate_hz)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


async def _until_interrupted(run: Callable[[], Awaitable[DemoReport]]) -> DemoReport | None:
    """Run until it ends or Ctrl-C is pressed, which cancels it like any deadline would; None is for Ctrl-C.

    As an ordinary `KeyboardInterrupt` it could strike in the middle of any step of the way out.
    """
    report: DemoReport | None = None
    failure: BaseException | None = None
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def cancel_on_signal() -> None:
                await anext(signals)
                nursery.cancel_scope.cancel()

            nursery.start_soon(cancel_on_signal)
            try:
                report = await run()
            except (Exception, SystemExit) as error:  # noqa: BLE001  raised below, outside the nursery's group
                failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return report


async def _run(
    server: AbstractAsyncContextManager[tuple[Endpoint, str]],
    model: str,
    keywords: SessionKeywords,
    message: str,
    speech: bytes,
    output: Path,
    screen: Screen,
) -> DemoReport:
    async with server as (endpoint, name):
        screen.connecting(name)
        async with open_session(model=model, endpoint=endpoint, **keywords) as session:
            with open_recording(output) as recording:
                return await hold_demo(
                    session,
                    server=name,
                    message=message,
                    speech=speech,
                    interruption=_voice("interruption"),
                    recording=recording,
                    screen=screen,
                )


@asynccontextmanager
async def _openai() -> AsyncGenerator[tuple[Endpoint, str]]:
    """Yield where to connect, and what to call it."""
    yield OpenAI(), "OpenAI"


def _simulator(*, understands: bool) -> AbstractAsyncContextManager[tuple[Endpoint, str]]:
    from .simulation import open_simulation  # noqa: PLC0415  `--live` needs none of it

    return open_simulation(understands=understands)
