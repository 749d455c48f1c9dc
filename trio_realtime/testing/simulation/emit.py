"""How the parts of a simulated connection send events."""

from __future__ import annotations

from typing import Any, Protocol


class Emit(Protocol):
    """Sends one event, whose `event_id` it adds."""

    def __call__(self, event_type: str, /, **fields: Any) -> None:
        """Send an event of this type with these fields."""
