"""Whatever a client sends: the simulated server answers, keeps the order of events, and never breaks."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given, settings, strategies as st

from trio_realtime.testing import ScriptedTurn, Simulator, calls, calls_mcp, fails, incomplete, load_voice, says

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
EVENT_TYPES = [
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "conversation.item.delete",
    "response.create",
    "response.cancel",
    "output_audio_buffer.clear",
]
KEYS = st.sampled_from(
    [
        "session",
        "audio",
        "item",
        "item_id",
        "previous_item_id",
        "content_index",
        "audio_end_ms",
        "response",
        "response_id",
        "type",
        "role",
        "content",
        "input",
        "output",
        "turn_detection",
        "format",
        "id",
        "metadata",
    ]
)
NEAR_JSON = st.recursive(
    JSON | st.sampled_from(["realtime", "message", "user", "server_vad", "audio/pcm", "function_call", "input_text"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)

VOICE = load_voice("interruption")
AUDIO = [base64.b64encode(VOICE[start : start + 24_000]).decode() for start in range(0, len(VOICE), 24_000)]
SCRIPT: list[ScriptedTurn] = [
    says("First I talk for some time."),
    calls("f", {"x": 1}),
    [says("Then both."), calls("g"), calls("h", "not json")],
    calls_mcp("docs", "search", {"q": "x"}, output="Found."),
    fails(),
    [says("Cut"), calls_mcp("docs", "delete", error="Not allowed"), incomplete()],
]
MCP_TOOLS: dict[str, list[dict[str, Any]]] = {"docs": [{"name": "search"}, {"name": "delete"}]}


def test_messages_of_any_shape_get_an_error_that_names_them(drive: Any) -> None:
    @settings(deadline=None, max_examples=200)
    @given(kind=st.sampled_from(EVENT_TYPES) | st.text(max_size=5), fields=st.dictionaries(KEYS, NEAR_JSON, max_size=4))
    def check(kind: str, fields: dict[str, Any]) -> None:
        client = drive()
        message = json.dumps({**fields, "type": kind, "event_id": "mine"})
        answers = client.send_raw(message)
        client.wait(10)
        assert all(event["error"]["event_id"] == "mine" for event in answers if event["type"] == "error")
        assert client.connection.closed is None

    check()


def test_messages_that_are_no_events_are_refused(drive: Any) -> None:
    @settings(deadline=None)
    @given(message=st.binary(max_size=40) | st.text(max_size=40) | JSON.map(json.dumps))
    def check(message: str | bytes) -> None:
        answers = drive().send_raw(message)
        assert [event["type"] for event in answers] == ["error"]

    check()


CONFIGURATIONS: list[dict[str, Any]] = [
    {"output_modalities": ["text"]},
    {"output_modalities": ["audio"]},
    {"audio": {"input": {"turn_detection": None}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}},
    {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}}},
    {"audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}},
    {"max_output_tokens": 12},
    {"tools": [{"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example"}]},
    {"tools": [{"type": "mcp", "server_label": "docs", "server_url": "u", "require_approval": "never"}]},
    {"truncation": {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 60}}},
    {"truncation": "disabled"},
]


@st.composite
def commands(draw: st.DrawFn) -> list[tuple[str, Any]]:
    step = st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.05, 0.3, 1.0, 20.0])),
        st.tuples(st.just("hear"), st.integers(0, len(AUDIO) - 1)),
        st.tuples(st.just("silence"), st.integers(1, 12)),
        st.tuples(st.sampled_from(["say", "insert", "delete", "retrieve", "truncate"]), st.integers(0, 9)),
        st.tuples(st.sampled_from(["respond", "cancel", "beside", "commit", "clear", "clear output"]), st.just(0)),
        st.tuples(st.just("approve"), st.integers(0, 3)),
        st.tuples(st.just("configure"), st.integers(0, len(CONFIGURATIONS) - 1)),
    )
    return draw(st.lists(step, max_size=30))


def run_step(client: Any, step: str, argument: Any) -> None:
    items = [item["id"] for item in client.connection.items]
    item_id = items[argument % len(items)] if items and isinstance(argument, int) else "item_none"
    match step:
        case "wait":
            client.wait(argument)
        case "hear":
            client.send("input_audio_buffer.append", audio=AUDIO[argument])
        case "silence":
            client.speak(bytes(4800 * argument), 480_000)
        case "say":
            client.say("Something to read.")
        case "insert":
            client.say("Something in between.", previous_item_id=item_id if argument % 3 else "root")
        case "delete" | "retrieve":
            client.send(f"conversation.item.{step}", item_id=item_id)
        case "truncate":
            client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=argument * 100)
        case "respond":
            client.send("response.create")
        case "beside":
            client.send("response.create", response={"conversation": "none"})
        case "cancel":
            client.send("response.cancel")
        case "commit" | "clear":
            client.send(f"input_audio_buffer.{step}")
        case "clear output":
            client.send("output_audio_buffer.clear")
        case "approve":
            requests = [item["id"] for item in client.connection.items if item["type"] == "mcp_approval_request"]
            request_id = requests[argument % len(requests)] if requests else "mcpr_none"
            answer = {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": argument != 1}
            client.send("conversation.item.create", item=answer)
        case _:
            client.send("session.update", session={"type": "realtime", **CONFIGURATIONS[argument]})


def test_any_conversation_keeps_the_order(drive: Any, wire: Any) -> None:
    @settings(deadline=None, max_examples=150)
    @given(
        steps=commands(),
        query=st.sampled_from([{"model": "gpt-realtime-2.1"}, {"model": "gpt-realtime"}, {"call_id": "rtc_1"}]),
        pace=st.sampled_from([0, 0.2, 1]),
        max_input_tokens=st.sampled_from([None, 100]),
    )
    def check(steps: list[tuple[str, Any]], query: dict[str, str], pace: float, max_input_tokens: int | None) -> None:
        client = drive(Simulator(SCRIPT, pace=pace, mcp_tools=MCP_TOOLS, max_input_tokens=max_input_tokens), **query)
        for step, argument in steps:
            run_step(client, step, argument)
        # To the end of all that goes on (a server that is asked to speaks into the silence for ever).
        client.configure(audio={"input": {"turn_detection": None}})
        client.wait(120)
        wire.check_order(client.events)
        over = {event["response"]["id"] for event in client.events if event["type"] == "response.done"}
        begun = {event["response"]["id"] for event in client.events if event["type"] == "response.created"}
        assert over == begun

    check()
