"""What users of the earlier clients rely on, each on the pure machine. `tests/README.md` says which line is where."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from tests.state.talks import (
    added,
    assistant_item,
    audio_delta,
    call_item,
    item_done,
    new_machine,
    published,
    receive,
    said,
    sent,
    session_updated,
    settled,
    spoken_item,
    user_item,
)
from trio_realtime.audio import PCM16, PCMA, PCMU, Encoding
from trio_realtime.errors import ConfigError, ConnectionLost, ProtocolError, SessionExpired
from trio_realtime.state import updates
from trio_realtime.state.configuration import session_config
from trio_realtime.state.machine import Machine
from trio_realtime.state.response_events import PRIVATE_KEY, without_token
from trio_realtime.state.tool_calls import ToolPolicy
from trio_realtime.wire import client_events as client
from trio_realtime.wire.codec import Codec
from trio_realtime.wire.items import InputText, Message
from trio_realtime.wire.responses import ResponseParams
from trio_realtime.wire.server_events import ProtocolIssue
from trio_realtime.wire.session_config import SessionConfig


def ids(machine: Machine) -> list[str]:
    return [item.id for item in machine.conversation]


def kinds(effects: Any, *, without: tuple[type, ...] = ()) -> list[str]:
    """The names of the updates, in order."""
    return [type(update).__name__ for each in effects for update in each.publish if not isinstance(update, without)]


def create(machine: Machine, event_id: str, **params: Any) -> list[Any]:
    response: Any = ResponseParams(**params) if params else msgspec.UNSET
    return sent(machine.command(client.ResponseCreate(event_id=event_id, response=response)))


def cancel(machine: Machine, event_id: str, response_id: str | None = None) -> Any:
    named = {} if response_id is None else {"response_id": response_id}
    return machine.command(client.ResponseCancel(event_id=event_id, **named))


def created(response_id: str, request: str | None = None, conversation_id: str | None = "conv_1") -> dict[str, Any]:
    metadata = None if request is None else {PRIVATE_KEY: request}
    response = {"id": response_id, "conversation_id": conversation_id, "status": "in_progress", "metadata": metadata}
    return {"type": "response.created", "response": response}


def done(response_id: str, status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"type": "response.done", "response": {"id": response_id, "status": status, **more}}


def error(code: str, event_id: str | None = None) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "invalid_request_error", "code": code, "event_id": event_id}}


def speech(item_id: str | None, start_ms: int, end_ms: int | None = None) -> list[dict[str, Any]]:
    named = {} if item_id is None else {"item_id": item_id}
    started = {"type": "input_audio_buffer.speech_started", "audio_start_ms": start_ms, **named}
    stopped = {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": end_ms, **named}
    return [started] if end_ms is None else [started, stopped]


def committed(item_id: str | None = None, previous_item_id: str | None = None) -> dict[str, Any]:
    event = {"type": "input_audio_buffer.committed", "previous_item_id": previous_item_id}
    return event if item_id is None else {**event, "item_id": item_id}


def transcription(kind: str, item_id: str, **more: Any) -> dict[str, Any]:
    return {"type": f"conversation.item.input_audio_transcription.{kind}", "item_id": item_id, **more}


def append(machine: Machine, audio: bytes) -> None:
    machine.command(client.InputAudioBufferAppend(audio=audio))


def sound(encoding: Encoding, ms: int) -> bytes:
    return bytes(index * 7 % 251 for index in range(encoding.ms_to_bytes(ms)))


# --- configuration: 1, 3, 4, 5, 7 --------------------------------------------------------------------------------


def test_the_whole_configuration_goes_out_as_one_update_with_its_type() -> None:
    machine = new_machine()
    update = client.SessionUpdate(event_id="event_1", session=session_config({"instructions": "x", "voice": "marin"}))
    [out] = sent(machine.command(update))
    assert Codec().encode(out) == (
        b'{"type":"session.update","event_id":"event_1","session":'
        b'{"type":"realtime","instructions":"x","audio":{"output":{"voice":"marin"}}}}'
    )


def test_an_update_merges_key_by_key_and_null_stays_null() -> None:
    machine = new_machine()
    changes: list[Any] = [{"voice": "marin", "transcription": "m"}, {"speed": 1.5, "transcription": None}]
    for number, change in enumerate(changes):
        machine.command(client.SessionUpdate(event_id=f"event_{number}", session=session_config(change)))
        receive(machine, {"type": "session.updated", "session": {"type": "realtime"}})
    assert machine.config == session_config({"voice": "marin", "speed": 1.5, "transcription": None})


def test_a_change_that_the_server_refuses_leaves_the_configuration_as_it_was() -> None:
    machine = new_machine()
    machine.command(client.SessionUpdate(event_id="event_1", session=SessionConfig(instructions="kept")))
    receive(machine, session_updated(turn_detection=None))
    machine.command(client.SessionUpdate(event_id="event_2", session=SessionConfig(instructions="bad")))
    receive(machine, error("invalid_value", "event_2"))
    assert machine.config == SessionConfig(instructions="kept")
    receive(machine, session_updated(turn_detection=None))
    assert machine.config == SessionConfig(instructions="kept")


def test_definitions_of_tools_stay_when_something_else_is_updated() -> None:
    machine = new_machine()
    tools: list[Any] = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    machine.command(client.SessionUpdate(event_id="event_1", session=session_config({"tools": tools})))
    machine.command(client.SessionUpdate(event_id="event_2", session=session_config({"instructions": "x"})))
    receive(machine, session_updated(), session_updated())
    assert machine.config == session_config({"tools": tools, "instructions": "x"})


@pytest.mark.parametrize("kind", [None, "server_vad", "semantic_vad"])
def test_the_turn_detection_type_is_what_the_server_says(kind: str | None) -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=None if kind is None else {"type": kind}))
    assert machine.turn_detection_type == kind


# --- sending: 10, 11 ---------------------------------------------------------------------------------------------


def test_with_manual_turns_a_response_commits_pending_audio_first_and_once() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=None))
    append(machine, bytes(9600))
    out = create(machine, "event_1")
    assert [type(event) for event in out] == [client.InputAudioBufferCommit, client.ResponseCreate]
    receive(machine, committed("item_1"), created("resp_1", "event_1"), done("resp_1"))
    assert [type(event) for event in create(machine, "event_2")] == [client.ResponseCreate]


def test_with_manual_turns_a_response_that_waits_commits_when_it_goes_out() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=None), created("resp_1"))
    append(machine, bytes(9600))
    assert create(machine, "event_1") == []
    append(machine, bytes(9600))
    out = sent(receive(machine, done("resp_1")))
    assert [type(event) for event in out] == [client.InputAudioBufferCommit, client.ResponseCreate]
    assert machine._input.uncommitted_bytes == 0


@pytest.mark.parametrize("kind", ["server_vad", "semantic_vad"])
def test_with_turn_detection_a_response_never_commits(kind: str) -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection={"type": kind}))
    append(machine, bytes(9600))
    assert [type(event) for event in create(machine, "event_1")] == [client.ResponseCreate]


def test_a_response_beside_the_conversation_commits_nothing() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=None))
    append(machine, bytes(9600))
    assert [type(event) for event in create(machine, "event_1", conversation="none")] == [client.ResponseCreate]


def test_audio_that_was_committed_with_a_message_is_bound_to_its_own_item() -> None:
    machine = new_machine()
    audio = sound(PCM16, 200)
    append(machine, audio)
    item = Message(id="item_text", role="user", content=[InputText(text="Hi")])
    machine.command(client.ConversationItemCreate(event_id="event_1", item=item))
    machine.command(client.InputAudioBufferCommit(event_id="event_2"))
    receive(
        machine,
        added(user_item("item_text")),
        item_done(user_item("item_text")),
        committed("item_audio", "item_text"),
        added(spoken_item("item_audio"), "item_text"),
    )
    assert machine.conversation["item_text"].audio == b""
    assert machine.conversation["item_audio"].audio == audio


# --- what the user says: 12, 13, 14, 45, 55 ----------------------------------------------------------------------


def test_speech_from_250_to_751_ms_is_samples_6000_to_18024() -> None:
    machine = new_machine()
    audio = sound(PCM16, 1000)
    append(machine, audio)
    receive(machine, *speech("item_1", 250, 751), committed("item_1"), added(spoken_item("item_1")))
    assert machine.conversation["item_1"].audio == audio[6000 * 2 : 18024 * 2]


def test_speech_has_its_audio_also_when_the_item_came_before_its_end() -> None:
    machine = new_machine()
    audio = sound(PCM16, 1000)
    append(machine, audio)
    started, stopped = speech("item_1", 250, 751)
    effects = receive(machine, started, added(spoken_item("item_1")), stopped, committed("item_1"))
    assert machine.conversation["item_1"].audio == audio[6000 * 2 : 18024 * 2]
    assert [kinds([each]) for each in effects[2:]] == [["SpeechStopped", "ItemUpdated"], []]


def test_speech_has_its_audio_also_when_it_was_committed_before_its_end() -> None:
    machine = new_machine()
    audio = sound(PCM16, 1000)
    append(machine, audio)
    started, stopped = speech("item_1", 250, 751)
    receive(machine, started, committed("item_1"), stopped, added(spoken_item("item_1")))
    assert machine.conversation["item_1"].audio == audio[6000 * 2 : 18024 * 2]


def test_positions_of_speech_stay_right_when_the_ring_has_given_up_its_beginning() -> None:
    machine = new_machine()
    machine._input._ring.max_bytes = 48000
    audio = sound(PCM16, 3000)
    for start in range(0, len(audio), 960):
        append(machine, audio[start : start + 960])
    receive(machine, *speech("item_1", 2250, 2751), committed("item_1"), added(spoken_item("item_1")))
    assert machine.conversation["item_1"].audio == audio[54000 * 2 : 66024 * 2]


@pytest.mark.parametrize("encoding", [PCMU, PCMA], ids=lambda encoding: encoding.name)
def test_with_g711_the_arithmetic_is_that_of_8000_hz(encoding: Encoding) -> None:
    machine = new_machine()
    output = {"format": {"type": encoding.name}}
    audio_config = {"input": {"format": {"type": encoding.name}}, "output": output}
    receive(machine, {"type": "session.updated", "session": {"type": "realtime", "audio": audio_config}})
    audio = sound(encoding, 1000)
    append(machine, audio)
    receive(machine, *speech("item_1", 250, 751), committed("item_1"), added(spoken_item("item_1")))
    assert machine.conversation["item_1"].audio == audio[2000:6008]
    receive(machine, added(assistant_item("item_2")), audio_delta("item_2", bytes(8000)))
    truncate = client.ConversationItemTruncate(event_id="event_1", item_id="item_2", audio_end_ms=1000)
    assert sent(machine.command(truncate)) == [truncate]
    with pytest.raises(ConfigError, match="has 1000 ms"):
        machine.command(client.ConversationItemTruncate(event_id="event_2", item_id="item_2", audio_end_ms=1001))
    receive(machine, {"type": "conversation.item.truncated", "item_id": "item_2", "audio_end_ms": 514})
    assert machine.conversation["item_2"].audio_held_bytes == 4112


def test_the_start_of_speech_interrupts_exactly_once_and_names_the_latest_answer() -> None:
    machine = new_machine()
    effects = receive(machine, *speech("item_1", 0))
    assert published(effects, updates.Interrupted) == [updates.Interrupted(item_id=None)]
    receive(machine, added(assistant_item("item_2")), added(user_item("item_3")))
    effects = receive(machine, *speech("item_4", 500, 700))
    assert published(effects, updates.Interrupted) == [updates.Interrupted(item_id="item_2")]
    assert kinds(effects) == ["SpeechStarted", "Interrupted", "SpeechStopped"]


@pytest.mark.parametrize("transcript", ["Hello", ""])
def test_a_transcription_that_comes_before_its_item_is_kept_for_it(transcript: str) -> None:
    machine = new_machine()
    [told] = published(
        receive(machine, transcription("completed", "item_1", transcript=transcript)), updates.TranscriptionCompleted
    )
    assert (told.item_id, told.transcript, told.item) == ("item_1", transcript, None)
    receive(machine, added(spoken_item("item_1")), item_done(spoken_item("item_1")))
    assert machine.conversation["item_1"].content[0].transcript == transcript


def test_an_empty_transcript_is_an_empty_transcript() -> None:
    machine = new_machine()
    receive(machine, added(spoken_item("item_1")))
    [part] = machine.conversation["item_1"].content
    before = part.transcript
    effects = receive(machine, transcription("completed", "item_1", transcript=""))
    assert [before, part.transcript] == [None, ""]
    assert kinds(effects) == ["ItemUpdated", "TranscriptionCompleted"]


def test_a_late_input_transcript_stands_before_the_answer_that_it_prompted() -> None:
    machine = new_machine()
    receive(
        machine,
        added(user_item("item_1")),
        *speech("item_2", 0, 100),
        committed("item_2", "item_1"),
        created("resp_1"),
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_3")},
        added(assistant_item("item_3"), "item_2"),
        added(spoken_item("item_2"), None),
        transcription("completed", "item_2", transcript="late"),
    )
    assert ids(machine) == ["item_1", "item_2", "item_3"]
    assert [item.transcript for item in machine.conversation] == ["", "late", ""]


def test_a_failed_transcription_is_told_and_does_not_block_later_turns() -> None:
    machine = new_machine()
    receive(machine, committed("item_1"), added(spoken_item("item_1")))
    effects = receive(
        machine,
        transcription("failed", "item_1", error={"code": "unintelligible"}),
        transcription("failed", "item_9"),
        committed("item_2", "item_1"),
        added(spoken_item("item_2"), "item_1"),
        transcription("completed", "item_2", transcript="Hello"),
    )
    failed = published(effects, updates.TranscriptionFailed)
    assert [(each.item_id, each.error.code, each.item) for each in failed] == [
        ("item_1", "unintelligible", machine.conversation["item_1"]),
        ("item_9", None, None),
    ]
    assert [item.transcript for item in machine.conversation] == ["", "Hello"]


def test_incremental_transcription_appends_and_the_completed_one_revises() -> None:
    machine = new_machine()
    receive(machine, added(spoken_item("item_1")))
    effects = receive(
        machine,
        transcription("delta", "item_1", delta="Hel"),
        transcription("delta", "item_1", delta=""),
        transcription("delta", "item_1"),
        transcription("delta", "item_1", delta="lo", content_index=0),
    )
    told = [update.delta for update in published(effects, updates.ItemUpdated)]
    assert [each.transcript for each in told if each is not None] == ["Hel", "lo"]
    assert machine.conversation["item_1"].transcript == "Hello"
    receive(machine, transcription("completed", "item_1", transcript="Hello!"))
    assert machine.conversation["item_1"].transcript == "Hello!"


def test_overlapping_user_turns_keep_their_own_audio_and_transcript() -> None:
    machine = new_machine()
    audio = sound(PCM16, 1000)
    append(machine, audio)
    receive(
        machine,
        *speech("item_1", 0, 300),
        *speech("item_2", 400),
        transcription("delta", "item_2", delta="two"),
        committed("item_1"),
        transcription("delta", "item_1", delta="one"),
        speech("item_2", 400, 900)[1],
        added(spoken_item("item_1")),
        committed("item_2", "item_1"),
        added(spoken_item("item_2"), "item_1"),
        transcription("delta", "item_1", delta="!"),
    )
    assert [item.transcript for item in machine.conversation] == ["one!", "two"]
    assert machine.conversation["item_1"].audio == audio[: PCM16.ms_to_bytes(300)]
    assert machine.conversation["item_2"].audio == audio[PCM16.ms_to_bytes(400) : PCM16.ms_to_bytes(900)]


# --- items: 15, 16, 17, 18, 19, 20 -------------------------------------------------------------------------------


def test_a_user_item_gives_appended_updated_and_completed() -> None:
    machine = new_machine()
    effects = receive(machine, added(user_item("item_1")), item_done(user_item("item_1")))
    assert kinds(effects) == ["ItemAppended", "ItemUpdated", "ItemCompleted"]


def answer(*, status: str = "completed") -> list[dict[str, Any]]:
    """One spoken answer, in the order that was observed."""
    content = [{"type": "output_audio", "transcript": "Hello"}]
    final = assistant_item("item_1", status) | {"content": content}
    where = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    return [
        created("resp_1"),
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_1")},
        added(assistant_item("item_1")),
        {"type": "response.content_part.added", "part": {"type": "audio", "transcript": ""}, **where},
        {"type": "response.output_audio_transcript.delta", "delta": "Hel", **where},
        audio_delta("item_1", b"abcd", response_id="resp_1"),
        {"type": "response.output_audio_transcript.delta", "delta": "lo", **where},
        audio_delta("item_1", b"efgh", response_id="resp_1"),
        {"type": "response.output_audio.done", **where},
        {"type": "response.output_audio_transcript.done", "transcript": "Hello", **where},
        {"type": "response.content_part.done", "part": {"type": "audio", "transcript": "Hello"}, **where},
        item_done(final),
        {"type": "response.output_item.done", "response_id": "resp_1", "item": final},
        done("resp_1", status, output=[final], usage={"total_tokens": 7}),
    ]


def test_an_assistant_item_is_appended_at_once_and_completed_when_done() -> None:
    machine = new_machine()
    effects = receive(machine, *answer())
    assert kinds(effects) == [
        "ResponseStarted",
        "ItemAppended",
        *["ItemUpdated"] * 4,
        "ItemUpdated",
        "ItemCompleted",
        "ResponseDone",
        "TurnDone",
    ]
    item = machine.conversation["item_1"]
    assert (item.status, item.transcript, item.audio) == ("completed", "Hello", b"abcdefgh")
    assert machine.responses.total_usage.total_tokens == 7


DELTAS: list[tuple[str, str, dict[str, Any]]] = [
    ("audio", "audio", {"type": "response.output_audio.delta"}),
    ("text", "text", {"type": "response.output_text.delta"}),
    ("transcript", "transcript", {"type": "response.output_audio_transcript.delta"}),
    ("arguments", "arguments", {"type": "response.function_call_arguments.delta"}),
    ("arguments", "arguments", {"type": "response.mcp_call_arguments.delta"}),
]


@pytest.mark.parametrize(("field", "attribute", "event"), DELTAS, ids=[each["type"] for _, _, each in DELTAS])
def test_each_delta_gives_one_update_with_one_field_and_the_item_grows_by_it(
    field: str, attribute: str, event: dict[str, Any]
) -> None:
    machine = new_machine()
    receive(machine, added(assistant_item("item_1")))
    grown: list[Any] = []
    for piece in ("ab", "c", "def"):
        delta = base64.b64encode(piece.encode()).decode() if field == "audio" else piece
        effects = receive(machine, {"response_id": "resp_1", "item_id": "item_1", "delta": delta, **event})
        [update] = published(effects, updates.ItemUpdated)
        assert update.delta is not None
        pieces = {name: getattr(update.delta, name) for name in ("audio", "text", "transcript", "arguments")}
        assert [name for name, value in pieces.items() if value is not None] == [field]
        assert update.response_id == "resp_1"
        assert effects[0].event is not None
        grown.append(pieces[field])
        assert getattr(update.item, attribute) == type(pieces[field])().join(grown)


def test_done_events_reconcile_content_arguments_status_and_usage() -> None:
    machine = new_machine()
    where = {"response_id": "resp_1", "item_id": "item_1"}
    receive(
        machine,
        created("resp_1"),
        added(assistant_item("item_1")),
        {"type": "response.output_text.delta", "delta": "He", **where},
        {"type": "response.output_audio_transcript.delta", "content_index": 1, "delta": "wo", **where},
        {"type": "response.output_text.done", "text": "Hello", **where},
        {"type": "response.output_audio_transcript.done", "content_index": 1, "transcript": "world", **where},
    )
    item = machine.conversation["item_1"]
    assert (item.text, item.transcript) == ("Hello", "world")
    receive(machine, {"type": "response.content_part.done", "part": {"type": "text", "text": "Hello!"}, **where})
    assert item.text == "Hello!"
    receive(
        machine,
        added(call_item("item_2"), "item_1"),
        {"type": "response.function_call_arguments.delta", "item_id": "item_2", "delta": '{"a'},
        {"type": "response.function_call_arguments.done", "item_id": "item_2", "arguments": '{"a": 1}'},
    )
    assert machine.conversation["item_2"].arguments == '{"a": 1}'
    final = assistant_item("item_1", "incomplete") | {"content": [{"type": "output_text", "text": "Hello!!"}]}
    effects = receive(
        machine,
        done("resp_1", output=[final, call_item("item_2", '{"a": 2}', "completed")], usage={"total_tokens": 3}),
    )
    assert (item.text, item.status) == ("Hello!!", "incomplete")
    assert (machine.conversation["item_2"].arguments, machine.conversation["item_2"].status) == (
        '{"a": 2}',
        "completed",
    )
    assert machine.responses.usage is not None
    assert machine.responses.usage.total_tokens == 3
    assert kinds(effects)[:4] == ["ItemUpdated", "ItemCompleted"] * 2


def test_a_done_without_its_text_leaves_what_the_deltas_gave() -> None:
    machine = new_machine()
    where = {"item_id": "item_1", "content_index": 0}
    receive(
        machine,
        added(assistant_item("item_1")),
        {"type": "response.output_text.delta", "delta": "Hello", **where},
        {"type": "response.output_text.done", **where},
        {"type": "response.output_audio_transcript.delta", "delta": "world", "item_id": "item_1", "content_index": 1},
        {"type": "response.output_audio_transcript.done", "item_id": "item_1", "content_index": 1},
        {"type": "response.function_call_arguments.delta", "item_id": "item_1", "delta": "{}"},
        {"type": "response.function_call_arguments.done", "item_id": "item_1"},
        {"type": "response.content_part.done", **where},
    )
    item = machine.conversation["item_1"]
    assert (item.text, item.transcript, item.arguments) == ("Hello", "world", "{}")


def test_what_a_response_states_after_its_items_were_final_is_told() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"), item_done(assistant_item("item_1", "completed")))
    effects = receive(machine, done("resp_1", output=[assistant_item("item_1", "incomplete")]))
    assert kinds(effects)[0] == "ItemUpdated"
    assert "ItemCompleted" not in kinds(effects)
    assert machine.conversation["item_1"].status == "incomplete"


def test_an_item_truncated_at_514_ms_keeps_12336_samples_and_no_transcript() -> None:
    machine = new_machine()
    where = {"item_id": "item_1", "content_index": 0}
    audio = sound(PCM16, 1000)
    receive(
        machine,
        added(assistant_item("item_1")),
        audio_delta("item_1", audio),
        {"type": "response.output_audio_transcript.delta", "delta": "Hello", **where},
    )
    effects = receive(machine, {"type": "conversation.item.truncated", "audio_end_ms": 514, **where})
    item = machine.conversation["item_1"]
    assert item.audio == audio[: 12336 * 2]
    assert (item.transcript, item.content[0].transcript, item.content[0].truncated) == ("", "", True)
    assert published(effects, updates.ItemTruncated) == [updates.ItemTruncated(item=item, audio_end_ms=514)]
    receive(
        machine,
        {"type": "response.output_audio_transcript.done", "transcript": "Hello", **where},
        item_done(
            assistant_item("item_1", "completed") | {"content": [{"type": "output_audio", "transcript": "Hello"}]}
        ),
    )
    assert item.transcript == "", "what was cut does not come back"


def test_a_deleted_item_goes_and_is_told() -> None:
    machine = new_machine()
    receive(machine, added(user_item("item_1")), audio_delta("item_1", b"ab"))
    item = machine.conversation["item_1"]
    effects = receive(machine, {"type": "conversation.item.deleted", "item_id": "item_1"})
    assert published(effects, updates.ItemDeleted) == [updates.ItemDeleted(item=item)]
    assert ids(machine) == []
    assert machine.conversation.retained_audio_bytes == 0
    assert item.audio == b"ab"


STRAY: list[dict[str, Any]] = [
    audio_delta("item_9", b"ab"),
    {"type": "response.output_text.delta", "item_id": "item_9", "delta": "x"},
    {"type": "response.output_text.done", "item_id": "item_9", "text": "x"},
    {"type": "response.output_audio_transcript.delta", "item_id": "item_9", "delta": "x"},
    {"type": "response.output_audio_transcript.done", "item_id": "item_9", "transcript": "x"},
    {"type": "response.function_call_arguments.delta", "item_id": "item_9", "delta": "x"},
    {"type": "response.function_call_arguments.done", "item_id": "item_9", "arguments": "x"},
    {"type": "response.content_part.added", "item_id": "item_9", "part": {"type": "text", "text": "x"}},
    {"type": "conversation.item.truncated", "item_id": "item_9", "audio_end_ms": 7},
    {"type": "conversation.item.deleted", "item_id": "item_9"},
]


@pytest.mark.parametrize("event", STRAY, ids=[event["type"] for event in STRAY])
@pytest.mark.parametrize("deleted", [False, True], ids=["unknown", "deleted"])
def test_an_event_of_an_item_that_is_not_there_goes_through_and_changes_nothing(
    event: dict[str, Any], deleted: bool
) -> None:
    machine = new_machine()
    if deleted:
        receive(machine, added(user_item("item_9")), {"type": "conversation.item.deleted", "item_id": "item_9"})
    [effects] = receive(machine, event)
    assert effects.event == said(event)
    assert effects.publish == ()
    assert ids(machine) == []


@pytest.mark.parametrize("last_word", [item_done, lambda item: {"type": "response.output_item.done", "item": item}])
def test_a_deleted_item_does_not_come_back_with_its_last_word(last_word: Any) -> None:
    machine = new_machine()
    receive(machine, added(assistant_item("item_1")), {"type": "conversation.item.deleted", "item_id": "item_1"})
    [effects] = receive(machine, last_word(assistant_item("item_1", "completed")))
    assert (effects.publish, ids(machine)) == ((), [])
    receive(machine, added(assistant_item("item_1")), last_word(assistant_item("item_1", "completed")))
    assert machine.conversation["item_1"].completed, "it was made anew"


def test_what_is_remembered_of_deleted_items_is_bounded() -> None:
    machine = new_machine()
    for number in range(1000):
        receive(machine, {"type": "conversation.item.deleted", "item_id": f"item_{number}"})
    assert len(machine._items._deleted) <= 256


def test_a_second_added_updates_the_item_in_place() -> None:
    machine = new_machine()
    receive(machine, added(user_item("item_1")), added(assistant_item("item_2"), "item_1"))
    item = machine.conversation["item_2"]
    effects = receive(machine, added(assistant_item("item_2", "completed"), "root"))
    assert kinds(effects) == ["ItemUpdated"]
    assert machine.conversation["item_2"] is item
    assert item.status == "completed"
    assert ids(machine) == ["item_2", "item_1"]
    assert kinds(receive(machine, added(assistant_item("item_2", "completed")))) == []


# --- errors: 34 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_id", [None, "event_of_nobody"])
def test_an_error_that_answers_nothing_reaches_everybody(event_id: str | None) -> None:
    machine = new_machine()
    machine.command(client.InputAudioBufferClear(event_id="event_1"))
    effects = receive(machine, error("server_error", event_id))
    [reported] = published(effects, updates.ErrorReported)
    assert (reported.error.code, reported.error.event_id) == ("server_error", event_id)
    assert settled(effects) == []
    assert len(machine._requests) == 1


# --- responses: 41, 47, 48, 50 -----------------------------------------------------------------------------------


def test_a_late_done_of_a_cancelled_response_does_not_clear_a_newer_one() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    cancel(machine, "event_1")
    receive(machine, created("resp_2"))
    create(machine, "event_2")
    effects = receive(machine, done("resp_1", "cancelled"))
    assert settled(effects) == ["event_1"]
    assert sent(effects) == []
    [out] = sent(cancel(machine, "event_3"))
    assert out.response_id == "resp_2"
    assert [type(event) for event in sent(receive(machine, done("resp_2", "cancelled")))] == [client.ResponseCreate]


MALFORMED_DONE = [
    b'{"type": "response.done"}',
    b'{"type": "response.done", "response": null}',
    b'{"type": "response.done", "response": 7}',
    b'{"type": "response.done", "response": {"id": "resp_1", "usage": "many"}}',
    b'{"type": "response.done", "response": {"id": "resp_1", "usage": {"total_tokens": []}, "status": 7}}',
    b'{"type": "response.done", "response": {"id": null, "usage": null}}',
]


@pytest.mark.parametrize("frame", MALFORMED_DONE)
def test_a_malformed_done_still_releases_the_response(frame: bytes) -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    cancel(machine, "event_1")
    create(machine, "event_2")
    event: Any = Codec().decode(frame)
    effects = machine.receive(event)
    assert settled([effects]) == ["event_1"]
    assert [type(event) for event in sent(effects)] == [client.ResponseCreate]


def test_a_malformed_created_still_begins_the_response() -> None:
    machine = new_machine()
    create(machine, "event_1")
    effects = receive(machine, {"type": "response.created"})
    assert settled(effects) == ["event_1"]
    [out] = sent(cancel(machine, "event_2"))
    assert out.response_id is msgspec.UNSET
    assert settled(receive(machine, done("resp_1", "cancelled"))) == ["event_2"]
    assert not machine.responses.busy
    effects = receive(machine, {"type": "response.created"}, done("resp_2"))
    assert not machine.responses.busy


def test_a_cancel_before_created_takes_effect_when_the_id_is_known_and_its_deltas_are_dropped() -> None:
    machine = new_machine()
    create(machine, "event_1")
    assert sent(cancel(machine, "event_2")) == []
    assert sent(cancel(machine, "event_3")) == []
    effects = receive(machine, created("resp_1", "event_1"))
    assert sent(effects) == [client.ResponseCancel(event_id="event_2", response_id="resp_1")]
    effects = receive(
        machine,
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_1")},
        audio_delta("item_1", b"ab", response_id="resp_1"),
        {"type": "response.output_text.delta", "item_id": "item_1", "response_id": "resp_1", "delta": "x"},
        {"type": "response.output_audio_transcript.delta", "item_id": "item_1", "response_id": "resp_1", "delta": "x"},
        {"type": "response.function_call_arguments.delta", "item_id": "item_1", "response_id": "resp_1", "delta": "x"},
    )
    assert kinds(effects) == ["ItemAppended"]
    assert all(each.event is not None for each in effects)
    effects = receive(machine, done("resp_1", "cancelled"))
    assert sorted(settled(effects)) == ["event_2", "event_3"]


def test_cancelling_when_idle_sends_nothing_and_is_settled_at_once() -> None:
    machine = new_machine()
    effects = cancel(machine, "event_1")
    assert (sent(effects), settled([effects])) == ([], ["event_1"])
    receive(machine, created("resp_1"), done("resp_1"))
    effects = cancel(machine, "event_2", "resp_1")
    assert (sent(effects), settled([effects])) == ([], ["event_2"])


def test_a_second_cancel_waits_with_the_first_and_does_not_go_out() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    assert len(sent(cancel(machine, "event_1"))) == 1
    effects = cancel(machine, "event_2", "resp_1")
    assert (sent(effects), settled([effects])) == ([], [])
    effects = receive(machine, done("resp_1", "cancelled"))
    assert settled(effects) == ["event_1", "event_2"]
    assert {each.result.id for each in effects[0].settle} == {"resp_1"}


def test_a_cancel_of_another_response_while_one_is_wanted_is_nothing() -> None:
    machine = new_machine()
    create(machine, "event_1")
    cancel(machine, "event_2")
    assert settled([cancel(machine, "event_3", "resp_old")]) == ["event_3"]


def test_a_cancel_that_crosses_done_on_the_wire_is_no_error() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    cancel(machine, "event_1", "resp_1")
    machine._requests.rename("cancel", "resp_1", "resp_other")  # as if its done had not been for this cancel
    [effects] = receive(machine, error("response_cancel_not_active", "event_1"))
    assert [(each.event_id, each.error) for each in effects.settle] == [("event_1", None)]
    assert effects.publish == ()


def test_a_cancel_of_a_request_that_is_refused_is_settled_with_it() -> None:
    machine = new_machine()
    create(machine, "event_1")
    cancel(machine, "event_2")
    [effects] = receive(machine, error("invalid_value", "event_1"))
    assert [(each.event_id, each.error is None) for each in effects.settle] == [("event_1", False), ("event_2", True)]


def test_a_cancel_is_not_settled_by_the_end_of_another_response() -> None:
    machine = new_machine()
    create(machine, "event_1", conversation="none")
    receive(machine, created("resp_1", "event_1", None))
    create(machine, "event_2")
    cancel(machine, "event_3")
    cancel(machine, "event_4", "resp_1")
    receive(machine, created("resp_2", "event_2"))
    assert settled(receive(machine, done("resp_1"))) == ["event_4"]
    assert settled(receive(machine, done("resp_2", "cancelled"))) == ["event_3"]


def test_a_create_after_a_cancel_waits_for_the_cancelled_done() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    cancel(machine, "event_1")
    assert create(machine, "event_2") == []
    out = sent(receive(machine, done("resp_1", "cancelled")))
    assert [event.event_id for event in out] == ["event_2"]


def test_a_request_that_lost_the_race_goes_out_again_and_is_settled_then() -> None:
    machine = new_machine()
    create(machine, "event_0")
    receive(machine, created("resp_0", "event_0"), done("resp_0"))
    create(machine, "event_1")
    effects = receive(machine, created("resp_1"), error("conversation_already_has_active_response", "event_1"))
    assert (settled(effects), sent(effects), published(effects, updates.ErrorReported)) == ([], [], [])
    [again] = sent(receive(machine, done("resp_1")))
    assert again.event_id == "event_1"
    assert settled(receive(machine, created("resp_2", "event_1"))) == ["event_1"]


def test_a_lost_race_that_names_no_event_is_that_of_the_conversation() -> None:
    machine = new_machine()
    create(machine, "event_1", conversation="none")
    create(machine, "event_2")
    effects = receive(machine, created("resp_1"), error("conversation_already_has_active_response"))
    assert settled(effects) == []
    assert [event.event_id for event in sent(receive(machine, done("resp_1")))] == ["event_2"]


def test_a_request_that_nobody_waits_for_any_more_never_goes_out() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    create(machine, "event_1")
    machine.responses.forget("event_1")
    assert sent(receive(machine, done("resp_1"))) == []


# --- responses beside the conversation ---------------------------------------------------------------------------


def beside(machine: Machine) -> list[Any]:
    receive(machine, created("resp_0"))
    create(machine, "event_1", conversation="none")
    return receive(
        machine,
        created("resp_1", "event_1", None),
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_1")},
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_1")},
        audio_delta("item_1", b"abcd", response_id="resp_1"),
    )


def test_items_beside_the_conversation_have_deltas_but_no_place() -> None:
    machine = new_machine()
    effects = beside(machine)
    assert kinds(effects) == ["ResponseStarted", "ItemAppended", "ItemUpdated"]
    [appended] = published(effects, updates.ItemAppended)
    assert (appended.item.audio, appended.item.in_conversation) == (b"abcd", False)
    assert machine.conversation.retained_audio_bytes == 4
    final = assistant_item("item_1", "completed")
    effects = receive(
        machine,
        {"type": "response.output_item.done", "response_id": "resp_1", "item": final},
        done("resp_1", output=[final]),
    )
    assert kinds(effects, without=(updates.TurnDone,)) == ["ItemUpdated", "ItemCompleted", "ResponseDone"]
    assert ids(machine) == []
    assert machine.conversation.retained_audio_bytes == 0
    assert kinds(receive(machine, done("resp_1"), created("resp_1", "event_1", None))) == []
    assert machine.responses.sequencer.active_id == "resp_0"


def test_an_item_beside_the_conversation_that_is_added_comes_into_it() -> None:
    machine = new_machine()
    item = published(beside(machine), updates.ItemAppended)[0].item
    receive(machine, added(assistant_item("item_1")), done("resp_1"))
    assert machine.conversation["item_1"] is item
    assert item.in_conversation
    assert machine.conversation.retained_audio_bytes == 4


def test_a_response_beside_the_conversation_is_cancelled_by_its_id_and_once() -> None:
    machine = new_machine()
    beside(machine)
    assert [event.response_id for event in sent(cancel(machine, "event_2", "resp_1"))] == ["resp_1"]
    assert sent(cancel(machine, "event_3", "resp_1")) == []
    assert kinds(receive(machine, audio_delta("item_1", b"ab", response_id="resp_1"))) == []
    assert settled(receive(machine, done("resp_1", "cancelled"))) == ["event_2", "event_3"]


def test_a_response_of_another_connection_beside_the_conversation_takes_no_turn() -> None:
    machine = new_machine()
    receive(machine, created("resp_0"), done("resp_0"), created("resp_1", None, None))
    assert [type(event) for event in create(machine, "event_1")] == [client.ResponseCreate]


def test_a_response_beside_the_conversation_whose_created_never_came_is_over_with_its_done() -> None:
    machine = new_machine()
    create(machine, "event_1", conversation="none")
    create(machine, "event_2")
    effects = receive(machine, done("resp_1", metadata={PRIVATE_KEY: "event_1"}))
    assert settled(effects) == ["event_1"]
    assert machine.responses.sequencer.sent is not None
    effects = receive(machine, done("resp_2", metadata={PRIVATE_KEY: "event_2"}))
    assert settled(effects) == ["event_2"]
    assert not machine.responses.busy


# --- the private pair --------------------------------------------------------------------------------------------


def test_the_private_pair_goes_out_and_is_never_shown() -> None:
    machine = new_machine()
    [out] = create(machine, "event_1", metadata={"mine": "1"})
    assert out.response.metadata == {"mine": "1", PRIVATE_KEY: "event_1"}
    shown: Any = without_token(out)
    assert shown.response.metadata == {"mine": "1"}
    pairs = {"mine": "1", PRIVATE_KEY: "event_1"}
    response = {"id": "resp_1", "metadata": pairs}
    effects = receive(
        machine, {"type": "response.created", "response": response}, {"type": "response.done", "response": response}
    )
    assert {str(update.response.metadata) for update in published(effects, updates.ResponseStarted)} == {
        "{'mine': '1'}"
    }
    assert {str(update.response.metadata) for update in published(effects, updates.ResponseDone)} == {"{'mine': '1'}"}
    assert [each.event.response.metadata for each in effects] == [{"mine": "1"}] * 2
    assert effects[0].settle[0].result.metadata == {"mine": "1"}


def test_what_has_no_private_pair_is_shown_as_it_is() -> None:
    events: list[client.ClientEvent] = [
        client.InputAudioBufferClear(),
        client.ResponseCreate(),
        client.ResponseCreate(response=ResponseParams()),
        client.ResponseCreate(response=ResponseParams(metadata={"mine": "1"})),
    ]
    for event in events:
        assert without_token(event) is event
    machine = new_machine()
    [bare] = create(machine, "event_1")
    assert without_token(bare) == client.ResponseCreate(event_id="event_1")
    [spoken] = create(machine, "event_2", conversation="none")
    assert without_token(spoken) == client.ResponseCreate(
        event_id="event_2", response=ResponseParams(conversation="none")
    )


def test_the_private_key_cannot_be_used_by_the_program() -> None:
    machine = new_machine()
    with pytest.raises(ConfigError, match=PRIVATE_KEY):
        create(machine, "event_1", metadata={PRIVATE_KEY: "x"})
    assert not machine.responses.busy


def test_with_sixteen_pairs_of_its_own_a_request_is_recognised_as_the_only_one() -> None:
    machine = new_machine()
    pairs = {str(number): "" for number in range(16)}
    [out] = create(machine, "event_1", metadata=pairs)
    assert out.response.metadata == pairs
    assert settled(receive(machine, created("resp_1"))) == ["event_1"]


# --- 51: what was not sent or was refused leaves nothing ---------------------------------------------------------


def test_what_is_refused_leaves_no_item_no_audio_and_no_place() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=None))
    item = Message(id="item_1", role="user", content=[InputText(text="Hi")])
    machine.command(client.ConversationItemCreate(event_id="event_1", item=item, previous_item_id="root"))
    append(machine, bytes(960))
    machine.command(client.InputAudioBufferCommit(event_id="event_2"))
    effects = receive(machine, error("invalid_value", "event_1"), error("input_audio_buffer_commit_empty", "event_2"))
    assert settled(effects) == ["event_1", "event_2"]
    assert ids(machine) == []
    assert not machine.conversation.has_place("item_1")
    assert machine._input.uncommitted_bytes == 960
    machine.command(client.ConversationItemCreate(event_id="event_3", item=item))
    receive(machine, added(user_item("item_0")), added(user_item("item_1"), "item_0"))
    assert ids(machine) == ["item_0", "item_1"]


# --- faults: 4, 6, 11, 12, 13, 14, 26 ----------------------------------------------------------------------------


def test_a_connection_that_is_lost_in_mid_response_leaves_the_item_incomplete() -> None:
    machine = new_machine()
    receive(machine, *answer()[:8])
    effects = machine.connection_ended(code=None, reason="", cause=None, unix_time=0)
    item = machine.conversation["item_1"]
    assert (item.status, item.transcript, item.audio) == ("incomplete", "Hello", b"abcdefgh")
    assert [update.item for update in published([effects], updates.ItemUpdated)] == [item]
    assert type(effects.failure) is ConnectionLost


def test_a_session_that_expires_says_so_whatever_way_it_is_told() -> None:
    machine = new_machine()
    receive(machine, {"type": "error", "error": {"code": "session_expired", "message": "60 minutes are over"}})
    by_error = machine.connection_ended(code=None, reason="", cause=None, unix_time=0).failure
    assert type(by_error) is SessionExpired
    assert "60 minutes are over" in str(by_error)
    reason = "Your session hit the maximum duration of 60 minutes."
    by_reason = new_machine().connection_ended(code=1001, reason=reason, cause=None, unix_time=0).failure
    assert type(by_reason) is SessionExpired
    assert (by_reason.code, by_reason.reason) == (1001, reason)
    late = new_machine()
    receive(late, {"type": "session.created", "session": {"type": "realtime", "expires_at": 3600}})
    by_time = late.connection_ended(code=1001, reason="", cause=None, unix_time=3599).failure
    assert type(by_time) is SessionExpired


def test_unknown_events_items_and_parts_pass_through() -> None:
    machine = new_machine()
    frames: list[dict[str, Any]] = [
        {"type": "response.sung.delta", "delta": "la"},
        {"type": "conversation.item.added", "item": {"id": "item_1", "type": "dance", "steps": 7}},
        added(assistant_item("item_2") | {"content": [{"type": "output_smell", "smell": "rose"}]}, "item_1"),
        {"type": "response.content_part.added", "item_id": "item_2", "part": {"type": "taste", "taste": "sweet"}},
    ]
    for frame in frames:
        event: Any = Codec().decode(msgspec.json.encode(frame))
        assert machine.receive(event).event is not None
    assert [(item.id, item.type) for item in machine.conversation] == [("item_1", "dance"), ("item_2", "message")]
    assert [part.type for part in machine.conversation["item_2"].content] == ["output_smell"]


def test_created_and_done_twice_are_told_once() -> None:
    machine = new_machine()
    create(machine, "event_1")
    usage = {"total_tokens": 5}
    once = [created("resp_1", "event_1"), done("resp_1", usage=usage)]
    effects = receive(machine, *[event for event in once for _ in range(3)])
    assert kinds(effects) == ["ResponseStarted", "ResponseDone", "TurnDone"]
    assert all(each.event is not None for each in effects)
    assert machine.responses.total_usage.total_tokens == 5
    assert settled(effects) == ["event_1"]


def test_a_second_created_does_not_answer_another_request() -> None:
    machine = new_machine()
    receive(machine, created("resp_1"))
    create(machine, "event_1", conversation="none")
    assert settled(receive(machine, created("resp_1"))) == []


@pytest.mark.parametrize("echoes", [True, False])
def test_a_response_whose_created_never_came_is_over_with_its_done(echoes: bool) -> None:
    machine = new_machine()
    create(machine, "event_1")
    metadata = {PRIVATE_KEY: "event_1"} if echoes else None
    assert create(machine, "event_2") == []
    effects = receive(machine, done("resp_1", metadata=metadata))
    assert settled(effects) == ["event_1"]
    assert [event.event_id for event in sent(effects)] == ["event_2"]


def test_the_servers_own_response_whose_created_never_came_does_not_answer_a_request() -> None:
    machine = new_machine()
    create(machine, "event_0")
    receive(machine, created("resp_0", "event_0"), done("resp_0"))
    create(machine, "event_1")
    assert settled(receive(machine, done("resp_9"))) == []
    assert settled(receive(machine, created("resp_1", "event_1"))) == ["event_1"]


def test_an_item_with_an_unknown_place_is_appended_and_added_wins_over_done() -> None:
    machine = new_machine()
    receive(
        machine,
        added(user_item("item_1")),
        added(user_item("item_2"), "item_1"),
        added(user_item("item_3"), "item_1"),
        item_done(user_item("item_3"), None),
        item_done(user_item("item_3"), "item_2"),
        added(user_item("item_4"), "item_nobody_knows"),
        item_done(user_item("item_5"), "item_1"),
    )
    assert ids(machine) == ["item_1", "item_5", "item_3", "item_2", "item_4"]


@pytest.mark.parametrize(
    "frame", [b"{", b"\xff", b"7", b'{"type": 7}', b'{"type": "conversation.item.deleted"}', b'{"type": "error"}']
)
def test_a_malformed_frame_is_reported_and_a_run_of_them_ends_the_session(frame: bytes) -> None:
    machine = new_machine()
    issue: Any = Codec().decode(frame)
    for number in range(9):
        effects = machine.receive(issue)
        assert [type(update) for update in effects.publish] == [ProtocolIssue]
        assert (effects.failure, machine.malformed_frames) == (None, number + 1)
    failure = machine.receive(issue).failure
    assert type(failure) is ProtocolError
    assert "10 malformed frames" in str(failure)


@pytest.mark.parametrize("good", [b'{"type": "rate_limits.updated"}', b'{"type": "new.event"}', MALFORMED_DONE[3]])
def test_malformed_frames_between_good_ones_do_not_end_the_session(good: bytes) -> None:
    machine = new_machine()
    for _ in range(30):
        for frame in (b"{", good):
            event: Any = Codec().decode(frame)
            assert machine.receive(event).failure is None


def test_what_makes_sense_of_a_malformed_event_takes_effect() -> None:
    machine = new_machine()
    event: Any = Codec().decode(
        b'{"type": "response.created", "response": {"id": "resp_1", "conversation_id": "c", "usage": "many"}}'
    )
    assert kinds([machine.receive(event)]) == ["ProtocolIssue", "ResponseStarted"]
    assert machine.responses.sequencer.active_id == "resp_1"


# --- compatible servers: trap 12 ---------------------------------------------------------------------------------


def came(item: dict[str, Any], previous_item_id: str | None = None) -> dict[str, Any]:
    return {"type": "conversation.item.created", "previous_item_id": previous_item_id, "item": item}


def test_a_server_that_says_created_for_added_and_done_completes_items_of_the_user_with_it() -> None:
    machine = new_machine()
    effects = receive(machine, came(user_item("item_1")), came(user_item("item_2", status=None), "item_1"))
    assert kinds(effects) == ["ItemAppended", "ItemUpdated", "ItemCompleted"] * 2
    assert ids(machine) == ["item_1", "item_2"]


@pytest.mark.parametrize(
    "item",
    [
        assistant_item("item_1"),
        assistant_item("item_1", "completed"),
        call_item("item_1"),
        call_item("item_1", status=None),
    ],
)
def test_an_item_that_the_model_fills_is_not_final_with_created(item: dict[str, Any]) -> None:
    machine = new_machine()
    assert kinds(receive(machine, created("resp_1"), came(item))) == ["ResponseStarted", "ItemAppended"]
    machine.responses.tools.calls.tools = {"get_weather": ToolPolicy(runs=False)}
    final = {**item, "status": "completed"}
    effects = receive(machine, {"type": "response.output_item.done", "response_id": "resp_1", "item": final})
    assert kinds(effects) == ["ItemUpdated", "ItemCompleted"]


def test_an_assistants_item_that_the_program_made_is_final_with_created() -> None:
    machine = new_machine()
    item = Message(id="item_1", role="assistant")
    machine.command(client.ConversationItemCreate(event_id="event_1", item=item))
    effects = receive(machine, came(assistant_item("item_1", "completed")))
    assert kinds(effects) == ["ItemAppended", "ItemUpdated", "ItemCompleted"]
    assert settled(effects) == ["event_1"]


def test_a_server_that_keeps_no_ids_answers_items_in_order() -> None:
    machine = new_machine()
    for number in (1, 2):
        item = Message(id=f"mine_{number}", role="user", content=[InputText(text="Hi")])
        machine.command(client.ConversationItemCreate(event_id=f"event_{number}", item=item))
    effects = receive(machine, added(user_item("theirs_1")), item_done(user_item("theirs_1")))
    assert settled(effects) == ["event_1"]
    assert effects[0].settle[0].result is machine.conversation["theirs_1"]
    assert settled(receive(machine, added(user_item("theirs_2"), "theirs_1"))) == ["event_2"]


def test_a_server_that_keeps_no_ids_and_says_no_place_puts_items_where_they_were_wanted() -> None:
    machine = new_machine()
    receive(machine, added(user_item("item_1")), added(user_item("item_2"), "item_1"))
    for number, place in enumerate(["root", "item_1"]):
        item = Message(id=f"mine_{number}", role="user", content=[InputText(text="Hi")])
        machine.command(client.ConversationItemCreate(event_id=f"event_{number}", item=item, previous_item_id=place))
    receive(machine, added(user_item("theirs_1")), added(user_item("theirs_2")))
    assert ids(machine) == ["theirs_1", "item_1", "theirs_2", "item_2"]


def test_what_the_server_makes_itself_answers_no_command() -> None:
    machine = new_machine()
    audio: Any = [{"type": "input_audio", "transcript": None}]
    said_item: Any = msgspec.convert({"type": "message", "id": "mine_1", "role": "user", "content": audio}, Message)
    machine.command(client.ConversationItemCreate(event_id="event_1", item=said_item))
    seeded = Message(id="mine_2", role="assistant")
    machine.command(client.ConversationItemCreate(event_id="event_2", item=seeded))
    effects = receive(
        machine,
        committed("item_1"),
        added(spoken_item("item_1")),
        created("resp_1"),
        {"type": "response.output_item.added", "response_id": "resp_1", "item": assistant_item("item_2")},
        added(assistant_item("item_2"), "item_1"),
        item_done(assistant_item("item_2", "completed")),
    )
    assert settled(effects) == []
    assert settled(receive(machine, added(spoken_item("mine_1")), added(assistant_item("mine_2")))) == [
        "event_1",
        "event_2",
    ]


def test_a_server_that_names_no_item_on_committed_still_binds_the_audio() -> None:
    machine = new_machine()
    audio = sound(PCM16, 1000)
    append(machine, audio)
    effects = receive(machine, *speech("item_1", 250, 751), committed(), came(spoken_item("item_1")))
    assert machine.conversation["item_1"].audio == audio[12000:36048]
    assert settled(effects) == []


def test_a_server_that_names_no_item_at_all_gives_no_audio_but_goes_on() -> None:
    machine = new_machine()
    append(machine, sound(PCM16, 1000))
    machine.command(client.InputAudioBufferCommit(event_id="event_1"))
    effects = receive(machine, committed())
    assert [(each.event_id, each.result) for each in effects[0].settle] == [("event_1", None)]
    effects = receive(machine, *speech(None, 250, 751), committed(), came(spoken_item("item_1")))
    assert kinds(effects)[-3:] == ["ItemAppended", "ItemUpdated", "ItemCompleted"]


def test_a_server_that_names_no_item_on_deleted_deletes_in_order() -> None:
    machine = new_machine()
    receive(machine, added(user_item("item_1")), added(user_item("item_2"), "item_1"))
    for number in (1, 2):
        machine.command(client.ConversationItemDelete(event_id=f"event_{number}", item_id=f"item_{number}"))
    assert settled(receive(machine, {"type": "conversation.item.deleted", "item_id": ""})) == ["event_1"]
    assert ids(machine) == ["item_2"]


def test_a_server_that_leaves_out_parts_names_and_usage_gives_the_same_conversation() -> None:
    machine = new_machine()
    machine.responses.tools.calls.tools = {"get_weather": ToolPolicy(runs=False)}
    receive(
        machine,
        {"type": "response.created", "response": {"id": "resp_1"}},
        came(assistant_item("item_1")),
        {"type": "response.content_part.added", "item_id": "item_1"},
        {"type": "response.output_text.delta", "item_id": "item_1", "delta": "Hello"},
        {"type": "response.content_part.done", "item_id": "item_1", "part": {"type": "output_text", "text": "Hello"}},
        came(call_item("item_2", status=None), "item_1"),
        {"type": "response.function_call_arguments.done", "item_id": "item_2", "arguments": "{}"},
        {"type": "response.output_item.done", "item": assistant_item("item_1", "completed")},
        transcription("completed", "item_9", transcript="x"),
        {"type": "response.done", "response": {"id": "resp_1"}},
    )
    message, call = machine.conversation
    assert (message.text, message.status) == ("Hello", "completed")
    assert (call.name, call.arguments, call.call_id) == ("get_weather", "{}", "call_1")
    assert machine.responses.usage is None
    assert not machine.responses.busy


def test_a_server_that_does_not_echo_metadata_answers_the_only_request() -> None:
    machine = new_machine()
    create(machine, "event_1")
    assert settled(receive(machine, created("resp_1"))) == ["event_1"]
    assert not machine._items.beside


@hypothesis_settings(max_examples=50)
@given(pieces=st.lists(st.sampled_from(["a", "ü", "\N{GRINNING FACE}", " "]), max_size=20))
def test_text_is_the_sum_of_its_deltas(pieces: list[str]) -> None:
    machine = new_machine()
    receive(machine, added(assistant_item("item_1")))
    for piece in pieces:
        receive(machine, {"type": "response.output_text.delta", "item_id": "item_1", "delta": piece})
    assert machine.conversation["item_1"].text == "".join(pieces)
