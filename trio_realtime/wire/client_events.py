"""The 11 events that a client sends, in realtime and transcription sessions."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from .items import Item
from .responses import ResponseParams
from .session_config import SessionConfig, TranscriptionSessionConfig
from .struct import RequestStruct


class ClientEventStruct(RequestStruct, tag_field="type", frozen=True, kw_only=True):
    """What all client events share.

    Attributes:
        event_id: Chosen by the client; an `error` that answers the event may name it.
    """

    event_id: str | UnsetType = UNSET


class SessionUpdate(ClientEventStruct, tag="session.update", frozen=True, kw_only=True):
    """Change the configuration; `session.updated` answers with the whole of it, or `error`."""

    session: SessionConfig | TranscriptionSessionConfig


class InputAudioBufferAppend(ClientEventStruct, tag="input_audio_buffer.append", gc=False, frozen=True, kw_only=True):
    """Append audio of the session's input format, at most 15 MiB; nothing answers."""

    audio: bytes


class InputAudioBufferCommit(ClientEventStruct, tag="input_audio_buffer.commit", frozen=True, kw_only=True):
    """Make the buffer a user item; `input_audio_buffer.committed` answers, or `error` under 100 ms of audio."""


class InputAudioBufferClear(ClientEventStruct, tag="input_audio_buffer.clear", frozen=True, kw_only=True):
    """Empty the buffer; `input_audio_buffer.cleared` answers."""


class ConversationItemCreate(ClientEventStruct, tag="conversation.item.create", frozen=True, kw_only=True):
    """Add an item; `conversation.item.added` and `.done` answer.

    Attributes:
        previous_item_id: Insert after this item; `"root"` is the front, absence the end.
    """

    item: Item
    previous_item_id: str | UnsetType = UNSET


class ConversationItemRetrieve(ClientEventStruct, tag="conversation.item.retrieve", frozen=True, kw_only=True):
    """Ask for an item with its audio; `conversation.item.retrieved` answers."""

    item_id: str


class ConversationItemTruncate(ClientEventStruct, tag="conversation.item.truncate", frozen=True, kw_only=True):
    """Forget the assistant's audio after `audio_end_ms`, and its transcript; `conversation.item.truncated` answers."""

    item_id: str
    content_index: Annotated[int, Meta(ge=0)] = 0
    audio_end_ms: Annotated[int, Meta(ge=0)]


class ConversationItemDelete(ClientEventStruct, tag="conversation.item.delete", frozen=True, kw_only=True):
    """Remove an item; `conversation.item.deleted` answers."""

    item_id: str


class ResponseCreate(ClientEventStruct, tag="response.create", frozen=True, kw_only=True):
    """Ask for a response; `response.created` answers, or nothing but `error`."""

    response: ResponseParams | UnsetType = UNSET


class ResponseCancel(ClientEventStruct, tag="response.cancel", frozen=True, kw_only=True):
    """Cancel a response; its `response.done` answers, or the error `response_cancel_not_active`."""

    response_id: str | UnsetType = UNSET


class OutputAudioBufferClear(ClientEventStruct, tag="output_audio_buffer.clear", frozen=True, kw_only=True):
    """Drop the audio that the server is about to play; WebRTC and SIP only."""


ClientEvent = (
    SessionUpdate
    | InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | ConversationItemCreate
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | ConversationItemDelete
    | ResponseCreate
    | ResponseCancel
    | OutputAudioBufferClear
)
