"""What every struct of the wire shares: shape options, and a `repr` without audio and secrets."""

from typing import cast

import msgspec
from msgspec import UNSET, Struct

from .excerpt import without_credentials

SECRET_FIELDS = frozenset({"authorization", "headers"})
"""Fields of the protocol that hold credentials (of MCP servers)."""

LONGEST_SHOWN = 200
"""Characters of a string that a `repr` shows: instructions are useful, a megabyte of data URI is not."""


def shown(name: str, value: object) -> str:
    """The `repr` of one field: bytes and long strings by their length, credentials not at all."""
    if name in SECRET_FIELDS and value:
        return "<redacted>"
    if name == "server_url" and isinstance(value, str):
        return repr(without_credentials(value))
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    if isinstance(value, memoryview):
        return f"<{cast('memoryview[int]', value).nbytes} bytes>"
    if isinstance(value, str) and (len(value) > LONGEST_SHOWN or name == "audio"):
        return f"<{len(value)} characters>"
    if isinstance(value, dict):
        fields = cast("dict[object, object]", value)
        return "{" + ", ".join(f"{key!r}: {shown(str(key), item)}" for key, item in fields.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown(name, item) for item in cast("list[object]", value)) + "]"
    return repr(value)


class WireStruct(Struct, kw_only=True, frozen=True):
    """A value of the protocol. Unknown keys are ignored; the `repr` leaves out defaults, audio and secrets."""

    def __repr__(self) -> str:
        parts: list[str] = []
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if value is not UNSET and (field.required or value != field.default):
                parts.append(f"{field.name}={shown(field.name, value)}")
        return f"{type(self).__name__}({', '.join(parts)})"


class RequestStruct(WireStruct, kw_only=True, frozen=True):
    """A value that only the client sends.

    A field that is `UNSET` is not sent (the server's value stays); `None` is allowed only where the protocol has null.
    """


class ServerEventStruct(WireStruct, tag_field="type", frozen=True, kw_only=True):
    """What all server events share.

    Attributes:
        event_id: The server's id of the event; None where a server sends none.
    """

    event_id: str | None = None
