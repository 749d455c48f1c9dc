"""The examples run as a newcomer runs them, against the simulator over a real websocket."""

import os
import sys
from pathlib import Path

import pytest
import trio

from trio_realtime.audio import PCM16, write_wav
from trio_realtime.testing import QUESTION, Simulator, SimulatorServer, load_voice, says, serve_simulator

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A WAV of one and a half seconds of real speech."""
    path = tmp_path / "speech.wav"
    write_wav(path, load_voice("interruption")[: PCM16.ms_to_bytes(1500)])
    return path


async def run_example(server: SimulatorServer, name: str, *arguments: str, stdin: bytes = b"") -> str:
    environment = {**os.environ, "OPENAI_API_KEY": server.api_key, "OPENAI_BASE_URL": server.url}
    done = await trio.run_process(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments],
        env=environment,
        stdin=stdin,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


def test_every_example_is_tested_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"chat", "microphone", "raw_events", "transcribe"}


async def test_chat_prints_the_answer_and_what_it_cost() -> None:
    async with serve_simulator(Simulator([says("Very well, thank you.")], pace=0)) as server:
        printed = await run_example(server, "chat", "How", "are", "you?")
    (connection,) = server.simulator.connections
    user, assistant = connection.items
    assert user["content"] == [{"type": "input_text", "text": "How are you?"}]
    assert assistant["content"][0]["transcript"] == "Very well, thank you."
    answer, cost = printed.splitlines()
    assert answer == "Very well, thank you."
    assert cost.startswith("(completed, ")
    assert int(cost.split()[1]) > 0


async def test_microphone_sends_a_file_and_prints_what_both_say(speech: Path) -> None:
    async with serve_simulator(Simulator([says("It will rain.")], transcripts=["Will it rain?"], pace=0)) as server:
        printed = await run_example(server, "microphone", str(speech))
    assert sorted(printed.splitlines()) == ["assistant: It will rain.", "user: Will it rain?"]


async def test_microphone_sends_what_comes_from_a_pipe() -> None:
    voice = load_voice("interruption")
    async with serve_simulator(Simulator([says("It will rain.")], transcripts=["Will it rain?"], pace=0)) as server:
        # A pipe that breaks off in the middle of a sample.
        printed = await run_example(server, "microphone", stdin=voice + b"\0")
    assert sorted(printed.splitlines()) == ["assistant: It will rain.", "user: Will it rain?"]


async def test_microphone_ends_when_nothing_was_said() -> None:
    async with serve_simulator(Simulator(pace=0)) as server:
        assert await run_example(server, "microphone", stdin=PCM16.silence(100)) == ""


async def test_transcribe_prints_the_words(speech: Path) -> None:
    async with serve_simulator(Simulator(pace=0)) as server:
        assert await run_example(server, "transcribe", str(speech)) == f"{QUESTION}\n"


async def test_raw_events_prints_every_event_until_the_response_is_done() -> None:
    async with serve_simulator(Simulator([says("Very well.")], pace=0)) as server:
        printed = (await run_example(server, "raw_events")).splitlines()
    assert printed[0].startswith("SessionCreated(")
    assert printed[-1].startswith("ResponseDone(")
    assert sum(line.startswith("ResponseOutputTextDelta(") for line in printed) > 1
