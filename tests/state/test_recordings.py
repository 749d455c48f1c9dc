"""Real sessions: the conversation has to be what their `response.done` events state."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.state.talks import new_machine
from trio_realtime.state import updates
from trio_realtime.state.item import ConversationItem
from trio_realtime.state.machine import Machine
from trio_realtime.state.tool_calls import ToolPolicy
from trio_realtime.wire import client_events as client, server_events as server
from trio_realtime.wire.codec import Codec, decode_client_event
from trio_realtime.wire.items import FunctionCall, Item, Message

FOLDER = Path(__file__).parents[2].parent / "shared" / "recordings"
RECORDINGS = sorted(FOLDER.glob("*.jsonl"))

pytestmark = pytest.mark.skipif(not RECORDINGS, reason="there are no recordings here")


class Replay:
    """One recording, given to a machine; what was sent without an id gets one, so that its answer is recognised."""

    def __init__(self, path: Path) -> None:
        self.machine: Machine = new_machine()
        # The recording answers its calls itself.
        self.machine.responses.tools.calls.tools = {"get_weather": ToolPolicy(runs=False)}
        self.received: list[Any] = []
        self.commands: list[client.ClientEvent] = []
        self.settled: list[str] = []
        self.own: list[Any] = []
        self.updates: list[Any] = []
        codec = Codec()
        for line in path.read_text(encoding="utf-8").splitlines():
            frame = json.loads(line)
            if frame["direction"] == "sent":
                self._send(frame["event"])
            else:
                event: Any = codec.decode(json.dumps(frame["event"]).encode())
                self.received.append(event)
                self._take(self.machine.receive(event))

    def _send(self, raw: dict[str, Any]) -> None:
        number = len(self.commands)
        raw = {"event_id": f"event_{number}", **raw}
        if raw["type"] == "conversation.item.create":
            raw["item"] = {"id": f"item_sent_{number}", **raw["item"]}
        event: Any = decode_client_event(json.dumps(raw).encode())
        self.commands.append(event)
        self._take(self.machine.command(event), expected=event)

    def _take(self, effects: Any, expected: Any = None) -> None:
        self.settled.extend(each.event_id for each in effects.settle if each.error is None)
        out = [*effects.urgent, *effects.send]
        self.own.extend(event for event in out if event.event_id != getattr(expected, "event_id", None))
        self.updates.extend(effects.publish)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.received if type(event) is kind]


@pytest.fixture(params=RECORDINGS, ids=[path.stem for path in RECORDINGS])
def replay(request: pytest.FixtureRequest) -> Replay:
    return Replay(request.param)


def stated(item: Item) -> tuple[object, ...]:
    """What the server's version of an item says, in terms of a live item."""
    parts = item.content if isinstance(item, Message) else []
    call = item if isinstance(item, FunctionCall) else None
    return (
        item.id,
        getattr(item, "role", None),
        getattr(item, "status", None),
        "".join(getattr(part, "text", None) or "" for part in parts),
        "".join(getattr(part, "transcript", None) or "" for part in parts),
        *([None, "", None] if call is None else [call.name, call.arguments, call.call_id]),
    )


def live(item: ConversationItem) -> tuple[object, ...]:
    return (item.id, item.role, item.status, item.text, item.transcript, item.name, item.arguments, item.call_id)


def test_the_answers_are_what_response_done_states_in_its_order(replay: Replay) -> None:
    final = [item for event in replay.of(server.ResponseDone) for item in event.response.output or ()]
    assert final
    ids = {item.id for item in final}
    assert [live(item) for item in replay.machine.conversation if item.id in ids] == [stated(item) for item in final]


def test_everything_that_was_sent_is_there_before_its_answer(replay: Replay) -> None:
    machine = replay.machine
    order = [item.id for item in machine.conversation]
    answered: list[Any] = [None]
    for event in replay.received:
        if isinstance(event, server.ConversationItemAdded):
            assert event.item.id in machine.conversation
            if event.previous_item_id is not None:
                assert order.index(event.previous_item_id) < order.index(event.item.id or "")
        if isinstance(event, server.ResponseOutputItemAdded):
            answered.append(event.item.id)
    created = [command for command in replay.commands if isinstance(command, client.ConversationItemCreate)]
    others = [item for item in machine.conversation if item.id not in answered]
    spoken = replay.of(server.InputAudioBufferCommitted)
    assert len(others) == len(created) + len(spoken)
    assert order.index(others[0].id) < order.index(answered[-1])
    for command, item in zip(created, others, strict=False):
        assert item.type == msgspec.to_builtins(command.item)["type"]
        if isinstance(command.item, Message):
            assert (item.role, item.text) == (
                command.item.role,
                "".join(getattr(p, "text", "") for p in command.item.content),
            )
        else:
            assert (item.call_id, item.output) == (
                getattr(command.item, "call_id", None),
                getattr(command.item, "output", None),
            )


def test_the_usage_is_the_sum_of_all_responses(replay: Replay) -> None:
    usages = [event.response.usage for event in replay.of(server.ResponseDone)]
    total = replay.machine.responses.total_usage
    for name in ("total_tokens", "input_tokens", "output_tokens"):
        assert getattr(total, name) == sum(getattr(usage, name) for usage in usages)
    assert replay.machine.responses.usage == usages[-1]


def test_what_the_user_said_has_its_transcript(replay: Replay) -> None:
    for event in replay.of(server.ConversationItemInputAudioTranscriptionCompleted):
        assert replay.machine.conversation[event.item_id].transcript == event.transcript
    told = [update for update in replay.updates if isinstance(update, updates.TranscriptionCompleted)]
    assert len(told) == len(replay.of(server.ConversationItemInputAudioTranscriptionCompleted))


def test_audio_is_all_that_came(replay: Replay) -> None:
    came: dict[str, bytes] = {}
    for event in replay.of(server.ResponseOutputAudioDelta):
        came[event.item_id] = came.get(event.item_id, b"") + event.delta
    answers = [item for item in replay.machine.conversation if item.role == "assistant"]
    assert {item.id: item.audio for item in answers if item.audio} == came


def test_nothing_is_left_open(replay: Replay) -> None:
    machine = replay.machine
    assert [item.id for item in machine.conversation if item.status == "in_progress"] == []
    assert machine.malformed_frames == 0
    assert not machine.responses.busy
    acknowledged = [each for each in replay.commands if not isinstance(each, client.InputAudioBufferAppend)]
    assert sorted(replay.settled) == sorted(str(each.event_id) for each in acknowledged)
    assert len(machine._requests) == 0
    assert replay.own == [], "the machine sends nothing by itself"


def test_each_item_is_appended_and_completed_once(replay: Replay) -> None:
    ids = [item.id for item in replay.machine.conversation]
    for kind in (updates.ItemAppended, updates.ItemCompleted):
        told = [update.item.id for update in replay.updates if isinstance(update, kind)]
        assert sorted(told) == sorted(ids)
    assert not [update for update in replay.updates if isinstance(update, updates.ErrorReported)]


def test_the_session_is_what_the_server_said_last(replay: Replay) -> None:
    last = replay.of(server.SessionUpdated)[-1]
    assert replay.machine.info == last.session
    assert replay.machine.turn_detection_type == "server_vad"
