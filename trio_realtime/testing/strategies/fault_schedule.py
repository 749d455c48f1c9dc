"""Strategies of what goes wrong with a simulated connection, and when."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from hypothesis import strategies as st

from ...errors import ConfigError
from ..faults import ERROR_TYPES, FAULTS, Fault

FaultEffect = Literal["harmless", "distorting", "fatal", "handshake"]

_seconds = st.sampled_from([0.1, 0.5, 2.0])
_types = st.sampled_from(
    [
        "session.updated",
        "conversation.item.added",
        "response.created",
        "response.output_audio.delta",
        "response.function_call_arguments.done",
        "response.done",
        "input_audio_buffer.speech_started",
        "session.update",
        "conversation.item.create",
        "response.create",
        "response.cancel",
    ]
)
_moments: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just(dict[str, Any]()),
    st.integers(1, 60).map(lambda count: {"after_events": count}),
    st.tuples(_types, st.integers(1, 3)).map(lambda pair: {"on": pair[0], "nth": pair[1]}),
    st.sampled_from([0.5, 3.0, 20.0]).map(lambda seconds: {"after_seconds": seconds}),
)
_which: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{}, {"connection": 1}, {"connection": 2}])


def _of(name: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """A fault with some arguments, without its moment."""
    given: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries({}, optional=arguments)
    return given.map(lambda given: (name, given))


_KINDS: dict[FaultEffect, st.SearchStrategy[tuple[str, dict[str, Any]]]] = {
    "harmless": st.one_of(
        _of("latency", seconds=_seconds, jitter=_seconds),
        _of("fragmented", fragment_bytes=st.integers(1, 1000)),
        _of("unknown_event"),
        _of("binary", payload=st.binary(max_size=8)),
        _of("malformed", payload=st.sampled_from([b"", b"[]", b'{"type": 5}'])),
        st.integers(100, 10_000).map(lambda size: ("oversized", {"message_bytes": size})),
        _seconds.map(lambda seconds: ("stops_reading", {"seconds": seconds})),
    ),
    "distorting": st.one_of(
        _of("duplicate"),
        _of("reordered"),
        _of("omitted"),
        _of("error_event", code=st.sampled_from(sorted(ERROR_TYPES)), with_event_id=st.booleans()),
    ),
    "fatal": st.one_of(
        _of("drops"),
        _of("closes", code=st.sampled_from([1000, 1001, 1011, 4000, None]), lingers=st.booleans()),
        _of("expires", report=st.booleans(), close_frame=st.booleans()),
        _of("half_open"),
        _of("stops_reading"),
        st.just(("malformed", {"payload": b"\xff"})),
    ),
    "handshake": st.one_of(
        _of("refuses", status=st.sampled_from([401, 403, 429, 500, 503]), body=st.binary(max_size=8)),
        _of("slow_handshake", seconds=_seconds),
        _of("silent_handshake"),
        _of("breaks_handshake", answer=st.binary(max_size=8)),
    ),
}


def _made(kind: tuple[str, dict[str, Any]], when: dict[str, Any]) -> Fault:
    name, arguments = kind
    return FAULTS[name](**arguments, **when)


def _faults(effect: FaultEffect) -> st.SearchStrategy[Fault]:
    return st.builds(_made, _KINDS[effect], _which if effect == "handshake" else _moments)


def fault_schedules(
    effects: Collection[FaultEffect] = ("harmless", "distorting", "fatal"), *, max_faults: int = 3
) -> st.SearchStrategy[tuple[Fault, ...]]:
    """What goes wrong, for `Simulator(script, faults=...)`; the simplest is nothing, and then one thing at once.

    Args:
        effects: `"harmless"`: a program notices nothing but that it takes longer, and issues. `"distorting"`: the
            server says what is not so, or does not say what is. `"fatal"`: the connection ends, or nobody is there any
            more. `"handshake"`: there may never be a connection.
        max_faults: How many at most.

    Raises:
        ConfigError: There is no such effect.

    Example:
        ```python
        @given(fault_schedules(["harmless"]))
        def test_my_app_takes_its_time(faults): ...
        ```
    """
    for effect in effects:
        if effect not in _KINDS:
            raise ConfigError(f"the effect of a fault is one of {', '.join(_KINDS)}, not {effect!r}")
    return st.lists(st.one_of([_faults(effect) for effect in effects]), max_size=max_faults).map(tuple)
