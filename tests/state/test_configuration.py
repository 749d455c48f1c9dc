"""What the program asks for: keywords in the wire's shape, and changes key by key."""

import functools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from trio_realtime.errors import ConfigError
from trio_realtime.state.configuration import checked_config, merged, response_params, session_config
from trio_realtime.wire.session_config import (
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    AudioPCMU,
    FunctionTool,
    ServerVad,
    SessionConfig,
    TranscriptionSessionConfig,
)


def on_the_wire(config: msgspec.Struct) -> dict[str, Any]:
    wire: dict[str, Any] = json.loads(msgspec.json.encode(config))
    return wire


def test_the_session_type_is_always_set() -> None:
    assert on_the_wire(session_config({})) == {"type": "realtime"}
    assert on_the_wire(TranscriptionSessionConfig()) == {"type": "transcription"}


def test_keywords_go_to_their_places_on_the_wire() -> None:
    config = session_config(
        {
            "instructions": "Be brief.",
            "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "tool_choice": {"type": "function", "name": "f"},
            "parallel_tool_calls": False,
            "reasoning": {"effort": "low"},
            "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
            "include": ["item.input_audio_transcription.logprobs"],
            "voice": "marin",
            "speed": 1.25,
            "output_format": "audio/pcmu",
            "input_format": {"type": "audio/pcm"},
            "turn_detection": "semantic_vad",
            "transcription": "gpt-realtime-whisper",
            "noise_reduction": "near_field",
        }
    )
    assert on_the_wire(config) == {
        "type": "realtime",
        "instructions": "Be brief.",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
        "include": ["item.input_audio_transcription.logprobs"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "turn_detection": {"type": "semantic_vad"},
                "transcription": {"model": "gpt-realtime-whisper"},
                "noise_reduction": {"type": "near_field"},
            },
            "output": {"voice": "marin", "speed": 1.25, "format": {"type": "audio/pcmu"}},
        },
    }


@pytest.mark.parametrize("name", ["turn_detection", "transcription", "noise_reduction", "tracing", "prompt"])
def test_none_goes_out_as_null_where_the_protocol_has_null(name: str) -> None:
    keywords: Any = {name: None}
    wire = on_the_wire(session_config(keywords))
    place = wire if name in {"tracing", "prompt"} else wire["audio"]["input"]
    assert place[name] is None


def test_plain_definitions_of_tools_are_kept_as_they_are() -> None:
    definition = {"type": "function", "name": "f", "parameters": {"type": "object", "x-own": {"y": [1, None]}}}
    config = session_config({"tools": [definition, FunctionTool(name="g")]})
    assert on_the_wire(config)["tools"] == [definition, {"type": "function", "name": "g"}]


@pytest.mark.parametrize(
    "keywords",
    [
        {"instruction": "x"},
        {"instructions": None},
        {"instructions": 7},
        {"speed": 9.0},
        {"turn_detection": "vad"},
        {"turn_detection": {"type": "server_vad", "treshold": 0.5}},
        {"turn_detection": {"type": "server_vad", "threshold": 2}},
        {"tools": [{"type": "function"}]},
        {"tools": [{"type": "function", "name": "f", "strict": True}]},
        {"output_format": "audio/opus"},
        {"voice": {"id": "v", "name": "n"}},
        {"prompt": object()},
        {"tools": "f"},
        {"tools": 7},
    ],
    ids=str,
)
def test_what_the_protocol_does_not_allow_is_refused(keywords: Any) -> None:
    with pytest.raises(ConfigError):
        session_config(keywords)


def plain(city: str) -> str:
    return city


WITHOUT_NAME = functools.partial(plain, "Paris")


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"tools": "f"}, "tools must be a list, not str"),
        ({"tools": [FunctionTool(name="f"), plain]}, "'plain' is a plain function; put @tool on it"),
        ({"tools": [WITHOUT_NAME]}, f"{WITHOUT_NAME!r} is a plain function; put @tool on it"),
        (
            {"max_output_tokens": 0},
            "the session configuration is not valid: max_output_tokens is 1 or more, or 'inf', not 0",
        ),
        (
            {"max_output_tokens": "all"},
            "the session configuration is not valid: max_output_tokens is 1 or more, or 'inf', not 'all'",
        ),
        (
            {"output_modalities": ["text", "audio"]},
            "the session configuration is not valid: output_modalities is ['audio'] or ['text'], not ['text', 'audio']",
        ),
        (
            {"tool_choice": "some"},
            (
                "the session configuration is not valid: "
                "tool_choice is 'none', 'auto', 'required' or one function, not 'some'"
            ),
        ),
        (
            {"turn_detection": {"type": "server_vad", "treshold": 0.5, "idle": 7}},
            (
                "the session configuration has keys that the protocol does not know: "
                "audio.input.turn_detection.treshold, audio.input.turn_detection.idle"
            ),
        ),
        (
            {"tools": [{"type": "function", "name": "e"}, {"type": "function", "name": "f", "strict.": True}]},
            "the session configuration has keys that the protocol does not know: tools[1].strict.",
        ),
        (
            {"speed": 9.0},
            "the session configuration is not valid: Expected `float` <= 1.5 - at `$.audio.output.speed`",
        ),
        (
            {"voise": "marin"},
            (
                "there is no session keyword 'voise'; there are include, input_format, instructions, "
                "max_output_tokens, noise_reduction, output_format, output_modalities, parallel_tool_calls, prompt, "
                "reasoning, speed, tool_choice, tools, tracing, transcription, truncation, turn_detection, voice"
            ),
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_refusal_says_what_is_wrong_where_and_what_would_be_right(keywords: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        session_config(keywords)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "keywords",
    [
        *[{"max_output_tokens": tokens} for tokens in (1, 2, 4096, "inf")],
        *[{"output_modalities": [modality]} for modality in ("audio", "text")],
        *[{"tool_choice": choice} for choice in ("none", "auto", "required")],
    ],
    ids=str,
)
def test_every_value_that_a_server_takes_goes_out(keywords: Any) -> None:
    assert on_the_wire(session_config(keywords)) == {"type": "realtime", **keywords}
    assert on_the_wire(response_params(keywords)) == keywords


def test_a_tool_with_a_function_is_asked_for_by_its_definition() -> None:
    class Made:
        definition = FunctionTool(name="f")

    assert on_the_wire(session_config({"tools": [Made()]}))["tools"] == [{"type": "function", "name": "f"}]


def test_a_key_that_is_none_is_left_out_where_none_means_nothing() -> None:
    config = session_config({"transcription": {"model": "m", "language": None}})
    assert on_the_wire(config)["audio"]["input"]["transcription"] == {"model": "m"}


def test_metadata_of_traces_is_the_programs_own() -> None:
    tracing = {"workflow_name": "w", "metadata": {"any": {"thing": [None, 1]}}}
    assert on_the_wire(session_config({"tracing": tracing}))["tracing"] == tracing


def test_a_configuration_may_be_a_struct_or_a_mapping_in_the_wires_shape() -> None:
    config = SessionConfig(audio=AudioConfig(input=AudioInputConfig(turn_detection=ServerVad(idle_timeout_ms=None))))
    assert checked_config(config) == config
    assert checked_config(on_the_wire(config)) == config
    with pytest.raises(ConfigError):
        checked_config({"type": "transcription"})
    with pytest.raises(ConfigError, match=r"does not know: X-own\.$"):
        checked_config({"type": "realtime", "X-own.": 1})


def test_the_callers_own_mapping_is_not_changed() -> None:
    audio: Any = {"type": "server_vad"}
    session_config({"turn_detection": audio, "transcription": "m"})
    assert audio == {"type": "server_vad"}


def test_a_response_has_keywords_of_its_own() -> None:
    params = response_params(
        {"voice": "cedar", "conversation": "none", "metadata": {"a": "b"}, "input": [], "output_format": "audio/pcma"}
    )
    assert on_the_wire(params) == {
        "audio": {"output": {"voice": "cedar", "format": {"type": "audio/pcma"}}},
        "conversation": "none",
        "metadata": {"a": "b"},
        "input": [],
    }
    with pytest.raises(ConfigError, match="response keyword 'speed'"):
        response_params({"speed": 1.0})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(ConfigError, match=r"^the response's parameters is not valid: "):
        response_params({"metadata": {str(number): "" for number in range(17)}})


# --- changes, key by key -------------------------------------------------------------------------------------------

changes = st.fixed_dictionaries(
    {},
    optional={
        "instructions": st.sampled_from(["", "a"]),
        "tools": st.sampled_from([[], [{"type": "function", "name": "f"}]]),
        "tracing": st.sampled_from([None, "auto"]),
        "voice": st.sampled_from(["marin", "cedar"]),
        "speed": st.sampled_from([1.0, 1.5]),
        "turn_detection": st.sampled_from([None, "semantic_vad", {"type": "server_vad", "threshold": 0.5}]),
        "transcription": st.sampled_from([None, "m"]),
        "output_format": st.sampled_from(["audio/pcmu", "audio/pcm"]),
    },
)
SECTIONS = {"audio", "audio.input", "audio.output"}


def merged_json(before: dict[str, Any], change: dict[str, Any], where: str = "") -> dict[str, Any]:
    """How a server merges an update: sections key by key, everything else whole."""
    after = dict(before)
    for key, value in change.items():
        place = f"{where}{key}"
        after[key] = merged_json(before.get(key, {}), value, f"{place}.") if place in SECTIONS else value
    return after


@given(steps=st.lists(changes, max_size=5))
def test_changes_merge_key_by_key_as_the_server_merges_them(steps: list[Any]) -> None:
    config = session_config({})
    wire = on_the_wire(config)
    for step in steps:
        change = session_config(step)
        config = merged(config, change)
        wire = merged_json(wire, on_the_wire(change))
    assert on_the_wire(config) == wire


def test_a_change_leaves_what_it_does_not_name() -> None:
    before = SessionConfig(audio=AudioConfig(output=AudioOutputConfig(voice="marin", format=AudioPCMU())))
    after = merged(before, SessionConfig(instructions="x", audio=AudioConfig(output=AudioOutputConfig(speed=1.5))))
    assert after == SessionConfig(
        instructions="x", audio=AudioConfig(output=AudioOutputConfig(voice="marin", format=AudioPCMU(), speed=1.5))
    )
    assert before.instructions is msgspec.UNSET
