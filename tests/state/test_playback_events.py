"""What server events mean for the audio that is being played."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.errors import ConfigError
from trio_realtime.state.machine import Machine
from trio_realtime.state.playback import PlaybackLedger
from trio_realtime.state.updates import Interrupted
from trio_realtime.wire.client_events import (
    ConversationItemDelete,
    ConversationItemTruncate,
    ResponseCancel,
    ResponseCreate,
)

from .talks import assistant_item, audio_delta, new_machine, published, receive, sent, session_updated

MS = 48
SPEECH = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "item_speech"}


def created(response_id: str = "r1", **fields: Any) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": response_id, "conversation_id": "c", **fields}}


def item_added(item_id: str = "i1", response_id: str = "r1") -> dict[str, Any]:
    return {"type": "response.output_item.added", "response_id": response_id, "item": assistant_item(item_id)}


def item_done(item_id: str = "i1", response_id: str = "r1") -> dict[str, Any]:
    item = assistant_item(item_id, "completed")
    return {"type": "response.output_item.done", "response_id": response_id, "item": item}


def done(response_id: str | None = "r1", **fields: Any) -> dict[str, Any]:
    return {"type": "response.done", "response": {"id": response_id, "conversation_id": "c", **fields}}


def sound(ms: int = 100, item_id: str = "i1", response_id: str = "r1") -> dict[str, Any]:
    return audio_delta(item_id, bytes(ms * MS), response_id=response_id)


def playing(*events: dict[str, Any]) -> tuple[Machine, PlaybackLedger]:
    machine = new_machine()
    receive(machine, session_updated(turn_detection={"type": "server_vad"}))
    ledger = machine.begin_playback()
    receive(machine, created(), item_added(), *events)
    return machine, ledger


def heard(ledger: PlaybackLedger, ms: float) -> None:
    """Take all that waits, and hear so much of it."""
    ledger.played(bytes=0)
    while ledger.take() is not None:
        pass
    ledger.played(ms=ms)


def test_audio_is_queued_in_the_encoding_of_its_item() -> None:
    machine = new_machine()
    ledger = machine.begin_playback()
    output = {"format": {"type": "audio/pcmu"}}
    receive(machine, created(audio={"output": output}), item_added(), audio_delta("i1", bytes(80), response_id="r1"))
    chunk = ledger.take()
    assert chunk is not None
    assert (chunk.item_id, chunk.response_id, chunk.encoding.name) == ("i1", "r1", "audio/pcmu")


def test_audio_of_an_unknown_item_or_of_a_cancelled_response_is_not_queued() -> None:
    machine, ledger = playing(sound(item_id="i9"))
    machine.command(ResponseCancel(event_id="e1"))
    receive(machine, sound())
    assert not ledger.sounding


def test_what_came_before_the_playback_counts_as_heard() -> None:
    machine, _ = playing(sound(300))
    ledger = machine.begin_playback()
    receive(machine, sound(200))
    chunk = ledger.take()
    assert chunk is not None
    assert chunk.position_ms == 300


def test_what_came_before_the_playback_counts_although_it_was_given_up() -> None:
    machine = new_machine(retained_audio_bytes=300 * MS)
    receive(machine, created(), item_added(), sound(200), sound(200))
    assert machine.conversation["i1"].audio_evicted_bytes == 200 * MS
    ledger = machine.begin_playback()
    receive(machine, sound(100))
    chunk = ledger.take()
    assert chunk is not None
    assert chunk.position_ms == 400


@pytest.mark.parametrize(
    "end",
    [
        {"type": "response.output_audio.done", "response_id": "r1", "item_id": "i1", "content_index": 0},
        item_done(),
        {"type": "conversation.item.done", "item": assistant_item("i1", "completed")},
        done(),
        done(None),
        {"type": "response.done", "response": None},
    ],
    ids=["part", "item", "conversation item", "response", "response without id", "malformed response"],
)
def test_whatever_ends_the_audio_ends_it_for_the_ear(end: dict[str, Any]) -> None:
    machine, ledger = playing(sound())
    heard(ledger, 100)
    assert ledger.sounding, "more may come"
    receive(machine, end)
    assert not ledger.sounding


def test_the_end_of_another_item_does_not() -> None:
    machine, ledger = playing(sound())
    heard(ledger, 100)
    receive(machine, {"type": "conversation.item.done", "item": {**assistant_item("x"), "id": None}}, done("r9"))
    assert ledger.sounding


def test_a_response_that_stalled_is_over_for_the_ear() -> None:
    machine, ledger = playing(sound())
    heard(ledger, 100)
    machine.end_stalled("r1", 5)
    assert not ledger.sounding
    new_machine().end_stalled("r1", 5)  # without a playback


def test_what_the_server_deleted_or_truncated_is_not_played() -> None:
    machine, ledger = playing(sound(), sound())
    truncated = {"type": "conversation.item.truncated", "item_id": "i1", "content_index": 0, "audio_end_ms": 150}
    receive(machine, truncated)
    assert ledger.statistics().queued_bytes == 150 * MS
    receive(machine, {"type": "conversation.item.deleted", "item_id": "i1"})
    assert ledger.statistics().queued_bytes == 0


# --- the user speaks ------------------------------------------------------------------------------------------------


def test_speech_cuts_what_was_not_heard_and_says_so_once() -> None:
    machine, ledger = playing(sound(1000), done(), created("r2"), item_added("i2", "r2"), sound(500, "i2", "r2"))
    heard(ledger, 514.7)
    (effects,) = receive(machine, SPEECH)
    cut, delete = effects.urgent
    assert isinstance(cut, ConversationItemTruncate)
    assert (cut.item_id, cut.content_index, cut.audio_end_ms) == ("i1", 0, 514)
    assert isinstance(delete, ConversationItemDelete)
    assert delete.item_id == "i2"
    assert isinstance(cut.event_id, str)
    assert cut.event_id != delete.event_id
    assert published([effects], Interrupted) == [Interrupted(item_id="i1", heard_ms=514)]
    (again,) = receive(machine, SPEECH)
    assert sent(again) == []
    assert published([again], Interrupted) == []


def test_speech_over_silence_interrupts_nobody() -> None:
    machine, ledger = playing(sound(), done())
    heard(ledger, 100)
    (effects,) = receive(machine, SPEECH)
    assert published([effects], Interrupted) == []
    assert len(effects.publish) == 1, "the speech itself is told"
    assert sent(effects) == []


@pytest.mark.parametrize("sounding", [True, False])
def test_speech_that_may_not_interrupt_cuts_nothing(sounding: bool) -> None:
    machine, ledger = playing(sound(), done())
    receive(machine, session_updated(turn_detection={"type": "server_vad", "interrupt_response": False}))
    if not sounding:
        heard(ledger, 100)
    (effects,) = receive(machine, SPEECH)
    assert sent(effects) == []
    assert len(published([effects], Interrupted)) == sounding
    assert ledger.generation == 0


def test_whether_speech_interrupts_follows_the_session() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection={"type": "server_vad", "interrupt_response": False}))
    ledger = machine.begin_playback()
    receive(machine, created(), item_added(), sound())
    receive(machine, session_updated(turn_detection={"type": "semantic_vad", "eagerness": "auto"}), SPEECH)
    assert ledger.generation == 1


# --- the program interrupts -----------------------------------------------------------------------------------------


def test_what_stands_beside_the_conversation_is_stopped_but_not_cut_there() -> None:
    machine = new_machine()
    ledger = machine.begin_playback()
    (create,) = sent(machine.command(ResponseCreate(event_id="e1")))
    receive(machine, created("r0", metadata=create.response.metadata), done("r0"))
    receive(machine, created("r1", conversation_id=None), item_added(), sound(), item_added("i2"), sound(100, "i2"))
    heard(ledger, 50)
    effects = machine.interrupt(None, None)
    assert [(type(event), event.response_id) for event in sent(effects)] == [(ResponseCancel, "r1")]
    assert published([effects], Interrupted) == [Interrupted(item_id="i1", heard_ms=50)]


def test_stopping_a_turn_cuts_only_what_is_of_it() -> None:
    machine, ledger = playing(sound(), done(), created("r2"))
    effects = machine.stop_turn("r2")
    assert [type(event) for event in sent(effects)] == [ResponseCancel]
    assert ledger.sounding
    receive(machine, done("r2"), created("r3"), item_added("i3", "r3"), sound(100, "i3", "r3"))
    effects = machine.stop_turn("r3")
    cancel, *cuts = sent(effects)
    assert isinstance(cancel, ResponseCancel)
    assert [(type(cut), cut.item_id) for cut in cuts] == [(ConversationItemDelete, "i3")]
    assert published([effects], Interrupted) == [], "what sounds is of another"
    assert ledger.plays("r1")
    assert not ledger.plays("r3")
    assert ledger.generation == 0


def test_stopping_a_turn_that_sounds_lets_the_next_one_play() -> None:
    machine, ledger = playing(sound(), done(), created("r2"), item_added("i2", "r2"), sound(100, "i2", "r2"))
    ledger.played(bytes=0)
    assert ledger.take() is not None
    ledger.played(ms=30)
    interruption = ledger.stop(["r1"])
    (cut,) = interruption.cuts
    assert isinstance(cut, ConversationItemTruncate)
    assert (cut.item_id, cut.audio_end_ms, interruption.heard_ms) == ("i1", 30, 30)
    assert ledger.generation == 1
    chunk = ledger.take()
    assert chunk is not None
    assert (chunk.item_id, chunk.generation) == ("i2", 1)
    ledger.played(ms=100)
    assert ledger.heard_ms("i2") == 100
    assert machine.conversation.get("i1") is not None


def test_what_was_handed_out_together_with_something_else_is_not_cut() -> None:
    _, ledger = playing(sound(), done(), created("r2"), item_added("i2", "r2"), sound(100, "i2", "r2"))
    ledger.played(bytes=0)
    assert [chunk is not None for chunk in (ledger.take(), ledger.take())] == [True, True]
    assert ledger.stop(["r2"]).cuts == ()
    assert ledger.generation == 0
    ledger.played(ms=200)
    assert (ledger.heard_ms("i1"), ledger.heard_ms("i2")) == (100, 100)


def test_stopping_what_is_not_played_changes_nothing() -> None:
    _, ledger = playing(sound())
    before = ledger.statistics()
    assert ledger.stop(["r9"]).cuts == ()
    assert ledger.statistics() == before
    assert PlaybackLedger().stop(["r9"]).cuts == ()


def test_without_a_playback_the_programs_clock_counts() -> None:
    machine, _ = playing(sound(1000))
    machine.end_playback()
    for item_id, samples in (("nowhere", 1), ("i1", None), (None, 1)):
        with pytest.raises(ConfigError):
            machine.interrupt(item_id, samples)
    cancel, cut = sent(machine.interrupt("i1", 12_340))
    assert (cancel.response_id, cut.audio_end_ms) == ("r1", 514)
    machine.end_playback()
    assert sent(machine.stop_turn("r1")) == []


def test_stopping_all_that_waits_begins_anew_although_nothing_of_it_was_handed_out() -> None:
    _, ledger = playing(sound())
    assert [type(cut) for cut in ledger.stop(["r1"]).cuts] == [ConversationItemDelete]
    assert (ledger.generation, ledger.sounding) == (1, False)
