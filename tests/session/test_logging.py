"""Logging under `trio_realtime`: traffic at DEBUG without audio and keys, errors at ERROR, no cost when off."""

from __future__ import annotations

import base64
import logging

import pytest
import trio
import trio.testing

from trio_realtime import ConnectionLost
from trio_realtime.transport import Closed
from trio_realtime.wire.struct import WireStruct

from .scripted_server import ScriptedServer, leaving_raises, opened

SOUND = b"\xde\xad\xbe\xef" * 30
KEY = "sk-very-secret-key-0123456789"


async def test_traffic_is_logged_at_debug_in_both_directions_without_audio_and_keys(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="trio_realtime")
    tools = [{"type": "mcp", "server_label": "s", "server_url": "https://x.example", "authorization": KEY}]
    async with opened(tools=tools) as (session, server):
        await session.append_audio(SOUND)
        encoded = base64.b64encode(SOUND).decode()
        server.push("response.output_audio.delta", item_id="item_a", delta=encoded)
        await session.send({"type": "session.frobnicate", "audio": encoded})
        await session.clear_audio()
    lines = [record.getMessage() for record in caplog.records]
    assert {(record.name, record.levelname) for record in caplog.records} == {("trio_realtime", "DEBUG")}
    for words in (
        "received SessionCreated(",
        "sent SessionUpdate(",
        "sent InputAudioBufferAppend(audio=<120 bytes>)",
        "delta=<120 bytes>",
        "sent session.frobnicate",
        "received InputAudioBufferCleared(",
    ):
        assert any(words in line for line in lines), words
    assert encoded not in caplog.text
    assert "xde" not in caplog.text
    assert "secret" not in caplog.text


async def test_errors_are_logged_at_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="trio_realtime")
    server = ScriptedServer()
    with leaving_raises(ConnectionLost):
        async with opened(server) as (session, _):
            server.push_error("a hiccup")
            server.ignore("input_audio_buffer.clear")
            with trio.CancelScope() as scope:
                scope.cancel()
                await session.clear_audio()
            await trio.testing.wait_all_tasks_blocked()
            server.push_error("too late", event_id=server.received[-1]["event_id"])
            server.end(Closed(1011, "oops"))
            await trio.testing.wait_all_tasks_blocked()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "the server reported an error: a hiccup"),
        ("ERROR", "the server reported an error: too late"),
        ("ERROR", "session failed: the server closed the connection: code 1011, oops"),
    ]


async def test_nothing_is_formatted_while_logging_is_off(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, logger="trio_realtime")
    shown: list[object] = []

    def show(self: WireStruct) -> str:
        shown.append(self)
        return ""

    monkeypatch.setattr(WireStruct, "__repr__", show)
    async with opened() as (session, server):
        server.push("rate_limits.updated", rate_limits=[])
        await session.append_audio(SOUND)
        await session.clear_audio()
    assert shown == []
    assert caplog.records == []
