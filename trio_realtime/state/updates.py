"""What subscribers are told, as values: one class per thing that can happen.

`ItemUpdated` comes for each delta; everything that is not a delta stands for something that happened once.
"""

from typing import Any

from msgspec import Struct

from ..errors import ServerError
from ..wire.items import Item
from ..wire.responses import Response, TranscriptUsage, Usage
from ..wire.server_events import ProtocolIssue, RateLimit, TranscriptionError
from ..wire.session_config import SessionInfo, TranscriptionSessionInfo
from .item import ConversationItem


class Delta(Struct, frozen=True, kw_only=True, gc=False):
    """What one event added to an item; exactly one of the four is set.

    Attributes:
        audio: A piece of audio, in the item's encoding.
        text: A piece of text.
        transcript: A piece of what is said in the audio.
        arguments: A piece of the arguments of a call.
        content_index: Which content part it belongs to.
    """

    audio: bytes | None = None
    text: str | None = None
    transcript: str | None = None
    arguments: str | None = None
    content_index: int = 0

    def __repr__(self) -> str:
        if self.audio is not None:
            return f"Delta(audio=<{len(self.audio)} bytes>)"
        name = "text" if self.text is not None else "transcript" if self.transcript is not None else "arguments"
        return f"Delta({name}={getattr(self, name)!r})"


class ItemAppended(Struct, frozen=True, kw_only=True):
    """An item is in the conversation; the assistant's are still empty. Wire: `conversation.item.added`."""

    item: ConversationItem


class ItemUpdated(Struct, frozen=True, kw_only=True):
    """An item changed.

    Attributes:
        item: The live item; it may have grown further by the time this is read.
        delta: What was added to it; None when the server stated it whole, or its audio was cut out of the input.
        response_id: The response that it belongs to, for deltas of one.
    """

    item: ConversationItem
    delta: Delta | None = None
    response_id: str | None = None


class ItemCompleted(Struct, frozen=True, kw_only=True):
    """An item is final. Wire: `conversation.item.done`."""

    item: ConversationItem


class ItemDeleted(Struct, frozen=True, kw_only=True):
    """An item was removed; `item` is what it was. Wire: `conversation.item.deleted`."""

    item: ConversationItem


class ItemTruncated(Struct, frozen=True, kw_only=True):
    """The audio of an item was cut, and its transcript dropped. Wire: `conversation.item.truncated`."""

    item: ConversationItem
    audio_end_ms: int
    content_index: int = 0


class ItemRetrieved(Struct, frozen=True, kw_only=True):
    """The server sent an item whole, with its audio. Wire: `conversation.item.retrieved`."""

    item: Item


class Interrupted(Struct, frozen=True, kw_only=True):
    """The assistant was interrupted: stop playing.

    Attributes:
        item_id: The item that was playing; where nobody plays the assistant's latest, None when it has said nothing.
        heard_ms: How much of that item was heard, where that is known.
    """

    item_id: str | None = None
    heard_ms: int | None = None


class SpeechStarted(Struct, frozen=True, kw_only=True):
    """The user began to speak, `audio_start_ms` after the start of all audio sent.

    Wire: `input_audio_buffer.speech_started`.
    """

    item_id: str | None
    audio_start_ms: int


class SpeechStopped(Struct, frozen=True, kw_only=True):
    """The user stopped speaking, `audio_end_ms` after the start of all audio sent.

    Wire: `input_audio_buffer.speech_stopped`.
    """

    item_id: str | None
    audio_end_ms: int


class TranscriptionCompleted(Struct, frozen=True, kw_only=True):
    """What the user said is known; an empty transcript means that nothing was said.

    `item` is None while the item itself has not come. Wire: `conversation.item.input_audio_transcription.completed`.
    """

    item_id: str
    transcript: str
    item: ConversationItem | None = None
    usage: TranscriptUsage | None = None


class TranscriptionFailed(Struct, frozen=True, kw_only=True):
    """What the user said could not be transcribed. Wire: `conversation.item.input_audio_transcription.failed`."""

    item_id: str
    error: TranscriptionError
    item: ConversationItem | None = None


class ResponseStarted(Struct, frozen=True, kw_only=True):
    """A response is under way. Wire: `response.created`.

    Attributes:
        response: The response as it begins.
        turn_id: The turn that it belongs to, as `TurnDone` names it.
    """

    response: Response
    turn_id: str | None = None


class ResponseDone(Struct, frozen=True, kw_only=True):
    """A response is over, however it ended: see `response.status`. Wire: `response.done`.

    Attributes:
        response: The response as it ended.
        turn_id: The turn that it belongs to, as `TurnDone` names it.
    """

    response: Response
    turn_id: str | None = None


class TurnDone(Struct, frozen=True, kw_only=True):
    """A turn is over: a response, and those that followed from its tools.

    Attributes:
        turn_id: Its id, which is of this library's making.
        responses: Its responses as they ended, in order.
        usage: Tokens of all of them.
        beside: Whether it stood beside the conversation (`conversation="none"`).
    """

    turn_id: str
    responses: tuple[Response, ...]
    usage: Usage
    beside: bool = False


class ToolCallStarted(Struct, frozen=True, kw_only=True):
    """A function of the session runs for a call of the model.

    Attributes:
        call_id: Of the call.
        name: Of the tool.
        arguments: JSON text as the model wrote it.
        response_id: The response that holds the call.
    """

    call_id: str
    name: str
    arguments: str
    response_id: str


class ToolProgress(Struct, frozen=True, kw_only=True):
    """A running tool tells how far it is, with `ToolContext.progress`."""

    call_id: str
    name: str
    value: Any


class ToolCallFinished(Struct, frozen=True, kw_only=True):
    """A function has ended; its output is on its way to the model.

    Attributes:
        call_id: Of the call.
        name: Of the tool.
        result: What the function returned, None if it failed.
        error: Why it failed, or None. The model gets the words of it.
        seconds: How long it took.
    """

    call_id: str
    name: str
    result: Any = None
    error: BaseException | None = None
    seconds: float


class ToolCallCancelled(Struct, frozen=True, kw_only=True):
    """A function was cancelled after `seconds`; the model gets a cancellation for an output."""

    call_id: str
    name: str
    seconds: float


class ApprovalRequested(Struct, frozen=True, kw_only=True):
    """Somebody has to allow a call, with `session.approve(request_id, ...)`, before it is made.

    Attributes:
        request_id: What `approve` names: the call id of a tool with `approval=True`, or the id of the item in which the
            server asks for a tool of an MCP server. Wire: `mcp_approval_request`.
        name: Of the tool.
        arguments: JSON text as the model wrote it.
        server_label: The MCP server; None for a function of the session.
    """

    request_id: str
    name: str
    arguments: str
    server_label: str | None = None


class GuardTripped(Struct, frozen=True, kw_only=True):
    """The output guard stopped a response.

    Attributes:
        response_id: Of the response.
        reason: What the guard said, or how it failed.
    """

    response_id: str
    reason: str


class SessionUpdated(Struct, frozen=True, kw_only=True):
    """The server's view of the session changed. Wire: `session.created`, `session.updated`."""

    info: SessionInfo | TranscriptionSessionInfo


class RateLimitsUpdated(Struct, frozen=True, kw_only=True):
    """What is left of the rate limits. Wire: `rate_limits.updated`."""

    rate_limits: tuple[RateLimit, ...]


class ErrorReported(Struct, frozen=True, kw_only=True):
    """The server reported an error that answers no command that is waited for. Wire: `error`."""

    error: ServerError


class Lagged(Struct, frozen=True, kw_only=True):
    """`count` deltas that stood here were dropped, because the subscriber fell behind (`overflow="drop_oldest"`)."""

    count: int


class RawEvent(Struct, frozen=True, kw_only=True):
    """One event as it crossed the wire.

    Attributes:
        time: When, in seconds of `trio.current_time()`.
        source: `"server"` or `"client"`.
        event: The event, a struct of `trio_realtime.wire`; a mapping when the program sent one of a type of its own.
    """

    time: float
    source: str
    event: Any


Update = (
    ItemAppended
    | ItemUpdated
    | ItemCompleted
    | ItemDeleted
    | ItemTruncated
    | ItemRetrieved
    | Interrupted
    | SpeechStarted
    | SpeechStopped
    | TranscriptionCompleted
    | TranscriptionFailed
    | ResponseStarted
    | ResponseDone
    | TurnDone
    | ToolCallStarted
    | ToolProgress
    | ToolCallFinished
    | ToolCallCancelled
    | ApprovalRequested
    | GuardTripped
    | SessionUpdated
    | RateLimitsUpdated
    | ErrorReported
    | ProtocolIssue
    | Lagged
    | RawEvent
)
