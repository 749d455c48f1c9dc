"""Audio of the user: when it is committed, what belongs to which item, what was said."""

import pytest

from tests.state.behaviours.events import (
    append,
    committed,
    create,
    created,
    done,
    ids,
    kinds,
    sound,
    speech,
    transcription,
)
from tests.state.talks import (
    added,
    assistant_item,
    audio_delta,
    item_done,
    new_machine,
    published,
    receive,
    sent,
    session_updated,
    spoken_item,
    user_item,
)
from trio_realtime.audio import PCM16, PCMA, PCMU, Encoding
from trio_realtime.errors import ConfigError
from trio_realtime.state import updates
from trio_realtime.wire import client_events as client
from trio_realtime.wire.items import InputText, Message

# --- sending ---------------------------------------------------------------------------------------------------------


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


# --- what the user says ----------------------------------------------------------------------------------------------


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
