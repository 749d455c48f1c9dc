"""Items of the simulated conversation: their order, their ids, what truncating and deleting leave of them."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import given, settings, strategies as st

from trio_realtime.testing import Simulator, calls, load_voice, says


def ids(client: Any) -> list[str]:
    return [item["id"] for item in client.connection.items]


def message(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **fields}


def test_a_created_item_is_added_and_done_with_its_own_id(drive: Any, wire: Any) -> None:
    client = drive()
    added, finished = client.send("conversation.item.create", item=message("Hi", id="msg_mine"))
    assert [added["type"], finished["type"]] == ["conversation.item.added", "conversation.item.done"]
    assert (added["previous_item_id"], added["item"]) == (None, {**message("Hi", id="msg_mine"), "status": "completed"})
    assert finished["item"] == added["item"]
    second = client.say("And more")[0]
    assert second["previous_item_id"] == "msg_mine"
    assert second["item"]["id"].startswith("item_")
    wire.check_order(client.events)


@settings(deadline=None)
@given(positions=st.lists(st.integers(-2, 10), max_size=12))
def test_items_stand_where_previous_item_id_says(drive: Any, positions: list[int]) -> None:
    client = drive()
    expected: list[str] = []
    for number, position in enumerate(positions):
        item_id = f"item_{number}"
        place: dict[str, str] = {}
        index = len(expected)
        if position == -2:
            place, index = {"previous_item_id": "root"}, 0
        elif position >= 0 and expected:
            before = position % len(expected)
            place, index = {"previous_item_id": expected[before]}, before + 1
        added = client.send("conversation.item.create", item=message("x", id=item_id), **place)[0]
        expected.insert(index, item_id)
        assert added["previous_item_id"] == (expected[index - 1] if index else None)
    assert ids(client) == expected


def test_behind_nothing_is_at_the_end(drive: Any) -> None:
    client = drive()
    client.say("First", previous_item_id="")
    assert client.say("Second", previous_item_id="")[0]["previous_item_id"] == client.connection.items[0]["id"]


def test_a_function_call_and_its_output_may_be_seeded(drive: Any) -> None:
    client = drive()
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    added = client.send("conversation.item.create", item=call)[0]
    output = {"type": "function_call_output", "call_id": added["item"]["call_id"], "output": "42"}
    echoed = client.send("conversation.item.create", item=output)[0]["item"]
    assert {**output, "id": echoed["id"]} == echoed  # without a status, as the real server echoes it


def test_an_assistant_message_may_be_seeded_in_writing(drive: Any) -> None:
    client = drive()
    item = message("", role="assistant", content=[{"type": "output_text", "text": "Once upon a time"}])
    added = client.send("conversation.item.create", item={**item, "object": "realtime.item", "status": "incomplete"})[0]
    assert (added["item"]["status"], added["item"]["content"]) == ("incomplete", item["content"])
    assert "object" not in added["item"]


def test_audio_comes_back_only_when_it_is_retrieved(drive: Any) -> None:
    client = drive()
    first, second = load_voice("question")[:9600], load_voice("question")[9600:12000]
    parts = [
        {"type": "input_text", "text": "Listen:"},
        {"type": "input_audio", "audio": base64.b64encode(first).decode()},
        {"type": "input_audio", "audio": base64.b64encode(second).decode(), "transcript": "Paris"},
    ]
    item = message("", content=parts)
    added = client.send("conversation.item.create", item=item)[0]["item"]
    assert added["content"] == [
        {"type": "input_text", "text": "Listen:"},
        {"type": "input_audio", "transcript": None},
        {"type": "input_audio", "transcript": "Paris"},
    ]
    (retrieved,) = client.send("conversation.item.retrieve", item_id=added["id"])
    content = retrieved["item"]["content"]
    assert [base64.b64decode(part["audio"]) for part in content[1:]] == [first, second]
    client.configure(output_modalities=["text"])
    assert "Paris" in client.respond()[-2]["response"]["output"][0]["content"][0]["text"]


def test_a_picture_costs_tokens(drive: Any) -> None:
    client = drive()
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
    client.send("conversation.item.create", item=message("", content=[picture]))
    assert client.connection.items[0]["content"] == [picture]
    assert client.respond()[-2]["response"]["usage"]["input_token_details"]["image_tokens"] > 0


def test_truncating_keeps_the_audio_before_and_drops_the_transcript(drive: Any) -> None:
    client = drive(Simulator([says("Some speech.", audio=1.0)]))
    client.respond()
    (item_id,) = ids(client)
    (truncated,) = client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=514)
    assert (truncated["type"], truncated["audio_end_ms"]) == ("conversation.item.truncated", 514)
    (retrieved,) = client.send("conversation.item.retrieve", item_id=item_id)
    (part,) = retrieved["item"]["content"]
    assert "transcript" not in part
    assert base64.b64decode(part["audio"]) == load_voice("passage")[: 514 * 48]
    assert client.refused("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=515)


def test_what_was_generated_so_far_can_be_truncated_after_a_cancel(drive: Any) -> None:
    client = drive(Simulator([says("Some longer speech.", audio=5.0)], pace=1))
    client.send("response.create")
    client.wait(1.1)
    client.send("response.cancel")
    (item_id,) = ids(client)
    assert client.refused("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1001)
    (event,) = client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1000)
    assert event["type"] == "conversation.item.truncated"


def test_a_deleted_item_is_gone(drive: Any) -> None:
    client = drive()
    item_id = client.say("Forget this")[0]["item"]["id"]
    (event,) = client.send("conversation.item.delete", item_id=item_id)
    assert (event["type"], event["item_id"]) == ("conversation.item.deleted", item_id)
    assert client.connection.items == []
    assert client.refused("conversation.item.retrieve", item_id=item_id)["code"] == "item_retrieve_invalid_item_id"


def test_an_item_deleted_while_it_grows_ends_outside_the_conversation(drive: Any, wire: Any) -> None:
    client = drive(Simulator([[says("Delete me while I speak."), calls("f")]], pace=1))
    client.send("response.create")
    client.wait(0.5)
    (item_id,) = ids(client)
    client.send("conversation.item.delete", item_id=item_id)
    client.wait(60)
    wire.check_order(client.events)
    assert [item["type"] for item in client.connection.items] == ["function_call"]
