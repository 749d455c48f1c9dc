"""Schedules of faults: every fault at every kind of moment, and what their effects promise."""

from __future__ import annotations

import re

import pytest
import trio
from hypothesis import Phase, find, given, settings
from trio.testing import MockClock

from trio_realtime import ConfigError, open_session
from trio_realtime.testing import Simulator, faults, says, simulated_transport
from trio_realtime.testing.faults import FAULTS, Fault, drops
from trio_realtime.testing.strategies import fault_schedules

Faults = tuple[Fault, ...]


def test_every_fault_is_drawn_at_every_kind_of_moment() -> None:
    seen: set[str] = set()

    @settings(max_examples=500, derandomize=True, database=None, phases=[Phase.generate])
    @given(fault_schedules(["harmless", "distorting", "fatal", "handshake"]))
    def collect(schedule: Faults) -> None:
        for fault in schedule:
            seen.add(fault.name)
            seen.update(re.findall(r"(after_events|on|after_seconds|connection)=", repr(fault)))
            assert eval(repr(fault), vars(faults)) == fault

    collect()
    assert seen == {*FAULTS, "after_events", "on", "after_seconds", "connection"}


def test_the_simplest_schedule_is_nothing_and_then_one_fault_at_once() -> None:
    assert find(fault_schedules(), lambda schedule: True) == ()
    assert find(fault_schedules(), lambda schedule: any(fault.name == "drops" for fault in schedule)) == (drops(),)


def test_an_effect_of_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="harmless, distorting, fatal, handshake, not 'sad'"):
        fault_schedules(["sad"])  # type: ignore[list-item]


@settings(max_examples=50)
@given(fault_schedules(["harmless"]))
def test_what_is_harmless_costs_no_word(schedule: Faults) -> None:
    async def main() -> None:
        simulator = Simulator([says("Some words.")], faults=schedule)
        async with (
            simulated_transport(simulator) as transport,
            open_session(transport=transport) as session,
            session.respond("And?") as turn,
        ):
            assert await turn.text() == "Some words."

    trio.run(main, clock=MockClock(autojump_threshold=0))
