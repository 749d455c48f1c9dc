"""The configuration of a simulated session: what it begins with, and how updates change it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from trio_realtime.errors import ConfigError
from trio_realtime.testing import Says, Simulator, drops, says


def test_the_first_event_is_the_whole_configuration(drive: Any) -> None:
    (event,) = drive(Simulator(max_duration=1800)).events
    session = event["session"]
    assert (event["type"], session["object"], session["type"]) == ("session.created", "realtime.session", "realtime")
    assert session["model"] == "gpt-realtime-2.1"
    assert session["expires_at"] == 1_800_000_000 + 1800
    assert session["id"].startswith("sess_")
    for name in ("tracing", "prompt", "include"):
        assert session[name] is None
    assert session["audio"]["input"]["transcription"] is None
    assert session["audio"]["input"]["noise_reduction"] is None
    assert session["audio"]["input"]["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }


def test_older_models_wait_for_less_silence(drive: Any) -> None:
    (event,) = drive(model="gpt-realtime").events
    assert event["session"]["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 200


@pytest.mark.parametrize(("model", "voice"), [("gpt-realtime", "alloy"), ("gpt-realtime-2.1", "marin")])
def test_each_model_speaks_with_its_own_voice_unless_told(drive: Any, model: str, voice: str) -> None:
    (event,) = drive(model=model).events
    assert event["session"]["audio"]["output"]["voice"] == voice


def test_an_update_changes_only_what_it_names(drive: Any) -> None:
    client = drive()
    before = client.events[0]["session"]
    after = client.configure(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.7}}})
    expected = before["audio"]["input"]["turn_detection"] | {"threshold": 0.7}
    assert after["audio"]["input"]["turn_detection"] == expected
    after["audio"]["input"]["turn_detection"]["threshold"] = 0.5
    assert after == before


def test_transcription_and_noise_reduction_merge_and_switch_off(drive: Any) -> None:
    client = drive()

    def listen(**fields: Any) -> Any:
        return client.configure(audio={"input": fields})["audio"]["input"]

    assert listen(transcription={"model": "whisper-1"})["transcription"] == {
        "model": "whisper-1",
        "language": None,
        "prompt": None,
    }
    merged = listen(transcription={"language": "en"}, noise_reduction={"type": "near_field"})
    assert merged["transcription"] == {"model": "whisper-1", "language": "en", "prompt": None}
    assert merged["noise_reduction"] == {"type": "near_field", "strength": 1.0}
    assert listen(noise_reduction={"strength": 0.5})["noise_reduction"] == {"type": "near_field", "strength": 0.5}
    assert listen(noise_reduction={"type": "far_field"})["noise_reduction"] == {"type": "far_field", "strength": 0.5}
    off = listen(transcription=None, noise_reduction=None, turn_detection=None)
    assert (off["transcription"], off["noise_reduction"], off["turn_detection"]) == (None, None, None)


def test_another_kind_of_turn_detection_begins_with_its_own_defaults(drive: Any) -> None:
    client = drive()
    semantic = client.configure(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}})
    assert semantic["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": True,
        "interrupt_response": True,
    }
    server = client.configure(audio={"input": {"turn_detection": {"type": "server_vad", "create_response": False}}})
    assert server["audio"]["input"]["turn_detection"]["threshold"] == 0.5
    assert server["audio"]["input"]["turn_detection"]["create_response"] is False


def test_formats_are_replaced_whole(drive: Any) -> None:
    client = drive()
    formats = client.configure(audio={"input": {"format": {"type": "audio/pcmu"}}})["audio"]
    assert formats["input"]["format"] == {"type": "audio/pcmu"}
    assert formats["output"]["format"] == {"type": "audio/pcm", "rate": 24000}
    formats = client.configure(audio={"input": {"format": {"type": "audio/pcm"}}})["audio"]
    assert formats["input"]["format"] == {"type": "audio/pcm", "rate": 24000}


def test_empty_instructions_bring_the_default_back(drive: Any) -> None:
    client = drive()
    default = client.events[0]["session"]["instructions"]
    assert client.configure(instructions="Rhyme.")["instructions"] == "Rhyme."
    assert client.configure(instructions="")["instructions"] == default


def test_tools_and_the_rest_are_kept_as_given(drive: Any) -> None:
    given = {
        "tools": [
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
            {"type": "mcp", "server_label": "s", "server_url": "https://mcp.example", "require_approval": "never"},
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 100}},
        "prompt": {"id": "pmpt_1", "variables": {"a": "b", "c": {"type": "input_text", "text": "d"}}},
        "include": ["item.input_audio_transcription.logprobs"],
        "tracing": {"workflow_name": "w", "metadata": {"any": ["thing"]}},
        "max_output_tokens": 100,
        "model": "gpt-realtime-2.1",
    }
    session = drive().configure(**given)
    assert {name: session[name] for name in given} == given


def test_a_transcription_session_has_a_shape_of_its_own(drive: Any) -> None:
    client = drive(intent="transcription")
    session = client.events[0]["session"]
    assert (session["type"], session["object"]) == ("transcription", "realtime.transcription_session")
    assert set(session["audio"]) == {"input"}
    assert "model" not in session
    updated = client.configure(audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}})
    assert updated["audio"]["input"]["transcription"]["model"] == "gpt-4o-transcribe"


@pytest.mark.parametrize(
    "query", [{}, {"intent": "conversation"}, {"model": "m", "intent": "transcription"}, {"model": ""}, {"call_id": ""}]
)
def test_a_query_that_says_nothing_or_too_much_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Simulator().connect(query, now=0, unix_time=0)


@pytest.mark.parametrize(
    "arguments",
    [{"pace": -1}, {"pace": float("nan")}, {"audio_delta_ms": 0}, {"max_duration": 0}, {"max_duration": float("nan")}],
)
def test_a_simulator_out_of_range_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Simulator(**arguments)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"script": "Paris."}, "script is a sequence, .*'Paris.'"),
        ({"script": says("Paris.")}, "script is a sequence, .*Says"),
        ({"script": [says("Paris."), "Rome."]}, "script has says.*'Rome.'"),
        ({"script": [[says("Paris."), "Rome."]]}, "script has says.*'Rome.'"),
        ({"script": [3]}, "script has says.*3"),
        ({"script": [Says]}, "script has says.*class"),
        ({"transcripts": "Hello!"}, "transcripts is a sequence, .*'Hello!'"),
        ({"transcripts": [says("Hello!")]}, "transcripts has text, .*Says"),
        ({"faults": drops()}, r"faults is a sequence, .*drops\(\)"),
        ({"faults": [drops]}, r"faults has drops\(...\), .*function drops"),
        ({"mcp_tools": {"docs": ["search"]}}, r"mcp_tools\['docs'\] has tools as on the wire; not 'search'"),
        ({"mcp_tools": [{"name": "search"}]}, "mcp_tools is a mapping, .*'search'"),
        ({"mcp_tools": {"docs": {"name": "search"}}}, r"mcp_tools\['docs'\] is a sequence, .*'search'"),
    ],
)
def test_a_simulator_of_something_else_is_refused_at_once(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Simulator(**arguments)


def test_only_faults_are_injected(drive: Any) -> None:
    drive(simulator := Simulator())
    with pytest.raises(ConfigError, match="a fault is drops"):
        simulator.connections[0].inject(cast("Any", drops))


def test_a_session_expires_with_an_error_and_a_close(drive: Any) -> None:
    client = drive(Simulator(max_duration=90))
    assert client.wait(89.9) == []
    client.send("response.create")
    events = client.wait(0.2)
    assert events[-1]["error"]["code"] == "session_expired"
    assert client.connection.closed.code == 1001
    assert "maximum duration of 1.5 minutes" in client.connection.closed.reason
    assert client.connection.next_deadline() == float("inf")
    assert client.send("response.create") == client.wait(100) == []


def test_a_fresh_connection_has_something_to_say() -> None:
    connection = Simulator().connect({"model": "m"}, now=5.0, unix_time=0)
    assert connection.next_deadline() == 5.0
    assert [event["type"] for event in connection.advance(5.0)] == ["session.created"]
    assert connection.next_deadline() == 3605.0


def test_connections_do_not_share_ids_or_conversations(drive: Any) -> None:
    simulator = Simulator()
    first, second = drive(simulator), drive(simulator)
    assert first.say("Hi")[0]["item"]["id"] != second.say("Hi")[0]["item"]["id"]
    assert len(first.connection.items) == 1
    assert simulator.connections == [first.connection, second.connection]
    assert [event["type"] for event in first.connection.received] == ["conversation.item.create"]
