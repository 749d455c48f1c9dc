"""When faults happen: by a schedule, in its order, on demand, and with servers that know nothing of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime.errors import (
    ConfigError,
    ConnectionLost,
    HandshakeRejected,
)
from trio_realtime.testing import (
    Fault,
    Simulator,
    Switchboard,
    closes,
    drops,
    duplicate,
    error_event,
    expires,
    half_open,
    latency,
    malformed,
    memory_transport_pair,
    omitted,
    refuses,
    says,
    simulated_transport,
    unknown_event,
)
from trio_realtime.testing.carriers.serving import serve_connection
from trio_realtime.testing.link import Link
from trio_realtime.transport import Closed
from trio_realtime.wire.codec import Kind

from .connecting import CARRIERS, Client, connected

CREATED, CLEARED = "session.created", "input_audio_buffer.cleared"
each_carrier = pytest.mark.parametrize("carrier", CARRIERS)


# --- when -----------------------------------------------------------------------------------------------------------


@each_carrier
async def test_a_fault_may_concern_one_connection(carrier: str) -> None:
    simulator = Simulator(faults=[refuses(503, connection=1), drops(on=CREATED, connection=2)])
    with pytest.raises(HandshakeRejected):
        async with connected(simulator, carrier):
            raise AssertionError("it cannot have opened")
    async with connected(simulator, carrier) as client:
        assert isinstance(await client.wait_ended(), ConnectionLost)
    async with connected(simulator, carrier) as client:
        await client.send()
        await client.wait_for(CLEARED)
    assert len(simulator.connections) == 2


async def test_the_schedule_may_change_between_two_connections() -> None:
    simulator = Simulator()
    async with connected(simulator) as client:
        await client.wait_for(CREATED)
    simulator.faults.append(refuses(503))
    with pytest.raises(HandshakeRejected):
        async with connected(simulator):
            raise AssertionError("it cannot have opened")
    simulator.faults.clear()
    async with connected(simulator) as client:
        await client.wait_for(CREATED)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([unknown_event("a"), unknown_event("b"), drops()], ["a", "b"]),
        ([drops(), unknown_event("a")], []),
        ([unknown_event("a", on=CREATED), drops(on=CREATED), unknown_event("b", on=CREATED)], [CREATED, "a"]),
        ([unknown_event("a", after_events=2), unknown_event("b", after_events=1)], [CREATED, "b", CLEARED, "a"]),
        ([unknown_event(CLEARED), drops(on=CLEARED)], [CLEARED, CREATED, CLEARED]),
        ([error_event(on="input_audio_buffer.clear"), closes(on="input_audio_buffer.clear")], [CREATED, "error"]),
        ([half_open(on=CREATED), unknown_event(on=CREATED)], [CREATED]),
        ([unknown_event("a", after_seconds=2), unknown_event("b", after_seconds=1)], [CREATED, CLEARED, "b", "a"]),
        ([latency(1), unknown_event("a")], ["a", CREATED, CLEARED]),
        ([expires(close_frame=False, on=CREATED), unknown_event()], ["simulator.unknown", CREATED, "error"]),
    ],
    ids=repr,
)
async def test_faults_happen_in_the_order_of_their_moments_and_of_the_schedule(
    faults: list[Fault], expected: list[str], autojump_clock: MockClock
) -> None:
    simulator = Simulator(faults=faults)
    async with connected(simulator) as client:
        await client.send()
        await trio.sleep(10)
        assert client.types() == expected


async def test_the_server_does_not_take_the_event_with_which_the_connection_ends() -> None:
    simulator = Simulator(faults=[drops(on="input_audio_buffer.clear", nth=2)])
    async with connected(simulator) as client:
        await client.send()
        await client.wait_for(CLEARED)
        await client.send()
        await client.wait_ended()
        assert len(simulator.connections[0].received) == 1


@each_carrier
async def test_a_fault_is_injected_at_once_even_while_the_client_does_not_read(carrier: str) -> None:
    simulator = Simulator([says("A lot.", audio=20.0)], pace=0, audio_delta_ms=20)
    async with connected(simulator, carrier) as busy:
        await busy.wait_for(CREATED)
        simulator.connections[0].inject(malformed(b"now"))
        with trio.fail_after(5):
            while len(busy.messages) < 2:
                await trio.lowlevel.checkpoint()
        assert busy.messages[1] == (b"now", False)


@pytest.mark.parametrize("fault", [drops(), half_open()], ids=repr)
async def test_a_write_that_is_blocked_does_not_hold_up_a_fault(fault: Fault) -> None:
    simulator = Simulator([says("A lot.", audio=20.0)], pace=0, audio_delta_ms=20)
    async with simulated_transport(simulator) as transport:
        await transport.send(b'{"type":"response.create"}')
        await wait_all_tasks_blocked()  # the buffers are full
        simulator.connections[0].inject(fault)
        await wait_all_tasks_blocked()
        count = 0

        def count_up(payload: object, binary: bool = False) -> None:
            nonlocal count
            count += 1

        with trio.move_on_after(0.05), pytest.raises(ConnectionLost):
            await transport.pump(count_up)
        assert 1 < count < 100


async def test_what_is_injected_counts_from_then(autojump_clock: MockClock) -> None:
    simulator = Simulator()
    async with connected(simulator) as client:
        await client.send()
        await trio.sleep(5)
        simulator.connections[0].inject(unknown_event("first", after_events=1))
        simulator.connections[0].inject(unknown_event("second", on=CLEARED, nth=2))
        simulator.connections[0].inject(unknown_event("third", after_seconds=5))
        simulator.connections[0].inject(drops(after_seconds=6))
        await client.send()
        await trio.sleep(1)
        await client.send()
        await client.wait_ended()
        assert client.types() == [CREATED, CLEARED, CLEARED, "first", CLEARED, "second", "third"]
        assert trio.current_time() == 11


async def test_what_is_injected_before_anybody_carries_the_connection_waits_for_it() -> None:
    simulator = Simulator()
    connection = simulator.connect({"model": "m"}, now=trio.current_time(), unix_time=0)
    simulator.connections[0].inject(unknown_event("waited"))
    near, far = memory_transport_pair()
    async with trio.open_nursery() as nursery:
        client = Client(near)
        nursery.start_soon(client.run)
        nursery.start_soon(serve_connection, connection, far)
        await client.wait_for("waited")
        await near.aclose()
    with pytest.raises(ConfigError, match="handshake"):
        simulator.connections[0].inject(refuses(503))


async def test_a_translation_goes_wrong_like_any_session() -> None:
    simulator = Simulator(faults=[unknown_event("first", after_events=1)])
    async with simulated_transport(simulator, kind="translation") as transport, trio.open_nursery() as nursery:
        client = Client(transport)
        nursery.start_soon(client.run)
        await client.wait_for("first")
        simulator.translations[0].inject(drops())
        await client.wait_ended()
        assert client.types() == [CREATED, "first"]


async def test_the_calls_of_a_simulator_go_wrong_with_it() -> None:
    simulator = Simulator(faults=[unknown_event("first", after_events=1)])
    async with simulated_transport(Switchboard(simulator)) as transport, trio.open_nursery() as nursery:
        client = Client(transport)
        nursery.start_soon(client.run)
        await client.wait_for("first")
        nursery.cancel_scope.cancel()


# --- other servers --------------------------------------------------------------------------------------------------


class Echo:
    """A server that is no simulator, and its one connection: sends back what it gets."""

    closed: Closed | None = None

    def connect(
        self,
        query: Mapping[str, str],
        *,
        now: float,
        unix_time: float,
        kind: Kind = "realtime",
        configuration: Mapping[str, Any] | None = None,
    ) -> Echo:
        return self

    def next_deadline(self) -> float:
        return float("inf")

    def advance(self, now: float) -> list[dict[str, Any]]:
        return []

    def receive(self, message: str | bytes, now: float, *, binary: bool = False) -> list[dict[str, Any]]:
        return [json.loads(message)]


async def test_a_server_that_knows_nothing_of_faults_is_carried_without() -> None:
    async with simulated_transport(Echo()) as transport, trio.open_nursery() as nursery:
        client = Client(transport)
        nursery.start_soon(client.run)
        await client.send(b'{"type":"x"}')
        await client.wait_for("x")
        nursery.cancel_scope.cancel()


async def test_a_connection_may_be_carried_over_a_link_of_its_own() -> None:
    near, far = memory_transport_pair()
    async with trio.open_nursery() as nursery:
        client = Client(near)
        nursery.start_soon(client.run)
        nursery.start_soon(serve_connection, Echo(), far, Link([duplicate(), omitted(connection=2)]))
        await client.send(b'{"type":"x"}')
        await client.wait_for("x", 2)
        await near.aclose()
