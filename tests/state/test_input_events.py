"""What the server says of the user's speech: exactly what is told, bound and answered."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.state import updates
from trio_realtime.state.effects import Effects
from trio_realtime.state.machine import Machine
from trio_realtime.state.requests import Settled
from trio_realtime.wire import client_events as client, server_events as server

from .talks import added, assistant_item, new_machine, said, spoken_item, user_item

TRANSCRIPTION = "conversation.item.input_audio_transcription"
AUDIO = bytes(range(240)) * 200  # a second

TWO_PARTS = user_item("i1") | {"content": [{"type": "input_audio"}, {"type": "input_audio"}]}


def hears(machine: Machine, kind: str, **more: Any) -> tuple[Effects, Any]:
    event = said({"type": kind, **more})
    return machine.receive(event), event


def with_item(item: dict[str, Any]) -> Machine:
    machine = new_machine()
    machine.receive(said(added(item)))
    return machine


def appended(machine: Machine, audio: bytes = AUDIO) -> Machine:
    machine.command(client.InputAudioBufferAppend(audio=audio))
    return machine


# --- what was understood --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 1])
def test_a_piece_of_a_transcript_grows_the_part_that_it_names(index: int) -> None:
    machine = with_item(TWO_PARTS)
    item = machine.conversation["i1"]
    effects, event = hears(machine, f"{TRANSCRIPTION}.delta", item_id="i1", content_index=index, delta="Hel")
    delta = updates.Delta(transcript="Hel", content_index=index)
    assert effects == Effects(publish=(updates.ItemUpdated(item=item, delta=delta),), event=event)
    assert [part.transcript for part in item.content] == (["Hel", None] if index == 0 else [None, "Hel"])


@pytest.mark.parametrize(("item_id", "delta"), [("i1", ""), ("i9", "Hel")])
def test_a_piece_that_says_nothing_or_comes_before_its_item_is_told_to_nobody(item_id: str, delta: str) -> None:
    effects, event = hears(with_item(TWO_PARTS), f"{TRANSCRIPTION}.delta", item_id=item_id, delta=delta)
    assert effects == Effects(event=event)


@pytest.mark.parametrize("index", [0, 1])
def test_a_transcript_is_told_with_its_item_and_what_it_cost(index: int) -> None:
    machine = with_item(TWO_PARTS)
    item = machine.conversation["i1"]
    usage = {"type": "duration", "seconds": 2}
    effects, event = hears(
        machine, f"{TRANSCRIPTION}.completed", item_id="i1", content_index=index, transcript="Hello", usage=usage
    )
    assert event.usage is not None
    completed = updates.TranscriptionCompleted(item_id="i1", transcript="Hello", item=item, usage=event.usage)
    assert effects == Effects(publish=(updates.ItemUpdated(item=item), completed), event=event)
    assert [part.transcript for part in item.content] == (["Hello", None] if index == 0 else [None, "Hello"])


def test_a_transcript_that_comes_before_its_item_is_told_without_it() -> None:
    effects, event = hears(new_machine(), f"{TRANSCRIPTION}.completed", item_id="i9", transcript="Hello")
    completed = updates.TranscriptionCompleted(item_id="i9", transcript="Hello", item=None, usage=None)
    assert effects == Effects(publish=(completed,), event=event)


@pytest.mark.parametrize("item_id", ["i1", "i9"])
@pytest.mark.parametrize("error", [{"code": "audio_unintelligible", "message": "no"}, None])
def test_a_transcription_that_failed_is_told_with_its_item(item_id: str, error: dict[str, str] | None) -> None:
    machine = with_item(TWO_PARTS)
    effects, event = hears(machine, f"{TRANSCRIPTION}.failed", item_id=item_id, error=error)
    failed = updates.TranscriptionFailed(
        item_id=item_id,
        error=server.TranscriptionError(**(error or {})),
        item=machine.conversation.get(item_id),
    )
    assert effects == Effects(publish=(failed,), event=event)


# --- the buffer -----------------------------------------------------------------------------------------------------


def test_a_commit_gives_an_item_that_is_there_its_audio_and_answers_the_command() -> None:
    machine = appended(with_item(spoken_item("i1")))
    item = machine.conversation["i1"]
    machine.command(client.InputAudioBufferCommit(event_id="e1"))
    effects, event = hears(machine, "input_audio_buffer.committed", item_id="i1")
    settled = Settled(event_id="e1", result="i1")
    assert effects == Effects(publish=(updates.ItemUpdated(item=item),), settle=(settled,), event=event)
    assert item.audio == AUDIO


def test_a_commit_keeps_the_place_that_it_names_for_an_item_that_will_come() -> None:
    machine = new_machine()
    for item_id in ("a", "b"):
        machine.receive(said(added(user_item(item_id))))
    effects, event = hears(machine, "input_audio_buffer.committed", item_id="i1", previous_item_id="a")
    assert effects == Effects(event=event)
    machine.receive(said(added(spoken_item("i1"))))
    assert [item.id for item in machine.conversation] == ["a", "i1", "b"]


def test_a_commit_without_an_id_keeps_no_place() -> None:
    effects, event = hears(appended(new_machine()), "input_audio_buffer.committed", item_id=None)
    assert effects == Effects(event=event)


def test_a_clear_answers_its_command() -> None:
    machine = appended(new_machine())
    effects, event = hears(machine, "input_audio_buffer.cleared")
    assert effects == Effects(event=event)
    machine.command(client.InputAudioBufferClear(event_id="e1"))
    effects, event = hears(machine, "input_audio_buffer.cleared")
    assert effects == Effects(settle=(Settled(event_id="e1"),), event=event)


# --- speech ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latest", ["i1", None])
def test_speech_is_told_with_when_it_began_and_whom_it_interrupts(latest: str | None) -> None:
    machine = new_machine() if latest is None else with_item(assistant_item(latest))
    effects, event = hears(machine, "input_audio_buffer.speech_started", item_id="i2", audio_start_ms=70)
    started = updates.SpeechStarted(item_id="i2", audio_start_ms=70)
    assert effects == Effects(publish=(started, updates.Interrupted(item_id=latest)), event=event)


@pytest.mark.parametrize("item_id", ["i1", "i2"])
def test_the_end_of_speech_is_told_and_gives_an_item_that_is_there_its_audio(item_id: str) -> None:
    machine = appended(with_item(spoken_item("i1")))
    hears(machine, "input_audio_buffer.speech_started", item_id="i3", audio_start_ms=0)
    hears(machine, "input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=100)
    effects, event = hears(machine, "input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=300)
    stopped: tuple[updates.Update, ...] = (updates.SpeechStopped(item_id=item_id, audio_end_ms=300),)
    item = machine.conversation["i1"]
    if item_id == "i1":
        stopped += (updates.ItemUpdated(item=item),)
    assert effects == Effects(publish=stopped, event=event)
    assert item.audio == (AUDIO[4800:14400] if item_id == "i1" else b"")


def test_speech_that_ends_after_its_commit_waits_for_the_item_with_its_audio() -> None:
    machine = appended(new_machine())
    hears(machine, "input_audio_buffer.speech_started", item_id="i1", audio_start_ms=100)
    hears(machine, "input_audio_buffer.committed", item_id="i1")
    effects, event = hears(machine, "input_audio_buffer.speech_stopped", item_id="i1", audio_end_ms=300)
    stopped = updates.SpeechStopped(item_id="i1", audio_end_ms=300)
    assert effects == Effects(publish=(stopped,), event=event)
    machine.receive(said(added(spoken_item("i1"))))
    assert machine.conversation["i1"].audio == AUDIO[4800:14400]


def test_the_end_of_speech_that_never_began_is_told() -> None:
    machine = appended(with_item(spoken_item("i1")))
    effects, event = hears(machine, "input_audio_buffer.speech_stopped", item_id="i1", audio_end_ms=300)
    assert effects == Effects(publish=(updates.SpeechStopped(item_id="i1", audio_end_ms=300),), event=event)


def test_the_end_of_speech_that_names_nobody_is_told() -> None:
    machine = appended(new_machine())
    hears(machine, "input_audio_buffer.speech_started", item_id=None, audio_start_ms=100)
    hears(machine, "input_audio_buffer.committed", item_id=None)
    effects, event = hears(machine, "input_audio_buffer.speech_stopped", item_id=None, audio_end_ms=300)
    stopped = updates.SpeechStopped(item_id=None, audio_end_ms=300)
    assert effects == Effects(publish=(stopped,), event=event)


def test_a_silence_that_timed_out_leaves_speech_that_names_nobody_alone() -> None:
    machine = appended(new_machine())
    hears(machine, "input_audio_buffer.speech_started", item_id=None, audio_start_ms=0)
    machine.receive(server.InputAudioBufferTimeoutTriggered(item_id="i1", audio_start_ms=100, audio_end_ms=300))
    hears(machine, "input_audio_buffer.speech_stopped", item_id=None, audio_end_ms=500)
    hears(machine, "input_audio_buffer.committed", item_id="i1")
    hears(machine, "input_audio_buffer.committed", item_id="i2")
    for item_id in ("i1", "i2"):
        machine.receive(said(added(spoken_item(item_id))))
    assert machine.conversation["i1"].audio == AUDIO[4800:14400]
    assert machine.conversation["i2"].audio == AUDIO[:24000]


@pytest.mark.parametrize("there", [True, False])
def test_a_silence_that_timed_out_is_the_audio_of_the_item_that_it_names(there: bool) -> None:
    machine = appended(with_item(spoken_item("i1")) if there else new_machine())
    hears(machine, "input_audio_buffer.speech_started", item_id="i3", audio_start_ms=0)
    event = server.InputAudioBufferTimeoutTriggered(item_id="i1", audio_start_ms=100, audio_end_ms=300)
    effects = machine.receive(event)
    item = machine.conversation.get("i1")
    assert effects == Effects(publish=() if item is None else (updates.ItemUpdated(item=item),), event=event)
    if item is not None:
        assert item.audio == AUDIO[4800:14400]
