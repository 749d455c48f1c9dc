"""The pytest plugin of trio-realtime: a simulated server, and a session with it, as fixtures.

```python
@pytest.mark.realtime(script=[says("Paris.")], instructions="Be brief.")
async def test_it_knows_the_capital(realtime_session: RealtimeSession) -> None:
    async with realtime_session.respond("What is the capital of France?") as turn:
        assert await turn.text() == "Paris."
```

Theory of operation. The plugin lies beside the package, like Hypothesis's, because pytest imports it at each start, in
every project whose environment has it. The package takes 0.2 s to import, and what is imported so early is missing
from the measurement of pytest-cov. So nothing but pytest is imported until a fixture is used.

pytest-trio runs the tests. It takes the clock from the arguments of the test itself, so a fixture cannot give it one;
but its mark says what runs a test, and there the virtual clock comes in.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import trio

    from trio_realtime import RealtimeSession
    from trio_realtime.testing import Simulator
    from trio_realtime.testing.server import Server

_MARK = (
    "realtime(script=[...], **options): what the fixture realtime_simulator is made of (the keywords of "
    "trio_realtime.testing.Simulator) and how realtime_session is opened (those of open_simulated_session)"
)
_reads_the_mark = pytest.StashKey[bool]()


@pytest.fixture
def realtime_simulator(request: pytest.FixtureRequest) -> Simulator:
    """The simulated server of the test, as the mark `realtime` describes it.

    Override it to connect `realtime_session` to any other server, such as a replayed recording.
    """
    from trio_realtime.testing import Simulator

    request.node.stash[_reads_the_mark] = True
    return Simulator(**_marked(request.node)[0])


@pytest.fixture
async def realtime_session(
    realtime_simulator: Server, request: pytest.FixtureRequest
) -> AsyncGenerator[RealtimeSession]:
    """An open session with `realtime_simulator`, in memory and on virtual time; the mark `realtime` has its keywords.

    The test is run by pytest-trio, whether or not it says so, on a clock that jumps when nothing else is left to do. A
    test that has a clock among its arguments is run on that; one that also waits for threads or sockets is marked
    `trio(run=trio.run)`, for real time.
    """
    from trio_realtime.testing import open_simulated_session

    described, options = _marked(request.node)
    if described and _reads_the_mark not in request.node.stash:
        names = ", ".join(described)
        pytest.fail(f"the mark realtime has {names}, but this realtime_simulator does not read it", pytrace=False)
    async with open_simulated_session(realtime_simulator, **options) as session:
        yield session


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", _MARK)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Let pytest-trio run the tests that have a session, on virtual time."""
    if config.pluginmanager.hasplugin("trio"):
        for item in items:
            if _has_session(item) and not any("run" in mark.kwargs for mark in item.iter_markers("trio")):
                item.add_marker(pytest.mark.trio(run=_run_on_virtual_time), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say what is missing before pytest says something less helpful."""
    if not _has_session(item):
        return
    if not item.config.pluginmanager.hasplugin("trio"):
        pytest.fail(
            "the fixture realtime_session needs pytest-trio: python -m pip install 'trio-realtime[testing]'",
            pytrace=False,
        )
    if not inspect.iscoroutinefunction(getattr(item, "obj", None)):
        pytest.fail(
            "the fixture realtime_session needs an async test function; "
            "under @given, open a session for each example instead: async with open_simulated_session(...)",
            pytrace=False,
        )


def _has_session(item: pytest.Item) -> bool:
    return "realtime_session" in getattr(item, "fixturenames", ())


def _marked(item: pytest.Item) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keywords of the mark, an inner one before an outer one: those of the simulator, and the others."""
    from trio_realtime.session import SessionOptions
    from trio_realtime.testing import Simulator

    keywords: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("realtime"))):
        if mark.args:
            pytest.fail("the mark realtime takes keywords only, such as script=[says('Hi')]", pytrace=False)
        keywords |= mark.kwargs
    own = inspect.signature(Simulator).parameters.keys()
    of_session = SessionOptions.__annotations__.keys() | {"query", "wrap_transport"}
    if unknown := sorted(keywords.keys() - own - of_session):
        there_are = f"of the simulator {', '.join(own)}; of the session {', '.join(sorted(of_session))}"
        pytest.fail(f"the mark realtime takes no {', '.join(unknown)}; there are: {there_are}", pytrace=False)
    return (
        {name: value for name, value in keywords.items() if name in own},
        {name: value for name, value in keywords.items() if name not in own},
    )


def _run_on_virtual_time(
    main: Callable[[], Awaitable[object]], *, clock: trio.abc.Clock | None, instruments: Iterable[trio.abc.Instrument]
) -> object:
    """Do what `trio.run` does, on a clock that jumps unless there is another."""
    import trio.testing

    clock = trio.testing.MockClock(autojump_threshold=0) if clock is None else clock
    return trio.run(main, clock=clock, instruments=list(instruments))
