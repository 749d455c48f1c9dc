"""A translation session of the simulated server: alone, in memory, over a socket, and as the official types have it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import given, settings, strategies as st
from trio.testing import MockClock

from trio_realtime import ConfigError, ConnectionLost, OpenAI, RealtimeConnection, open_connection
from trio_realtime.testing import (
    ScriptedTurn,
    Simulator,
    TranslationConnection,
    calls,
    fails,
    hears,
    load_voice,
    says,
    serve_simulator,
    simulated_transport,
)
from trio_realtime.wire import translation

MODEL = "gpt-realtime-translate"
FRAME_BYTES = 9600
SPOKEN = load_voice("interruption")
SILENCE = bytes(FRAME_BYTES)

Event = dict[str, Any]


@pytest.fixture
def translator(drive: Any) -> Any:
    """Makes clients of translation sessions."""

    def make(simulator: Simulator | None = None) -> Any:
        return drive(simulator or Simulator(pace=0), connecting={"kind": "translation"}, model=MODEL)

    return make


def append(client: Any, audio: bytes, chunk_bytes: int = FRAME_BYTES) -> list[Event]:
    """Append audio and return what comes of it."""
    events = []
    for start in range(0, len(audio), chunk_bytes):
        chunk = base64.b64encode(audio[start : start + chunk_bytes]).decode()
        events += client.send("session.input_audio_buffer.append", audio=chunk)
        events += client.wait(0)
    return events


def close(client: Any) -> list[Event]:
    events: list[Event] = client.send("session.close") + client.wait(0)
    return events


def joined(events: list[Event], kind: str) -> str:
    return "".join(event["delta"] for event in events if event["type"] == kind)


def audio_of(events: list[Event]) -> bytes:
    deltas = (event["delta"] for event in events if event["type"] == "session.output_audio.delta")
    return b"".join(map(base64.b64decode, deltas))


def test_it_begins_with_its_own_session(translator: Any) -> None:
    client = translator()
    assert client.events == [
        {
            "type": "session.created",
            "event_id": client.events[0]["event_id"],
            "session": {
                "id": client.events[0]["session"]["id"],
                "type": "translation",
                "model": MODEL,
                "expires_at": 1_800_003_600,
                "audio": {"input": {"noise_reduction": None, "transcription": None}, "output": {"language": "en"}},
            },
        }
    ]
    assert client.simulator.connections == []
    assert client.simulator.translations == [client.connection]


@pytest.mark.parametrize("query", [{}, {"intent": "transcription"}, {"model": MODEL, "call_id": "rtc_1"}])
def test_it_needs_a_model_and_nothing_else(query: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Simulator().connect(query, kind="translation", now=0, unix_time=0)


def test_an_update_changes_what_it_names(translator: Any) -> None:
    client = translator()
    updates = [
        {"audio": {"output": {"language": "fr"}}},
        {"audio": {"input": {"noise_reduction": {"type": "near_field"}}}},
        {"audio": {"input": {"noise_reduction": {"type": "far_field", "strength": 0.5}}}},
        {"audio": {"input": {"noise_reduction": {"type": "near_field"}, "transcription": {"model": "whisper"}}}},
        {"audio": {"input": {"noise_reduction": None}}},
        {},
    ]
    seen = []
    for update in updates:
        (event,) = client.send("session.update", session=update)
        assert event["type"] == "session.updated"
        assert event["session"] == client.connection.session
        seen.append(event["session"]["audio"])
    assert [audio["output"]["language"] for audio in seen] == ["fr"] * 6
    assert [audio["input"]["noise_reduction"] for audio in seen] == [
        None,
        {"type": "near_field", "strength": 1.0},
        {"type": "far_field", "strength": 0.5},
        {"type": "near_field", "strength": 0.5},
        None,
        None,
    ]
    assert [audio["input"]["transcription"] for audio in seen] == [None] * 3 + [{"model": "whisper"}] * 3


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "session.update", "session": {"type": "translation"}}, "unknown_parameter", "session.type"),
        ({"type": "session.update", "session": {"model": "m"}}, "unknown_parameter", "session.model"),
        (
            {"type": "session.update", "session": {"audio": {"input": {"transcription": {}}}}},
            "missing_required_parameter",
            "session.audio.input.transcription.model",
        ),
        (
            {"type": "session.update", "session": {"audio": {"output": {"language": None}}}},
            "invalid_type",
            "session.audio.output.language",
        ),
        ({"type": "session.input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "session.input_audio_buffer.append", "audio": "?"}, "invalid_value", "audio"),
        ({"type": "session.input_audio_buffer.append", "audio": "AAAA"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "AAA="}, "invalid_value", "type"),
        ({"type": "response.create"}, "invalid_value", "type"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(translator: Any, fields: Event, code: str, param: str) -> None:
    client = translator()
    before = json.dumps(client.connection.session)
    kind = fields.pop("type")
    error = client.refused(kind, **fields)
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert json.dumps(client.connection.session) == before
    assert client.connection.received[-1]["type"] == kind
    assert client.send_raw(b"\0", binary=True)[0]["error"]["event_id"] is None


def test_too_much_audio_at_once_is_refused(translator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_realtime.testing.simulation.translation_connection.MAX_APPEND_BYTES", 8)
    client = translator()
    assert append(client, bytes(10), 10)[0]["error"]["param"] == "audio"
    assert append(client, bytes(8)) == []


def test_what_is_said_is_translated_after_it_was_said(translator: Any) -> None:
    client = translator(
        Simulator([says("Attendez, s'il vous plaît.", audio=1.0)], transcripts=["Wait, please."], pace=0)
    )
    client.send("session.update", session={"audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}})
    events = append(client, SPOKEN + SILENCE * 10)
    assert joined(events, "session.input_transcript.delta") == "Wait, please."
    assert joined(events, "session.output_transcript.delta") == "Attendez, s'il vous plaît."
    assert len(audio_of(events)) == 48_000
    kinds = [event["type"].removeprefix("session.") for event in events]
    assert (
        kinds.index("input_transcript.delta")
        < kinds.index("output_transcript.delta")
        < kinds.index("output_audio.delta")
    )
    assert "output_transcript.delta" not in kinds[: kinds.index("input_transcript.delta") + 2]
    voice = [event for event in events if event["type"] == "session.output_audio.delta"]
    assert {(event["sample_rate"], event["channels"], event["format"]) for event in voice} == {(24000, 1, "pcm16")}
    times = [event["elapsed_ms"] for event in events]
    assert times == sorted(times)
    assert [event["elapsed_ms"] for event in voice] == [voice[0]["elapsed_ms"] + 200 * n for n in range(5)]
    assert all(time % 200 == 0 for time in times)


def test_without_transcription_only_the_translation_comes(translator: Any) -> None:
    client = translator(Simulator(transcripts=["Hi."], pace=0))
    client.send("session.update", session={"audio": {"output": {"language": "fr"}}})
    events = append(client, SPOKEN) + close(client)
    assert joined(events, "session.input_transcript.delta") == ""
    assert joined(events, "session.output_transcript.delta") == "(fr) Hi."


def test_silence_says_nothing_and_less_than_a_frame_waits(translator: Any) -> None:
    client = translator()
    assert append(client, SILENCE * 20) == []
    assert client.connection.next_deadline() == client.now + 3600
    assert append(client, SILENCE[2:]) == []
    assert client.connection.next_deadline() == client.now + 3600


def test_each_utterance_is_one_entry_of_the_script(translator: Any) -> None:
    script: list[ScriptedTurn] = [
        [says("Un.", audio=b"\1\0" * 100), says("Deux.", audio=0.0)],
        fails("translation_failed", "No."),
        lambda context: says(f"<{context.heard}>"),
    ]
    client = translator(Simulator(script, transcripts=["one", "two", fails()], pace=0))
    client.send("session.update", session={"audio": {"input": {"transcription": {"model": "w"}}}})
    pause = SILENCE * 5
    events = append(client, (SPOKEN + pause) * 3) + close(client)
    assert joined(events, "session.input_transcript.delta") == "onetwo"
    assert joined(events, "session.output_transcript.delta") == "Un.Deux.<>"
    assert audio_of(events).startswith(b"\1\0" * 100)
    (error,) = (event["error"] for event in events if event["type"] == "error")
    assert (error["code"], error["message"], error["event_id"]) == ("translation_failed", "No.", None)


def test_the_words_of_each_utterance_come_while_it_lasts(translator: Any) -> None:
    client = translator(Simulator([says("")] * 2, transcripts=["one two three four"] * 2, pace=0))
    client.send("session.update", session={"audio": {"input": {"transcription": {"model": "w"}}}})
    utterance = SPOKEN.ljust((len(SPOKEN) // FRAME_BYTES + 6) * FRAME_BYTES, b"\0")
    first, second = ([(event["delta"], event["elapsed_ms"]) for event in append(client, utterance)] for _ in range(2))
    assert len({time for _, time in first}) > 2
    assert second == [(word, time + len(utterance) // 48) for word, time in first]


def test_words_that_were_not_reached_come_when_the_utterance_ends(translator: Any) -> None:
    words = "so many words " * 50
    client = translator(Simulator([says("Peu.")], transcripts=[words], pace=0))
    client.send("session.update", session={"audio": {"input": {"transcription": {"model": "w"}}}})
    events = append(client, SPOKEN + SILENCE * 5)
    kinds = [event["type"] for event in events]
    assert joined(events, "session.input_transcript.delta") == words
    assert "session.input_transcript.delta" not in kinds[kinds.index("session.output_transcript.delta") :]


def test_a_script_for_something_else_is_the_tests_bug(translator: Any) -> None:
    with pytest.raises(TypeError):
        append(translator(Simulator([calls("f")], pace=0)), SPOKEN + SILENCE * 5)


def test_close_brings_out_what_is_left_and_ends_the_connection(translator: Any) -> None:
    client = translator(Simulator([says("Encore.", audio=0.5)], pace=0))
    speech = SPOKEN[: len(SPOKEN) // 4 * 2]
    assert append(client, speech, 4800) == []
    events = close(client)
    assert joined(events, "session.output_transcript.delta") == "Encore."
    assert len(audio_of(events)) == 24_000
    assert events[-1]["type"] == "session.closed"
    assert client.connection.closed.code == 1000
    assert client.connection.next_deadline() == float("inf")
    assert client.send("session.close") == []


def test_nothing_is_taken_any_more_while_it_closes(translator: Any) -> None:
    client = translator(Simulator(pace=1))
    append(client, SILENCE)
    assert client.send("session.close") == []
    assert client.refused("session.close")["param"] == "type"
    assert client.refused("session.update", session={})["param"] == "type"
    assert [event["type"] for event in client.wait(1)] == ["session.closed"]


def test_a_frame_takes_its_time(translator: Any) -> None:
    client = translator(Simulator([says("Oui.", audio=0.4)], pace=0.5))
    client.send("session.input_audio_buffer.append", audio=base64.b64encode(SPOKEN + SILENCE * 10).decode())
    frames = (len(SPOKEN) + 10 * FRAME_BYTES) // FRAME_BYTES
    assert client.connection.next_deadline() == pytest.approx(client.now + 0.1)
    times = []
    for _ in range(frames):
        deadline = client.connection.next_deadline()
        events = client.wait(deadline - client.now)
        times += [client.now - 1000 for event in events if event["type"] == "session.output_audio.delta"]
        assert all(event["elapsed_ms"] * 0.5 / 1000 == pytest.approx(client.now - 1000) for event in events)
    assert times[1] - times[0] == pytest.approx(0.1)
    assert client.connection.next_deadline() == 1000 + 3600


def test_it_expires(translator: Any) -> None:
    client = translator(Simulator(max_duration=60))
    (error,) = client.wait(60)
    assert error["error"]["code"] == "session_expired"
    assert client.connection.closed.code == 1001


def test_whatever_a_client_sends_it_answers_and_its_time_goes_on(translator: Any) -> None:
    audio = st.sampled_from(
        [SPOKEN[start : start + 9600] for start in range(0, len(SPOKEN), 9600)] + [SILENCE, b"\1\0"]
    )
    step = st.one_of(
        st.tuples(st.just("append"), audio),
        st.tuples(st.just("update"), st.sampled_from([None, {"model": "w"}])),
        st.tuples(st.just("wait"), st.sampled_from([0.05, 1.0])),
        st.tuples(st.just("raw"), st.binary(max_size=8)),
    )

    @settings(deadline=None)
    @given(steps=st.lists(step, max_size=30), pace=st.sampled_from([0, 0.2, 1]))
    def check(steps: list[tuple[str, Any]], pace: float) -> None:
        client = translator(Simulator([says("Un deux."), fails()], transcripts=["one two"], pace=pace))
        for name, argument in steps:
            match name:
                case "append":
                    append(client, argument)
                case "update":
                    client.send("session.update", session={"audio": {"input": {"transcription": argument}}})
                case "wait":
                    client.wait(argument)
                case _:
                    assert [event["type"] for event in client.send_raw(argument)] == ["error"]
        client.send("session.close")
        client.wait(600)
        assert client.events[-1]["type"] == "session.closed"
        assert len({event["event_id"] for event in client.events}) == len(client.events)
        times = [event["elapsed_ms"] for event in client.events if "elapsed_ms" in event]
        assert times == sorted(times)
        assert all(len(base64.b64decode(delta)) <= FRAME_BYTES for delta in voice_deltas(client.events))

    def voice_deltas(events: list[Event]) -> list[str]:
        return [event["delta"] for event in events if event["type"] == "session.output_audio.delta"]

    check()


def test_every_event_is_one_of_the_official_types(translator: Any) -> None:
    sdk = pytest.importorskip("openai.types.realtime")
    pydantic = pytest.importorskip("pydantic")
    adapter = pydantic.TypeAdapter(sdk.RealtimeTranslationServerEvent)
    client = translator(Simulator([says("Un."), fails()], pace=0))
    everything = {
        "input": {"transcription": {"model": "w"}, "noise_reduction": {"type": "near_field"}},
        "output": {"language": "fr"},
    }
    client.send("session.update", session={"audio": everything})
    append(client, (SPOKEN + SILENCE * 5) * 2)
    close(client)
    seen = {adapter.validate_python(event, strict=True).type for event in client.events}
    assert len(seen) == 7


# --- through the client's own connection ------------------------------------------------------------------------------


@asynccontextmanager
async def in_memory(simulator: Simulator) -> AsyncGenerator[RealtimeConnection]:
    async with (
        simulated_transport(simulator, kind="translation") as transport,
        open_connection(transport=transport, kind="translation") as connection,
    ):
        yield connection


@asynccontextmanager
async def over_a_socket(simulator: Simulator) -> AsyncGenerator[RealtimeConnection]:
    async with serve_simulator(simulator) as server:
        endpoint = OpenAI(server.api_key, base_url=server.url)
        with trio.fail_after(10):
            async with open_connection(endpoint, kind="translation", model=MODEL) as connection:
                yield connection


async def receive_all(connection: RealtimeConnection, events: list[Any]) -> None:
    while True:
        events.append(await connection.receive())


@pytest.mark.parametrize("carried", [in_memory, over_a_socket])
async def test_our_client_translates(carried: Any) -> None:
    simulator = Simulator([says("Attendez.", audio=0.5)], transcripts=["Wait."], pace=0)
    events: list[Any] = []
    async with carried(simulator) as connection:
        audio = translation.TranslationAudioConfig(output=translation.TranslationOutputConfig(language="fr"))
        session_config = translation.TranslationSessionConfig(audio=audio)
        await connection.send(translation.TranslationSessionUpdate(session=session_config))
        for start in range(0, len(SPOKEN), 4800):
            await connection.send(translation.SessionInputAudioBufferAppend(audio=SPOKEN[start : start + 4800]))
        await connection.send(translation.SessionClose())
        with pytest.raises(ConnectionLost):
            await receive_all(connection, events)
    created, updated, closed = events[0], events[1], events[-1]
    assert isinstance(created, translation.TranslationSessionCreated)
    assert created.session is not None
    assert created.session.model == MODEL
    assert isinstance(updated, translation.TranslationSessionUpdated)
    assert isinstance(closed, translation.SessionClosed)
    said = [event for event in events if isinstance(event, translation.SessionOutputTranscriptDelta)]
    assert "".join(event.delta for event in said) == "Attendez."
    voice = [event for event in events if isinstance(event, translation.SessionOutputAudioDelta)]
    assert len(b"".join(event.delta for event in voice)) == 24_000
    (session,) = simulator.translations
    assert isinstance(session, TranslationConnection)
    assert session.session["audio"]["output"]["language"] == "fr"


async def test_in_memory_it_takes_virtual_time(autojump_clock: MockClock) -> None:
    simulator = Simulator([says("Dix secondes.", audio=10.0)], pace=1)
    async with in_memory(simulator) as connection:
        await connection.send(translation.SessionInputAudioBufferAppend(audio=SPOKEN))
        await connection.send(translation.SessionClose())
        began = trio.current_time()
        while not isinstance(await connection.receive(), translation.SessionClosed):
            pass
        spoken_seconds = len(SPOKEN) / 48_000
        assert 10 < trio.current_time() - began < 10 + spoken_seconds + 1.5


def test_several_speakers_are_translated_as_one(translator: Any) -> None:
    client = translator(Simulator(transcripts=[hears("Bonjour.", ("B", "Salut!"), languages=["fr"])], pace=0))
    client.send("session.update", session={"audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}})
    events = append(client, SPOKEN) + close(client)
    assert joined(events, "session.input_transcript.delta") == "Bonjour. Salut!"
