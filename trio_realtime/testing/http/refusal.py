"""How the simulated server refuses an HTTP request."""

from __future__ import annotations

import json


class HttpRefusedError(Exception):
    """An HTTP request is refused, an upgrade to a websocket or another, and has changed nothing.

    Attributes:
        status: The HTTP status code.
        body: JSON, as OpenAI's.
    """

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
        self.body: bytes = json.dumps({"error": error}).encode()


def no_such_call() -> HttpRefusedError:
    """Refuse what is asked of a call that does not go on."""
    return HttpRefusedError(404, "No session found for the provided call_id", code="call_id_not_found")
