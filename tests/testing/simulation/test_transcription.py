"""What the simulated server writes down of speech: who speaks, in which language, and what it costs by its model."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.testing import Simulator, fails, hears, load_voice

EVENT = "conversation.item.input_audio_transcription"
TALK = hears(("A", "Good morning!"), ("B", "Hello."), ("A", "How are you?"))


def transcribed(drive: Any, said: Any, model: str, **query: str) -> list[Any]:
    """What the server sends about one commit of audio."""
    client = drive(Simulator(transcripts=[said]), **query)
    client.configure(audio={"input": {"turn_detection": None, "transcription": {"model": model}}})
    client.speak(load_voice("question"))
    client.send("input_audio_buffer.commit")
    events: list[Any] = [event for event in client.wait(60) if event["type"].startswith(EVENT)]
    return events


def only(events: list[Any], name: str) -> list[Any]:
    return [event for event in events if event["type"] == f"{EVENT}.{name}"]


@pytest.mark.parametrize("query", [{}, {"intent": "transcription"}], ids=["realtime", "transcription"])
def test_a_model_that_tells_speakers_apart_sends_segments(drive: Any, query: dict[str, str]) -> None:
    events = transcribed(drive, TALK, "gpt-4o-transcribe-diarize", **query)
    segments = only(events, "segment")
    assert [(event["speaker"], event["text"]) for event in segments] == list(TALK.segments)
    seconds = len(load_voice("question")) / 48_000
    edges = [edge for event in segments for edge in (event["start"], event["end"])]
    assert edges == sorted(edges)
    assert (edges[0], edges[-1]) == (0, pytest.approx(seconds, abs=0.002))
    assert len({event["id"] for event in segments}) == 3
    (completed,) = only(events, "completed")
    assert completed["transcript"] == "Good morning! Hello. How are you?"
    assert "".join(event["delta"] for event in only(events, "delta")) == completed["transcript"]
    assert completed["usage"]["type"] == "tokens"
    # Each segment stands behind its words and before those of the next.
    words = ""
    for event in events[:-1]:
        if event["type"] == f"{EVENT}.segment":
            assert words.endswith(event["text"])
        else:
            words += event["delta"]


def test_one_speaker_is_one_segment(drive: Any) -> None:
    (segment,) = only(transcribed(drive, "Just me.", "gpt-4o-transcribe-diarize"), "segment")
    assert (segment["speaker"], segment["text"]) == ("A", "Just me.")


def test_silence_has_a_segment_without_words(drive: Any) -> None:
    (segment,) = only(transcribed(drive, "", "gpt-4o-transcribe-diarize"), "segment")
    assert (segment["text"], segment["start"], segment["end"]) == ("", 0, 0)


def test_other_models_send_none(drive: Any) -> None:
    events = transcribed(drive, TALK, "gpt-4o-transcribe")
    assert only(events, "segment") == []
    assert only(events, "completed")[0]["transcript"] == TALK.text


@pytest.mark.parametrize(
    ("model", "deltas"),
    [
        ("gpt-4o-transcribe", ["Yes", ",", " well", "."]),
        # Its first word, too, comes with the space before it, which the transcript does not have.
        ("gpt-realtime-whisper", [" Yes", ",", " well", "."]),
        ("whisper-1", ["Yes, well."]),
    ],
)
def test_each_model_has_deltas_of_its_own(drive: Any, model: str, deltas: list[str]) -> None:
    events = transcribed(drive, "Yes, well.", model)
    assert [event["delta"] for event in only(events, "delta")] == deltas
    assert only(events, "completed")[0]["transcript"] == "Yes, well."
    assert only(transcribed(drive, "", model), "delta") == []


def test_log_probabilities_need_to_be_named(drive: Any) -> None:
    client = drive(Simulator(transcripts=["Yes"]))
    client.configure(include=[], audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}})
    client.speak(load_voice("question"))
    assert not [event for event in client.wait(60) if "logprobs" in event]


@pytest.mark.parametrize(
    ("said", "languages"),
    [
        ("Hello.", ["en"]),
        (hears("Guten Tag."), ["en"]),
        (hears("Guten Tag.", languages=["de"]), ["de"]),
        (hears("Bonjour. Hi.", languages=["fr", "en"]), ["fr", "en"]),
        (hears("Hm.", languages=[]), []),
    ],
)
def test_one_model_says_which_languages_it_heard(drive: Any, said: Any, languages: list[str]) -> None:
    (completed,) = only(transcribed(drive, said, "gpt-transcribe"), "completed")
    assert completed["languages"] == [{"code": code} for code in languages]
    assert "languages" not in only(transcribed(drive, said, "gpt-4o-transcribe"), "completed")[0]


@pytest.mark.parametrize(
    ("model", "counted"),
    [
        ("whisper-1", "duration"),
        ("gpt-transcribe", "duration"),
        ("gpt-live-transcribe", "duration"),
        ("gpt-realtime-whisper", "duration"),
        ("gpt-4o-transcribe", "tokens"),
        ("gpt-4o-mini-transcribe", "tokens"),
        ("gpt-4o-mini-transcribe-2025-12-15", "tokens"),
        ("gpt-4o-transcribe-diarize", "tokens"),
    ],
)
def test_what_it_costs_is_counted_by_the_model(drive: Any, model: str, counted: str) -> None:
    assert only(transcribed(drive, "Hello.", model), "completed")[0]["usage"]["type"] == counted


def test_a_deployment_that_is_not_there_fails_as_on_azure(drive: Any) -> None:
    said = fails("DeploymentNotFound", "The API deployment for this resource does not exist.", "invalid_request_error")
    (failed,) = transcribed(drive, said, "my-deployment")
    assert (failed["type"], failed["error"]["code"]) == (f"{EVENT}.failed", "DeploymentNotFound")


@pytest.mark.parametrize("model", ["gpt-realtime-whisper", "gpt-live-transcribe"])
def test_a_transcription_without_turns_detects_none(drive: Any, model: str) -> None:
    client = drive(intent="transcription")
    assert client.connection.session["audio"]["input"]["turn_detection"] is not None
    session = client.configure(audio={"input": {"transcription": {"model": model}}})
    assert session["audio"]["input"]["turn_detection"] is None
    assert client.speak(load_voice("question")) == []
    assert len(client.send("input_audio_buffer.commit")) == 3
    audio = {"input": {"turn_detection": {"type": "server_vad"}}}
    error = client.refused("session.update", session={"type": "transcription", "audio": audio})
    assert (error["code"], error["param"]) == ("invalid_value", "session.audio.input.turn_detection")


def test_a_conversation_detects_turns_whatever_transcribes(drive: Any) -> None:
    session = drive().configure(audio={"input": {"transcription": {"model": "gpt-realtime-whisper"}}})
    assert session["audio"]["input"]["turn_detection"]["type"] == "server_vad"
