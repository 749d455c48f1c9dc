"""A simulator on loopback for programs that call `trio.run` themselves, as those of the README and the docs do."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import trio

from trio_realtime import Endpoint
from trio_realtime.testing import Simulator, SimulatorServer, serve_simulator


@contextmanager
def serving_in_a_thread(simulator: Simulator) -> Iterator[SimulatorServer[Simulator]]:
    """Serve until the block ends."""
    ready = Event()
    found: list[SimulatorServer[Simulator]] = []
    stop = trio.Event()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def serve() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        async with serve_simulator(simulator) as server:
            found.append(server)
            ready.set()
            await stop.wait()

    thread = Thread(target=trio.run, args=(serve,))
    thread.start()
    assert ready.wait(timeout=10)
    try:
        yield found[0]
    finally:
        tokens[0].run_sync_soon(stop.set)
        thread.join(timeout=10)
    assert not thread.is_alive()


def endpoint_of(server: SimulatorServer[Simulator]) -> Endpoint:
    """Where a program connects that believes to talk to OpenAI."""
    return Endpoint(f"{server.url}/realtime", headers={"Authorization": f"Bearer {server.api_key}"})
