"""Calls (WebRTC, SIP) as a sideband connection sees them: the server plays by itself, and keys are pressed."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from trio_realtime.testing import Simulator, load_voice, says

LONG = says("A long answer, which is interrupted.", audio=20.0)


def watching(drive: Any, *script: Any, pace: float = 0.2, **turn_detection: Any) -> Any:
    client = drive(Simulator(script, pace=pace), call_id="rtc_1")
    client.configure(audio={"input": {"turn_detection": {"type": "server_vad", **turn_detection}}})
    return client


def kinds(events: list[Any]) -> list[str]:
    return [event["type"] for event in events]


def sounding(events: list[Any]) -> list[Any]:
    return [event for event in events if event["type"].startswith("output_audio_buffer.")]


def test_a_response_sounds_from_its_first_audio_until_all_was_played(drive: Any, wire: Any) -> None:
    client = watching(drive, says("Hello.", audio=2.0))
    client.send("response.create")
    events = client.wait(1)  # made in 0.4 s
    order = kinds(events)
    assert order.count("output_audio_buffer.started") == 1
    assert order.index("output_audio_buffer.started") < order.index("response.output_audio.done")
    assert order[-2:] == ["response.done", "rate_limits.updated"]
    assert client.wait(1.0) == []
    (stopped,) = client.wait(0.1)
    assert (stopped["type"], stopped["response_id"]) == (
        "output_audio_buffer.stopped",
        events[-2]["response"]["id"],
    )
    wire.check_order(client.events)


def test_a_response_in_writing_does_not_sound(drive: Any) -> None:
    client = watching(drive)
    assert sounding(client.respond(output_modalities=["text"])) == []


def test_the_next_response_ends_the_one_that_still_sounds(drive: Any) -> None:
    client = watching(drive, says("Five seconds.", audio=5.0), says("Five more.", audio=5.0))
    client.respond(seconds=3)
    client.send("response.create")
    assert kinds(sounding(client.wait(4.5))) == [f"output_audio_buffer.{name}" for name in ("stopped", "started")]
    (stopped,) = client.wait(60)
    assert stopped["type"] == "output_audio_buffer.stopped"


def test_what_sounds_can_be_cleared_after_the_response_as_well(drive: Any) -> None:
    client = watching(drive, LONG)
    (created,) = client.send("response.create")
    client.wait(6)
    (cleared,) = client.send("output_audio_buffer.clear")
    assert (cleared["type"], cleared["response_id"]) == ("output_audio_buffer.cleared", created["response"]["id"])
    assert client.wait(60) == []
    assert client.send("output_audio_buffer.clear")[0]["response_id"] == created["response"]["id"]


def test_a_cancelled_response_sounds_until_what_there_is_was_played(drive: Any) -> None:
    client = watching(drive, LONG, pace=0.5)
    client.send("response.create")
    client.wait(2.05)
    client.send("response.cancel")  # 4 s of audio were made, and begun to be played 0.1 s ago, with the first 0.2 s
    assert sounding(client.wait(1.9)) == []
    assert kinds(sounding(client.wait(0.2))) == ["output_audio_buffer.stopped"]


@pytest.mark.parametrize("over", [False, True], ids=["while it is made", "while it only sounds"])
def test_speech_cuts_off_what_was_not_heard(drive: Any, wire: Any, over: bool) -> None:
    client = watching(drive, LONG, pace=0.1 if over else 0.9, create_response=False)
    client.send("response.create")
    client.wait(3)
    spoken = client.connection.items[-1]
    events = client.speak(load_voice("interruption"))
    order = kinds(events)
    assert order[0] == "input_audio_buffer.speech_started"
    assert ("response.done" in order) is not over
    cleared, truncated = order.index("output_audio_buffer.cleared"), order.index("conversation.item.truncated")
    assert truncated == cleared + 1
    heard_ms = events[truncated]["audio_end_ms"]
    assert heard_ms == pytest.approx(3000 - 200 * (0.1 if over else 0.9), abs=1)
    (retrieved,) = client.send("conversation.item.retrieve", item_id=spoken["id"])
    (part,) = retrieved["item"]["content"]
    assert len(base64.b64decode(part["audio"])) == heard_ms * 48
    assert "transcript" not in part
    assert sounding(client.wait(60)) == []
    wire.check_order(client.events)


def test_of_several_items_only_those_are_cut_that_were_not_heard(drive: Any) -> None:
    client = watching(
        drive, [says("One.", audio=1.0), says("Two.", audio=2.0), says("Three.", audio=1.0)], create_response=False
    )
    client.send("response.create")
    client.wait(2)
    events = client.speak(load_voice("interruption"))
    cut = [event for event in events if event["type"] == "conversation.item.truncated"]
    assert [event["item_id"] for event in cut] == [item["id"] for item in client.connection.items[1:3]]
    assert [event["audio_end_ms"] for event in cut] == [960, 0]


def test_speech_into_silence_cuts_off_nothing(drive: Any) -> None:
    client = watching(drive, says("Hello.", audio=1.0), create_response=False)
    client.respond()
    order = kinds(client.speak(load_voice("question")))
    assert not [name for name in order if name.startswith("output_audio_buffer") or "truncated" in name]


def test_there_is_nothing_to_clear_before_anything_was_said_or_where_the_client_plays(drive: Any) -> None:
    for client in (watching(drive), drive()):
        assert client.refused("output_audio_buffer.clear")["code"] == "invalid_value"


@pytest.mark.parametrize("key", ["0", "9", "*", "#", "A", "D"])
def test_a_key_of_the_telephone(drive: Any, key: str) -> None:
    client = watching(drive)
    client.now += 12
    client.wait(0)
    client.connection.press_key(key)
    assert client.connection.next_deadline() == client.now
    (event,) = client.wait(0)
    assert event == {"type": "input_audio_buffer.dtmf_event_received", "event": key, "received_at": 1_800_000_012}


@pytest.mark.parametrize("key", ["", "E", "12", "a"])
def test_no_key_of_a_telephone(drive: Any, key: str) -> None:
    with pytest.raises(ValueError, match="a key is one of"):
        watching(drive).connection.press_key(key)


def test_only_a_call_has_keys(drive: Any) -> None:
    with pytest.raises(ValueError, match="only a call has keys"):
        drive().connection.press_key("1")
