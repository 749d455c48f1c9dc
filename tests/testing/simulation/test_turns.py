"""How the simulated server listens: turn detection in real speech, commits, transcription, interruption, silence."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime.testing import INTERRUPTION, QUESTION, Simulator, fails, load_voice, says
from trio_realtime.testing.simulation.sound import encode_pcm, samples_of
from trio_realtime.testing.simulation.speech_detector import (
    SpeechDetector,
    SpeechStarted,
    SpeechStopped,
    threshold_level,
)

SILENCE_PER_MS = {"audio/pcm": b"\0" * 48, "audio/pcmu": b"\xff" * 8, "audio/pcma": b"\xd5" * 8}


def silence(milliseconds: int, format_type: str = "audio/pcm") -> bytes:
    return SILENCE_PER_MS[format_type] * milliseconds


def listening(drive: Any, simulator: Simulator | None = None, **turn_detection: Any) -> Any:
    client = drive(simulator)
    turn_detection.setdefault("type", "server_vad")
    transcription = {"model": "gpt-4o-transcribe"}
    client.configure(audio={"input": {"turn_detection": turn_detection, "transcription": transcription}})
    return client


def manual(drive: Any, simulator: Simulator | None = None, **fields: Any) -> Any:
    client = drive(simulator)
    client.configure(audio={"input": {"turn_detection": None, **fields}})
    return client


def kinds(events: list[Any]) -> list[str]:
    return [event["type"] for event in events]


def find(events: list[Any], kind: str) -> Any:
    return next(event for event in events if event["type"] == kind)


@pytest.mark.parametrize("format_type", ["audio/pcm", "audio/pcmu", "audio/pcma"])
def test_a_spoken_question_is_one_turn(drive: Any, wire: Any, format_type: str) -> None:
    client = drive()
    client.configure(audio={"input": {"format": {"type": format_type}}})
    events = client.speak(encode_pcm(load_voice("question"), format_type))
    assert kinds(events) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    started, stopped, committed, added = events[:4]
    # 0.6 s of silence before the speech, less 0.3 s of padding; 1.5 s after it, of which 0.5 s tell the end.
    assert 250 <= started["audio_start_ms"] <= 400
    assert 4000 <= stopped["audio_end_ms"] <= 4600
    assert len({started["item_id"], stopped["item_id"], committed["item_id"], added["item"]["id"]}) == 1
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    (retrieved,) = client.send("conversation.item.retrieve", item_id=added["item"]["id"])
    audio = base64.b64decode(retrieved["item"]["content"][0]["audio"])
    rate = {"audio/pcm": 48}.get(format_type, 8)
    start, end = started["audio_start_ms"] * rate, stopped["audio_end_ms"] * rate
    assert audio == encode_pcm(load_voice("question"), format_type)[start:end]
    client.wait(60)
    wire.check_order(client.events)


@settings(deadline=None, max_examples=20)
@given(chunk_samples=st.integers(30, 40_000))
def test_turns_do_not_depend_on_how_the_audio_is_cut(drive: Any, chunk_samples: int) -> None:
    voice = load_voice("interruption")
    whole, cut = listening(drive), listening(drive)
    assert kinds(whole.speak(voice, len(voice)))
    pieces = cut.speak(voice, chunk_samples * 2)
    for name, field in (("speech_started", "audio_start_ms"), ("speech_stopped", "audio_end_ms")):
        kind = f"input_audio_buffer.{name}"
        assert find(whole.events, kind)[field] == find(pieces, kind)[field]


def test_offsets_count_all_audio_of_the_session(drive: Any) -> None:
    client = listening(drive, create_response=False)
    client.speak(load_voice("question"))
    client.send("input_audio_buffer.clear")
    length_ms = len(load_voice("question")) // 48
    second = client.speak(load_voice("question"))
    first = find(client.events, "input_audio_buffer.speech_started")["audio_start_ms"]
    again = find(second, "input_audio_buffer.speech_started")["audio_start_ms"]
    assert abs(again - first - length_ms) <= 20


def test_the_threshold_is_how_loud_speech_must_be(drive: Any) -> None:
    assert kinds(listening(drive, threshold=0.95).speak(load_voice("question"))) == []
    assert threshold_level(0) < threshold_level(0.5) < threshold_level(1) < 32768
    quiet = b"".join(
        (sample // 50).to_bytes(2, "little", signed=True) for sample in samples_of(load_voice("question"), "audio/pcm")
    )
    assert kinds(listening(drive).speak(quiet)) == []
    assert kinds(listening(drive, threshold=0.0).speak(quiet))


def test_the_silence_that_ends_a_turn_is_as_long_as_asked(drive: Any) -> None:
    def stopped(**turn_detection: Any) -> int:
        client = listening(drive, **turn_detection)
        return int(find(client.speak(load_voice("question")), "input_audio_buffer.speech_stopped")["audio_end_ms"])

    assert stopped(silence_duration_ms=900) - stopped(silence_duration_ms=500) == 400
    # A short silence ends the turn at the pause after "Hello!".
    assert stopped(silence_duration_ms=60) < 2000


def test_the_padding_reaches_back_before_the_speech(drive: Any) -> None:
    def started(padding: int) -> int:
        client = listening(drive, prefix_padding_ms=padding)
        return int(find(client.speak(load_voice("question")), "input_audio_buffer.speech_started")["audio_start_ms"])

    assert started(0) - started(200) == 200
    assert started(5000) == 0


def test_the_padding_does_not_reach_into_the_turn_before(drive: Any) -> None:
    client = listening(drive, prefix_padding_ms=3000, silence_duration_ms=100, create_response=False)
    events = client.speak(load_voice("question"))
    turns = [event for event in events if "speech" in event["type"]]
    assert len(turns) >= 4
    ends = [event.get("audio_end_ms", event.get("audio_start_ms")) for event in turns]
    assert ends == sorted(ends)


@pytest.mark.parametrize(("eagerness", "stops"), [("high", True), ("auto", True), ("medium", True), ("low", False)])
def test_semantic_turn_detection_is_as_patient_as_it_is_eager(drive: Any, eagerness: str, stops: bool) -> None:
    client = listening(drive, type="semantic_vad", eagerness=eagerness)
    events = client.speak(load_voice("question"))
    assert ("input_audio_buffer.speech_stopped" in kinds(events)) is stops
    assert "input_audio_buffer.speech_stopped" in kinds(events + client.speak(silence(2000)))


def test_a_click_is_no_speech() -> None:
    detector = SpeechDetector(
        {"type": "server_vad", "prefix_padding_ms": 0, "silence_duration_ms": 100, "threshold": 0.5}, "audio/pcm"
    )
    click = silence(100) + b"\xff\x7f" * (24 * 40) + silence(500)
    assert list(detector.detect(click)) == []


def test_the_interrupted_response_is_cancelled(drive: Any, wire: Any) -> None:
    client = listening(drive, Simulator([says("A very long answer that takes its time.", audio=30.0)], pace=1))
    client.send("response.create")
    client.wait(5)
    events = client.speak(load_voice("interruption"))
    assert kinds(events)[0] == "input_audio_buffer.speech_started"
    finished = find(events, "response.done")["response"]
    assert finished["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    order = kinds(events)
    assert order.index("response.done") < order.index("input_audio_buffer.speech_stopped")
    assert order[-1] == "response.created"
    client.wait(60)
    wire.check_order(client.events)


def test_a_response_that_must_not_be_interrupted_ends_first(drive: Any, wire: Any) -> None:
    client = listening(
        drive, Simulator([says("Let me finish.", audio=10.0), says("Yes?")], pace=1), interrupt_response=False
    )
    client.send("response.create")
    client.wait(2)
    assert "response.done" not in kinds(client.speak(load_voice("interruption")))
    events = client.wait(60)
    statuses = [event["response"]["status"] for event in events if event["type"] == "response.done"]
    assert statuses == ["completed", "completed"]
    wire.check_order(client.events)


def test_turns_without_responses(drive: Any) -> None:
    client = listening(drive, create_response=False)
    assert kinds(client.speak(load_voice("question")))[-1] == "conversation.item.done"
    assert "response.created" not in kinds(client.wait(60))


def test_manual_turns_are_committed_by_the_client(drive: Any, wire: Any) -> None:
    client = manual(drive, Simulator(transcripts=["Hello there"]))
    voice = load_voice("question")
    assert client.speak(voice) == []
    committed, added, _ = client.send("input_audio_buffer.commit")
    assert committed["previous_item_id"] is None
    (retrieved,) = client.send("conversation.item.retrieve", item_id=added["item"]["id"])
    assert base64.b64decode(retrieved["item"]["content"][0]["audio"]) == voice
    assert client.refused("input_audio_buffer.commit")["code"] == "input_audio_buffer_commit_empty"
    client.speak(voice)
    assert kinds(client.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    client.speak(silence(99))
    assert "99.00ms" in client.refused("input_audio_buffer.commit")["message"]
    client.speak(silence(1))
    assert len(client.send("input_audio_buffer.commit")) == 3
    wire.check_order(client.events)


def test_a_commit_in_the_middle_of_speech_ends_it(drive: Any) -> None:
    client = listening(drive)
    voice = load_voice("question")
    (started,) = client.speak(voice[: 48 * 1500])
    committed = client.send("input_audio_buffer.commit")[0]
    assert committed["item_id"] == started["item_id"]
    again = client.speak(voice[48 * 1500 :])
    assert again[0]["type"] == "input_audio_buffer.speech_started"
    assert again[0]["audio_start_ms"] >= 1500


def test_a_clear_in_the_middle_of_speech_forgets_it(drive: Any) -> None:
    client = listening(drive)
    voice = load_voice("question")
    (started,) = client.speak(voice[: 48 * 1500])
    client.send("input_audio_buffer.clear")
    again = client.speak(voice[48 * 1500 :])
    assert kinds(again)[:3] == [
        f"input_audio_buffer.{name}" for name in ("speech_started", "speech_stopped", "committed")
    ]
    assert again[0]["item_id"] != started["item_id"]


@pytest.mark.parametrize("silence_ms", [0, 20, 200, 500])
def test_speech_ends_after_exactly_the_silence(silence_ms: int) -> None:
    detector = SpeechDetector(
        {"type": "server_vad", "prefix_padding_ms": 40, "silence_duration_ms": silence_ms, "threshold": 0.5},
        "audio/pcm",
    )
    loud = b"\x00\x40\x00\xc0" * 12
    changes = list(detector.detect(silence(200) + loud * 400 + silence(1000)))
    assert changes == [SpeechStarted(160), SpeechStopped(600 + max(silence_ms, 20))]


def test_turning_detection_off_forgets_the_speech_that_had_begun(drive: Any) -> None:
    client = listening(drive)
    voice = load_voice("question")
    (started,) = client.speak(voice[: 48 * 1500])
    client.configure(audio={"input": {"turn_detection": None}})
    assert client.speak(voice[48 * 1500 :]) == []
    committed = client.send("input_audio_buffer.commit")[0]
    assert committed["item_id"] != started["item_id"]


def test_another_update_does_not_disturb_the_speech(drive: Any) -> None:
    client = listening(drive)
    voice = load_voice("question")
    client.speak(voice[: 48 * 1500])
    client.configure(instructions="Be brief.")
    assert kinds(client.speak(voice[48 * 1500 :]))[0] == "input_audio_buffer.speech_stopped"


def test_a_new_format_drops_what_was_not_committed(drive: Any) -> None:
    client = listening(drive)
    client.speak(load_voice("question")[: 48 * 1500])
    client.configure(audio={"input": {"format": {"type": "audio/pcma"}}})
    assert client.refused("input_audio_buffer.commit")["code"] == "input_audio_buffer_commit_empty"
    started = client.speak(encode_pcm(load_voice("question"), "audio/pcma"))[0]
    assert 1500 + 250 <= started["audio_start_ms"] <= 1500 + 400


def test_silence_is_not_kept_for_ever(drive: Any) -> None:
    client = listening(drive)
    client.speak(silence(61_000), chunk_bytes=480_000)
    added = client.send("input_audio_buffer.commit")[1]
    (retrieved,) = client.send("conversation.item.retrieve", item_id=added["item"]["id"])
    assert len(base64.b64decode(retrieved["item"]["content"][0]["audio"])) == 60_000 * 48


@pytest.mark.parametrize(
    ("model", "counted"),
    [("whisper-1", "duration"), ("gpt-realtime-whisper", "duration"), ("gpt-4o-mini-transcribe", "tokens")],
)
def test_transcription_comes_in_deltas_and_costs_by_its_model(drive: Any, wire: Any, model: str, counted: str) -> None:
    client = manual(drive, transcription={"model": model})
    client.speak(load_voice("question"))
    client.send("input_audio_buffer.commit")
    events = client.wait(60)
    completed = find(events, "conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == QUESTION
    usage = completed["usage"]
    assert usage["type"] == counted
    seconds = len(load_voice("question")) / 48000
    if counted == "duration":
        assert usage["seconds"] - 1 < seconds <= usage["seconds"]
    else:
        deltas = [event for event in events if event["type"].endswith("transcription.delta")]
        assert usage["output_tokens"] == len(deltas)
        assert (
            usage["input_tokens"] == usage["input_token_details"]["audio_tokens"] == pytest.approx(seconds * 10, abs=1)
        )
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert client.connection.items[0]["content"][0]["transcript"] == QUESTION
    assert "logprobs" not in completed
    wire.check_order(client.events)


def test_transcription_goes_on_beside_the_response_and_may_outlive_it(drive: Any, wire: Any) -> None:
    transcript = "This was quite a long question, and so writing it down takes longer than answering it does."
    client = listening(drive, Simulator([says("Yes.")], transcripts=[transcript]))
    client.speak(load_voice("question"))
    client.wait(60)
    order = [name for name in kinds(client.events) if "transcription" in name or name == "response.done"]
    assert order[0].endswith("delta")
    assert order.index("response.done") < order.index("conversation.item.input_audio_transcription.completed")
    wire.check_order(client.events)


def test_transcription_may_fail(drive: Any) -> None:
    client = listening(drive, Simulator(transcripts=[fails("audio_unintelligible", "What?", "transcription_error")]))
    client.speak(load_voice("question"))
    failed = find(client.wait(60), "conversation.item.input_audio_transcription.failed")
    assert failed["error"] == {
        "type": "transcription_error",
        "code": "audio_unintelligible",
        "message": "What?",
        "param": None,
    }


def test_log_probabilities_are_sent_where_they_are_asked_for(drive: Any) -> None:
    client = listening(drive, Simulator(transcripts=["Yes, well"]))
    client.configure(include=["item.input_audio_transcription.logprobs"])
    client.speak(load_voice("question"))
    completed = find(client.wait(60), "conversation.item.input_audio_transcription.completed")
    assert [entry["token"] for entry in completed["logprobs"]] == ["Yes", ",", " well"]
    assert completed["logprobs"][0]["bytes"] == list(b"Yes")


def test_the_model_hears_without_a_transcription(drive: Any) -> None:
    client = drive(Simulator(transcripts=[INTERRUPTION]))
    client.configure(output_modalities=["text"])
    client.speak(load_voice("interruption"))
    events = client.wait(60)
    assert INTERRUPTION in find(events, "response.done")["response"]["output"][0]["content"][0]["text"]
    assert not [name for name in kinds(events) if "transcription" in name]


def test_a_long_silence_makes_the_server_speak(drive: Any, wire: Any) -> None:
    client = listening(
        drive, Simulator([says("Hello?", audio=2.0), says("Are you there?", audio=1.0)]), idle_timeout_ms=6000
    )
    client.speak(silence(300))
    client.send("response.create")
    # Done after 0.4 s; then 2 s of speech and 6 s of silence.
    assert "input_audio_buffer.timeout_triggered" not in kinds(client.wait(8.3))
    client.speak(silence(500))
    events = client.wait(0.2)
    triggered, committed, added = events[:3]
    assert (triggered["type"], triggered["audio_start_ms"], triggered["audio_end_ms"]) == (
        "input_audio_buffer.timeout_triggered",
        300,
        800,
    )
    assert triggered["item_id"] == committed["item_id"] == added["item"]["id"]
    assert "response.created" in kinds(events)
    client.wait(3)
    assert "input_audio_buffer.timeout_triggered" in kinds(client.wait(10))  # and again
    wire.check_order(client.events)


def test_the_silence_begins_when_what_was_said_has_sounded(drive: Any) -> None:
    client = listening(drive, Simulator([says("Hello?", audio=2.0)], pace=0.5), idle_timeout_ms=6000)
    client.send("response.create")
    for _ in range(100):  # a microphone that is never off
        client.speak(silence(100))
        client.wait(0.1)
    triggered = find(client.events, "input_audio_buffer.timeout_triggered")
    # The response is done after 1 s, and then sounds for its 2 s: so the documentation counts.
    assert triggered["audio_end_ms"] == pytest.approx(9000, abs=200)
    assert triggered["audio_end_ms"] - triggered["audio_start_ms"] == pytest.approx(6000, abs=200)


def test_the_silence_is_an_item_with_its_audio_and_without_words(drive: Any) -> None:
    client = listening(drive, Simulator(transcripts=["Something"]), idle_timeout_ms=6000)
    client.configure(audio={"input": {"transcription": {"model": "whisper-1"}}})
    client.speak(silence(300))
    client.send("response.create")
    client.wait(3)
    client.speak(silence(500))
    events = client.wait(6)
    triggered = next(event for event in events if event["type"] == "input_audio_buffer.timeout_triggered")
    (retrieved,) = client.send("conversation.item.retrieve", item_id=triggered["item_id"])
    (part,) = retrieved["item"]["content"]
    assert len(base64.b64decode(part["audio"])) == 48 * (triggered["audio_end_ms"] - triggered["audio_start_ms"]) > 0
    assert part["transcript"] is None
    assert not [event for event in client.events if "transcription" in event["type"]]
    client.speak(silence(200))
    client.send("input_audio_buffer.commit")
    assert client.wait(30)[-1].get("transcript") == "Something"


def test_speech_ends_the_silence(drive: Any) -> None:
    client = listening(drive, idle_timeout_ms=6000, create_response=False)
    client.send("response.create")
    client.wait(3)
    client.speak(load_voice("question"))
    assert "input_audio_buffer.timeout_triggered" not in kinds(client.wait(60))


def test_a_transcription_session_transcribes_and_says_nothing(drive: Any, wire: Any) -> None:
    client = drive(Simulator(transcripts=["Just words"]), intent="transcription")
    client.configure(audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}})
    client.speak(load_voice("question"))
    client.wait(60)
    names = wire.types(client.events)
    assert names[-1] == "conversation.item.input_audio_transcription.completed"
    assert not [name for name in names if name.startswith("response.")]
