"""`trio-realtime inspect`: what somebody at a terminal sees of a recording."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from trio_realtime.cli.app import app
from trio_realtime.cli.inspection import print_recording
from trio_realtime.testing import read_recording
from trio_realtime.testing.recordings.recording import header_line

Event = dict[str, Any]
TIMES = "\N{MULTIPLICATION SIGN}"
HEADER = {"recording": 1, "model": "gpt-realtime-2.1", "began": "2026-07-30T09:15:00+00:00", "audio": False}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "talk.jsonl"


def received(time: float | None = None, **event: Any) -> Event:
    return line("received", time, event=event)


def sent(time: float | None = None, **event: Any) -> Event:
    return line("sent", time, event=event)


def line(direction: str, time: float | None = None, **content: Any) -> Event:
    return {"direction": direction, **({} if time is None else {"time": time}), **content}


def write(path: Path, *lines: Event) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def shown(
    path: Path, *lines: Event, width: int = 120, encoding: str = "utf-8", patterns: list[str] | None = None
) -> list[str]:
    """What is printed, without the heading and the sum."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, highlight=False)
    print_recording(console, read_recording(write(path, *lines)), patterns or [])
    file.seek(0)
    printed = file.read().splitlines()
    rows = printed[1:-1]
    assert all(each == each.rstrip() for each in rows)
    assert all(len(each) <= width for each in rows)
    return rows


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["inspect", *arguments])


# --- the timeline ---------------------------------------------------------------------------------------------------


def test_each_event_has_its_time_its_direction_and_its_type(path: Path) -> None:
    events = [sent(0.25, type="response.create"), received(12.5, type="input_audio_buffer.committed")]
    assert shown(path, HEADER, *events) == [" 0.250 → response.create", "12.500 ← input_audio_buffer.committed"]
    assert shown(path, HEADER, *events, encoding="ascii") == [
        " 0.250 > response.create",
        "12.500 < input_audio_buffer.committed",
    ]


def test_a_recording_without_times_has_no_column_for_them(path: Path) -> None:
    assert shown(path, sent(type="response.create")) == ["→ response.create"]


def test_deltas_of_one_part_are_joined_and_audio_is_told_by_its_length(path: Path) -> None:
    words = [
        received(number, type="response.output_audio_transcript.delta", item_id="item_1", content_index=0, delta=word)
        for number, word in enumerate(["Hel", "lo ", "there"])
    ]
    sound = [
        received(1, type="response.output_audio.delta", item_id="item_1", content_index=0, delta=audio)
        for audio in ({"bytes": 4800}, b64encode(bytes(4800)).decode())
    ]
    done = received(3, type="response.output_audio.done")
    assert shown(path, words[0], sound[0], words[1], words[2], sound[1], done, words[2]) == [
        f"0.000 ← response.output_audio_transcript.delta {TIMES}3  Hello there",
        f"1.000 ← response.output_audio.delta {TIMES}2  0.20 s of audio",
        "3.000 ← response.output_audio.done",
        "2.000 ← response.output_audio_transcript.delta  there",
    ]


def test_a_microphone_goes_on_until_the_server_says_something_of_it(path: Path) -> None:
    append = sent(1, type="input_audio_buffer.append", audio={"bytes": 960})
    events = [
        append,
        received(1, type="response.created"),
        append,
        received(2, type="input_audio_buffer.speech_started", audio_start_ms=1320),
        append,
    ]
    assert shown(path, *events) == [
        f"1.000 → input_audio_buffer.append {TIMES}2  0.04 s of audio",
        "1.000 ← response.created",
        "2.000 ← input_audio_buffer.speech_started  at 1,320 ms",
        "1.000 → input_audio_buffer.append  0.02 s of audio",
    ]


def test_the_length_of_audio_goes_by_the_formats_of_the_session(path: Path) -> None:
    formats = {"input": {"format": {"type": "audio/pcma"}}, "output": {"format": {"type": "audio/pcmu"}}}
    session = received(type="session.updated", session={"audio": formats})
    append = sent(type="input_audio_buffer.append", audio={"bytes": 8000})
    delta = received(type="response.output_audio.delta", delta={"bytes": 16_000})
    assert [each.partition("  ")[2] for each in shown(path, session, append, delta)[1:]] == [
        "1.00 s of audio",
        "2.00 s of audio",
    ]


MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
SESSION = {
    "model": "gpt-realtime-2.1",
    "output_modalities": ["text", "audio"],
    "instructions": "x" * 101,
    "tools": [{"type": "function", "name": "look"}, {"type": "mcp", "server_label": "files"}],
    "audio": {
        "input": {"turn_detection": {"type": "server_vad"}, "transcription": {"model": "whisper"}},
        "output": {"voice": {"id": "voice_1"}},
    },
}
SESSION_WORDS = (
    "gpt-realtime-2.1, text and audio, voice voice_1, turns by server_vad, transcription by whisper, "
    f'tools look mcp:files, "{"x" * 100}..."'
)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            {"type": "session.updated", "session": SESSION},
            SESSION_WORDS,
        ),
        ({"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}}, "turns by hand"),
        ({"type": "session.update", "session": {"audio": {"output": {"voice": "cedar"}}}}, "voice cedar"),
        ({"type": "conversation.item.create", "item": MESSAGE}, "user: Hello"),
        (
            {"type": "conversation.item.added", "item": {**MESSAGE, "content": [], "status": "in_progress"}},
            "user (in_progress)",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {
                    **MESSAGE,
                    "content": [{"type": "input_audio"}, {"type": "input_image", "image_url": "data:"}],
                },
            },
            "user: [input_audio] [an image]",
        ),
        ({"type": "conversation.item.create", "item": {**MESSAGE, "content": [3]}}, "user"),
        (
            {"type": "conversation.item.added", "item": {"type": "function_call", "name": "look", "arguments": "{}"}},
            "call look {}",
        ),
        (
            {"type": "conversation.item.create", "item": {"type": "function_call_output", "output": "sunny"}},
            "result sunny",
        ),
        ({"type": "conversation.item.added", "item": {"type": "new", "id": "item_1", "what": 3}}, "type=new what=3"),
        ({"type": "conversation.item.truncate", "item_id": "item_1", "audio_end_ms": 1320}, "at 1,320 ms"),
        (
            {"type": "response.create", "response": {"conversation": "none", "metadata": {"a": "b"}}},
            "conversation=none",
        ),
        ({"type": "response.created", "response": {"conversation_id": None}}, "beside the conversation"),
        ({"type": "response.content_part.done", "part": {"type": "audio", "transcript": "Hello"}}, "Hello"),
        ({"type": "response.content_part.added", "part": {"type": "audio", "transcript": ""}}, "[audio]"),
        ({"type": "response.output_text.done", "text": "Hello"}, "Hello"),
        ({"type": "response.function_call_arguments.done", "name": "look", "arguments": "{}"}, "look {}"),
        ({"type": "response.function_call_arguments.done", "arguments": "{}"}, "call {}"),
        ({"type": "conversation.item.input_audio_transcription.completed", "transcript": "Hello"}, "Hello"),
        (
            {"type": "rate_limits.updated", "rate_limits": [{"name": "tokens", "limit": 1000, "remaining": 999}]},
            "tokens: 999 of 1,000 left",
        ),
        (
            {
                "type": "response.done",
                "response": {"status": "completed", "usage": {"input_tokens": 1200, "output_tokens": 3}},
            },
            "completed; tokens: 1,200 in, 3 out",
        ),
        (
            {
                "type": "response.done",
                "response": {"status": "cancelled", "status_details": {"reason": "turn_detected"}},
            },
            "cancelled (turn_detected)",
        ),
        (
            {
                "type": "response.done",
                "response": {"status": "failed", "status_details": {"error": {"code": "server_error"}}},
            },
            "failed; server_error:",
        ),
        (
            {"type": "error", "error": {"type": "invalid", "message": "No.", "event_id": "event_1"}},
            "invalid: No. (about event_1)",
        ),
        ({"type": "error", "error": None}, ""),
        ({"type": "something.new", "event_id": "event_1", "what": [1], "why": None, "how": "so"}, "what=[1] how=so"),
    ],
)
def test_what_matters_of_an_event_is_told(path: Path, event: Event, words: str) -> None:
    (told,) = shown(path, received(**event), width=400)
    assert told == f"← {event['type']}  {words}".rstrip()


def test_what_is_no_event_is_told_too(path: Path) -> None:
    lines = [
        line("received", text='{"type": '),
        line("received", binary={"bytes": 3}),
        line("received", event={"no": "type"}),
        line("received", closed={"code": 1001, "reason": "restart"}),
        line("received", lost={"error": "ConnectionLost", "message": "it broke"}),
        line("sent", lost={"message": "cut on this side"}),
    ]
    assert shown(path, *lines) == [
        '← text  {"type":',
        "← binary  3 bytes; the protocol has no binary messages",
        "← event  no=type",
        "← closed  code 1001, restart",
        "← lost  ConnectionLost: it broke",
        "→ lost  cut on this side",
    ]


def test_words_wrap_beside_the_margin_and_what_repeats_them_takes_one_line(path: Path) -> None:
    words = "Hello there, how are you on this fine day, if I may ask?"
    told = [
        received(1, type="response.output_text.delta", delta=words),
        received(1, type="response.output_text.done", text=words),
    ]
    assert shown(path, *told, width=50) == [
        "1.000 ← response.output_text.delta  Hello there,",
        "        how are you on this fine day, if I may",
        "        ask?",
        "1.000 ← response.output_text.done  Hello there, h…",
    ]


def test_very_long_words_are_cut(path: Path) -> None:
    (told, *rest) = shown(path, received(type="something.new", words="y" * 5000), width=1000)
    assert rest == []
    assert told.endswith("yyy…")
    assert len(told) < 450


def test_nothing_in_a_recording_can_command_the_terminal(path: Path) -> None:
    (told,) = shown(path, received(type="a\x1b[31mb", words="c\x1b]0;d\x07\ne"))
    assert told == "← a[31mb  words=c]0;d e"


# --- colours, heading and sum ---------------------------------------------------------------------------------------


def test_errors_stand_out(path: Path) -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system="standard", highlight=False)
    events = [
        received(type="error", error={"message": "No."}),
        received(type="response.done", response={"status": "failed"}),
    ]
    print_recording(console, read_recording(write(path, *events)), [])
    assert file.getvalue().count("\x1b[1;31m") == 4  # the type and the words, twice
    assert "1 response, 1 error" in file.getvalue()


def test_the_heading_and_the_sum_say_what_it_is_and_comes_to(path: Path) -> None:
    usage = {"input_tokens": 1200, "output_tokens": 34}
    done = received(9.5, type="response.done", response={"status": "completed", "usage": usage})
    write(
        path,
        HEADER,
        sent(0, type="response.create"),
        done,
        done,
        line("received", 12.25, closed={"code": 1000, "reason": ""}),
    )
    heading, *_, total = invoke(str(path)).stdout.splitlines()
    assert heading == f"{path}: gpt-realtime-2.1, 2026-07-30 09:15:00 UTC, 12.2 s, 1 sent, 2 received"
    assert total == "2 responses, 2,400 tokens in, 68 out, no errors"


# --- the command ----------------------------------------------------------------------------------------------------


def test_only_the_types_that_are_asked_for_are_shown(path: Path) -> None:
    write(path, sent(type="response.create"), received(type="response.created"), received(type="error", error={}))
    result = invoke(str(path), "--type", "response.cre*", "-t", "error")
    assert result.exit_code == 0
    assert [each.split()[1] for each in result.stdout.splitlines()[1:-1]] == [
        "response.create",
        "response.created",
        "error",
    ]
    assert "nothing matches" in invoke(str(path), "--type", "nothing").stdout


def test_a_recording_of_nothing_says_so(path: Path) -> None:
    path.write_text(header_line(model="m", began="2026-01-01T00:00:00+00:00", include_audio=False) + "\n")
    result = invoke(str(path))
    assert result.exit_code == 0
    assert "nothing was sent or received" in result.stdout
    assert "nothing matches" not in result.stdout


def test_raw_gives_the_lines_of_the_file(path: Path) -> None:
    lines = [sent(type="response.create"), received(type="response.created")]
    write(path, HEADER, *lines)
    assert [json.loads(each) for each in invoke(str(path), "--raw").stdout.splitlines()] == lines
    assert [json.loads(each) for each in invoke(str(path), "--raw", "-t", "*.created").stdout.splitlines()] == lines[1:]


def test_a_torn_recording_is_shown_up_to_there(path: Path) -> None:
    path.write_text(json.dumps(sent(type="response.create")) + '\n{"direc')
    result = invoke(str(path))
    assert result.exit_code == 0
    assert "response.create" in result.stdout
    assert "cut off" in result.stdout


@pytest.mark.parametrize(
    ("content", "words"), [("# A title\n", "line 1 is no JSON"), ("", "nothing in it"), ("{}\n", "no direction")]
)
@pytest.mark.parametrize("raw", [False, True])
def test_a_file_that_is_none_is_told_in_one_line(path: Path, content: str, words: str, raw: bool) -> None:
    path.write_text(content)
    result = invoke(str(path), *(["--raw"] if raw else []))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"trio-realtime: {path} is not a recording: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = invoke(str(tmp_path / "nowhere.jsonl"))
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_the_help_says_what_it_is_for() -> None:
    assert "inspect" in CliRunner().invoke(app, ["--help"]).stdout
    assert "--raw" in invoke("--help").stdout
