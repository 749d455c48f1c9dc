"""The conversation as an ordered graph of live items.

Items stand in the order that the server states with `previous_item_id`. A place can be reserved before its item comes
(the user's turn is committed before it is an item), so that what the user said stands before the answer it prompted.
"""

from collections import deque
from collections.abc import Iterator
from typing import TypeVar

from ..audio import Encoding
from ..wire.items import Item, Message
from .item import ConversationItem, ItemPart
from .updates import Delta

_T = TypeVar("_T")

_MAX_EARLY = 64
"""Transcripts and audio that are kept for items that have not come; a server has one or two such turns."""


class Conversation:
    """The items of a session, in order. Iterating gives `ConversationItem`s; `conversation[item_id]` gives one.

    Only the session changes it: the methods below `get` are the session's.

    Args:
        retained_audio_bytes: How much audio all items together may hold. Beyond it the oldest audio is given up, and
            `audio_evicted_bytes` of its item says how much; text is always kept.
    """

    def __init__(self, retained_audio_bytes: int) -> None:
        self._budget = retained_audio_bytes
        self._retained = 0
        self._items: dict[str, ConversationItem] = {}
        self._order: list[str] = []
        self._detached: dict[str, ConversationItem] = {}
        self._audible: deque[ConversationItem] = deque()
        self._early_audio: dict[str, bytes] = {}
        self._early_transcripts: dict[str, str] = {}

    # --- reading ------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[ConversationItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def __getitem__(self, item_id: str) -> ConversationItem:
        return self._items[item_id]

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The items, in order, as they stand now."""
        return tuple([self._items[item_id] for item_id in self._order if item_id in self._items])

    @property
    def retained_audio_bytes(self) -> int:
        """How much audio all items hold."""
        return self._retained

    def get(self, item_id: str) -> ConversationItem | None:
        """The item, also one of a response beside the conversation while that is under way; None if there is none."""
        return self._items.get(item_id) or self._detached.get(item_id)

    def latest(self, role: str) -> ConversationItem | None:
        """The last message of a role."""
        for item_id in reversed(self._order):
            item = self._items.get(item_id)
            if item is not None and item.role == role:
                return item
        return None

    # --- items come and go --------------------------------------------------------------------------------------

    def has_place(self, item_id: str) -> bool:
        """Whether an item is there, or will come to the place that is kept for it."""
        return item_id in self._order

    def reserve(self, item_id: str, previous_item_id: str | None) -> None:
        """Keep a place for an item that will come."""
        if item_id not in self._order:
            self._place(item_id, previous_item_id)

    def add(
        self, item_id: str, wire: Item, encoding: Encoding, *, previous_item_id: str | None = None
    ) -> ConversationItem:
        """An item that was not there comes in: after `previous_item_id`, `"root"` being the front, else at the end."""
        item = self._detached.pop(item_id, None) or ConversationItem(item_id, wire, encoding)
        item.in_conversation = True
        self._items[item_id] = item
        item.reconcile(wire, final=False)
        if item_id not in self._order:
            self._place(item_id, previous_item_id)
        else:
            self.move(item_id, previous_item_id)
        audio = self._early_audio.pop(item_id, None)
        if audio is not None:
            self.set_input_audio(item_id, audio)
        transcript = self._early_transcripts.pop(item_id, None)
        if transcript is not None:
            item.input_audio_part().transcript = transcript
        return item

    def add_detached(self, item_id: str, wire: Item, encoding: Encoding) -> ConversationItem:
        """An item of a response beside the conversation: it has deltas, but no place."""
        item = ConversationItem(item_id, wire, encoding, in_conversation=False)
        item.reconcile(wire, final=False)
        self._detached[item_id] = item
        return item

    def drop_detached(self, item_id: str) -> None:
        """A response beside the conversation is over; its items live on in the hands of those who hold them."""
        item = self._detached.pop(item_id, None)
        if item is not None:
            self._forget_audio(item)

    def move(self, item_id: str, previous_item_id: str | None) -> None:
        """Put an item where the server says that it stands; an unknown place changes nothing."""
        if previous_item_id is None or previous_item_id == item_id:
            return
        if previous_item_id == "root" or previous_item_id in self._order:
            self._order.remove(item_id)
            self._place(item_id, previous_item_id)

    def remove(self, item_id: str) -> ConversationItem | None:
        """An item was deleted; its place goes with it."""
        item = self._items.pop(item_id, None)
        if item is not None:
            self._forget_audio(item)
        if item_id in self._order:
            self._order.remove(item_id)
        self._early_audio.pop(item_id, None)
        self._early_transcripts.pop(item_id, None)
        return item

    def _place(self, item_id: str, previous_item_id: str | None) -> None:
        if previous_item_id == "root":
            self._order.insert(0, item_id)
            return
        for index in range(len(self._order), 0, -1):  # new items stand near the end
            if self._order[index - 1] == previous_item_id:
                self._order.insert(index, item_id)
                return
        self._order.append(item_id)

    # --- items grow ---------------------------------------------------------------------------------------------

    def append_audio(self, item: ConversationItem, content_index: int, chunk: bytes) -> Delta:
        """A piece of the assistant's audio."""
        part = item.part(content_index, "output_audio")
        if not part.audio_held_bytes and chunk:
            self._audible.append(item)
        part.append_audio(chunk)
        self._retained += len(chunk)
        if self._retained > self._budget:
            self._evict()
        return Delta(audio=chunk, content_index=content_index)

    def append_text(self, item: ConversationItem, content_index: int, text: str) -> Delta:
        """A piece of the assistant's text."""
        item.part(content_index, "output_text").text += text
        return Delta(text=text, content_index=content_index)

    def append_transcript(self, item: ConversationItem, content_index: int, text: str) -> Delta:
        """A piece of the transcript of what the assistant says."""
        part = item.part(content_index, "output_audio")
        part.transcript = (part.transcript or "") + text
        return Delta(transcript=text, content_index=content_index)

    def append_arguments(self, item: ConversationItem, arguments: str) -> Delta:
        """A piece of the arguments of a call."""
        item.arguments += arguments
        return Delta(arguments=arguments)

    def set_input_audio(self, item_id: str, audio: bytes) -> ConversationItem | None:
        """What the user said in an item was cut out of the sent audio; kept until the item comes."""
        item = self._items.get(item_id)
        if item is None:
            _keep(self._early_audio, item_id, audio)
            return None
        self._replace_audio(item, item.input_audio_part(), audio)
        return item

    def set_retrieved(self, item: ConversationItem, wire: Item) -> None:
        """The server sent an item with all the audio that it has."""
        item.reconcile(wire, final=True)
        if isinstance(wire, Message):
            for index, part in enumerate(wire.content):
                audio = getattr(part, "audio", None)
                if isinstance(audio, bytes):
                    self._replace_audio(item, item.part(index, "output_audio"), audio)  # it is there, of its own type

    def set_input_transcript(
        self, item_id: str, transcript: str, content_index: int | None = None
    ) -> ConversationItem | None:
        """What the user said is known; kept until the item comes."""
        item = self._items.get(item_id)
        if item is None:
            _keep(self._early_transcripts, item_id, transcript)
            return None
        self._input_part(item, content_index).transcript = transcript
        return item

    def append_input_transcript(
        self, item_id: str, text: str, content_index: int | None = None
    ) -> tuple[ConversationItem, Delta] | None:
        """A piece of what the user said; kept until the item comes.

        Some servers state all that was understood so far with each delta; then what is new of it is the piece.
        """
        item = self._items.get(item_id)
        if item is None:
            early = self._early_transcripts.get(item_id, "")
            _keep(self._early_transcripts, item_id, early + _new_words(early, text))
            return None
        part = self._input_part(item, content_index)
        text = _new_words(part.transcript or "", text)
        part.transcript = (part.transcript or "") + text
        return item, Delta(transcript=text, content_index=content_index or 0)

    def truncate(self, item: ConversationItem, content_index: int, audio_end_ms: int) -> None:
        """The audio of a part was cut at a time, and its transcript dropped."""
        part = item.part(content_index, "output_audio")
        before = part.audio_held_bytes
        part.keep_audio(item.encoding.ms_to_bytes(audio_end_ms))
        part.transcript = ""
        part.truncated = True
        self._retained -= before - part.audio_held_bytes

    def end_in_progress(self) -> list[ConversationItem]:
        """The connection is gone: what was under way stays as it is, marked incomplete."""
        ended = [item for item in (*self, *self._detached.values()) if item.status == "in_progress"]
        for item in ended:
            item.status = "incomplete"
        return ended

    def _input_part(self, item: ConversationItem, content_index: int | None) -> ItemPart:
        if content_index is not None and 0 <= content_index < len(item.content):
            part = item.content[content_index]
            if part.type == "input_audio":
                return part
        return item.input_audio_part()

    # --- the budget ---------------------------------------------------------------------------------------------

    def _replace_audio(self, item: ConversationItem, part: ItemPart, audio: bytes) -> None:
        self._retained += len(audio) - part.audio_held_bytes
        if not part.audio_held_bytes and audio:
            self._audible.append(item)
        part.replace_audio(audio)
        self._evict()

    def _forget_audio(self, item: ConversationItem) -> None:
        self._retained -= item.audio_held_bytes
        self._audible = deque([other for other in self._audible if other is not item])

    def _evict(self) -> None:
        while self._retained > self._budget:
            item = self._audible[0]
            for part in item.content:
                wanted = self._retained - self._budget
                if wanted > 0:
                    self._retained -= part.evict_audio(wanted)
            if not item.audio_held_bytes:
                self._audible.popleft()


def _new_words(said: str, text: str) -> str:
    return text[len(said) :] if said and len(text) > len(said) and text.startswith(said) else text


def _keep(early: dict[str, _T], item_id: str, value: _T) -> None:
    while len(early) >= _MAX_EARLY and item_id not in early:
        del early[next(iter(early))]
    early[item_id] = value
