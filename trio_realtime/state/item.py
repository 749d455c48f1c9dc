"""One item of a conversation, as it stands now: it grows while its deltas arrive."""

from collections import deque
from collections.abc import Sequence

from ..audio import Encoding
from ..wire.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
    Part,
    UnknownItem,
    UnknownPart,
)
from ..wire.server_events import PartAudio, PartText, ResponsePart


class ItemPart:
    """One content part of an item.

    Attributes:
        type: `"input_text"`, `"input_audio"`, `"input_image"`, `"output_text"`, `"output_audio"`, or what the server
            calls a part that this library does not know.
        text: Its text, `""` while there is none.
        transcript: What is said in its audio; None while nothing is known of it.
        image_url: The data URI of an image, or None.
        audio_evicted_bytes: How much of the beginning of its audio was given up to keep within the budget.
        truncated: Whether its audio was cut after an interruption; its transcript is gone then.
    """

    __slots__ = (
        "_chunks",
        "_held_bytes",
        "audio_evicted_bytes",
        "image_url",
        "text",
        "transcript",
        "truncated",
        "type",
    )

    def __init__(self, type: str) -> None:  # noqa: A002  the wire's name
        self.type: str = type
        self.text: str = ""
        self.transcript: str | None = None
        self.image_url: str | None = None
        self.audio_evicted_bytes: int = 0
        self.truncated: bool = False
        # Given up from the beginning, a chunk for each that comes: at the front of a list that moves all the others.
        self._chunks: deque[bytes] = deque()
        self._held_bytes = 0

    @property
    def audio(self) -> bytes:
        """The audio that is held, in the item's encoding; joined when asked for."""
        if len(self._chunks) > 1:
            self._chunks = deque((b"".join(self._chunks),))
        return self._chunks[0] if self._chunks else b""

    @property
    def audio_held_bytes(self) -> int:
        """Length of `audio`, without joining it."""
        return self._held_bytes

    def append_audio(self, chunk: bytes) -> None:
        """Take one more chunk, without a copy."""
        self._chunks.append(chunk)
        self._held_bytes += len(chunk)

    def replace_audio(self, audio: bytes) -> None:
        """Take `audio` for all of it."""
        self._chunks = deque((audio,) if audio else ())
        self._held_bytes = len(audio)
        self.audio_evicted_bytes = 0

    def keep_audio(self, length_bytes: int) -> None:
        """Keep the first `length_bytes` of all the audio that the part ever had; what was evicted stays evicted."""
        audio = self.audio[: max(0, length_bytes - self.audio_evicted_bytes)]
        self._chunks = deque((audio,) if audio else ())
        self._held_bytes = len(audio)

    def evict_audio(self, wanted_bytes: int) -> int:
        """Give up whole chunks from the beginning until `wanted_bytes` are free; return how many are."""
        freed = 0
        while freed < wanted_bytes and self._chunks:
            freed += len(self._chunks.popleft())
        self._held_bytes -= freed
        self.audio_evicted_bytes += freed
        return freed

    def __repr__(self) -> str:
        return (
            f"<ItemPart {self.type} text={self.text!r} transcript={self.transcript!r} audio={self._held_bytes} bytes>"
        )


class ConversationItem:
    """One item of a conversation, live: what is read from it is what is known now.

    Only the session changes it. It stays readable after it was deleted and after the session has ended.

    Attributes:
        id: Its id.
        type: `"message"`, `"function_call"`, `"function_call_output"`, ...; what the server says of an unknown kind.
        role: `"user"`, `"assistant"` or `"system"` for a message; None otherwise.
        status: `"in_progress"`, `"completed"`, `"incomplete"`, or None where the server says nothing.
        content: The content parts of a message, in order.
        name: Name of the function of a call, or None.
        call_id: Id of a function call, in the call and in its output; None otherwise.
        arguments: Arguments of a call, as far as they have come.
        output: Output of a call, or None.
        encoding: How its audio is encoded.
        wire: The item as the server last sent it whole.
        in_conversation: False for the items of a response beside the conversation (`conversation="none"`).
    """

    __slots__ = (
        "_content",
        "arguments",
        "call_id",
        "completed",
        "encoding",
        "id",
        "in_conversation",
        "name",
        "output",
        "role",
        "status",
        "type",
        "wire",
    )

    def __init__(self, id: str, wire: Item, encoding: Encoding, *, in_conversation: bool = True) -> None:  # noqa: A002  the wire's name
        self.id: str = id
        self.type: str = _type_of(wire)
        self.role = wire.role if isinstance(wire, Message) else None
        self.status: str | None = None
        self.name: str | None = None
        self.call_id: str | None = None
        self.arguments: str = ""
        self.output: str | None = None
        self.encoding: Encoding = encoding
        self.wire = wire
        self.in_conversation: bool = in_conversation
        self.completed: bool = False
        self._content: list[ItemPart] = []

    @property
    def content(self) -> Sequence[ItemPart]:
        """The content parts, in order."""
        return tuple(self._content)

    @property
    def text(self) -> str:
        """What was written in it: the text of all its parts."""
        return "".join([part.text for part in self._content])

    @property
    def transcript(self) -> str:
        """What was said in it: the transcripts of all its parts."""
        return "".join([part.transcript or "" for part in self._content])

    @property
    def audio(self) -> bytes:
        """The audio of all its parts that is still held, in `encoding`."""
        if len(self._content) == 1:
            return self._content[0].audio
        return b"".join([part.audio for part in self._content])

    @property
    def audio_held_bytes(self) -> int:
        """Length of `audio`, without joining it."""
        return sum([part.audio_held_bytes for part in self._content])

    @property
    def audio_evicted_bytes(self) -> int:
        """How much audio was given up to keep the conversation within its budget; 0 when `audio` is all of it."""
        return sum([part.audio_evicted_bytes for part in self._content])

    def part(self, index: int, type: str) -> ItemPart:  # noqa: A002  the wire's name
        """The part at `index`; those that are missing so far are made, of this type."""
        content = self._content
        if 0 <= index < len(content):
            return content[index]
        index = min(max(index, 0), _MAX_PARTS - 1)  # what is no index must neither fail nor take all memory
        while len(content) <= index:
            content.append(ItemPart(type))
        return content[index]

    def input_audio_part(self) -> ItemPart:
        """The part that holds what the user said: its first audio part, made if it has none."""
        for part in self._content:
            if part.type == "input_audio":
                return part
        return self.part(len(self._content), "input_audio")

    def reconcile(self, wire: Item, *, final: bool) -> bool:
        """Take over what the server says of the whole item; true if that changed what a program reads from it.

        Args:
            wire: The server's version, without audio except after a retrieval.
            final: Whether it is the last word, which replaces what the deltas gave; otherwise it only fills gaps.
        """
        before = self._stated()
        self.wire = wire
        if not isinstance(wire, UnknownItem):
            self.type = _type_of(wire)
        status = getattr(wire, "status", None)
        if status is not None and (final or self.status in {None, "in_progress"}):
            self.status = status
        elif final and self.status == "in_progress":
            self.status = "completed"  # some servers leave it out
        match wire:
            case Message():
                self.role = wire.role
                for index, part in enumerate(wire.content):
                    self.reconcile_part(index, part, final=final)
            case FunctionCall() | McpCall():
                self.name = wire.name
                if isinstance(wire, FunctionCall):
                    self.call_id = wire.call_id or self.call_id
                elif wire.output is not None:
                    self.output = wire.output
                if wire.arguments and (final or not self.arguments):
                    self.arguments = wire.arguments
            case FunctionCallOutput():
                self.call_id = wire.call_id
                self.output = wire.output
            case _:
                pass
        return before != self._stated()

    def _stated(self) -> tuple[object, ...]:
        error = self.wire.error if isinstance(self.wire, McpCall) else None
        parts = (self.text, self.transcript, len(self._content))
        return (self.status, self.name, self.arguments, self.output, error, *parts)

    def reconcile_part(self, index: int, wire: Part | ResponsePart, *, final: bool) -> None:
        """Take over what the server says of one content part."""
        part = self.part(index, _part_type(wire))
        match wire:
            case InputText() | OutputText() | PartText():
                if wire.text is not None and (final or not part.text):
                    part.text = wire.text
            case InputAudio():
                # The transcription may have come before; the item itself is then stated without it.
                if wire.transcript is not None and (part.transcript is None or wire.transcript):
                    part.transcript = wire.transcript
            case OutputAudio() | PartAudio():
                if wire.transcript is not None and not part.truncated and (final or not part.transcript):
                    part.transcript = wire.transcript
            case InputImage():
                part.image_url = wire.image_url
            case _:  # unknown
                pass

    def __repr__(self) -> str:
        words = self.text or self.transcript or self.arguments or self.output or ""
        audio = f", {self.audio_held_bytes} bytes of audio" if self.audio_held_bytes else ""
        return f"<ConversationItem {self.id} {self.role or self.type} {self.status or ''} {words[:60]!r}{audio}>"


_MAX_PARTS = 1024
"""Parts that an item may have; a server makes one or two."""

_PART_TYPES: dict[type[object], str] = {
    InputText: "input_text",
    InputAudio: "input_audio",
    InputImage: "input_image",
    OutputText: "output_text",
    OutputAudio: "output_audio",
    PartText: "output_text",
    PartAudio: "output_audio",
}


def _part_type(wire: Part | ResponsePart) -> str:
    if isinstance(wire, UnknownPart):
        return wire.type or "unknown"
    return _PART_TYPES[type(wire)]


def _type_of(wire: Item) -> str:
    if isinstance(wire, UnknownItem):
        return wire.type or "unknown"
    return str(wire.__struct_config__.tag)
