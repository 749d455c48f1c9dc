"""Each fault does what it says, on the wire and in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime.errors import (
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    HandshakeRejected,
    ProtocolError,
)
from trio_realtime.testing import (
    ERROR_TYPES,
    Fault,
    Simulator,
    binary,
    breaks_handshake,
    closes,
    drops,
    duplicate,
    error_event,
    expires,
    fragmented,
    half_open,
    latency,
    malformed,
    omitted,
    oversized,
    refuses,
    reordered,
    silent_handshake,
    simulated_transport,
    slow_handshake,
    stops_reading,
    unknown_event,
)
from trio_realtime.transport import Closed

from .connecting import CARRIERS, CLEAR, connected

CREATED, CLEARED = "session.created", "input_audio_buffer.cleared"
each_carrier = pytest.mark.parametrize("carrier", CARRIERS)


# --- drops, closes, expiry ------------------------------------------------------------------------------------------


@each_carrier
async def test_a_drop_is_an_end_without_a_close_frame_after_what_was_sent_before(carrier: str) -> None:
    async with connected(Simulator(faults=[drops(after_events=2)]), carrier) as client:
        await client.send()
        lost = await client.wait_ended()
        assert isinstance(lost, ConnectionLost)
        assert lost.code is None
        assert client.types() == [CREATED, CLEARED]


@each_carrier
@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (closes(), Closed(1001)),
        (closes(4000, "enough"), Closed(4000, "enough")),
        (closes(1011, "x" * 123), Closed(1011, "x" * 123)),
        (closes(None), Closed(1005)),
        (closes(1012, lingers=True), Closed(1012)),
    ],
    ids=repr,
)
async def test_a_close_has_its_code_and_reason(fault: Fault, seen: Closed, carrier: str) -> None:
    async with connected(Simulator(faults=[fault]), carrier) as client:
        assert await client.wait_ended() == seen
        assert client.types() == []
        with pytest.raises(ConnectionLost):
            await client.send()


@each_carrier
@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 65535])
async def test_a_code_that_may_stand_in_no_frame_is_sent_and_refused(code: int, carrier: str) -> None:
    async with connected(Simulator(faults=[closes(code)]), carrier) as client:
        refused = await client.wait_ended()
        assert isinstance(refused, ProtocolError)
        assert refused.code == 1002


@each_carrier
@pytest.mark.parametrize("report", [True, False])
@pytest.mark.parametrize("close_frame", [True, False])
async def test_expiry_is_an_error_a_close_or_both(report: bool, close_frame: bool, carrier: str) -> None:
    fault = expires(report=report, close_frame=close_frame, on=CREATED)
    async with connected(Simulator(faults=[fault]), carrier) as client:
        ended = await client.wait_ended()
        errors = [event["error"]["code"] for event in client.events()[1:]]
        assert errors == (["session_expired"] if report else [])
        if close_frame:
            assert isinstance(ended, Closed)
            assert ended.code == 1001
            assert "maximum duration" in ended.reason
        else:
            assert isinstance(ended, ConnectionLost)


# --- silence --------------------------------------------------------------------------------------------------------


async def test_on_a_half_open_link_nothing_comes_and_nothing_is_taken(autojump_clock: MockClock) -> None:
    simulator = Simulator(faults=[half_open(on=CREATED)], max_duration=60)
    async with connected(simulator) as client:
        await client.wait_for(CREATED)
        for _ in range(200):  # more than the buffers hold: what comes is read
            await client.send()
        await trio.sleep(1000)
        assert client.types() == [CREATED]
        assert not client.ended.is_set()
        assert not simulator.connections[0].received


async def test_a_half_open_link_may_drop_later(autojump_clock: MockClock) -> None:
    async with connected(Simulator(faults=[half_open(), drops(after_seconds=5)])) as client:
        assert isinstance(await client.wait_ended(), ConnectionLost)
        assert trio.current_time() == 5
        assert client.types() == []


@each_carrier
async def test_a_server_that_stops_reading_holds_the_client_back_and_talks_on(carrier: str) -> None:
    simulator = Simulator(faults=[stops_reading(on=CREATED), unknown_event(on=CREATED)])
    large = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 400_000}).encode()
    async with connected(simulator, carrier) as client:
        await client.wait_for("simulator.unknown")
        with trio.move_on_after(0.2) as scope:
            for _ in range(100):
                await client.send(large)
        assert scope.cancelled_caught
        assert not simulator.connections[0].received
        simulator.connections[0].inject(unknown_event("still.here"))
        await client.wait_for("still.here")


async def test_a_server_reads_on_when_it_is_told_for_how_long_not_to(autojump_clock: MockClock) -> None:
    async with connected(Simulator(faults=[stops_reading(seconds=3)])) as client:
        for _ in range(100):
            await client.send()
        await client.wait_for(CLEARED, 100)
        assert trio.current_time() == 3


async def test_a_socket_is_read_on_too() -> None:
    simulator = Simulator()
    async with connected(simulator, "socket") as client:
        await client.wait_for(CREATED)
        simulator.connections[0].inject(stops_reading(seconds=0.05))
        await client.send()
        began = trio.current_time()
        await client.wait_for(CLEARED)
        assert trio.current_time() - began > 0.02


# --- latency --------------------------------------------------------------------------------------------------------


async def arrivals(*faults: Fault, count: int = 20) -> list[float]:
    """When events arrive that are said at 0, 1, 2... seconds."""
    async with connected(Simulator(faults=faults)) as client:
        for _ in range(count):
            await client.send()
            await trio.sleep(1)
        await client.wait_for(CLEARED, count)
        return client.times[1:]


async def test_latency_delays_every_event(autojump_clock: MockClock) -> None:
    assert await arrivals(latency(0.25)) == [number + 0.25 for number in range(20)]


def test_jitter_is_the_same_in_every_run_and_overtakes_nothing() -> None:
    def run(*faults: Fault) -> list[float]:
        return trio.run(lambda: arrivals(*faults), clock=MockClock(autojump_threshold=0))

    first = run(latency(0.1, jitter=3))
    assert first == run(latency(0.1, jitter=3))
    assert first == sorted(first)
    delays = {round(time - number, 6) for number, time in enumerate(first)}
    assert len(delays) > 10
    assert 0.1 <= min(delays) < max(delays) <= 3.1


async def test_latency_ends_when_it_is_set_to_none_and_what_is_under_way_keeps_its_place(
    autojump_clock: MockClock,
) -> None:
    times = await arrivals(latency(2.5), latency(0, after_seconds=4.5), count=7)
    assert times == [2.5, 3.5, 4.5, 5.5, 6.5, 6.5, 6.5]


async def test_a_drop_on_a_slow_link_comes_after_what_it_follows(autojump_clock: MockClock) -> None:
    async with connected(Simulator(faults=[latency(7), drops(after_events=1)])) as client:
        await client.wait_ended()
        assert (client.types(), trio.current_time()) == ([CREATED], 7)


async def test_the_close_of_an_expired_session_takes_its_time_too(autojump_clock: MockClock) -> None:
    async with connected(Simulator(faults=[latency(7)], max_duration=60)) as client:
        with trio.fail_after(68):
            await client.ended.wait()
        assert (client.types(), trio.current_time()) == ([CREATED, "error"], 67)


# --- frames that should not be there --------------------------------------------------------------------------------


@each_carrier
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (malformed(b"{"), (b"{", False)),
        (malformed(b""), (b"", False)),
        (binary(b"\xff\x00"), (b"\xff\x00", True)),
    ],
    ids=repr,
)
async def test_a_frame_is_sent_as_it_is_and_the_connection_goes_on(
    fault: Fault, message: tuple[bytes, bool], carrier: str
) -> None:
    async with connected(Simulator(faults=[fault]), carrier) as client:
        await client.send()
        with trio.fail_after(10):
            while len(client.messages) < 3:
                await trio.lowlevel.checkpoint()
        assert client.messages[0] == message
        assert [json.loads(payload)["type"] for payload, _ in client.messages[1:]] == [CREATED, CLEARED]


@each_carrier
async def test_text_that_is_no_utf8_ends_the_connection(carrier: str) -> None:
    async with connected(Simulator(faults=[malformed(b"\xff")]), carrier) as client:
        ended = await client.wait_ended()
        assert isinstance(ended, ProtocolError)
        assert ended.code == 1007
        with pytest.raises(ConnectionLost):
            await client.send()


@each_carrier
@pytest.mark.parametrize("size", [100, 126, 65_536, 10 * 2**20])
async def test_a_large_event_has_its_size(size: int, carrier: str) -> None:
    async with connected(Simulator(faults=[oversized(size)]), carrier) as client:
        await client.wait_for("simulator.oversized")
        assert len(client.messages[0][0]) == size


@each_carrier
async def test_an_event_over_the_limit_ends_the_connection(carrier: str) -> None:
    async with connected(Simulator(faults=[oversized()]), carrier) as client:
        ended = await client.wait_ended()
        assert isinstance(ended, ProtocolError)
        assert ended.code == 1009


@pytest.mark.parametrize("code", [*ERROR_TYPES, "of_your_own"])
async def test_an_error_event_has_the_shape_of_the_servers(code: str) -> None:
    async with connected(Simulator(faults=[error_event(code, on="input_audio_buffer.clear")])) as client:
        await client.send()
        await client.wait_for(CLEARED)
        created, event, _ = client.events()
        error = event["error"]
        assert set(error) == {"type", "code", "message", "param", "event_id"}
        assert (error["code"], error["type"]) == (code, ERROR_TYPES.get(code, "invalid_request_error"))
        assert error["event_id"] is None
        assert event["event_id"] != created["event_id"]


@pytest.mark.parametrize(
    ("sent", "event_id"), [(CLEAR, "mine"), (b'{"type":"x"}', None), (b"no event", None), (b"[]", None)]
)
async def test_an_error_event_may_name_the_clients_last_event(sent: bytes, event_id: str | None) -> None:
    simulator = Simulator()
    async with connected(simulator) as client:
        await client.send(sent)
        await wait_all_tasks_blocked()
        told = error_event("x", message="No.", type="y", param="z", with_event_id=True)
        simulator.connections[0].inject(told)
        await wait_all_tasks_blocked()
        assert client.events()[-1]["error"] == {
            "type": "y",
            "code": "x",
            "message": "No.",
            "param": "z",
            "event_id": event_id,
        }


# --- what is done to an event ---------------------------------------------------------------------------------------


async def cleared(*faults: Fault, count: int = 4) -> list[Any]:
    """Which of the answers to so many events arrive, in what order: by the ids of what they answer."""
    async with connected(Simulator(faults=faults)) as client:
        for _ in range(count):
            await client.send()
        await trio.sleep(10)
        numbers = {event["event_id"][-2:]: number for number, event in enumerate(SEEN)}
        return [numbers[event["event_id"][-2:]] for event in client.events()]


SEEN: list[dict[str, Any]] = []


@pytest.fixture(autouse=True, scope="module")
def _what_comes_without_faults() -> None:
    async def main() -> None:
        async with connected(Simulator()) as client:
            for _ in range(6):
                await client.send()
            await trio.sleep(1)
            SEEN.extend(client.events())

    trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("faults", "order"),
    [
        ([], [0, 1, 2, 3, 4]),
        ([duplicate()], [0, 0, 1, 2, 3, 4]),
        ([duplicate(after_events=2)], [0, 1, 2, 2, 3, 4]),
        ([duplicate(on=CLEARED, nth=3)], [0, 1, 2, 3, 3, 4]),
        ([duplicate(on=CLEARED), duplicate(on=CLEARED)], [0, 1, 1, 1, 2, 3, 4]),
        ([omitted()], [1, 2, 3, 4]),
        ([omitted(on=CLEARED, nth=4)], [0, 1, 2, 3]),
        ([reordered()], [1, 0, 2, 3, 4]),
        ([reordered(after_events=2)], [0, 1, 3, 2, 4]),
        ([reordered(after_events=4)], [0, 1, 2, 3, 4]),
        ([reordered(on=CREATED), reordered(on=CLEARED)], [2, 1, 0, 3, 4]),
        ([duplicate(after_events=1), reordered(after_events=1)], [0, 2, 1, 1, 3, 4]),
        ([omitted(after_events=1), reordered(after_events=1)], [0, 2, 3, 4]),
        ([omitted(on="input_audio_buffer.clear", nth=2)], [0, 1, 3, 4]),
        ([fragmented(7), fragmented(1, on=CLEARED), duplicate(on=CLEARED)], [0, 1, 1, 2, 3, 4]),
        ([omitted(after_events=1), drops(after_events=2)], [0]),
    ],
    ids=repr,
)
async def test_events_are_doubled_left_out_and_swapped(
    faults: list[Fault], order: list[int], autojump_clock: MockClock
) -> None:
    assert await cleared(*faults) == order


async def test_an_event_that_nothing_follows_is_a_second_late(autojump_clock: MockClock) -> None:
    async with connected(Simulator(faults=[reordered()])) as client:
        await client.wait_for(CREATED)
        assert trio.current_time() == 1


async def test_what_was_held_back_comes_before_the_close(autojump_clock: MockClock) -> None:
    simulator = Simulator(max_duration=60, faults=[reordered(on="error")])
    async with connected(simulator) as client:
        with trio.fail_after(61):
            await client.ended.wait()
        assert client.types() == [CREATED, "error"]


# --- handshakes -----------------------------------------------------------------------------------------------------

REFUSALS = [
    (refuses(429, headers={"retry-after": "7", "x-request-id": "req_1"}, body=b"slow down"), b"slow down"),
    (refuses(), b""),
    (refuses(302, headers={"Location": "ws://127.0.0.1:1/"}), b""),
    (refuses(401, headers={"Content-Length": "1000"}, body=b"cut"), b"cut"),
    (refuses(404, headers={"transfer-encoding": "chunked"}, body=b"3\r\nyes\r\n0\r\n\r\n"), b"yes"),
    (refuses(500, body=b"x" * 5000), b"x" * 4096),
    (refuses(999, body=b"?"), b"?"),
]


@each_carrier
@pytest.mark.parametrize(("fault", "body"), REFUSALS, ids=repr)
async def test_a_refused_handshake_says_why(fault: Any, body: bytes, carrier: str) -> None:
    simulator = Simulator(faults=[fault])
    with pytest.raises(HandshakeRejected) as caught:
        async with connected(simulator, carrier):
            raise AssertionError("it cannot have opened")
    assert (caught.value.status, caught.value.body) == (fault.status, body)
    assert caught.value.headers.items() >= {name.lower(): value for name, value in fault.headers.items()}.items()
    assert simulator.connections == []


@each_carrier
@pytest.mark.parametrize(
    "answer",
    [b"", b"\x16\x03\x01\x00", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", b"HTTP/1.1 200"],
)
async def test_a_broken_handshake_is_no_rejection(answer: bytes, carrier: str) -> None:
    with trio.fail_after(5), pytest.raises(ConnectError) as caught:
        async with connected(Simulator(faults=[breaks_handshake(answer)]), carrier):
            raise AssertionError("it cannot have opened")
    assert not isinstance(caught.value, HandshakeRejected | ConnectTimeout)


@each_carrier
@pytest.mark.parametrize("fault", [silent_handshake(), slow_handshake(30)], ids=repr)
async def test_a_handshake_that_takes_too_long_is_given_up(fault: Fault, carrier: str) -> None:
    simulator = Simulator(faults=[fault])
    with pytest.raises(ConnectTimeout):
        async with connected(simulator, carrier, connect_timeout=0.1):
            raise AssertionError("it cannot have opened")
    assert simulator.connections == []


@each_carrier
async def test_a_slow_handshake_comes_to_its_end(carrier: str) -> None:
    began = trio.current_time()
    faults = [slow_handshake(0.02), slow_handshake(0.01), refuses(503, connection=2)]
    async with connected(Simulator(faults=faults), carrier) as client:
        assert trio.current_time() - began >= 0.03
        await client.wait_for(CREATED)


async def test_a_slow_refusal_is_both(autojump_clock: MockClock) -> None:
    with pytest.raises(HandshakeRejected):
        async with simulated_transport(Simulator(faults=[refuses(503), slow_handshake(3)])):
            raise AssertionError("it cannot have opened")
    assert trio.current_time() == 3
