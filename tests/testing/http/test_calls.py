"""Calls: they ring, go on, are joined by several websockets, and end."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import ConfigError, open_session
from trio_realtime.testing import Call, JoinedCall, Simulator, Switchboard, says, simulated_transport
from trio_realtime.testing.server import ServerConnection
from trio_realtime.wire.server_events import InputAudioBufferDtmfEventReceived

Event = dict[str, Any]


def ongoing(simulator: Simulator, **configuration: Any) -> Call:
    """Make a call that goes on, at time 0."""
    return Switchboard(simulator).dial("v=0", {"type": "realtime", **configuration}, now=0, unix_time=0)


def types(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


CREATE = json.dumps({"type": "response.create"})
CLEAR = json.dumps({"type": "input_audio_buffer.clear"})


def test_somebody_calls_and_the_program_is_told() -> None:
    switchboard = Switchboard(Simulator())
    call = switchboard.ring(unix_time=1_800_000_000.5, sip_headers=[("From", "sip:a@b"), ("To", "sip:c@d")])
    assert call.incoming_event is not None
    assert call.incoming_event == {
        "id": call.incoming_event["id"],
        "object": "event",
        "type": "realtime.call.incoming",
        "created_at": 1_800_000_000,
        "data": {
            "call_id": call.id,
            "sip_headers": [{"name": "From", "value": "sip:a@b"}, {"name": "To", "value": "sip:c@d"}],
        },
    }
    assert call.id.startswith("rtc_")
    assert call.state == "ringing"
    assert switchboard.calls == [call]


def test_only_a_call_that_goes_on_is_joined() -> None:
    switchboard = Switchboard(Simulator())
    call = switchboard.ring()

    def join(call_id: str = call.id) -> ServerConnection:
        return switchboard.connect({"call_id": call_id}, now=0, unix_time=0)

    with pytest.raises(ConfigError, match="ringing"):
        join()
    switchboard.accept(call, {"type": "realtime"}, now=0, unix_time=0)
    assert isinstance(join(), JoinedCall)
    with pytest.raises(ConfigError, match="no call"):
        join("rtc_unknown")
    call.end()
    with pytest.raises(ConfigError, match="over"):
        join()


def test_every_other_connection_is_the_servers_own() -> None:
    simulator = Simulator()
    configuration = {"audio": {"output": {"language": "fr"}}}
    connection = Switchboard(simulator).connect(
        {"model": "m"}, now=0, unix_time=0, kind="translation", configuration=configuration
    )
    assert simulator.translations == [connection]
    assert simulator.translations[0].session["audio"]["output"]["language"] == "fr"


def test_a_call_has_the_session_that_it_was_given() -> None:
    simulator = Simulator()
    ongoing(simulator, model="gpt-realtime", instructions="Be kind.", audio={"output": {"voice": "cedar"}})
    (connection,) = simulator.connections
    session = connection.session
    assert (session["model"], session["instructions"]) == ("gpt-realtime", "Be kind.")
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 200, "the model's, not the default's"
    assert session["audio"]["output"]["voice"] == "cedar"


def test_all_who_joined_hear_what_the_session_says_and_a_refusal_only_who_is_refused() -> None:
    simulator = Simulator([says("Hello.")])
    call = ongoing(simulator)
    one, other = call.join(0), call.join(0)
    woken: list[str] = []
    other.wake = lambda: woken.append("other")
    assert one.advance(0) == other.advance(0) == []  # a sideband has no session.created
    said = one.receive(CREATE, 0)
    assert types(said) == ["response.created"]
    assert (woken, other.next_deadline()) == (["other"], float("-inf"))
    assert types(one.receive("nonsense", 0)) == ["error"]
    said += one.advance(60)
    heard = other.advance(60)
    assert heard == said
    assert types(heard)[-2:] == ["rate_limits.updated", "output_audio_buffer.stopped"]
    assert other.next_deadline() == simulator.connections[0].next_deadline()


def test_who_joins_later_hears_what_comes_later() -> None:
    simulator = Simulator([says("Hello.")])
    call = ongoing(simulator)
    first = call.join(0)
    first.receive(CREATE, 0)
    del first
    late = call.join(60)
    assert late.advance(60) == []
    assert types(late.receive(CLEAR, 60)) == ["input_audio_buffer.cleared"]
    assert len(simulator.connections[0].items) == 1  # the response went on without anybody


def test_the_end_of_a_call_closes_everyone_after_what_was_said() -> None:
    simulator = Simulator()
    call = ongoing(simulator)
    one, other = call.join(0), call.join(0)
    woken: list[str] = []
    other.wake = lambda: woken.append("other")
    one.receive(CLEAR, 0)
    call.end()
    assert woken == ["other", "other"]
    assert one.closed is not None
    assert (one.closed.code, one.next_deadline()) == (1000, float("inf"))
    assert one.receive(CLEAR, 0) == []
    assert other.closed is None
    assert types(other.advance(0)) == ["input_audio_buffer.cleared"]
    assert other.closed == one.closed


def test_a_session_that_expires_ends_its_call() -> None:
    simulator = Simulator(max_duration=60)
    call = ongoing(simulator)
    one, other = call.join(0), call.join(0)
    assert types(one.advance(61)) == types(other.advance(61)) == ["error"]
    assert one.closed is not None
    assert one.closed == other.closed
    assert one.closed.code == 1001
    assert call.state == "over"


def test_a_websocket_that_is_gone_is_told_nothing() -> None:
    simulator = Simulator()
    call = ongoing(simulator)
    gone, stays = call.join(0), call.join(0)
    gone.wake = lambda: pytest.fail("nobody is there")
    del gone
    gc.collect()
    assert types(stays.receive(CLEAR, 0)) == ["input_audio_buffer.cleared"]


async def test_a_key_that_is_pressed_is_heard_at_once(autojump_clock: MockClock) -> None:
    switchboard = Switchboard(simulator := Simulator())
    call = switchboard.dial("v=0", {"type": "realtime"}, now=0, unix_time=0)
    async with (
        simulated_transport(switchboard, query={"call_id": call.id}) as transport,
        open_session(transport=transport, call_id=call.id) as session,
    ):
        await wait_all_tasks_blocked()
        with session.events() as events, trio.fail_after(1):
            simulator.connections[0].press_key("5")
            assert isinstance((await events.receive()).event, InputAudioBufferDtmfEventReceived)


async def test_a_session_joins_a_call_and_hears_that_it_ends(autojump_clock: MockClock) -> None:
    simulator = Simulator([says("Hello.")])
    switchboard = Switchboard(simulator)
    call = switchboard.ring()
    switchboard.accept(call, {"type": "realtime"}, now=trio.current_time(), unix_time=0)
    ended: list[float] = []
    async with (
        simulated_transport(switchboard, query={"call_id": call.id}) as transport,
        simulated_transport(switchboard, query={"call_id": call.id}) as second_transport,
        trio.open_nursery() as nursery,
    ):
        heard: list[str] = []

        @nursery.start_soon
        async def listen() -> None:
            closed = await second_transport.pump(lambda payload, binary=False: heard.append(bytes(payload).decode()))
            assert closed.code == 1000
            ended.append(trio.current_time())

        async with open_session(transport=transport, call_id=call.id) as session:
            await session.send_message("Hi.", respond=False)
            async with session.respond() as response:
                assert await response.text() == "Hello."
        await trio.sleep(5)
        assert any("response.done" in event for event in heard)
        assert ended == []
        call.end()
        at = trio.current_time()
        await wait_all_tasks_blocked()
        assert ended == [at]
