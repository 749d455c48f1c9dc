"""What goes wrong in voice apps, as stories: a session meets faults, and its program gets on with what is promised."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    HandshakeRejected,
    ItemUpdated,
    OpenAI,
    ProtocolError,
    ProtocolIssue,
    RealtimeError,
    RealtimeSession,
    ResponseDone,
    ResponseFailed,
    ResponseStarted,
    TurnDone,
    open_session,
    tool,
)
from trio_realtime.testing import (
    Fault,
    Simulator,
    breaks_handshake,
    calls,
    closes,
    drops,
    duplicate,
    fragmented,
    half_open,
    latency,
    malformed,
    omitted,
    oversized,
    refuses,
    says,
    serve_simulator,
    silent_handshake,
    simulated_transport,
    slow_handshake,
    stops_reading,
)

from .scripted_server import leaving_raises
from .talking import arrived, listed, requested, session_over, talking

each_carrier = pytest.mark.parametrize("carrier", ["memory", "socket"])


async def open_over_a_socket(simulator: Simulator, **arguments: Any) -> None:
    """Open a session, and leave it."""
    async with session_over("socket", simulator, **arguments):
        pass


# --- handshakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 401, 403, 404, 429, 500, 502, 503, 529])
async def test_a_refused_handshake_is_named_with_what_the_server_said(status: int) -> None:
    headers = {"retry-after": "17", "x-request-id": "req_42", "location": "ws://127.0.0.1:1/"}
    simulator = Simulator(faults=[refuses(status, headers=headers, body=b"x" * 10_000, connection=1)])
    with pytest.raises(HandshakeRejected) as caught:
        await open_over_a_socket(simulator)
    error = caught.value
    assert (error.status, error.request_id, error.retry_after) == (status, "req_42", 17)
    assert error.body == b"x" * 4096


@pytest.mark.parametrize("fault", [silent_handshake(), slow_handshake(60)], ids=repr)
async def test_a_handshake_that_does_not_come_is_a_timeout(fault: Fault, autojump_clock: MockClock) -> None:
    with pytest.raises(ConnectTimeout):
        async with simulated_transport(Simulator(faults=[fault])):
            raise AssertionError("it cannot have opened")
    assert trio.current_time() == 10


@pytest.mark.parametrize("answer", [b"", b"\x15\x03\x01\x00\x02\x02\x16", b"HTTP/1.1 tw"])
async def test_an_end_or_garbage_in_the_handshake_is_an_error_at_once(answer: bytes) -> None:
    with trio.fail_after(5), pytest.raises(ConnectError) as caught:
        await open_over_a_socket(Simulator(faults=[breaks_handshake(answer)]), connect_timeout=60)
    assert type(caught.value) is ConnectError


async def test_a_program_that_tries_again_gets_through() -> None:
    faults = [refuses(503, connection=1), breaks_handshake(connection=2), drops(on="session.created", connection=3)]
    simulator = Simulator([says("At last.")], pace=0, faults=faults)
    errors: list[str] = []
    async with serve_simulator(simulator) as server:
        while True:
            try:
                async with open_session(endpoint=OpenAI(server.api_key, base_url=server.url)) as session:
                    async with session.respond("Hello?") as turn:
                        assert await turn.text() == "At last."
                    break
            except ConnectError as error:
                errors.append(type(error).__name__)
    assert errors == ["HandshakeRejected", "ConnectError", "ConnectError"]
    assert len(simulator.connections) == 2


# --- the network ----------------------------------------------------------------------------------------------------


@each_carrier
async def test_whoever_waits_when_the_connection_breaks_gets_what_had_come_and_then_the_same_cause(
    carrier: str,
) -> None:
    simulator = Simulator([says("Half of it.", audio=1.0)], pace=0)
    simulator.faults.append(drops(on="response.output_audio.delta", nth=2))
    caught: list[RealtimeError] = []

    async def expect(wait: Any) -> None:
        try:
            await wait()
        except ConnectionLost as error:
            caught.append(error)

    async def listen(session: RealtimeSession, heard: list[Any]) -> None:
        with session.updates(ItemUpdated) as updates:
            await listed(updates, heard)

    heard: list[Any] = []
    with leaving_raises(ConnectionLost) as left:
        async with session_over(carrier, simulator) as session, trio.open_nursery() as nursery:
            nursery.start_soon(expect, session.wait_for_reply)
            nursery.start_soon(expect, lambda: listen(session, heard))
            nursery.start_soon(expect, lambda: session.wait_for(TurnDone))
            await wait_all_tasks_blocked()
            async with session.respond("Say it.") as turn:
                await expect(turn.done)
    assert len(caught) == 4
    assert len({id(error) for error in [*caught, left.value]}) == 5
    assert {str(error) for error in caught} == {str(left.value)}
    assert sum(update.delta.audio is not None for update in heard if update.delta) == 2
    (user, assistant) = session.conversation
    assert (user.status, assistant.status) == ("completed", "incomplete")


async def test_a_half_open_link_is_found_by_the_heartbeat() -> None:
    simulator = Simulator(
        [says("And then...", audio=5.0)], pace=1, faults=[half_open(on="response.output_audio.delta")]
    )
    with leaving_raises(ConnectionLost, match="dead") as caught:
        watch = {"heartbeat_interval": 0.1, "heartbeat_timeout": 0.15, "close_timeout": 0.1}
        async with session_over("socket", simulator, **watch) as session, session.respond("Go on."):
            began = trio.current_time()
            await trio.sleep_forever()
    assert caught.value.code is None
    assert 0.2 <= trio.current_time() - began < 3


@each_carrier
@pytest.mark.parametrize("fault", [half_open(), stops_reading()], ids=repr)
async def test_a_peer_that_does_not_answer_the_close_is_left_in_time_and_without_an_error(
    fault: Fault, carrier: str
) -> None:
    simulator = Simulator()
    async with session_over(carrier, simulator, close_timeout=0.1) as session:
        simulator.connections[0].inject(fault)
        began = trio.current_time()
    assert session.failure is None
    assert trio.current_time() - began < 1


@each_carrier
async def test_a_peer_that_says_close_and_stays_is_left_in_time(carrier: str) -> None:
    simulator = Simulator()
    with leaving_raises(ConnectionLost) as caught:
        async with session_over(carrier, simulator, close_timeout=0.1):
            simulator.connections[0].inject(closes(1012, "restart", lingers=True))
            began = trio.current_time()
            await trio.sleep_forever()
    assert (caught.value.code, caught.value.reason) == (1012, "restart")
    assert trio.current_time() - began < 2


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 4999])
async def test_a_close_in_the_middle_of_a_session_is_never_a_silent_end(code: int) -> None:
    simulator = Simulator()
    with leaving_raises(ConnectionLost) as caught:
        async with session_over("memory", simulator, close_timeout=0.01):
            simulator.connections[0].inject(closes(code, "because"))
            await trio.sleep_forever()
    assert type(caught.value) is ConnectionLost
    assert (caught.value.code, caught.value.reason) == (code, "because")


async def test_a_tool_that_runs_when_the_connection_breaks_is_cancelled(autojump_clock: MockClock) -> None:
    ended: list[str] = []

    @tool
    async def look() -> str:
        """Look for a minute."""
        try:
            await trio.sleep(60)
        finally:
            ended.append("cancelled")
        return "nothing"

    faults = [drops(after_seconds=5)]
    with leaving_raises(ConnectionLost):
        async with talking(calls("look"), tools=[look], faults=faults) as (session, _), session.respond("Look."):
            await trio.sleep_forever()
    assert ended == ["cancelled"]
    assert trio.current_time() == 6, "the body has a second, and the tool goes with it"


# --- the protocol ---------------------------------------------------------------------------------------------------


@each_carrier
async def test_text_that_is_cut_inside_its_characters_arrives_whole(carrier: str) -> None:
    words = "Привет, 世界 🌍!"
    faults = [fragmented(1, on="response.output_audio_transcript.delta", nth=n) for n in range(1, 20)]
    simulator = Simulator([says(words)], pace=0, faults=faults)
    async with session_over(carrier, simulator) as session, session.respond("?") as turn:
        assert await turn.text() == words


async def test_responses_are_told_apart_by_their_id_however_often_they_are_announced(
    autojump_clock: MockClock,
) -> None:
    faults: list[Fault] = [duplicate(on=f"response.{kind}", nth=n) for kind in ("created", "done") for n in (1, 2)]
    async with talking(says("One."), says("Two."), faults=faults) as (session, _):
        with session.updates(ResponseStarted, ResponseDone, TurnDone) as updates:
            for words in ("One.", "Two."):
                async with session.respond("x") as turn:
                    assert await turn.text() == words
            await trio.sleep(1)
            kinds = [type(update) for update in arrived(updates)]
        assert kinds == [ResponseStarted, ResponseDone, TurnDone] * 2


async def test_a_response_whose_end_never_comes_fails_by_the_stall_timeout(autojump_clock: MockClock) -> None:
    faults = [omitted(on="response.done")]
    async with talking(says("One."), says("Two."), faults=faults, stall_timeout=5) as (session, _):
        with pytest.raises(ResponseFailed):
            async with session.respond("x") as turn:
                await turn.done()
        with trio.fail_after(30):
            async with session.respond("y") as turn:
                assert await turn.text() == "Two."


async def test_a_run_of_malformed_frames_ends_the_session_and_anything_less_does_not(
    autojump_clock: MockClock,
) -> None:
    begun = "response.created"
    almost = [*[malformed(on=begun)] * 15, *[malformed(on="response.output_item.added")] * 15]
    async with talking(says("Still here."), faults=almost) as (session, _):
        with session.updates(ProtocolIssue) as issues:
            async with session.respond("?") as turn:
                assert await turn.text() == "Still here."
            assert len(arrived(issues)) == 30
        assert session.statistics().malformed_frames == 30
    with leaving_raises(ProtocolError, match="16 malformed frames in a row"):
        run = [malformed(on=begun)] * 16
        async with talking(says("Still here."), faults=run) as (session, _), session.respond("?"):
            await trio.sleep_forever()


@each_carrier
async def test_ten_megabytes_are_an_event_like_any_other(carrier: str) -> None:
    simulator = Simulator([says("Yes.")], pace=0, faults=[oversized(10 * 2**20, on="response.created")])
    async with session_over(carrier, simulator) as session, session.respond("Still there?") as turn:
        assert await turn.text() == "Yes."


async def test_a_message_over_the_limit_ends_the_session_promptly() -> None:
    simulator = Simulator(faults=[oversized(200_001, on="input_audio_buffer.clear")])
    with trio.fail_after(5), leaving_raises(ProtocolError) as caught:
        async with session_over("socket", simulator, max_message_bytes=200_000, close_timeout=0.1) as session:
            await session.clear_audio()
    assert caught.value.code == 1009


# --- slow -----------------------------------------------------------------------------------------------------------


async def test_a_slow_link_changes_nothing_but_the_time(autojump_clock: MockClock) -> None:
    async with talking(says("All the same."), pace=0, faults=[latency(0.4, jitter=0.3)]) as (session, server):
        began = trio.current_time()
        async with session.respond("?") as turn:
            assert await turn.text() == "All the same."
        assert 0.4 <= trio.current_time() - began <= 1.5
        assert [item.id for item in session.conversation] == [item["id"] for item in server.items]


async def test_what_is_still_under_way_when_a_turn_is_left_is_heard_by_nobody(autojump_clock: MockClock) -> None:
    async with talking(says("Quite a long answer.", audio=5.0), faults=[latency(1)]) as (session, server):
        with session.updates(ItemUpdated, ResponseDone) as updates:
            async with session.respond("?") as turn:
                async for _ in turn:
                    break
            arrived(updates)
            await trio.sleep(5)
            late = arrived(updates)
        assert [update for update in late if isinstance(update, ItemUpdated) and update.delta is not None] == []
        assert [update.response.status for update in late if isinstance(update, ResponseDone)] == ["cancelled"]
        assert len(requested(server, "response.cancel")) == 1


async def test_a_cancel_overtakes_the_audio_that_waits_for_a_server_that_does_not_read(
    autojump_clock: MockClock,
) -> None:
    faults = [stops_reading(seconds=5, on="response.created")]
    async with talking(says("Long.", audio=60.0), faults=faults) as (session, server):
        async with session.respond("?"):
            await session.wait_for(ResponseStarted)
            for _ in range(400):
                await session.append_audio(bytes(960))
            await wait_all_tasks_blocked()
        await trio.sleep(10)
        kinds = [event["type"] for event in server.received]
        assert kinds.count("input_audio_buffer.append") == 400
        assert kinds.index("response.cancel") < len(kinds) - 100, "it did not stand behind the audio"


async def test_a_server_that_reads_no_more_is_given_up_by_the_write_deadline() -> None:
    simulator = Simulator(faults=[stops_reading(on="session.updated")])
    with leaving_raises(ConnectionLost, match="stuck"):
        async with session_over("socket", simulator, write_timeout=0.1, close_timeout=0.1) as session:
            while True:
                await session.append_audio(bytes(480_000))
