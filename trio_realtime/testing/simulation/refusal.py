"""How the simulated server refuses a client event."""

from __future__ import annotations


class RefusedError(Exception):
    """A client event is refused, and has changed nothing.

    Attributes:
        message: The server's words.
        code: `error.code`.
        param: `error.param`: the path of the offending key, or None.
    """

    def __init__(self, message: str, *, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
