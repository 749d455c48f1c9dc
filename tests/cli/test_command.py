"""The command as somebody runs it: a process of its own, over a real websocket, stopped with real signals."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from trio_realtime.audio import PCM16, write_wav
from trio_realtime.testing import QUESTION, load_voice

COMMAND = [sys.executable, "-W", "error", "-m", "trio_realtime.cli"]
LONGEST_S = 60.0
SPEECH = load_voice("interruption")[: PCM16.ms_to_bytes(750)]


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Three quarters of a second of real speech."""
    path = tmp_path / "speech.wav"
    write_wav(path, SPEECH)
    return path


def environment(**variables: str) -> dict[str, str]:
    left_out = {"OPENAI_API_KEY", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONIOENCODING"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PYTHONUTF8": "1", "TERM": "xterm-256color", **variables}


def run(*arguments: str, cwd: Path, command: list[str] = COMMAND, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LONGEST_S,
        check=False,
    )


@contextmanager
def running(
    *arguments: str, cwd: Path, stdout: int = subprocess.PIPE, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=cwd, env=environment(**variables), stdout=stdout, stderr=subprocess.PIPE
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_until(fd: int, awaited: str) -> bytes:
    output = b""
    while awaited.encode() not in output:
        piece = os.read(fd, 65_536)
        assert piece, f"the command ended before it said {awaited!r}: {output.decode()}"
        output += piece
    return output


def frames_of(path: Path) -> int:
    with wave.open(str(path)) as recorded:
        return len(recorded.readframes(recorded.getnframes())) // 2


class Held(NamedTuple):
    """A demo that went on to its end, and the folder that it was held in."""

    done: subprocess.CompletedProcess[str]
    folder: Path


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Held]]]:
    """Whole demos, side by side: each waits for the real time to pass, most of the time."""

    def hold(*arguments: str) -> Held:
        folder = tmp_path_factory.mktemp("held")
        write_wav(folder / "speech.wav", SPEECH)
        return Held(run("demo", *arguments, cwd=folder), folder)

    with ThreadPoolExecutor(2) as threads:
        chosen = ("--json", "-o", "out.wav", "-m", "Hello there!", "--wav", "speech.wav")
        yield {"plain": threads.submit(hold), "json": threads.submit(hold, *chosen)}


def test_the_demo_tells_what_was_said_and_done(demos: dict[str, Future[Held]]) -> None:
    done, folder = demos["plain"].result(LONGEST_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    words = " ".join(done.stdout.split())
    assert QUESTION in words
    heard, played, kept = (
        int(found.replace(",", ""))
        for pattern in (r"interrupted after ([\d,]+) ms", r"loudspeaker played ([\d,]+) ms", r"cut it at ([\d,]+) ms")
        for found in re.findall(pattern, words)
    )
    assert heard == played == kept > 1_000
    assert "get_weather: {" in words
    assert "get_daylight: {" in words
    audio_bytes = 2 * frames_of(folder / "trio-realtime-demo.wav")
    assert audio_bytes > 0
    assert f"({audio_bytes:,} bytes) in trio-realtime-demo.wav" in words


def test_json_is_one_object_that_adds_up(demos: dict[str, Future[Held]]) -> None:
    done, folder = demos["json"].result(LONGEST_S)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    items, audio = report["items"], report["audio"]
    calls, outputs = ["function_call"] * 2, ["function_call_output"] * 2
    assert [item["role"] or item["type"] for item in items] == [
        *("user", "assistant", "user"),
        *(*calls, *outputs, "assistant"),
        *("user", "assistant"),
    ]
    assert items[0]["words"] == "Hello there!"
    spoken = [item for item in items[1:] if item["role"] and not item["truncated"]]
    # What transcribes the user begins with a space.
    assert all(item["words"] and item["streamed"].removeprefix(" ") == item["words"] for item in spoken)

    (cut,) = [item for item in items if item["truncated"]]
    interruption = report["interruption"]
    assert interruption["item_id"] == cut["id"]
    assert cut["audio_ms"] == interruption["heard_ms"] == interruption["played_ms"] == interruption["audio_end_ms"]
    assert PCM16.bytes_to_ms(interruption["played_bytes"]) == interruption["played_ms"]
    assert cut["audio_bytes"] == interruption["kept_bytes"] < interruption["received_bytes"]
    assert 2 * frames_of(folder / "out.wav") == audio["received_bytes"]
    held = sum(item["audio_bytes"] for item in items if item["role"] == "assistant")
    assert audio["received_bytes"] == held + interruption["received_bytes"] - interruption["kept_bytes"]

    assert {tool["name"] for tool in report["tools"]} == {"get_weather", "get_daylight"}
    for tool in report["tools"]:
        assert tool["arguments"] == {"city": "Paris", "day": "tomorrow"}
        assert (tool["error"], bool(tool["result"])) == (None, True)
        assert 0.3 < tool["seconds"] < 5
    assert report["notes"] == []

    asked, stopped = report["turns"]
    for turn, item in ((asked, items[2]), (stopped, items[-2])):
        assert 0 <= turn["start_ms"] < turn["end_ms"] <= audio["sent_ms"]
        assert turn["audio_bytes"] == item["audio_bytes"] == PCM16.ms_to_bytes(turn["end_ms"] - turn["start_ms"])
        assert turn["level_dbfs"] > -40
    assert report["tokens"]["total"] == report["tokens"]["input"] + report["tokens"]["output"]
    assert report["events"]["received"]["response.done"] == 4
    assert report["events"]["received"]["conversation.item.truncated"] == 1
    assert report["server"].startswith("simulator at ws://127.0.0.1:")


PHASES = [
    *("trio-realtime demo", "session", "a simulated", "▁", "your turn"),
    "get_daylight(",  # a tool runs
    "Tomorrow",  # an answer is played
    "interrupted",
]
"""What the command says last before Ctrl-C is pressed."""


class Interrupted(NamedTuple):
    """A demo that was stopped by Ctrl-C."""

    exit_code: int
    stdout: str
    stderr: str
    wav: Path


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Interrupted]]]:
    """Demos that are stopped in each phase, side by side: each waits for the real time to pass, most of the time."""
    folder = tmp_path_factory.mktemp("interrupted")
    write_wav(folder / "speech.wav", SPEECH)

    def interrupt(awaited: str, number: int) -> Interrupted:
        wav = folder / f"{number}.wav"
        with running("demo", "-o", str(wav), "--wav", "speech.wav", cwd=folder) as process:
            assert process.stdout is not None
            before = read_until(process.stdout.fileno(), awaited)
            process.send_signal(signal.SIGINT)
            after, stderr = process.communicate(timeout=LONGEST_S)
        return Interrupted(process.returncode, (before + after).decode(), stderr.decode(), wav)

    with ThreadPoolExecutor(len(PHASES)) as threads:
        yield {awaited: threads.submit(interrupt, awaited, number) for number, awaited in enumerate(PHASES)}


@pytest.mark.parametrize("awaited", PHASES)
def test_ctrl_c_leaves_cleanly_whatever_is_going_on(interrupted: dict[str, Future[Interrupted]], awaited: str) -> None:
    run = interrupted[awaited].result(LONGEST_S)
    assert (run.exit_code, run.stderr) == (130, "trio-realtime: interrupted\n")
    assert "Traceback" not in run.stdout
    assert "tokens out" not in run.stdout  # it did not run to its end
    if awaited != "trio-realtime demo":  # before there is a session there is no file
        heard_something = awaited not in {"session", "a simulated"}
        assert (frames_of(run.wav) > 0) >= heard_something


def test_ctrl_c_leaves_no_json(tmp_path: Path, speech: Path) -> None:
    with running("demo", "--json", "-o", "out.wav", "--wav", str(speech), cwd=tmp_path) as process:
        while not (tmp_path / "out.wav").exists():
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=LONGEST_S)
    assert (process.returncode, stdout, stderr) == (130, b"", b"trio-realtime: interrupted\n")
    frames_of(tmp_path / "out.wav")


def test_a_reader_that_goes_away_ends_the_demo_quietly(tmp_path: Path, speech: Path) -> None:
    with running("demo", "--wav", str(speech), cwd=tmp_path) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), "session")
        process.stdout.close()
        assert process.stderr is not None
        stderr = process.stderr.read()
        assert (process.wait(LONGEST_S), stderr) == (1, b"")


def test_a_reader_that_goes_away_ends_an_inspection_quietly(tmp_path: Path) -> None:
    event = {"direction": "received", "event": {"type": "something.new", "words": "x" * 300}}
    (tmp_path / "talk.jsonl").write_text((json.dumps(event) + "\n") * 1000)
    for arguments in (["talk.jsonl"], ["talk.jsonl", "--raw"]):
        with running("inspect", *arguments, cwd=tmp_path) as process:
            assert process.stdout is not None
            read_until(process.stdout.fileno(), "something.new")
            process.stdout.close()
            assert process.stderr is not None
            stderr = process.stderr.read()
            assert (process.wait(LONGEST_S), stderr) == (1, b"")


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_is_coloured_unless_it_asks_not_to_be(
    tmp_path: Path, speech: Path, variables: dict[str, str], coloured: bool
) -> None:
    master, slave = pty.openpty()
    try:
        with running("demo", "--wav", str(speech), cwd=tmp_path, stdout=slave, **variables) as process:
            output = read_until(master, "simulated")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LONGEST_S)
    finally:
        os.close(slave)
        os.close(master)
    assert (b"\x1b" in output) == coloured


def test_help_in_a_terminal_without_colours_has_none(tmp_path: Path) -> None:
    for arguments in (["--help"], ["demo", "--help"], ["demo", "--nonsense"]):
        done = run(*arguments, cwd=tmp_path, NO_COLOR="1", FORCE_COLOR="1")
        assert "\x1b" not in done.stdout + done.stderr
        assert "demo" in done.stdout + done.stderr


def test_live_without_a_key_names_the_variable(tmp_path: Path) -> None:
    done = run("demo", "--live", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "OPENAI_API_KEY" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    for missing in ("rich", "typer"):
        program = (
            "import sys\n"
            f"sys.modules[{missing!r}] = None\n"  # what an import of a package that is not there comes to
            "from trio_realtime.cli import main\n"
            "main()\n"
        )
        done = run(cwd=tmp_path, command=[sys.executable, "-c", program])
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"trio-realtime needs {missing}: python -m pip install 'trio-realtime[cli]'\n"


def test_a_defect_of_its_own_is_not_taken_for_a_missing_extra(tmp_path: Path) -> None:
    program = "import sys\nsys.modules['trio_realtime.cli.demo'] = None\nfrom trio_realtime.cli import main\nmain()\n"
    done = run(cwd=tmp_path, command=[sys.executable, "-c", program])
    assert done.returncode == 1
    assert "pip install" not in done.stderr
    assert "trio_realtime.cli.demo" in done.stderr
