"""Events, items and configurations one at a time: what the protocol allows, and what a later server may say."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import Phase, given, settings, strategies as st

from trio_realtime import ConfigError
from trio_realtime.testing import Simulator
from trio_realtime.testing.simulation.client_event_shapes import CLIENT_EVENT
from trio_realtime.testing.strategies import client_events, items, server_events, session_configs
from trio_realtime.wire import client_events as client, items as wire_items, server_events as server
from trio_realtime.wire.client_events import ConversationItemCreate, SessionUpdate
from trio_realtime.wire.codec import Codec, decode_client_event, encode_server_event
from trio_realtime.wire.items import FunctionCall, FunctionCallOutput, McpApprovalResponse, Message
from trio_realtime.wire.session_config import (
    McpTool,
    SessionConfig,
    ToolChoiceFunction,
    ToolChoiceMcp,
    TranscriptionSessionConfig,
    TranscriptionSessionInfo,
)
from trio_realtime.wire.translation import TranslationSessionConfig


class Client:
    """A client of a new simulated connection."""

    def __init__(self, **query: str) -> None:
        simulator = Simulator()
        simulator.connect(query or {"model": "gpt-realtime-2.1"}, now=0.0, unix_time=0.0)
        (self.connection,) = simulator.connections
        self.connection.advance(0.0)

    def send(self, event: Any) -> list[dict[str, Any]]:
        return self.connection.receive(Codec().encode(event), 0.0)


@given(session_configs())
def test_the_simulator_takes_every_configuration_of_a_realtime_session(config: SessionConfig) -> None:
    (answer,) = Client().send(SessionUpdate(session=config))
    assert answer["type"] == "session.updated", answer


@given(session_configs("transcription"))
def test_the_simulator_takes_every_configuration_of_a_transcription_session(
    config: TranscriptionSessionConfig,
) -> None:
    (answer,) = Client(intent="transcription").send(SessionUpdate(session=config))
    assert answer["type"] == "session.updated", answer
    heard = answer["session"]["audio"]["input"]
    if config.audio and config.audio.input and config.audio.input.transcription:
        finds_turns_itself = heard["transcription"]["model"] == "gpt-realtime-whisper"
        assert not (finds_turns_itself and heard["turn_detection"])


@given(session_configs())
def test_the_choice_of_a_tool_names_one_that_is_there(config: SessionConfig) -> None:
    tools = config.tools or []
    names = [tool.server_label if isinstance(tool, McpTool) else tool.name for tool in tools]
    if isinstance(config.tool_choice, ToolChoiceFunction):
        assert config.tool_choice.name in names
    if isinstance(config.tool_choice, ToolChoiceMcp):
        assert config.tool_choice.server_label in names


def drawn(strategy: st.SearchStrategy[Any], count: int) -> list[str]:
    """What a strategy gives, as text; always the same."""
    seen: list[str] = []

    @settings(max_examples=count, derandomize=True, database=None, phases=[Phase.generate])
    @given(strategy)
    def collect(value: Any) -> None:
        seen.append(repr(value))

    collect()
    return seen


def test_configurations_reach_everything() -> None:
    configurations = "".join(drawn(session_configs(), 500))
    for words in (
        "tool_choice=ToolChoiceFunction(",
        "tool_choice=ToolChoiceMcp(",
        "prompt=None",
        "turn_detection=None",
        "turn_detection=ServerVad(",
        "transcription=None",
        "speed=",
        "voice=Voice(",
        "truncation=RetentionRatioTruncation(",
    ):
        assert words in configurations, words


@given(items(creatable=True))
def test_the_simulator_takes_every_item_that_a_client_may_create(item: wire_items.Item) -> None:
    connected = Client()
    if isinstance(item, FunctionCallOutput):
        call = FunctionCall(name="f", arguments="{}", call_id=item.call_id)
        connected.send(ConversationItemCreate(item=call))
    answers = connected.send(ConversationItemCreate(item=item))
    if isinstance(item, McpApprovalResponse):
        # There is no request that it could answer; its shape is right.
        assert answers[0]["error"]["param"] == "item.approval_request_id"
    else:
        assert [answer["type"] for answer in answers] == ["conversation.item.added", "conversation.item.done"], answers


@settings(max_examples=200)
@given(client_events())
def test_the_simulator_accepts_the_shape_of_every_client_event(event: Any) -> None:
    CLIENT_EVENT(json.loads(Codec().encode(event)), "")


@settings(max_examples=200)
@given(client_events(session="transcription"))
def test_a_transcription_session_takes_every_event_of_one(event: Any) -> None:
    for answer in Client(intent="transcription").send(event):
        refused = answer["error"]["message"] if answer["type"] == "error" else ""
        # What a command names is not there, or too little was said.
        assert not refused or any(words in refused for words in ("not found", "does not exist", "100ms")), answer


@settings(max_examples=200)
@given(server_events() | server_events(session="transcription"))
def test_a_server_event_is_decoded_whole(event: Any) -> None:
    assert Codec().decode(encode_server_event(event)) == event
    assert "Unknown" not in repr(event)


@settings(max_examples=200)
@given(server_events(unknown=True))
def test_what_a_later_server_says_is_an_event_too(event: Any) -> None:
    decoded = Codec().decode(encode_server_event(event))
    assert type(decoded) is type(event)
    assert encode_server_event(decoded) == encode_server_event(event)  # type: ignore[arg-type]


def test_what_is_unknown_is_drawn_only_when_asked_for() -> None:
    with_parts = [server.ResponseContentPartAdded, server.ConversationItemAdded]
    assert "UnknownEvent(" in "".join(drawn(server_events(unknown=True), 500))
    unknown = "".join(drawn(server_events(with_parts, unknown=True), 200))
    assert "UnknownItem(" in unknown
    assert "UnknownPart(" in unknown
    assert "Unknown" not in "".join(drawn(server_events(with_parts), 200))


@given(client_events(session="translation"), server_events(session="translation"))
def test_a_translation_session_has_events_of_its_own(sent: Any, received: Any) -> None:
    assert decode_client_event(Codec("translation").encode(sent), "translation") == sent
    assert Codec("translation").decode(encode_server_event(received)) == received


@given(session_configs("translation"))
def test_a_translation_session_is_configured_in_its_own_shape(config: TranslationSessionConfig) -> None:
    assert set(msgspec.to_builtins(config)) <= {"audio"}


@given(
    client_events([client.ResponseCancel]),
    server_events([server.Error, server.ResponseDone]),
    server_events([server.Error], unknown=True),
    server_events([server.SessionCreated], session="transcription"),
)
def test_kinds_can_be_chosen(cancel: Any, one: Any, other: Any, created: Any) -> None:
    assert type(cancel) is client.ResponseCancel
    assert type(one) in {server.Error, server.ResponseDone}
    assert type(other) is server.Error
    assert type(created.session) is TranscriptionSessionInfo


@given(items([Message], roles=["user"]), items([FunctionCall, Message], roles=["system"], creatable=True))
def test_kinds_and_roles_of_items_can_be_chosen(one: Any, other: Any) -> None:
    assert one.role == "user"
    assert {type(part) for part in one.content} <= {
        wire_items.InputText,
        wire_items.InputAudio,
        wire_items.InputImage,
    }
    assert isinstance(other, FunctionCall) or other.role == "system"


@settings(max_examples=200)
@given(items())
def test_items_are_of_every_kind_that_stands_in_a_conversation(item: Any) -> None:
    assert type(item) in set(get_args(wire_items.Item)) - {wire_items.ItemReference, wire_items.UnknownItem}


def test_what_the_protocol_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="ResponseCreate is no event of a transcription session"):
        client_events([client.ResponseCreate], session="transcription")
    with pytest.raises(ConfigError, match="ResponseCreate is no event of a realtime session in this direction"):
        server_events([client.ResponseCreate])
    with pytest.raises(ConfigError, match="a session is one of realtime, transcription, translation, not 'x'"):
        session_configs("x")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="McpCall is no item that a client may create"):
        items([wire_items.McpCall], creatable=True)
    with pytest.raises(ConfigError, match="ItemReference is no item of a conversation"):
        items([wire_items.ItemReference])
    with pytest.raises(ConfigError, match="a role is one of system, user, assistant, not 'tool'"):
        items(roles=["tool"])
