"""The pytest plugin: sessions as fixtures, in projects that run pytest-trio in either mode, and in one without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

IMPORTS = """
import pytest, trio, trio.testing
from trio_realtime import ConnectionLost, ConfigError
from trio_realtime.testing import Simulator, calls, says
"""


@pytest.fixture(params=[True, False], ids=["trio_mode", "no trio_mode"])
def project(request: pytest.FixtureRequest, pytester: pytest.Pytester) -> pytest.Pytester:
    """A project that runs pytest-trio in one mode or the other, and takes marks and warnings strictly."""
    configure(pytester, trio_mode=request.param)
    return pytester


def configure(pytester: pytest.Pytester, *, trio_mode: bool) -> None:
    mode = str(trio_mode).lower()
    pytester.makeini(
        f"[pytest]\naddopts = --strict-markers -p no:cacheprovider\ntrio_mode = {mode}\nfilterwarnings = error"
    )


def run(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(test_app=IMPORTS + source)
    return pytester.runpytest(*arguments)


def test_a_session_says_what_the_mark_says_on_virtual_time(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
@pytest.mark.realtime(script=[says("Paris.", audio=60.0)], pace=1, instructions="Be brief.")
async def test_it(realtime_session, realtime_simulator):
    async with realtime_session.respond("Where?") as turn:
        assert await turn.text() == "Paris."
    assert trio.current_time() == pytest.approx(60)
    (connection,) = realtime_simulator.connections
    assert connection.session["instructions"] == "Be brief."
""",
    )
    result.assert_outcomes(passed=1)


def test_without_a_mark_the_simulator_converses(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
async def test_it(realtime_session):
    async with realtime_session.respond("hello") as turn:
        assert await turn.text()
""",
    )
    result.assert_outcomes(passed=1)


def test_marks_of_a_module_a_class_and_a_test_add_up(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
pytestmark = pytest.mark.realtime(instructions="of the module", voice="marin")

@pytest.mark.realtime(script=[says("of the class")], instructions="of the class")
class TestIt:
    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.realtime(script=[says("of the test")], query={"model": "of the test"})
    async def test_it(self, realtime_session, realtime_simulator, number):
        async with realtime_session.respond("hello") as turn:
            assert await turn.text() == "of the test"
        session = realtime_simulator.connections[0].session
        assert session["instructions"] == "of the class"
        assert session["audio"]["output"]["voice"] == "marin"
        assert session["model"] == "of the test"
""",
    )
    result.assert_outcomes(passed=2)


def test_the_simulator_alone_needs_no_trio(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.realtime(script=[says("hi")])
def test_it(realtime_simulator):
    connection = realtime_simulator.connect({"model": "x"}, now=0, unix_time=0)
    assert connection.advance(0)[0]["type"] == "session.created"
""",
        "-p",
        "no:trio",
        "--strict-markers",
    )
    result.assert_outcomes(passed=1)


def test_the_simulator_may_be_overridden(project: pytest.Pytester) -> None:
    source = """
@pytest.fixture
def realtime_simulator():
    return Simulator([says("my own")])

@pytest.mark.realtime(instructions="Be brief.")
async def test_it(realtime_session):
    async with realtime_session.respond("hello") as turn:
        assert await turn.text() == "my own"

@pytest.mark.realtime(script=[says("never said")], pace=0)
async def test_a_mark_that_nobody_reads_is_told(realtime_session):
    pass
"""
    result = run(project, source)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the mark realtime has script, pace, but this realtime_simulator does not read it*"])


def test_a_clock_or_a_runner_of_the_tests_own_is_used(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
async def test_a_clock_of_its_own(realtime_session, mock_clock):
    assert trio.lowlevel.current_clock() is mock_clock

@pytest.mark.trio(run=trio.run)
async def test_a_runner_of_its_own(realtime_session):
    assert not isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)

@pytest.fixture
def steps():
    class Steps(trio.abc.Instrument):
        count = 0
        def before_task_step(self, task):
            self.count += 1
    return Steps()

async def test_instruments_are_passed_on(realtime_session, steps):
    assert steps.count
""",
    )
    result.assert_outcomes(passed=3)


def test_a_session_that_fails_fails_the_test_with_its_error(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
@pytest.mark.realtime(max_duration=60)
async def test_it(realtime_session):
    await trio.sleep(100)
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*SessionExpired*maximum duration*"])


def test_a_test_that_fails_fails_with_its_own_error_alone(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
async def test_it(realtime_session):
    raise LookupError("mine")
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*LookupError: mine"])


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("[says('hi')]", "*takes keywords only*"),
        ("paces=0", "*the mark realtime takes no paces; there are: of the simulator script, *pace,*voice*"),
        ("speed='fast'", "*ConfigError*speed*"),
    ],
)
def test_a_wrong_mark_is_told(pytester: pytest.Pytester, mark: str, message: str) -> None:
    configure(pytester, trio_mode=True)
    result = run(pytester, f"@pytest.mark.realtime({mark})\nasync def test_it(realtime_session):\n    pass\n")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([message])


def test_a_test_that_is_not_async_is_told_what_to_do(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
from hypothesis import given, strategies as st

def test_it(realtime_session):
    pass

@given(st.integers())
async def test_examples(realtime_session, number):
    pass
""",
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["*needs an async test function; under @given, open a session for each example instead*"]
    )


def test_a_project_without_pytest_trio_is_told_what_to_install(pytester: pytest.Pytester) -> None:
    result = run(pytester, "async def test_it(realtime_session):\n    pass\n", "-p", "no:trio", "--strict-markers")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*needs pytest-trio: python -m pip install 'trio-realtime[[]testing]'*"])


def test_the_mark_is_among_those_that_pytest_lists(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.realtime(script=*"])


def test_a_start_of_pytest_does_not_import_the_package(tmp_path: Path) -> None:
    """In a process of its own: this one has imported it long ago."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n\ndef test_it():\n"
        "    assert 'pytest_trio_realtime' in sys.modules\n"
        "    assert 'trio_realtime' not in sys.modules\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
