"""Faults are values: what they refuse, and how they show."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.errors import ConfigError
from trio_realtime.testing import (
    FAULTS,
    Fault,
    Simulator,
    closes,
    drops,
    fragmented,
    latency,
    oversized,
    refuses,
    slow_handshake,
    stops_reading,
)
from trio_realtime.testing.faults import HandshakeFault

from .connecting import connected


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_a_name_needs_no_argument_and_shows_how_it_is_made(name: str) -> None:
    fault = FAULTS[name]()
    assert fault.name == name
    assert eval(repr(fault), dict(FAULTS)) == fault
    assert hash(fault) == hash(FAULTS[name]())
    for when in [{"connection": 2}] if isinstance(fault, HandshakeFault) else WHENS:
        timed = FAULTS[name](**when)
        assert timed != fault
        assert eval(repr(timed), dict(FAULTS)) == timed


WHENS: list[dict[str, Any]] = [{"after_events": 3}, {"on": "error", "nth": 2}, {"after_seconds": 0.5, "connection": 1}]


def test_the_code_of_a_fault_is_short() -> None:
    faults = [drops(after_events=0), closes(1011, "oops", nth=1), latency(0.5, jitter=0.1, on="error")]
    assert repr(faults) == "[drops(), closes(1011, 'oops'), latency(0.5, jitter=0.1, on='error')]"
    assert repr(refuses(429, headers={"retry-after": "1"})) == "refuses(429, headers={'retry-after': '1'})"


@pytest.mark.parametrize(
    "make",
    [
        lambda: drops(after_events=-1),
        lambda: drops(after_events=1.5),  # type: ignore[arg-type]
        lambda: drops(on="error", nth=0),
        lambda: drops(nth=2),
        lambda: drops(after_seconds=-1),
        lambda: drops(after_seconds=float("nan")),
        lambda: drops(connection=0),
        lambda: drops(after_events=1, on="error"),
        lambda: drops(after_seconds=0, on="error"),
        lambda: latency(-1),
        lambda: latency(1, jitter=float("inf")),
        lambda: latency("1"),  # type: ignore[arg-type]
        lambda: latency(True),
        lambda: closes(-1),
        lambda: closes(65536),
        lambda: closes(1000, "x" * 124),
        lambda: closes(None, "why"),
        lambda: stops_reading(seconds=-1),
        lambda: oversized(99),
        lambda: oversized(2**31),
        lambda: fragmented(0),
        lambda: refuses(101),
        lambda: refuses(1000),
        lambda: refuses(503, headers={"x": "a\r\nb: c"}),
        lambda: refuses(503, headers={"ü": "x"}),
        lambda: slow_handshake(-1),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any) -> None:
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize("base", [Fault, HandshakeFault])
async def test_a_fault_of_your_own_is_refused_rather_than_ignored(base: type[Fault]) -> None:
    class Mine(base):  # type: ignore[valid-type, misc]
        name = "mine"

    with pytest.RaisesGroup(ConfigError, flatten_subgroups=True, allow_unwrapped=True):
        async with connected(Simulator(faults=[Mine()])) as client:
            await client.wait_ended()
