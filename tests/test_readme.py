"""The README's programs run, and its commands are the ones that are checked."""

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from types import ModuleType

import pytest
import trio

import trio_realtime.session
from trio_realtime import Endpoint
from trio_realtime.testing import Simulator, SimulatorServer, says, serve_simulator

README = (Path(__file__).parent.parent / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def served() -> Iterator[SimulatorServer]:
    """A simulator on loopback, in a thread of its own: the README's programs call `trio.run` themselves."""
    simulator = Simulator([says("I am well, thank you!")], pace=0)
    ready = Event()
    found: list[SimulatorServer] = []
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
    yield found[0]
    tokens[0].run_sync_soon(stop.set)
    thread.join(timeout=10)
    assert not thread.is_alive()


def run(program: str) -> None:
    exec(compile(program, "README.md", "exec"), ModuleType("readme").__dict__)


def test_the_readme_has_the_programs_that_are_run_here() -> None:
    assert len(PROGRAMS) == 2


def test_the_twenty_lines_stream_a_transcript(
    served: SimulatorServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = Endpoint(f"{served.url}/realtime", headers={"Authorization": f"Bearer {served.api_key}"})
    monkeypatch.setattr(trio_realtime.session, "OpenAI", lambda: endpoint)
    run(PROGRAMS[0])
    printed = capsys.readouterr().out
    assert printed.startswith("I am well, thank you!\n completed ")
    assert printed.endswith(" tokens\n")


def test_the_program_that_tests_an_app_passes() -> None:
    run(PROGRAMS[1])


def test_the_program_that_tests_an_app_fails_when_the_app_is_wrong() -> None:
    with pytest.raises(AssertionError):
        run(PROGRAMS[1].replace('Simulator([says("Paris.")])', 'Simulator([says("Rome.")])'))
