"""Opening: one configuration first, and the server's words when there is no session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trio_realtime import (
    ConfigError,
    ConnectError,
    ConnectTimeout,
    Endpoint,
    ItemCompleted,
    OpenAI,
    ProtocolIssue,
    Relay,
    SemanticVad,
    SessionConfig,
    SessionRefused,
    Transcription,
    TranscriptionSessionConfig,
    open_session,
)
from trio_realtime.endpoint import ConnectRequest
from trio_realtime.errors import ConnectionLost, HandshakeRejected, InternalError
from trio_realtime.state.machine import Machine
from trio_realtime.testing import Simulator, open_simulated_session, serve_simulator
from trio_realtime.transport import Closed
from trio_realtime.wire.session_config import AudioConfig, AudioInputConfig, AudioOutputConfig, TranscriptionAudioConfig

from .scripted_server import ScriptedServer, opened


async def opens(server: ScriptedServer, **arguments: Any) -> None:
    async with open_session(transport=server, **arguments):
        pass


# --- the first event ------------------------------------------------------------------------------------------------


async def test_the_first_event_is_one_update_with_everything() -> None:
    async with opened(
        instructions="Be brief.",
        output_modalities=["audio"],
        max_output_tokens="inf",
        tools=[{"type": "function", "name": "look", "parameters": {"type": "object"}}],
        tool_choice="auto",
        tracing=None,
        voice="marin",
        speed=1.25,
        output_format="audio/pcmu",
        input_format={"type": "audio/pcm", "rate": 24000},
        turn_detection=SemanticVad(eagerness="low"),
        transcription="gpt-realtime-whisper",
        noise_reduction=None,
    ) as (_, server):
        (event,) = server.received
    assert event.pop("event_id").startswith("event_")
    assert event == {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "instructions": "Be brief.",
            "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}],
            "tool_choice": "auto",
            "tracing": None,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
                    "transcription": {"model": "gpt-realtime-whisper"},
                    "noise_reduction": None,
                },
                "output": {"voice": "marin", "speed": 1.25, "format": {"type": "audio/pcmu"}},
            },
        },
    }


async def test_keywords_go_on_top_of_the_struct() -> None:
    config = SessionConfig(instructions="one", audio=AudioConfig(output=AudioOutputConfig(voice="ash", speed=1.5)))
    async with opened(config=config, voice="marin") as (session, server):
        assert server.received[0]["session"] == {
            "type": "realtime",
            "instructions": "one",
            "audio": {"output": {"voice": "marin", "speed": 1.5}},
        }
        assert session.config == SessionConfig(
            instructions="one", audio=AudioConfig(output=AudioOutputConfig(voice="marin", speed=1.5))
        )


async def test_without_any_configuration_the_type_alone_goes_out() -> None:
    async with opened() as (session, server):
        assert server.received[0]["session"] == {"type": "realtime"}
        assert session.info is not None


async def test_a_transcription_session_has_a_shape_of_its_own() -> None:
    config = TranscriptionSessionConfig(
        audio=TranscriptionAudioConfig(input=AudioInputConfig(transcription=Transcription(model="whisper-1")))
    )
    async with opened(config=config) as (session, server):
        assert server.received[0]["session"] == {
            "type": "transcription",
            "audio": {"input": {"transcription": {"model": "whisper-1"}}},
        }
        assert session.config == config


async def test_a_transcription_session_with_the_simulator(autojump_clock: MockClock) -> None:
    simulator = Simulator(transcripts=["what was said"])
    config = TranscriptionSessionConfig(
        audio=TranscriptionAudioConfig(
            input=AudioInputConfig(transcription=Transcription(model="whisper-1"), turn_detection=None)
        )
    )
    async with open_simulated_session(simulator, config=config) as session:
        await session.append_audio(b"\0" * 9600)
        with session.updates(ItemCompleted) as completed:
            item_id = await session.commit_audio()
            assert (await completed.receive()).item.id == item_id


async def test_a_sideband_connection_does_not_wait_for_a_session_to_be_created() -> None:
    server = ScriptedServer(created=False)
    async with opened(server, call_id="rtc_1", instructions="x") as (session, _):
        assert server.types() == ["session.update"]
        await session.delete_item("item_from_before_the_connection")


async def test_a_sideband_connection_with_the_simulator(autojump_clock: MockClock) -> None:
    async with open_simulated_session(call_id="rtc_1") as session:
        await session.send_message("hello")


async def test_a_silent_sideband_lacks_the_confirmation(autojump_clock: MockClock) -> None:
    server = ScriptedServer(created=False)
    server.ignore("session.update")
    with pytest.raises(ConnectTimeout, match=r"session\.updated"):
        await opens(server, call_id="rtc_1")


async def test_a_malformed_session_created_opens_the_gate() -> None:
    server = ScriptedServer(created=False)
    server.push("session.created", session={"type": "realtime", "instructions": 5, "model": "m"})
    async with opened(server) as (session, _):
        assert session.statistics().malformed_frames == 1


# --- no session -----------------------------------------------------------------------------------------------------


async def test_an_error_instead_of_a_session_is_a_refusal_in_the_servers_words() -> None:
    server = ScriptedServer(created=False)
    server.push_error("no such model", code="model_not_found", param="model")
    server.end(Closed(4000))
    with pytest.raises(SessionRefused, match="no such model") as caught:
        await opens(server)
    error = caught.value
    assert (error.type, error.code, error.param) == ("invalid_request_error", "model_not_found", "model")
    assert server.received == []


@pytest.mark.parametrize("with_event_id", [True, False])
async def test_a_configuration_that_the_server_refuses_is_a_refusal(*, with_event_id: bool) -> None:
    server = ScriptedServer()
    server.refuse("session.update", with_event_id=with_event_id, code="unknown_voice", param="session.audio")
    with pytest.raises(SessionRefused, match=r"no session\.update") as caught:
        await opens(server, voice="nobody")
    assert caught.value.code == "unknown_voice"
    assert caught.value.event_id == (server.received[0]["event_id"] if with_event_id else None)


async def test_an_error_without_words_is_a_refusal_all_the_same() -> None:
    server = ScriptedServer(created=False)
    server.push("error", error={"type": "server_error"})
    with pytest.raises(SessionRefused, match="without a message"):
        await opens(server)


@pytest.mark.parametrize(
    ("ended", "words"), [(Closed(1013, "try again"), "try again"), (ConnectionLost("broke"), "broke")]
)
@pytest.mark.parametrize("created", [True, False])
async def test_an_end_before_there_is_a_session_is_a_connect_error(
    ended: Closed | Exception, words: str, *, created: bool
) -> None:
    server = ScriptedServer(created=created)
    server.ignore("session.update")
    server.end(ended)
    with pytest.raises(ConnectError, match=words) as caught:
        await opens(server)
    assert not isinstance(caught.value, SessionRefused | ConnectTimeout)
    assert isinstance(caught.value.__cause__, ConnectionLost)


async def test_an_end_that_follows_an_error_is_a_refusal() -> None:
    class ErrorAndEnd(ScriptedServer):
        async def send(self, *payloads: bytes) -> None:
            self.push_error("no")
            self.end(Closed(4000))
            await trio.sleep_forever()

    with pytest.raises(SessionRefused, match="no"):
        await opens(ErrorAndEnd())


async def test_malformed_frames_instead_of_a_session_are_a_connect_error() -> None:
    server = ScriptedServer(created=False)
    for _ in range(16):
        server.push_raw(b"HTTP/1.1 200 OK")
    with pytest.raises(ConnectError, match="malformed"):
        await opens(server)


async def test_a_bug_while_opening_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(self: Machine, event: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Machine, "receive", buggy)
    with pytest.raises(ConnectError) as caught:
        await opens(ScriptedServer())
    assert isinstance(caught.value.__cause__, InternalError)
    assert isinstance(caught.value.__cause__.__cause__, ZeroDivisionError)


async def test_a_transport_that_was_used_before_is_a_connect_error() -> None:
    server = ScriptedServer()
    await opens(server)
    with pytest.raises(ConnectError):
        await opens(server)


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"connect_timeout": 0},
        {"connect_timeout": "10"},
        {"close_timeout": -1},
        {"close_timeout": None},
        {"heartbeat_interval": float("nan")},
        {"heartbeat_timeout": 0},
        {"write_timeout": True},
        {"max_message_bytes": 0},
        {"max_message_bytes": 1e6},
        {"input_audio_seconds": 0},
        {"input_audio_seconds": float("inf")},
        {"retained_audio_bytes": -1},
        {"malformed_run_limit": 0},
        {"model": ""},
        {"model": 5},
        {"call_id": ""},
        {"voice": 5},
        {"speed": 9.0},
        {"max_output_tokens": [1]},
        {"turn_detection": {"type": "telepathy"}},
        {"turn_detection": {"type": "server_vad", "threshold": 2}},
        {"turn_detection": {"type": "server_vad", "treshold": 0.5}},
        {"tools": [{"type": "function"}]},
        {"frobnicate": True},
    ],
)
async def test_a_wrong_argument_is_refused_before_anything_is_sent(arguments: dict[str, Any]) -> None:
    server = ScriptedServer()
    with pytest.raises(ConfigError):
        await opens(server, **arguments)
    assert server.received == []


@pytest.mark.parametrize(
    "config",
    [
        {"type": "realtime"},
        SessionConfig(instructions=5),  # type: ignore[arg-type]
        SessionConfig(audio=AudioConfig(output=AudioOutputConfig(speed=9.0))),
        SessionConfig(model="another"),
        TranscriptionSessionConfig(audio=5),  # type: ignore[arg-type]
    ],
)
async def test_a_wrong_configuration_is_refused_before_anything_is_sent(config: Any) -> None:
    server = ScriptedServer()
    with pytest.raises(ConfigError):
        await opens(server, config=config)
    assert server.received == []


async def test_the_model_may_be_repeated_in_the_configuration() -> None:
    await opens(ScriptedServer(), config=SessionConfig(model="gpt-realtime"), model="gpt-realtime")


async def test_a_transcription_session_takes_no_keywords() -> None:
    with pytest.raises(ConfigError, match="keywords"):
        await opens(ScriptedServer(), config=TranscriptionSessionConfig(), instructions="x")


@pytest.mark.parametrize("name", ["endpoint", "transport"])
async def test_what_is_no_endpoint_or_transport_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        async with open_session(**{name: "wss://x.example"}):  # type: ignore[arg-type]
            raise AssertionError("it cannot have opened")


async def test_a_missing_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        async with open_session():
            raise AssertionError("it cannot have opened")


class Asked(Endpoint):
    """Notes what it is asked for, and fails."""

    asked: ClassVar[list[tuple[str, Mapping[str, str]]]] = []

    async def connect_request(self, *, path: str = "realtime", query: Mapping[str, str]) -> ConnectRequest:
        self.asked.append((path, query))
        await trio.lowlevel.checkpoint()
        raise ConnectError("not today")


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, {"model": "gpt-realtime-2.1"}),
        ({"model": "gpt-realtime"}, {"model": "gpt-realtime"}),
        ({"call_id": "rtc_1"}, {"call_id": "rtc_1"}),
        ({"config": TranscriptionSessionConfig()}, {"intent": "transcription"}),
    ],
)
async def test_the_address_says_which_kind_of_session_it_is(arguments: dict[str, Any], query: dict[str, str]) -> None:
    endpoint = Asked("wss://x.example/v1/realtime")
    with pytest.raises(ConnectError, match="not today"):
        async with open_session(endpoint=endpoint, **arguments):
            raise AssertionError("it cannot have opened")
    assert endpoint.asked[-1] == ("realtime", query)


# --- over a real websocket ------------------------------------------------------------------------------------------


async def test_a_session_over_a_real_websocket() -> None:
    async with (
        serve_simulator(Simulator(pace=0)) as served,
        open_session(endpoint=OpenAI(served.api_key, base_url=served.url)) as session,
    ):
        item = await session.send_message("hello", respond=False)
        assert item is not None
        assert item.text == "hello"


async def test_a_relay_needs_no_key_of_its_own() -> None:
    async with serve_simulator(Simulator()) as served:
        headers = {"Authorization": f"Bearer {served.api_key}"}
        async with open_session(endpoint=Relay(f"{served.url}/realtime", headers=headers)) as session:
            assert session.info is not None


async def test_a_wrong_key_is_a_rejection_that_does_not_tell_it() -> None:
    async with serve_simulator(Simulator()) as served:
        with pytest.raises(HandshakeRejected) as caught:
            async with open_session(endpoint=OpenAI("sk-wrong-key-of-somebody", base_url=served.url)):
                raise AssertionError("it cannot have opened")
    assert caught.value.status == 401
    assert "wrong-key" not in repr(caught.value)


async def test_a_malformed_event_is_told_to_subscribers_with_what_is_left_of_it() -> None:
    async with opened() as (session, server):
        with session.updates(ProtocolIssue) as issues:
            server.push("session.updated", session={"type": "realtime", "instructions": 5, "model": "m"})
            issue = await issues.receive()
            assert issue.event_type == "session.updated"
            assert session.info is not None
            assert getattr(session.info, "model", None) == "m"
