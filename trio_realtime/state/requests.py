"""Which commands wait for the server's acknowledgement, and how an event is recognised as one.

By the item's id; by a private pair in the metadata of a response; in errors by the `event_id` of the client event. What
carries none of these (`session.updated`, `input_audio_buffer.cleared`, `.committed`) answers the oldest command of its
kind: best effort, because the protocol offers no more.
"""

from typing import Any, Literal

from msgspec import Struct

from ..errors import ServerError
from ..wire.items import Item, Message
from ..wire.server_events import ErrorDetails

Kind = Literal[
    "update", "commit", "clear", "create_item", "delete", "truncate", "retrieve", "create_response", "cancel"
]

# A server often leaves out which event it refuses. These codes and parameters belong to one kind of command alone.
_KIND_OF_CODE: dict[str, Kind] = {
    "input_audio_buffer_commit_empty": "commit",
    "response_cancel_not_active": "cancel",
    "conversation_already_has_active_response": "create_response",
}
_KIND_OF_PARAM: dict[str, Kind] = {"session": "update", "item": "create_item", "response": "create_response"}


class Settled(Struct, frozen=True, kw_only=True):
    """A command has its answer.

    Attributes:
        event_id: Id of the client event of the command.
        result: The server's version of what the command is about, when it was confirmed.
        error: Why it was refused, otherwise None.
    """

    event_id: str
    result: Any = None
    error: ServerError | None = None


class Request(Struct, frozen=True, kw_only=True):
    """A command that waits: `key` is the id that its answer will name, where it will name one."""

    event_id: str
    kind: Kind
    key: str | None = None
    item: Item | None = None


class Requests:
    """The commands that wait for their acknowledgement, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, Request] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: Request) -> None:
        """A command goes out."""
        self._waiting[request.event_id] = request

    def outstanding(self, kind: Kind) -> list[Request]:
        """The commands of one kind that wait, oldest first."""
        return [request for request in self._waiting.values() if request.kind == kind]

    def confirm(self, kind: Kind, result: Any, key: str | None = None) -> Settled | None:
        """An event confirms the command of this kind with this key, or without a key the oldest of its kind."""
        for request in self._waiting.values():
            if request.kind == kind and (key is None or request.key == key):
                del self._waiting[request.event_id]
                return Settled(event_id=request.event_id, result=result)
        return None

    def confirm_item(self, item_id: str, wire: Item, result: Any) -> Settled | None:
        """An item was added: by id, or where the server gave it another id, by its shape."""
        settled = self.confirm("create_item", result, item_id)
        if settled is None:
            for request in self.outstanding("create_item"):
                if request.item is not None and _shape(request.item) == _shape(wire):
                    del self._waiting[request.event_id]
                    return Settled(event_id=request.event_id, result=result)
        return settled

    def confirm_response(self, token: str | None, result: Any) -> tuple[Request, Settled] | None:
        """A response was created: by its private metadata, or where that is not echoed, the only one outstanding."""
        candidates = self.outstanding("create_response")
        found = [request for request in candidates if token is not None and request.key == token]
        if not found and token is None and len(candidates) == 1:
            found = candidates
        if not found:
            return None
        del self._waiting[found[0].event_id]
        return found[0], Settled(event_id=found[0].event_id, result=result)

    def refuse(self, details: ErrorDetails) -> tuple[Request, Settled] | None:
        """An error answers a command: by event id, or without one the only command that the error can be about."""
        request = self._waiting.get(details.event_id) if details.event_id else self._guess(details)
        if request is None:
            return None
        del self._waiting[request.event_id]
        return request, Settled(event_id=request.event_id, error=server_error(details))

    def _guess(self, details: ErrorDetails) -> Request | None:
        kind = _KIND_OF_CODE.get(details.code or "")
        if kind is None and details.param:
            kind = _KIND_OF_PARAM.get(details.param.split(".", maxsplit=1)[0])
        if kind is None:
            return None
        candidates = self.outstanding(kind)
        return candidates[0] if len(candidates) == 1 else None


def server_error(details: ErrorDetails) -> ServerError:
    """The exception for an `error` event."""
    return ServerError(
        details.message or details.code or "the server reported an error without a message",
        type=details.type,
        code=details.code,
        param=details.param,
        event_id=details.event_id,
    )


def _shape(item: Item) -> tuple[object, ...]:
    if isinstance(item, Message):
        return (item.role, *[type(part) for part in item.content])
    return (type(item), getattr(item, "call_id", None))
