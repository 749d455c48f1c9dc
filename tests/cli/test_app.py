"""The command line within this process: what its options do, and how each failure is told."""

from __future__ import annotations

import errno
import io
import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock
from typer.testing import CliRunner, Result

from trio_realtime import OpenAI
from trio_realtime.audio import PCM16, read_wav, resample, write_wav
from trio_realtime.cli import app as app_module, main, simulation
from trio_realtime.cli.app import app
from trio_realtime.cli.simulation import GREETING, NOT_UNDERSTOOD
from trio_realtime.testing import INTERRUPTION, QUESTION, load_voice

RUN = trio.run


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(simulation, "PACE", 0.0)
    # The sockets are real, but a second takes a fifth of one.
    monkeypatch.setattr(trio, "run", lambda *arguments: RUN(*arguments, clock=MockClock(rate=5.0)))


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def speech(rate_hz: int = 24_000) -> str:
    pcm = load_voice("interruption")[: PCM16.ms_to_bytes(600)]
    write_wav("speech.wav", resample(pcm, 24_000, rate_hz), rate_hz)
    return "speech.wav"


def one_line(result: Result, exit_code: int) -> str:
    assert result.exit_code == exit_code, result.exc_info
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("trio-realtime: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_the_options_reach_the_session() -> None:
    result = invoke("demo", "--json", "--voice", "cedar", "--model", "gpt-realtime-2.1-mini", "--wav", speech())
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["voice"], report["model"]) == ("cedar", "gpt-realtime-2.1-mini")
    assert PCM16.bytes_to_ms(len(read_wav("trio-realtime-demo.wav")[0])) == report["audio"]["received_ms"]
    # A simulator cannot know what is said in a file of the user's.
    assert [turn["transcript"] for turn in report["turns"]] == [NOT_UNDERSTOOD] * 2


def test_a_key_alone_does_not_make_it_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-used")
    result = invoke("demo", "--json", "--wav", speech())
    assert json.loads(result.stdout)["server"].startswith("simulator")


def test_the_tables_come_after_the_conversation() -> None:
    result = invoke("demo", "--wav", speech())
    assert result.exit_code == 0, result.output
    assert result.stdout.index("your turn") < result.stdout.index("tokens out")


def test_speech_of_another_rate_is_resampled() -> None:
    result = invoke("demo", "--json", "--wav", speech(16_000))
    turn, _ = json.loads(result.stdout)["turns"]
    assert turn["level_dbfs"] > -40


def test_without_the_resampler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    path = speech(16_000)
    monkeypatch.setitem(sys.modules, "soxr", None)
    assert "trio-realtime[audio]" in one_line(invoke("demo", "--wav", path), 1)


def test_what_is_no_speech_is_named() -> None:
    Path("text.wav").write_text("no sound")
    write_wav("empty.wav", b"")
    assert "text.wav: not a WAV file" in one_line(invoke("demo", "--wav", "text.wav"), 1)
    assert "empty.wav: it holds no audio" in one_line(invoke("demo", "--wav", "empty.wav"), 1)
    assert invoke("demo", "--wav", "nowhere.wav").exit_code == 2


def test_a_file_that_cannot_be_written_is_named() -> None:
    line = one_line(invoke("demo", "--json", "--output", "nowhere/out.wav", "--wav", speech()), 1)
    assert "nowhere/out.wav" in line
    assert "No such file or directory" in line


def test_live_needs_a_key() -> None:
    assert "OPENAI_API_KEY" in one_line(invoke("demo", "--live"), 2)


def test_live_goes_where_openai_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    # The discard port: nobody listens there.
    monkeypatch.setattr(app_module, "OpenAI", partial(OpenAI, base_url="ws://127.0.0.1:9/v1"))
    result = invoke("demo", "--live")
    line = one_line(result, 1)
    assert "127.0.0.1:9" in line
    assert "check the network" in line
    assert "trio-realtime demo: OpenAI" in result.stdout
    assert "sk-test" not in result.output


def test_a_reader_that_goes_away_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unread(*arguments: Any, **keywords: Any) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(app_module, "hold_demo", unread)
    result = invoke("demo", "--json")
    assert (result.exit_code, result.output) == (1, "")


def test_a_console_without_a_reader_raises_what_a_task_can_clean_up_after() -> None:
    class Unread(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        app_module._PipeableConsole(file=Unread()).print("words")


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_cancels_the_demo(monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    cancelled: list[bool] = []

    async def interrupted(*arguments: Any, **keywords: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(True)

    monkeypatch.setattr(app_module, "hold_demo", interrupted)
    result = invoke("demo", *(["--json"] if as_json else []))
    assert one_line(result, 130) == "trio-realtime: interrupted\n"
    assert cancelled == [True]
    assert (result.stdout == "") == as_json


def test_ctrl_c_while_the_tables_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt  # not the signal: a shell's background jobs ignore it

    monkeypatch.setattr(app_module, "print_report", interrupted)
    assert one_line(invoke("demo", "--wav", speech()), 130) == "trio-realtime: interrupted\n"


def test_ctrl_c_while_the_command_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting:
        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "trio_realtime.cli.app", Interrupting())
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 130


@pytest.mark.parametrize(("missing", "told"), [("typer", True), ("rich", True), ("msgspec", False)])
def test_a_missing_package_of_the_extra_is_told(monkeypatch: pytest.MonkeyPatch, missing: str, told: bool) -> None:
    monkeypatch.delitem(sys.modules, "trio_realtime.cli.app")
    for module in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit if told else ModuleNotFoundError, match=missing) as left:
        main()
    assert ("trio-realtime[cli]" in str(left.value)) == told


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*arguments: Any, **keywords: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(app_module, "hold_demo", broken)
    assert isinstance(invoke("demo").exception, ZeroDivisionError)


def test_version_and_help() -> None:
    name, version = invoke("--version").stdout.split()
    assert name == "trio-realtime"
    assert version[0].isdigit()
    assert "--live" in invoke("demo", "--help").stdout
    assert "demo" in invoke().output


def test_the_entry_point_runs_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["trio-realtime", "--version"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("trio-realtime ")


def test_what_is_spoken_is_what_is_transcribed() -> None:
    assert app_module._voice("question") == load_voice("question")
    assert app_module._voice("interruption") == load_voice("interruption")
    assert (QUESTION[-1], INTERRUPTION[-1]) == ("?", ".")


def test_the_simulated_model_knows_what_is_written_first() -> None:
    assert GREETING in invoke("demo", "--help").stdout
