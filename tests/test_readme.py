"""The README's programs run, and its commands are the ones that are checked."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import trio_realtime.session
from tests.serving_thread import endpoint_of, serving_in_a_thread
from trio_realtime.testing import Simulator, SimulatorServer, calls, open_simulated_session, says

README = (Path(__file__).parent.parent / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def served() -> Iterator[SimulatorServer[Simulator]]:
    """A simulator on loopback, in a thread of its own: the README's programs call `trio.run` themselves."""
    simulator = Simulator([calls("get_weather", {"city": "Paris"}), says("It is sunny, 21 degrees.")], pace=0)
    with serving_in_a_thread(simulator) as server:
        yield server


def run(program: str) -> None:
    exec(compile(program, "README.md", "exec"), ModuleType("readme").__dict__)


def test_the_readme_has_the_programs_that_are_run_here() -> None:
    assert len(PROGRAMS) == 4


def test_the_twenty_lines_call_a_tool_and_stream_the_answer(
    served: SimulatorServer[Simulator], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trio_realtime.session, "OpenAI", lambda: endpoint_of(served))
    run(PROGRAMS[0])
    outputs = [item for item in served.simulator.connections[0].items if item["type"] == "function_call_output"]
    assert [output["output"] for output in outputs] == ['{"city":"Paris","celsius":21}']
    printed = capsys.readouterr().out
    assert printed.startswith("It is sunny, 21 degrees.\n")
    assert printed.endswith(" tokens\n")


class Loudspeaker:
    def __init__(self) -> None:
        self.written = b""
        self.flushed = 0

    async def write(self, pcm: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written += pcm

    def flush(self) -> None:
        self.flushed += 1


@pytest.mark.parametrize("program", [1, 2])
async def test_what_listens_and_what_plays_get_all_the_audio(program: int, autojump_clock: MockClock) -> None:
    names = vars(trio_realtime).copy()
    exec(compile(PROGRAMS[program], "README.md", "exec"), names)
    loudspeaker = Loudspeaker()
    async with open_simulated_session([says("I am well, thank you!")]) as session, trio.open_nursery() as nursery:
        nursery.start_soon(names.get("listen") or names["play"], session, loudspeaker)
        await wait_all_tasks_blocked()
        await session.send_message("How are you?")
        await session.wait_for_reply()
        await wait_all_tasks_blocked()
        assert loudspeaker.written == session.conversation.items[-1].audio != b""
        nursery.cancel_scope.cancel()


def test_the_program_that_tests_an_app_passes() -> None:
    run(PROGRAMS[3])


def test_the_program_that_tests_an_app_fails_when_the_app_is_wrong() -> None:
    with pytest.raises(AssertionError):
        run(PROGRAMS[3].replace('Simulator([says("Paris.")])', 'Simulator([says("Rome.")])'))
