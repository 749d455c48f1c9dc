"""Whole conversations with the simulated server: what the client knows at the end is what the server holds."""

from collections.abc import Iterable

from hypothesis import given, strategies as st

from tests.state.talks import new_machine
from trio_realtime.state.item import ConversationItem
from trio_realtime.state.machine import Machine
from trio_realtime.state.tool_calls import ToolPolicy
from trio_realtime.testing.strategies import History, HistoryEntry, conversations, interleavings
from trio_realtime.wire import client_events as client, server_events as server
from trio_realtime.wire.items import FunctionCall, FunctionCallOutput, Item, Message

TRANSCRIPTION = (
    server.ConversationItemInputAudioTranscriptionDelta,
    server.ConversationItemInputAudioTranscriptionCompleted,
    server.ConversationItemInputAudioTranscriptionFailed,
)


def follows(history: History, entries: Iterable[HistoryEntry]) -> Machine:
    """A machine that was there.

    It is not told of the conversation's `response.create`s, nor of cancels that were refused: it has a way of its own
    to ask for a response, and would wait with one where the program of the history did not.
    """
    machine = new_machine(retained_audio_bytes=2**30)
    machine.responses.tools.calls.tools = {name: ToolPolicy(runs=False) for name in ("get_weather", "stop")}
    refused = {event.error.event_id for event in history.server_events if isinstance(event, server.Error)}
    for entry in entries:
        match entry.event:
            case client.ResponseCreate(response=params) if not params or params.conversation != "none":
                pass
            case client.ResponseCancel(event_id=event_id) if event_id in refused:
                pass
            case event if entry.source == "client":
                machine.command(event)  # type: ignore[arg-type]
            case event:
                effects = machine.receive(event)  # type: ignore[arg-type]
                assert effects.failure is None
    return machine


Facts = dict[str, object]


def stated(item: Item) -> Facts:
    """What the server's version of an item says."""
    parts = item.content if isinstance(item, Message) else []
    facts: Facts = {
        "id": item.id,
        "role": getattr(item, "role", None),
        "status": getattr(item, "status", None),
        "text": "".join(getattr(part, "text", None) or "" for part in parts),
        "transcript": "".join(getattr(part, "transcript", None) or "" for part in parts),
        "audio": b"".join(getattr(part, "audio", None) or b"" for part in parts),
        "name": getattr(item, "name", None),
        "call_id": getattr(item, "call_id", None),
        "arguments": getattr(item, "arguments", ""),
        "output": getattr(item, "output", None),
    }
    assert isinstance(item, Message | FunctionCall | FunctionCallOutput)
    return facts


def live(item: ConversationItem) -> Facts:
    """What is read from a live item."""
    names = ("id", "role", "status", "text", "transcript", "audio", "name", "call_id", "arguments", "output")
    return {name: getattr(item, name) for name in names}


def assert_agree(machine: Machine, history: History) -> None:
    for known, held in zip(machine.conversation, history.items, strict=False):
        ours, theirs = live(known), stated(held)
        differences = {name for name in ours if ours[name] != theirs[name]}
        assert not differences, (known, held)
    assert [item.id for item in machine.conversation] == [item.id for item in history.items]


@given(conversations())
def test_the_machine_knows_the_conversation_that_the_server_holds(history: History) -> None:
    machine = follows(history, history.entries)
    assert_agree(machine, history)
    assert machine.info == [event.session for event in history.server_events if hasattr(event, "session")][-1]
    assert not machine.responses.busy
    assert machine.malformed_frames == 0


@given(conversations(), st.data())
def test_transcriptions_may_come_before_their_item_and_after_everything_else(
    history: History, data: st.DataObject
) -> None:
    heard = [entry for entry in history.entries if isinstance(entry.event, TRANSCRIPTION)]
    others = [entry for entry in history.entries if not isinstance(entry.event, TRANSCRIPTION)]
    assert_agree(follows(history, data.draw(interleavings(others, heard))), history)
