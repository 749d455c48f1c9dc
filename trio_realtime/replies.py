"""The assistant's last reply that nobody has looked at, so that whoever waits for it may come late."""

from typing import Any

from .state.updates import TurnDone


class Replies:
    """Remembers the last turn of the conversation that came to its end, until somebody takes it."""

    types: tuple[type[Any], ...] = (TurnDone,)

    def __init__(self) -> None:
        self._latest: TurnDone | None = None

    def push(self, update: Any) -> None:
        """A turn is done. One that was cancelled said nothing that is worth coming back to."""
        if not update.beside:
            self._latest = None if update.responses[-1].status == "cancelled" else update

    def end(self, error: BaseException | None) -> None:
        """The session is over; what it said last may still be taken."""

    def take(self) -> TurnDone | None:
        """The last reply, if nobody took it before."""
        latest, self._latest = self._latest, None
        return latest

    def seen(self, turn: TurnDone) -> None:
        """Somebody has looked at a turn; it need not be kept."""
        if self._latest is turn:
            self._latest = None
