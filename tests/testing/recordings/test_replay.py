"""A recording as a server: it says what was said, when it was."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.session.scripted_server import leaving_raises
from trio_realtime import (
    ConfigError,
    ConnectionLost,
    ItemUpdated,
    OpenAI,
    ServerError,
    open_session,
)
from trio_realtime.testing import (
    NotARecording,
    ReplayError,
    replay,
    serve_simulator,
    simulated_transport,
)
from trio_realtime.wire.session_config import SessionInfo

from .lines import (
    CLEAR,
    CREATED,
    OPENING,
    UPDATE,
    UPDATED,
    Event,
    arrivals,
    line,
    message,
    news,
    opened,
    received,
    sent,
    write,
)

# --- when what is served -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pace", "expected"), [(1, [2, 2, 7]), (0.5, [1, 1, 3.5]), (0, [0, 0, 0])])
async def test_events_come_at_the_pace_that_was_asked_for(
    path: Path, autojump_clock: MockClock, pace: float, expected: list[float]
) -> None:
    write(path, *OPENING, sent(CLEAR, 0), received(news("a"), 2), received(news("b")), received(news("c"), 7))
    async with opened(path, pace=pace) as session:
        start = trio.current_time()
        with session.events() as events:
            await session.send(CLEAR)
            assert await arrivals(events, 3) == [
                (start + time, name) for time, name in zip(expected, "abc", strict=True)
            ]


async def test_what_came_after_something_was_sent_waits_for_it_and_is_as_late_as_it(
    path: Path, autojump_clock: MockClock
) -> None:
    lines = [sent(CLEAR, 3), received(news("a"), 4), received(news("b"), 6)]
    write(path, *OPENING, *lines)
    async with opened(path) as session:
        start = trio.current_time()
        with session.events() as events:
            await trio.sleep(10)
            await session.send(CLEAR)
            assert await arrivals(events, 2) == [(start + 11, "a"), (start + 13, "b")]


async def test_a_client_that_is_early_hastens_nothing(path: Path, autojump_clock: MockClock) -> None:
    write(path, *OPENING, sent(CLEAR, 3), received(news("a"), 4))
    async with opened(path) as session:
        start = trio.current_time()
        with session.events() as events:
            await session.send(CLEAR)
            assert await arrivals(events, 1) == [(start + 4, "a")]


async def test_of_audio_only_the_length_counts(path: Path, autojump_clock: MockClock) -> None:
    appends = [sent({"type": "input_audio_buffer.append", "audio": {"bytes": 4800}}, 1 + n) for n in range(2)]
    write(path, *OPENING, *appends, received(news("a"), 2), header={"recording": 1})
    async with opened(path) as session:
        start = trio.current_time()
        with session.events() as events:
            await session.append_audio(b"\1\0" * 4000)
            await trio.sleep(8)
            await session.append_audio(b"\1\0" * 10_000)  # more is welcome
            assert await arrivals(events, 1) == [(start + 8, "a")]


async def test_redacted_audio_is_served_as_silence_of_its_length(path: Path) -> None:
    g711 = {"type": "realtime", "id": "sess_1", "audio": {"output": {"format": {"type": "audio/pcmu"}}}}
    item = {"id": "item_1", "type": "message", "role": "assistant", "content": []}
    delta = {"type": "response.output_audio.delta", "item_id": "item_1", "delta": {"bytes": 800}}
    opening = [received(CREATED), sent(UPDATE), received({**UPDATED, "session": g711})]
    write(
        path,
        *opening,
        sent(CLEAR),
        received({"type": "conversation.item.added", "item": item}),
        received(delta),
    )
    async with opened(path) as session:
        with session.updates(ItemUpdated) as updates:
            await session.send(CLEAR)
            update = await updates.receive()
        assert update.delta is not None
        assert update.delta.audio == b"\xff" * 800


# --- ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded_id", ["item_then", None], ids=["of the client", "of the server"])
async def test_ids_that_the_client_makes_are_those_that_it_makes_now(path: Path, recorded_id: str | None) -> None:
    held = message("Hello", "item_then")
    write(
        path,
        *OPENING,
        sent({"type": "conversation.item.create", "event_id": "event_then", "item": message("Hello", recorded_id)}),
        received({"type": "conversation.item.added", "previous_item_id": None, "item": held}),
        received({"type": "conversation.item.done", "item": held}),
        sent({"type": "conversation.item.delete", "event_id": "event_2", "item_id": "item_then"}),
        received({"type": "conversation.item.deleted", "item_id": "item_then"}),
    )
    async with opened(path) as session:
        item = await session.send_message("Hello", respond=False)
        assert item is not None
        assert item.id != "item_then"
        deleted = await session.delete_item(item.id)
        assert deleted is item
        assert len(session.conversation) == 0


async def test_an_error_names_the_event_that_is_sent_now(path: Path) -> None:
    error = {"type": "invalid_request_error", "message": "no", "event_id": "event_then"}
    write(
        path,
        *OPENING,
        sent({"type": "input_audio_buffer.commit", "event_id": "event_then"}),
        received({"type": "error", "event_id": "event_s", "error": error}),
    )
    async with opened(path) as session:
        with pytest.raises(ServerError, match="no") as caught:
            await session.commit_audio()
        assert caught.value.event_id not in {None, "event_then"}


async def test_a_request_is_recognised_by_the_name_that_it_has_now(path: Path) -> None:
    request = {
        "type": "response.create",
        "event_id": "event_then",
        "response": {"metadata": {"trio_realtime": "event_then", "mine": "1"}},
    }
    response = {"id": "resp_1", "status": "in_progress", "metadata": {"trio_realtime": "event_then", "mine": "1"}}
    write(path, *OPENING, sent(request), received({"type": "response.created", "response": response}))
    async with opened(path) as session:
        created = await session.create_response(metadata={"mine": "1"})
        assert (created.id, created.metadata) == ("resp_1", {"mine": "1"})


@pytest.mark.parametrize(
    "recorded", [{}, {"response": {"instructions": "Sing."}}, {"response": {"metadata": {"mine": "1"}}}]
)
async def test_a_request_that_was_recorded_without_a_name_needs_none(path: Path, recorded: Event) -> None:
    response = {"id": "resp_1", "status": "in_progress", "metadata": None}
    write(
        path,
        *OPENING,
        sent({"type": "response.create", **recorded}),
        received({"type": "response.created", "response": response}),
    )
    async with opened(path) as session:
        assert (await session.create_response(**recorded.get("response", {}))).id == "resp_1"


async def test_an_item_that_the_server_adds_by_itself_is_not_taken_for_the_clients(path: Path) -> None:
    write(
        path,
        *OPENING,
        sent({"type": "conversation.item.create", "item": message("Hello")}),
        received({"type": "input_audio_buffer.committed", "item_id": "item_heard"}),
        received({"type": "conversation.item.added", "item": message("", "item_heard")}),
        received({"type": "conversation.item.added", "item": message("Hello", "item_said")}),
    )
    async with opened(path) as session:
        item = await session.send_message("Hello", respond=False)
        assert item is not None
        assert [each.id for each in session.conversation] == ["item_heard", item.id]


# --- how it ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "code", "reason"),
    [
        ({"closed": {"code": 1001, "reason": "restart"}}, 1001, "restart"),
        ({"lost": {"error": "ConnectionLost", "message": "it broke"}}, None, "dropped"),
    ],
    ids=["closed", "lost"],
)
async def test_the_server_ends_the_connection_where_it_did(
    path: Path, autojump_clock: MockClock, end: Event, code: int | None, reason: str
) -> None:
    write(path, *OPENING, received(news("a"), 1), line("received", 5, **end))
    with leaving_raises(ConnectionLost) as caught:
        async with opened(path):
            start = trio.current_time()
            try:
                await trio.sleep_forever()
            finally:
                assert trio.current_time() == start + 6  # and a second of grace
    assert (caught.value.code, caught.value.reason) == (code, reason)


async def test_a_recording_that_the_client_ended_goes_on_until_it_does(path: Path, autojump_clock: MockClock) -> None:
    write(path, *OPENING, line("sent", 1, closed={"code": 1000, "reason": ""}))
    async with opened(path):
        await trio.sleep(100)


async def test_an_old_session_has_not_expired_when_it_is_served(path: Path) -> None:
    session = {"type": "realtime", "id": "sess_1", "expires_at": 1_700_003_600}
    end = line("received", closed={"code": 1001, "reason": ""})
    for header in (None, {"recording": 1, "began": "2023-11-14T22:13:20+00:00"}, {"recording": 1, "began": "?"}):
        opening = [received({**CREATED, "session": session}), sent(UPDATE), received({**UPDATED, "session": session})]
        write(path, *opening, end, header=header)
        with leaving_raises(ConnectionLost) as caught:
            async with opened(path, close_timeout=0.01) as now:
                assert isinstance(now.info, SessionInfo)
                assert now.info.expires_at == pytest.approx(time.time() + 3600, abs=5)
                await trio.sleep_forever()
        assert type(caught.value) is ConnectionLost


# --- over a socket, and what is refused ----------------------------------------------------------------------------


async def test_it_is_served_over_a_socket_to_each_connection_from_its_beginning(path: Path) -> None:
    write(
        path,
        *OPENING,
        sent({"type": "response.create"}),
        received({"type": "response.created", "response": {"id": "resp_1"}}),
    )
    with replay(path, pace=0) as recorded:
        async with serve_simulator(recorded) as server:
            endpoint = OpenAI(server.api_key, base_url=server.url)
            for _ in range(2):
                async with open_session(endpoint=endpoint, instructions="Be brief.") as session:
                    assert (await session.create_response()).id == "resp_1"
        assert server.simulator is recorded
        assert len(recorded.connections) == 2


async def test_of_several_connections_the_one_that_did_otherwise_is_told(path: Path) -> None:
    write(path, *OPENING)
    with leaving_raises(ReplayError, match="Be long"), replay(path) as server:
        for words in ("Be brief.", "Be long."):
            async with (
                simulated_transport(server) as transport,
                open_session(transport=transport, instructions=words),
            ):
                pass


@pytest.mark.parametrize("pace", [-1, float("inf"), float("nan")])
def test_a_pace_that_is_none_is_refused(path: Path, pace: float) -> None:
    with pytest.raises(ConfigError, match="pace"), replay(path, pace=pace):
        pytest.fail("it was taken")


def test_a_file_that_is_no_recording_is_refused(path: Path) -> None:
    path.write_text("no")
    with pytest.raises(NotARecording), replay(path):
        pytest.fail("it was taken")
