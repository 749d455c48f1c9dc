"""What is recorded of a session, whichever way it ends; and what becomes of it when the disk is full."""

from __future__ import annotations

import json
import logging
import os
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.session.scripted_server import ScriptedServer, leaving_raises
from trio_realtime import ConfigError, ConnectError, ConnectionLost, OpenAI, ProtocolError
from trio_realtime.testing import (
    Lost,
    RecordedMessage,
    RecordingError,
    Simulator,
    calls,
    read_recording,
    record_session,
    says,
    serve_simulator,
    simulated_transport,
)
from trio_realtime.testing.recordings import recording_writer
from trio_realtime.testing.recordings.recording import message_line
from trio_realtime.transport import Closed, Deliver, Payload

SECRET = "Zm9vYmFyc2VjcmV0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "talk.jsonl"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("recording")]


def shown(message: RecordedMessage) -> tuple[str, object]:
    content = message.content
    return message.direction, content.get("type") if isinstance(content, dict) else content


def end_of(path: Path) -> tuple[str, object]:
    return shown(read_recording(path).messages[-1])


# --- what is in it --------------------------------------------------------------------------------------------------


async def test_both_directions_are_recorded_in_order_with_their_times(path: Path, autojump_clock: MockClock) -> None:
    async with (
        simulated_transport(Simulator([says("Hi!", audio=0.4)], pace=1)) as transport,
        record_session(path, transport=transport, turn_detection=None) as session,
    ):
        await trio.sleep(5)
        async with session.respond("Hello"):
            await trio.sleep(1)
    recording = read_recording(path)
    kinds = [shown(message) for message in recording.messages]
    assert kinds[:6] == [
        ("received", "session.created"),
        ("sent", "session.update"),
        ("received", "session.updated"),
        ("sent", "conversation.item.create"),
        ("sent", "response.create"),
        ("received", "conversation.item.added"),
    ]
    assert kinds[-1] == ("sent", Closed(1000))
    times = {kind: message.time for kind, message in zip(kinds, recording.messages, strict=True)}
    assert times["received", "session.created"] == 0
    assert times["sent", "response.create"] == 5
    assert times["received", "response.done"] == pytest.approx(5.4)
    assert times["sent", Closed(1000)] == pytest.approx(6)
    assert recording.header["model"] == "gpt-realtime-2.1"
    assert recording.header["audio"] is False


class Answering(ScriptedServer):
    """Its answer is delivered before the send returns."""

    async def send(self, *payloads: bytes) -> None:
        await super().send(*payloads)
        await wait_all_tasks_blocked()


async def test_what_is_sent_stands_before_its_answer(path: Path) -> None:
    async with record_session(path, transport=Answering()) as session:
        await session.update(instructions="Be brief.")
    kinds = [shown(message) for message in read_recording(path).messages][1:-1]
    assert kinds == [("sent", "session.update"), ("received", "session.updated")] * 2


class Reusing(ScriptedServer):
    """It delivers every message in the same memory, as a socket's reader may."""

    async def pump(self, deliver: Deliver) -> Closed:
        def reuse(payload: Payload, binary: bool = False) -> None:
            memory = bytearray(payload)
            deliver(memory, binary)
            memory[:] = b"#" * len(memory)

        return await super().pump(reuse)


async def test_what_is_recorded_was_not_overwritten_meanwhile(path: Path) -> None:
    server = Reusing()
    async with record_session(path, transport=server):
        for number in range(100):
            server.push("something.new", number=number)
        await wait_all_tasks_blocked()
    contents = [message.content for message in read_recording(path).messages[3:-1]]
    assert contents == [{"type": "something.new", "number": number} for number in range(100)]


@pytest.mark.parametrize("include_audio", [False, True])
async def test_audio_is_recorded_only_when_it_is_asked_for(path: Path, include_audio: bool) -> None:
    audio = bytes(range(256)) * 20
    async with (
        simulated_transport(Simulator([says("Hi!", audio=audio)], pace=0)) as transport,
        record_session(path, include_audio=include_audio, transport=transport, turn_detection=None) as session,
    ):
        await session.append_audio(audio)
        await session.commit_audio()
        await session.create_response()
        await session.wait_for_reply()
    expected = b64encode(audio).decode() if include_audio else {"bytes": 5120}
    contents: list[Any] = [message.content for message in read_recording(path).messages]
    by_type = {content["type"]: content for content in contents if isinstance(content, dict)}
    assert by_type["input_audio_buffer.append"]["audio"] == expected
    assert by_type["response.output_audio.delta"]["delta"] == expected
    assert (b64encode(audio)[:40].decode() in await trio.Path(path).read_text()) == include_audio


async def test_credentials_are_never_written(path: Path) -> None:
    tools = [
        {
            "type": "mcp",
            "server_label": "files",
            "server_url": "https://files.example",
            "authorization": SECRET,
            "headers": {"X-Api-Key": SECRET},
        }
    ]
    async with serve_simulator(Simulator(), api_key=f"sk-{SECRET}") as server:
        endpoint = OpenAI(server.api_key, base_url=server.url)
        async with record_session(path, include_audio=True, endpoint=endpoint, tools=tools) as session:
            await session.send_message(f"My key is {server.api_key}.", respond=False)
    recorded = await trio.Path(path).read_text()
    assert "My key is <redacted>" in recorded
    assert '"authorization": "<redacted>"' in recorded
    assert SECRET not in recorded


async def test_a_key_that_the_model_repeats_is_not_written(path: Path, autojump_clock: MockClock) -> None:
    script = [calls("log_in", {"api_key": f"sk-{SECRET}"})]
    async with (
        simulated_transport(Simulator(script)) as transport,
        record_session(path, transport=transport) as session,
        session.respond("Log in.") as turn,
    ):
        await turn.done()
    spelled = "".join(
        message.content["delta"]
        for message in read_recording(path).messages
        if isinstance(message.content, dict) and message.content["type"] == "response.function_call_arguments.delta"
    )
    assert "<redacted>" in spelled
    assert SECRET not in spelled


async def test_what_is_unknown_or_no_event_is_recorded_too(path: Path) -> None:
    server = ScriptedServer()
    async with record_session(path, transport=server):
        server.push("something.new", what=[1, None])
        server.push_raw(b'{"type": ')
        server.push_raw(b"\xff")
        server.push_raw(None)
        await wait_all_tasks_blocked()
    contents = [message.content for message in read_recording(path).messages]
    assert contents[3:-1] == [{"type": "something.new", "what": [1, None]}, '{"type": ', "\udcff", b"\0"]


# --- how it ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "recorded"),
    [
        (Closed(1001, "restart"), Closed(1001, "restart")),
        (ConnectionLost("it broke", reason="reset"), Lost("ConnectionLost", "it broke", None, "reset")),
        (ProtocolError("too long", code=1009), Lost("ProtocolError", "too long", 1009)),
    ],
)
async def test_the_end_of_the_connection_is_recorded(path: Path, end: Any, recorded: object) -> None:
    server = ScriptedServer()
    with leaving_raises(ProtocolError if isinstance(end, ProtocolError) else ConnectionLost):
        async with record_session(path, transport=server):
            server.push("rate_limits.updated", rate_limits=[])
            server.end(end)
            await wait_all_tasks_blocked()
    assert [shown(message) for message in read_recording(path).messages][-2:] == [
        ("received", "rate_limits.updated"),
        ("received", recorded),
    ]


async def test_a_body_that_raises_leaves_as_it_is_and_the_recording_whole(path: Path) -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with record_session(path, transport=ScriptedServer()):
            raise error
    assert caught.value is error
    assert end_of(path) == ("sent", Closed(1000))


async def test_a_cancelled_session_is_recorded_to_its_end(path: Path) -> None:
    server = ScriptedServer()
    with trio.CancelScope() as scope:
        async with record_session(path, transport=server):
            for number in range(1000):
                server.push("something.new", number=number)
            await wait_all_tasks_blocked()
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    recording = read_recording(path)
    assert recording.messages[-2].content == {"type": "something.new", "number": 999}
    assert end_of(path) == ("sent", Lost(message="cut on this side"))


async def test_a_session_that_is_refused_is_recorded_too(path: Path) -> None:
    server = ScriptedServer()
    server.refuse("session.update", code="invalid_value")
    with pytest.raises(ConnectError, match=r"no session\.update"):
        async with record_session(path, transport=server):
            pytest.fail("there is no session")
    assert [shown(message)[1] for message in read_recording(path).messages[:3]] == [
        "session.created",
        "session.update",
        "error",
    ]


async def test_arguments_are_refused_as_by_open_session(path: Path) -> None:
    with pytest.raises(ConfigError, match="close_timeout"):
        async with record_session(path, transport=ScriptedServer(), close_timeout=-1):
            pytest.fail("there is no session")
    assert read_recording(path).messages == ()


async def test_what_has_crossed_is_in_the_file_while_the_session_goes_on(path: Path) -> None:
    async with record_session(path, transport=ScriptedServer()) as session:
        await session.send_message("Hello", respond=False)
        with trio.fail_after(9):
            while "conversation.item.done" not in await trio.Path(path).read_text():
                pass


async def test_virtual_time_stands_still_while_the_file_is_opened_and_closed(
    path: Path, autojump_clock: MockClock
) -> None:
    before = trio.current_time()
    with trio.fail_after(1):
        async with simulated_transport(Simulator()) as transport, record_session(path, transport=transport):
            pass
    assert trio.current_time() == before


# --- the disk -------------------------------------------------------------------------------------------------------


async def test_a_file_that_cannot_be_opened_is_told_before_anything_else(tmp_path: Path) -> None:
    server = ScriptedServer()
    with pytest.raises(FileNotFoundError):
        async with record_session(tmp_path / "nowhere" / "talk.jsonl", transport=server):
            pytest.fail("there is no session")
    assert server.received == []


async def test_a_full_disk_ends_the_recording_and_not_the_session(caplog: pytest.LogCaptureFixture) -> None:
    server = ScriptedServer()
    with leaving_raises(RecordingError, match="No space left on device") as caught:
        async with record_session("/dev/full", transport=server) as session:
            await session.send_message("Still there?", respond=False)
            await session.send_message("And now?", respond=False)
            assert len(session.conversation) == 2
    assert isinstance(caught.value.__cause__, OSError)
    assert server.closed == 1000
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [str(caught.value)]


async def test_what_the_body_raises_goes_before_a_full_disk(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KeyError):
        async with record_session("/dev/full", transport=ScriptedServer()):
            raise KeyError
    assert "No space left" in caplog.text


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Path]:
    """A file that takes 64 KiB, and nothing more until the test is over."""
    path = tmp_path / "stuck"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path
    os.set_blocking(reader, True)
    while os.read(reader, 65_536):
        pass
    os.close(reader)
    for thread in threading.enumerate():
        if thread.name.startswith("recording"):
            thread.join()


async def test_a_disk_that_does_not_keep_up_ends_the_recording_and_delays_nobody(
    no_thread_is_left: None, stuck: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_writer, "MAX_UNWRITTEN_BYTES", 200_000)
    monkeypatch.setattr(recording_writer, "LONGEST_CLOSE_S", 0.01)
    server = ScriptedServer()
    with leaving_raises(RecordingError, match="does not keep up"):
        async with record_session(stuck, transport=server) as session:
            for number in range(100):
                server.push("something.new", words="x" * 10_000, number=number)
            await wait_all_tasks_blocked()
            assert session.statistics().received_frames == 102


async def test_a_disk_that_never_takes_what_is_left_is_given_up(
    no_thread_is_left: None, stuck: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_writer, "LONGEST_CLOSE_S", 0.01)
    server = ScriptedServer()
    with leaving_raises(RecordingError, match=r"not taken what was left within 0\.01 s"):
        async with record_session(stuck, transport=server):
            for number in range(100):
                server.push("something.new", words="x" * 10_000, number=number)
            await wait_all_tasks_blocked()


async def test_a_bug_in_the_recorder_ends_the_recording_and_not_the_session(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **keywords: Any) -> str:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(recording_writer, "message_line", broken)
    with leaving_raises(RecordingError, match="a bug") as caught:
        async with record_session(path, transport=ScriptedServer()) as session:
            await session.send_message("Still there?", respond=False)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_line_is_one_line_whatever_is_in_it(path: Path) -> None:
    line = message_line("received", 0, json.dumps({"a": "\n\r\u2028\x85"}).encode(), include_audio=True)
    assert len(line.splitlines()) == 1
