"""The simulator in memory: on virtual time, and out of the way when its block ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.session.scripted_server import leaving_raises
from trio_realtime.errors import ConfigError, ConnectionLost
from trio_realtime.testing import ModelContext, Simulator, says, simulated_transport
from trio_realtime.testing.carriers.simulated_transport import running_beside
from trio_realtime.transport import Closed, MessageTransport


class Client:
    """Pumps a transport and remembers what came when."""

    def __init__(self, transport: MessageTransport) -> None:
        self.transport = transport
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.closed: Closed | None = None

    def _deliver(self, payload: bytes | bytearray | memoryview, binary: bool = False) -> None:
        assert not binary
        self.events.append((trio.current_time(), json.loads(bytes(payload))))

    async def run(self) -> None:
        self.closed = await self.transport.pump(self._deliver)

    async def send(self, **event: Any) -> None:
        await self.transport.send(json.dumps(event).encode())

    def types(self) -> list[str]:
        return [event["type"] for _, event in self.events]


async def test_a_turn_takes_its_virtual_time(autojump_clock: MockClock) -> None:
    simulator = Simulator([says("Ten seconds.", audio=10.0)], pace=1)
    async with simulated_transport(simulator) as transport, trio.open_nursery() as nursery:
        client = Client(transport)
        nursery.start_soon(client.run)
        await client.send(type="response.create")
        await trio.sleep(30)
        began, ended = (
            next(time for time, event in client.events if event["type"] == kind)
            for kind in ("response.created", "response.done")
        )
        assert ended - began == pytest.approx(10)
        assert client.types()[0] == "session.created"
        nursery.cancel_scope.cancel()


async def test_what_a_test_lets_the_server_say_comes_without_waiting_for_anything(autojump_clock: MockClock) -> None:
    simulator = Simulator()
    async with simulated_transport(simulator) as transport, trio.open_nursery() as nursery:
        client = Client(transport)
        nursery.start_soon(client.run)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        simulator.connections[0].say("rate_limits.updated", rate_limits=[])
        await wait_all_tasks_blocked()
        assert client.types() == ["session.created", "rate_limits.updated"]
        assert client.events[-1][0] == began
        nursery.cancel_scope.cancel()


async def test_the_session_expires_and_the_server_closes(autojump_clock: MockClock) -> None:
    async with simulated_transport(Simulator(max_duration=60)) as transport:
        client = Client(transport)
        with trio.fail_after(61):
            await client.run()
        assert client.closed == Closed(1001, "Your session hit the maximum duration of 1 minutes.")
        assert client.types() == ["session.created", "error"]
        with pytest.raises(ConnectionLost):
            await client.send(type="response.create")


async def test_the_client_may_close_first() -> None:
    async with simulated_transport(Simulator()) as transport:
        await transport.aclose()


async def test_a_client_that_does_not_read_holds_the_server_back() -> None:
    simulator = Simulator([says("A lot.", audio=100.0)], pace=0)
    async with simulated_transport(simulator) as transport, trio.open_nursery() as nursery:
        client = Client(transport)
        await client.send(type="response.create")
        await wait_all_tasks_blocked()
        nursery.start_soon(client.run)
        await wait_all_tasks_blocked()
        assert client.types().count("response.output_audio.delta") == 500
        assert client.types()[-1] == "rate_limits.updated"
        nursery.cancel_scope.cancel()


async def test_leaving_the_block_ends_the_server_and_the_transport() -> None:
    async with simulated_transport(Simulator()) as transport:
        pass
    with pytest.raises(ConnectionLost):
        await transport.send(b"{}")


async def test_what_the_block_raises_leaves_as_itself() -> None:
    with pytest.raises(KeyError):
        async with simulated_transport(Simulator()):
            raise KeyError


async def test_what_a_scripts_function_raises_leaves_as_itself() -> None:
    def broken(context: ModelContext) -> Any:
        raise LookupError("no idea")

    with leaving_raises(LookupError, match="no idea"):
        async with simulated_transport(Simulator([broken])) as transport:
            await transport.send(b'{"type": "response.create"}')
            await trio.sleep_forever()


async def test_what_a_cancelled_block_raises_is_not_lost_behind_the_cancellation() -> None:
    with leaving_raises(LookupError, match="no idea"), trio.move_on_after(0):
        async with running_beside(trio.sleep_forever):
            try:
                await trio.sleep_forever()
            finally:
                raise LookupError("no idea")


async def test_an_interrupt_is_not_lost_behind_what_a_scripts_function_raises() -> None:
    def broken(context: ModelContext) -> Any:
        raise LookupError("no idea")

    with leaving_raises(KeyboardInterrupt) as caught:
        async with simulated_transport(Simulator([broken])) as transport:
            await transport.send(b'{"type": "response.create"}')
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
            raise KeyboardInterrupt
    assert isinstance(caught.value.__cause__, LookupError)


async def test_a_cancelled_block_ends_at_once() -> None:
    with trio.move_on_after(0) as scope:
        async with simulated_transport(Simulator()):
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_the_query_chooses_the_kind_of_session() -> None:
    async with simulated_transport(Simulator(), query={"intent": "transcription"}) as transport:
        client = Client(transport)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert client.events[0][1]["session"]["type"] == "transcription"
    with pytest.raises(ConfigError):
        async with simulated_transport(Simulator(), query={}):
            pass
