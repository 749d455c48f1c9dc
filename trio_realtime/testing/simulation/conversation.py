"""The simulated server's own copy of the conversation: items in order, with their audio."""

from __future__ import annotations

from base64 import b64encode
from copy import deepcopy
from dataclasses import dataclass, field

from ..server import Json
from .sound import BYTES_PER_MS, PCM


@dataclass(slots=True, eq=False)
class ServerItem:
    """An item, as the server keeps it.

    Attributes:
        item: The wire's shape, without audio.
        audio: By index of the content part, what the user said or what the assistant has said so far.
        format_type: The format of the audio.
        heard: What a user message says, typed or spoken.
    """

    item: Json
    audio: dict[int, bytearray] = field(default_factory=dict[int, bytearray])
    format_type: str = PCM
    heard: str = ""

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.item["id"])

    @property
    def audio_ms(self) -> int:
        """How long its audio is, to the millisecond below."""
        return sum(map(len, self.audio.values())) // BYTES_PER_MS[self.format_type]

    def truncate(self, index: int, end_ms: int) -> bool:
        """Cut the audio of one part, unless it is shorter; says whether it was long enough."""
        audio = self.audio.get(index, bytearray())
        end = end_ms * BYTES_PER_MS[self.format_type]
        if end > len(audio):
            return False
        del audio[end:]
        return True

    def shown(self) -> Json:
        """Copy the item as most events show it."""
        return deepcopy(self.item)

    def retrieved(self) -> Json:
        """Copy the item with its audio."""
        item = self.shown()
        for index, audio in self.audio.items():
            item["content"][index]["audio"] = b64encode(audio).decode()
        return item


class ServerConversation:
    """Items in the order that the server states."""

    def __init__(self) -> None:
        self.items: list[ServerItem] = []

    def find(self, item_id: str) -> ServerItem | None:
        """Find an item by its id."""
        return next((held for held in self.items if held.id == item_id), None)

    def insert(self, held: ServerItem, *, after: str | None = None) -> str | None:
        """Insert an item behind the item `after`, at the front for `"root"`, or at the end for None.

        Returns:
            The id of the item before it, or None at the front.
        """
        match after:
            case None:
                index = len(self.items)
            case "root":
                index = 0
            case _:
                index = next(index for index, other in enumerate(self.items) if other.id == after) + 1
        self.items.insert(index, held)
        return self.items[index - 1].id if index else None
