"""Items, from the first word of them to their deletion, and errors that answer nothing."""

import base64
from typing import Any

import pytest

from tests.state.behaviours.events import (
    answer,
    created,
    done,
    error,
    ids,
    kinds,
    sound,
)
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
    settled,
    user_item,
)
from trio_realtime.audio import PCM16
from trio_realtime.state import updates
from trio_realtime.wire import client_events as client

# --- items -----------------------------------------------------------------------------------------------------------


def test_a_user_item_gives_appended_updated_and_completed() -> None:
    machine = new_machine()
    effects = receive(machine, added(user_item("item_1")), item_done(user_item("item_1")))
    assert kinds(effects) == ["ItemAppended", "ItemUpdated", "ItemCompleted"]


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


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_id", [None, "event_of_nobody"])
def test_an_error_that_answers_nothing_reaches_everybody(event_id: str | None) -> None:
    machine = new_machine()
    machine.command(client.InputAudioBufferClear(event_id="event_1"))
    effects = receive(machine, error("server_error", event_id))
    [reported] = published(effects, updates.ErrorReported)
    assert (reported.error.code, reported.error.event_id) == ("server_error", event_id)
    assert settled(effects) == []
    assert len(machine._requests) == 1
