"""A connection without a session: typed events both ways, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trio_realtime import (
    ConfigError,
    ConnectionLost,
    ConnectTimeout,
    Endpoint,
    OpenAI,
    RealtimeConnection,
    open_connection,
)
from trio_realtime.endpoint import ConnectRequest
from trio_realtime.errors import InternalError, ProtocolError, SubscriberOverflow
from trio_realtime.testing import Simulator, serve_simulator
from trio_realtime.transport import Closed, Deliver
from trio_realtime.wire import client_events as client, server_events as server, translation

from .session.scripted_server import ScriptedServer, leaving_raises


def bare() -> ScriptedServer:
    peer = ScriptedServer(created=False)
    peer.answers = {}
    return peer


async def test_typed_events_go_up_and_come_down() -> None:
    peer = bare()
    async with open_connection(transport=peer) as connection:
        await connection.send(client.InputAudioBufferAppend(audio=b"\1\2"))
        await connection.send(client.ResponseCreate())
        assert peer.received == [
            {"type": "input_audio_buffer.append", "audio": "AQI="},
            {"type": "response.create"},
        ]
        peer.push("response.output_text.delta", item_id="i", delta="hi")
        event = await connection.receive()
        assert isinstance(event, server.ResponseOutputTextDelta)
        assert event.delta == "hi"
    assert peer.closed == 1000


async def test_a_mapping_in_the_wires_shape_is_sent_whether_known_or_not() -> None:
    peer = bare()
    events: list[dict[str, Any]] = [
        {"type": "input_audio_buffer.append", "audio": "AQI="},
        {"type": "response.create", "response": {"instructions": "x", "shiny": True}},
        {"type": "session.frobnicate", "much": 1.5},
    ]
    async with open_connection(transport=peer) as connection:
        for event in events:
            await connection.send(event)
    assert peer.received == events


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.create", "response": 5},
        {"no": "type"},
        {"type": "x", "y": object()},
        client.ConversationItemTruncate(item_id="i", audio_end_ms=-1),
        client.ConversationItemDelete(item_id=5),  # type: ignore[arg-type]
        "response.create",
        None,
    ],
)
async def test_what_is_not_valid_is_refused_and_nothing_is_sent(event: Any) -> None:
    peer = bare()
    async with open_connection(transport=peer) as connection:
        with pytest.raises(ConfigError):
            await connection.send(event)
        await connection.send(client.ResponseCreate())
    assert peer.types() == ["response.create"]


async def test_unknown_events_and_bad_frames_are_values() -> None:
    peer = bare()
    async with open_connection(transport=peer) as connection:
        peer.push("session.frobnicated", much=2)
        peer.push_raw(b"\xff{")
        peer.push_raw(None)
        unknown, bad, binary = [await connection.receive() for _ in range(3)]
    assert isinstance(unknown, server.UnknownEvent)
    assert unknown.raw == {"type": "session.frobnicated", "much": 2}
    assert isinstance(bad, server.ProtocolIssue)
    assert isinstance(binary, server.ProtocolIssue)
    assert "binary" in binary.reason


async def test_the_peers_close_comes_after_what_it_sent_with_its_code() -> None:
    peer = bare()
    peer.push("input_audio_buffer.cleared")
    peer.end(Closed(1001, "going away"))
    async with open_connection(transport=peer) as connection:
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(await connection.receive(), server.InputAudioBufferCleared)
        for _ in range(2):
            with pytest.raises(ConnectionLost, match=r"code 1001, going away$") as caught:
                await connection.receive()
            assert (caught.value.code, caught.value.reason) == (1001, "going away")
        with pytest.raises(ConnectionLost):
            await connection.send(client.ResponseCreate())


@pytest.mark.parametrize(
    ("ended", "kind"),
    [
        (ConnectionLost("broke"), ConnectionLost),
        (ProtocolError("too long", code=1009), ProtocolError),
        (OSError("foreign"), InternalError),
    ],
)
async def test_however_the_connection_ends_receive_says_it(ended: Exception, kind: type[Exception]) -> None:
    peer = bare()
    peer.end(ended)
    async with open_connection(transport=peer) as connection:
        with pytest.raises(kind) as caught:
            await connection.receive()
        assert str(ended) in str(caught.value)
        assert caught.value is not ended
        if kind is InternalError:
            assert caught.value.__cause__ is ended


async def test_closing_ends_the_channel_after_what_is_left_and_refuses_to_send() -> None:
    peer = bare()
    async with open_connection(transport=peer) as connection:
        peer.push("input_audio_buffer.cleared")
        await trio.testing.wait_all_tasks_blocked()
        await connection.aclose()
        await connection.aclose()
        assert [type(event) async for event in connection] == [server.InputAudioBufferCleared]
        with pytest.raises(trio.BrokenResourceError):
            await connection.send(client.ResponseCreate())
    assert peer.closed == 1000


async def test_a_cancelled_receive_loses_nothing(autojump_clock: MockClock) -> None:
    peer = bare()
    async with open_connection(transport=peer) as connection:
        with trio.move_on_after(1) as scope:
            await connection.receive()
        assert scope.cancelled_caught
        peer.push("input_audio_buffer.cleared")
        assert isinstance(await connection.receive(), server.InputAudioBufferCleared)


async def test_two_tasks_in_one_receive_are_an_error() -> None:
    async with open_connection(transport=bare()) as connection, trio.open_nursery() as nursery:
        nursery.start_soon(connection.receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await connection.receive()
        nursery.cancel_scope.cancel()


async def test_what_is_not_received_is_bounded() -> None:
    peer = bare()
    for _ in range(70):
        peer.push("response.output_text.delta", item_id="i", delta="x" * 2**20)
    async with open_connection(transport=peer) as connection:
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(63):
            await connection.receive()
        with pytest.raises(SubscriberOverflow, match="connection"):
            await connection.receive()


# --- translation ----------------------------------------------------------------------------------------------------


async def test_a_translation_has_events_of_its_own() -> None:
    peer = bare()
    async with open_connection(transport=peer, kind="translation") as connection:
        await connection.send(translation.SessionInputAudioBufferAppend(audio=b"\1\2"))
        await connection.send({"type": "session.close"})
        peer.push("session.output_audio.delta", delta="AQI=")
        peer.push("session.closed")
        audio, closed = await connection.receive(), await connection.receive()
    assert peer.types() == ["session.input_audio_buffer.append", "session.close"]
    assert isinstance(audio, translation.SessionOutputAudioDelta)
    assert audio.delta == b"\1\2"
    assert isinstance(closed, translation.SessionClosed)


# --- opening and leaving --------------------------------------------------------------------------------------------


class Asked(Endpoint):
    """Notes what it is asked for, and gives no address."""

    asked: ClassVar[list[tuple[str, Mapping[str, str]]]] = []

    async def connect_request(self, *, path: str = "realtime", query: Mapping[str, str]) -> ConnectRequest:
        self.asked.append((path, query))
        await trio.sleep_forever()
        raise AssertionError


@pytest.mark.parametrize(
    ("arguments", "path", "query"),
    [
        ({}, "realtime", {"model": "gpt-realtime-2.1"}),
        ({"model": "gpt-realtime"}, "realtime", {"model": "gpt-realtime"}),
        ({"query": {"intent": "transcription"}}, "realtime", {"intent": "transcription"}),
        (
            {"kind": "translation", "model": "gpt-realtime-translate"},
            "realtime/translations",
            {"model": "gpt-realtime-translate"},
        ),
    ],
)
async def test_what_the_endpoint_is_asked_for(
    autojump_clock: MockClock, arguments: dict[str, Any], path: str, query: dict[str, str]
) -> None:
    endpoint = Asked("wss://x.example/v1/realtime")
    with pytest.raises(ConnectTimeout):
        async with open_connection(endpoint, connect_timeout=5, **arguments):
            raise AssertionError("it cannot have opened")
    assert endpoint.asked[-1] == (path, query)
    assert trio.current_time() == 5


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "telepathy"},
        {"connect_timeout": 0},
        {"close_timeout": "1"},
        {"write_timeout": -1.0},
        {"heartbeat_interval": float("nan")},
        {"heartbeat_timeout": True},
        {"max_message_bytes": 0},
        {"max_message_bytes": 1.5},
    ],
)
async def test_wrong_arguments_are_refused_before_anything_is_opened(arguments: dict[str, Any]) -> None:
    peer = bare()
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        async with open_connection(transport=peer, **arguments):
            raise AssertionError("it cannot have opened")
    assert peer.closed is None


@pytest.mark.parametrize("name", ["endpoint", "transport"])
async def test_what_is_no_endpoint_or_transport_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        async with open_connection(**{name: "wss://x.example"}):  # type: ignore[arg-type]
            raise AssertionError("it cannot have opened")


async def test_a_missing_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        async with open_connection():
            raise AssertionError("it cannot have opened")


async def test_the_bodys_exception_leaves_as_itself_and_the_close_is_polite() -> None:
    peer, own = bare(), LookupError()
    with pytest.raises(LookupError) as caught:
        async with open_connection(transport=peer):
            raise own
    assert caught.value is own
    assert peer.closed == 1000


async def test_a_close_that_hangs_is_given_up_and_masks_nothing(autojump_clock: MockClock) -> None:
    peer, own = bare(), LookupError()
    peer.close_hangs = True
    with pytest.raises(LookupError) as caught:
        async with open_connection(transport=peer, close_timeout=2):
            raise own
    assert caught.value is own
    assert trio.current_time() == 2


async def test_a_close_that_is_cancelled_masks_nothing(autojump_clock: MockClock) -> None:
    peer, own = bare(), LookupError()
    peer.close_hangs = True
    with trio.move_on_after(0.5), pytest.raises(LookupError) as caught:
        async with open_connection(transport=peer):
            raise own
    assert caught.value is own
    assert trio.current_time() == 0.5


async def test_a_normal_exit_whose_close_is_cancelled_is_cancelled(autojump_clock: MockClock) -> None:
    peer = bare()
    peer.close_hangs = True
    with trio.move_on_after(0.5) as scope:
        async with open_connection(transport=peer):
            pass
    assert scope.cancelled_caught
    assert trio.current_time() == 0.5


async def test_leaving_wakes_who_receives_in_another_task() -> None:
    ended = trio.Event()

    async def listen(connection: RealtimeConnection) -> None:
        assert [event async for event in connection] == []
        ended.set()

    async with trio.open_nursery() as nursery:
        with leaving_raises(LookupError):
            async with open_connection(transport=bare()) as connection:
                nursery.start_soon(listen, connection)
                await trio.testing.wait_all_tasks_blocked()
                raise LookupError
        await ended.wait()


async def test_ctrl_c_in_the_pump_leaves_as_itself() -> None:
    class Interrupted(ScriptedServer):
        async def pump(self, deliver: Deliver) -> Closed:
            await trio.lowlevel.checkpoint()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        async with open_connection(transport=Interrupted()):
            await trio.sleep_forever()


async def test_over_a_real_websocket() -> None:
    async with (
        serve_simulator(Simulator()) as served,
        open_connection(OpenAI(served.api_key, base_url=served.url)) as connection,
    ):
        created = await connection.receive()
        assert isinstance(created, server.SessionCreated)
        await connection.send({"type": "input_audio_buffer.clear"})
        assert isinstance(await connection.receive(), server.InputAudioBufferCleared)
