"""Which commands wait for the server's acknowledgement, and how an event is recognised as one.

By the item's id; by a private pair in the metadata of a response; in errors by the `event_id` of the client event. What
carries none of these (`session.updated`, `input_audio_buffer.cleared`, `.committed`, an error without `event_id`)
answers the oldest command of its kind: best effort, because the protocol offers no more. A server handles events in
order and answers each of these once, so that the oldest is the right one.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..errors import ServerError
from ..wire.items import Item, Message
from ..wire.server_events import ErrorDetails

Kind = Literal[
    "update",
    "commit",
    "clear",
    "create_item",
    "delete",
    "truncate",
    "retrieve",
    "create_response",
    "create_beside",
    "cancel",
]

# A server often leaves out which event it refuses. These codes and parameters tell what kind of command it was.
_KINDS_OF_CODE: dict[str, tuple[Kind, ...]] = {
    "input_audio_buffer_commit_empty": ("commit",),
    "response_cancel_not_active": ("cancel",),
    "conversation_already_has_active_response": ("create_response",),
    "item_retrieve_invalid_item_id": ("retrieve",),
    "item_delete_invalid_item_id": ("delete",),
    "item_truncate_invalid_item_id": ("truncate",),
    "unsupported_content_type": ("truncate",),
    "cannot_update_voice": ("update",),
}
_KINDS_OF_PARAM: dict[str, tuple[Kind, ...]] = {
    "session": ("update",),
    "item": ("create_item",),
    "previous_item_id": ("create_item",),
    "item_id": ("delete", "truncate", "retrieve"),
    "content_index": ("truncate",),
    "audio_end_ms": ("truncate",),
    "response": ("create_response", "create_beside"),
    "response_id": ("cancel",),
}
# These are answered when the response begins or ends, not in order with the others.
_OUT_OF_ORDER: tuple[Kind, ...] = ("create_response", "create_beside", "cancel")


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
    """A command that waits for its answer.

    Attributes:
        event_id: Id of its client event.
        kind: What it asks for.
        key: The id that its answer will name, where it will name one: of an item or a response, or the token of a
            `response.create` (None when it carries none).
        item: The item that it creates.
        previous_item_id: Where it wants the item.
    """

    event_id: str
    kind: Kind
    key: str | None = None
    item: Item | None = None
    previous_item_id: str | None = None


class Requests:
    """The commands that wait for their acknowledgement, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, Request] = {}
        self._echoes_metadata = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: Request) -> None:
        """A command goes out."""
        self._waiting[request.event_id] = request

    def outstanding(self, *kinds: Kind) -> list[Request]:
        """The commands of these kinds that wait, oldest first."""
        return [request for request in self._waiting.values() if request.kind in kinds]

    def confirm(self, kind: Kind, result: Any, key: str | None = None) -> Settled | None:
        """An event confirms the command of this kind with this key, or without a key the oldest of its kind."""
        for request in self._waiting.values():
            if request.kind == kind and (key is None or request.key == key):
                del self._waiting[request.event_id]
                return Settled(event_id=request.event_id, result=result)
        return None

    def rename(self, kind: Kind, key: str, name: str) -> None:
        """What commands wait for is known by another name now."""
        for request in self.outstanding(kind):
            if request.key == key:
                self._waiting[request.event_id] = msgspec.structs.replace(request, key=name)

    def take_item(self, item_id: str, wire: Item | None) -> Request | None:
        """The command that an item answers: by its id, or where the server may have given it another, by its shape.

        Args:
            item_id: The item's id.
            wire: The item, if it may be one of the program's under another id; otherwise None.
        """
        candidates = self.outstanding("create_item")
        found = [request for request in candidates if request.key == item_id]
        if not found and wire is not None:
            found = [request for request in candidates if request.item is not None and _same_shape(request.item, wire)]
        return self._waiting.pop(found[0].event_id) if found else None

    def confirm_response(self, token: str | None, result: Any) -> tuple[Request, Settled] | None:
        """A response was created: by its private metadata, or where that is not echoed, the only one outstanding."""
        candidates = self.outstanding("create_response", "create_beside")
        if token is not None:
            self._echoes_metadata = True
            found = [request for request in candidates if request.key == token]
        else:
            # Once the server is known to echo it, what comes without the token is the server's own response.
            found = [request for request in candidates if request.key is None or not self._echoes_metadata]
            found = found if len(found) == 1 else []
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
        kinds = _KINDS_OF_CODE.get(details.code or "")
        if kinds is None:
            kinds = _KINDS_OF_PARAM.get((details.param or "").split(".", maxsplit=1)[0], ())
        candidates = self.outstanding(*kinds)
        if not candidates or (kinds[0] in _OUT_OF_ORDER and len(candidates) > 1):
            return None
        return candidates[0]


def server_error(details: ErrorDetails) -> ServerError:
    """The exception for an `error` event."""
    return ServerError(
        details.message or details.code or "the server reported an error without a message",
        type=details.type,
        code=details.code,
        param=details.param,
        event_id=details.event_id,
    )


def _same_shape(one: Item, other: Item) -> bool:
    if isinstance(one, Message) and isinstance(other, Message):
        return one.role == other.role and [*map(type, one.content)] == [*map(type, other.content)]
    return type(one) is type(other) and getattr(one, "call_id", None) == getattr(other, "call_id", None)
