"""What the connections of the simulator have in common: something may go wrong with them while they are carried."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..errors import ConfigError
from .faults import Fault, HandshakeFault


class FaultyConnection:
    """A connection into which faults may be injected.

    Attributes:
        injected: Those that the link has not seen to yet. What the connection itself adds while it advances happens
            after the events that it returns then, in its turn.
        wake: Called when there is something to do although nobody asked. Whoever gives the connection its time sets it,
            to call `advance` soon.
    """

    def __init__(self) -> None:
        self.injected: deque[Fault] = deque()
        self.wake: Callable[[], object] = _nobody_waits

    def inject(self, fault: Fault) -> None:
        """Let a fault happen at once, or when it says so, counted from now; see `faults`.

        Raises:
            ConfigError: It is one of the handshake, which is over, or no fault.
        """
        if not isinstance(fault, Fault):  # pyright: ignore[reportUnnecessaryIsInstance]  such as `drops` for `drops()`
            raise ConfigError(f"a fault is drops(...), latency(...) and so on; not {fault!r}")
        if isinstance(fault, HandshakeFault):
            raise ConfigError(f"{fault!r} is for a handshake, and that of this connection is over")
        self.injected.append(fault)
        self.wake()


def _nobody_waits() -> None:
    """Whoever gives the connection its time asks it often enough."""
