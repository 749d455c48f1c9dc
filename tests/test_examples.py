"""The examples run as a newcomer runs them, against the simulator over a real websocket."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from trio_realtime.audio import PCM16, read_wav, write_wav
from trio_realtime.testing import (
    QUESTION,
    ScriptedTurn,
    Simulator,
    SimulatorServer,
    calls,
    load_voice,
    says,
    serve_simulator,
)

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A WAV of one and a half seconds of real speech."""
    path = tmp_path / "speech.wav"
    write_wav(path, load_voice("interruption")[: PCM16.ms_to_bytes(1500)])
    return path


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments]


def environment(server: SimulatorServer[Simulator]) -> dict[str, str]:
    return {**os.environ, "OPENAI_API_KEY": server.api_key, "OPENAI_BASE_URL": server.url}


async def run_example(server: SimulatorServer[Simulator], name: str, *arguments: str, stdin: bytes = b"") -> str:
    done = await trio.run_process(
        command(name, *arguments),
        env=environment(server),
        stdin=stdin,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


def test_every_example_is_tested_here() -> None:
    tested = {"barge_in", "chat", "microphone", "push_to_talk", "raw_events", "tools", "transcribe"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested


async def test_chat_prints_the_answer_and_what_it_cost() -> None:
    async with serve_simulator(Simulator([says("Very well, thank you.")], pace=0)) as server:
        printed = await run_example(server, "chat", "How", "are", "you?")
    (connection,) = server.simulator.connections
    user, assistant = connection.items
    assert user["content"] == [{"type": "input_text", "text": "How are you?"}]
    assert assistant["content"][0]["transcript"] == "Very well, thank you."
    answer, cost = printed.splitlines()
    assert answer == "Very well, thank you."
    audio_bytes, tokens = map(int, re.findall(r"\d+", cost))
    assert audio_bytes == PCM16.ms_to_bytes(60 * len(answer))  # the simulator's voice takes 60 ms for a character
    assert tokens > 0


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
        # The first delta of this model begins with a space.
        assert await run_example(server, "transcribe", str(speech)) == f" {QUESTION}\n"


async def test_raw_events_prints_every_event_until_the_response_is_done() -> None:
    async with serve_simulator(Simulator([says("Very well.")], pace=0)) as server:
        printed = (await run_example(server, "raw_events")).splitlines()
    assert printed[0].startswith("SessionCreated(")
    assert printed[-1].startswith("ResponseDone(")
    assert sum(line.startswith("ResponseOutputTextDelta(") for line in printed) > 1


async def test_tools_runs_both_functions_and_prints_one_answer() -> None:
    script: list[ScriptedTurn] = [
        [calls("get_weather", {"city": "Paris"}), calls("book_table", {"people": 2, "time": "20:00"})],
        says("It is 21 degrees, and your table is booked."),
    ]
    async with serve_simulator(Simulator(script, pace=0)) as server:
        lines = (await run_example(server, "tools")).splitlines()
    (connection,) = server.simulator.connections
    outputs = [item["output"] for item in connection.items if item["type"] == "function_call_output"]
    assert sorted(outputs) == sorted(["a table for 2 at 20:00", '{"city":"Paris","celsius":21}'])
    started, finished = sorted(lines[:2]), sorted(lines[2:4])
    assert started == ['book_table {"people": 2, "time": "20:00"}', 'get_weather {"city": "Paris"}']
    assert re.fullmatch(r"book_table took \d\.\d s: a table for 2 at 20:00", finished[0])
    assert re.fullmatch(r"get_weather took 0\.[2-9] s: Weather\(city='Paris', celsius=21\)", finished[1])
    assert lines[4] == "It is 21 degrees, and your table is booked."
    assert re.fullmatch(r"\(2 responses, [1-9]\d* tokens\)", lines[5])


async def test_tools_says_what_the_model_got_wrong() -> None:
    script = [calls("book_table", {"people": 200, "time": "20:00"}), says("That is too many.")]
    async with serve_simulator(Simulator(script, pace=0)) as server:
        printed = await run_example(server, "tools", "A", "table", "for", "200!")
    assert "book_table failed: " in printed
    assert "people" in printed.partition("book_table failed: ")[2].splitlines()[0]
    assert "That is too many." in printed


async def test_push_to_talk_asks_with_the_whole_file_and_writes_down_the_answer(speech: Path, tmp_path: Path) -> None:
    voice, answer = load_voice("question")[:48_002], tmp_path / "answer.wav"
    async with serve_simulator(Simulator([says("It will rain.", voice)], pace=0)) as server:
        printed = await run_example(server, "push_to_talk", str(speech), str(answer))
    assert printed.splitlines() == ["It will rain.", "1.0 s of audio"]
    assert read_wav(answer) == (voice, 24_000)
    (connection,) = server.simulator.connections
    kinds = [event["type"] for event in connection.received]
    assert kinds.index("input_audio_buffer.commit") == kinds.index("response.create") - 1
    assert [item["role"] for item in connection.items] == ["user", "assistant"]
    assert connection.session["audio"]["input"]["turn_detection"] is None


async def test_barge_in_stops_the_loudspeaker_and_cuts_what_it_had_not_played() -> None:
    story = load_voice("passage")
    script = [says("Once upon a time, and so on.", story), says("Yes?", 0.2)]
    async with serve_simulator(Simulator(script, pace=0)) as server:
        process = await trio.lowlevel.open_process(
            command("barge_in"),
            env=environment(server),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        played, told = b"", b""
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            while len(played) < PCM16.ms_to_bytes(300):
                played += await process.stdout.receive_some()
            await process.stdin.send_all(load_voice("interruption"))
            while b"keeps" not in told:
                told += await process.stderr.receive_some()
            await process.stdin.aclose()
            async for piece in process.stdout:
                played += piece
            async for piece in process.stderr:
                told += piece
            assert await process.wait() == 0
        finally:
            process.kill()
    heard, kept = map(int, re.findall(r"(\d+) ms", told.decode()))
    assert told.decode().splitlines() == [f"interrupted: {heard} ms were heard", f"the server keeps {kept} ms"]
    assert heard == kept
    assert 250 <= heard < PCM16.bytes_to_ms(len(story))
    # What was written is what was heard, the frame that sounded when it stopped, and maybe some of the next answer.
    assert played.startswith(story[: PCM16.ms_to_bytes(heard)])
    assert len(played) <= PCM16.ms_to_bytes(heard + 20 + 200)
    (connection,) = server.simulator.connections
    (cut,) = [event for event in connection.received if event["type"] == "conversation.item.truncate"]
    assert cut["audio_end_ms"] == heard
