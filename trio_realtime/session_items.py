"""What a program puts into the conversation and takes out of it: messages, items, audio."""

from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec
import trio
from msgspec import UNSET

from .arguments import message_parts, new_id
from .errors import ConfigError
from .session_part import SessionPart
from .state.item import ConversationItem
from .wire import client_events as client
from .wire.items import Item, Message, Part

MAX_APPEND_BYTES = 15 * 2**20
"""Audio that one append may carry (limit of the protocol); more is split."""


MAX_BATCH_MS = 1000
"""How much audio may be collected before it is sent: more would be heard too late to be called live."""


class SessionItems(SessionPart):
    """The commands about items and about the user's audio."""

    async def send_message(
        self,
        content: str | Sequence[Part | str],
        *,
        role: Literal["user", "system", "assistant"] = "user",
        respond: bool | None = None,
        previous_item_id: str | None = None,
    ) -> ConversationItem | None:
        """Add a message to the conversation, and ask for a response to it.

        Args:
            content: Text, or a list of parts (`trio_realtime.content`); an empty list adds nothing.
            role: Who says it.
            respond: Whether to ask for a response; None means yes for a user, no for others. Messages that are sent
                while a response is under way get one response together, when it is over.
            previous_item_id: Insert it after this item; `"root"` is the front, None the end.

        Returns:
            The item, when the server has it, without waiting for the response; None for an empty list.

        Raises:
            ConfigError: An argument is not valid; nothing was sent.
            ServerError: The server refused the item.

        Wire: `conversation.item.create`, answered by `conversation.item.added`; then `response.create`.
        """
        if role not in {"user", "system", "assistant"}:
            raise ConfigError(f"role must be 'user', 'system' or 'assistant', not {role!r}")
        parts = message_parts(content, role, self._machine.input_encoding)
        respond = role == "user" if respond is None else respond
        if not parts:
            self._scope.check_open()
            if respond:
                self._respond()
            await trio.lowlevel.checkpoint()
            return None
        item = Message(id=new_id("item"), role=role, content=parts)
        return await self._create_item(item, previous_item_id, respond=respond)

    async def create_item(self, item: Item, *, previous_item_id: str | None = None) -> ConversationItem:
        """Add any item to the conversation; its id is chosen here unless it has one.

        Args:
            item: A struct of `trio_realtime.wire.items`; it is not changed.
            previous_item_id: Insert it after this item; `"root"` is the front, None the end.

        Raises:
            ConfigError: The item is not valid, its id is taken, or `previous_item_id` is unknown; nothing was sent.
            ServerError: The server refused it.

        Wire: `conversation.item.create`, answered by `conversation.item.added`.
        """
        if not isinstance(item, Item):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
            raise ConfigError(f"an item is a struct of trio_realtime.wire.items, not {type(item).__name__}")
        if item.id is None:
            item = msgspec.structs.replace(item, id=new_id("item"))
        return await self._create_item(item, previous_item_id, respond=False)

    async def _create_item(self, item: Item, previous_item_id: str | None, *, respond: bool) -> ConversationItem:
        event = client.ConversationItemCreate(
            event_id=new_id("event"),
            item=item,
            previous_item_id=UNSET if previous_item_id is None else previous_item_id,
        )
        return cast("ConversationItem", await self._scope.command(event, then=self._respond if respond else None))

    def _respond(self) -> None:
        self._scope.request_response(client.ResponseCreate(event_id=new_id("event")))

    async def delete_item(self, item_id: str) -> ConversationItem | None:
        """Remove an item.

        Returns:
            What it was.

        Raises:
            ConfigError: There is no such item; nothing was sent.
            ServerError: The server refused it.

        Wire: `conversation.item.delete`, answered by `conversation.item.deleted`.
        """
        event = client.ConversationItemDelete(event_id=new_id("event"), item_id=item_id)
        return cast("ConversationItem | None", await self._scope.command(event))

    async def retrieve_item(self, item_id: str) -> Item:
        """Ask the server for an item with its audio; the conversation takes it over.

        Returns:
            The server's item, as a struct of `trio_realtime.wire.items`.

        Raises:
            ConfigError: There is no such item; nothing was sent.
            ServerError: The server refused it.

        Wire: `conversation.item.retrieve`, answered by `conversation.item.retrieved`.
        """
        event = client.ConversationItemRetrieve(event_id=new_id("event"), item_id=item_id)
        return cast("Item", await self._scope.command(event))

    async def truncate_item(
        self, item_id: str, *, audio_end_ms: int, content_index: int = 0
    ) -> ConversationItem | None:
        """Cut the audio of an assistant's item; its transcript is dropped with what was not heard.

        Args:
            item_id: The item.
            audio_end_ms: How many milliseconds of the part are kept; at most what was received.
            content_index: Which content part.

        Raises:
            ConfigError: There is no such item, it is not the assistant's, or it has less audio; nothing was sent.
            ServerError: The server refused it.

        Wire: `conversation.item.truncate`, answered by `conversation.item.truncated`.
        """
        event = client.ConversationItemTruncate(
            event_id=new_id("event"), item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms
        )
        return cast("ConversationItem | None", await self._scope.command(event))

    # --- audio ------------------------------------------------------------------------------------------------------

    async def append_audio(self, audio: Any, *, batch_ms: int = 0) -> None:
        """Send audio of the user, as it comes from a microphone.

        The server never answers this; it returns when the audio is queued, and waits first while more than a mebibyte
        is queued already. More than 15 MiB is split.

        Args:
            audio: Mono, in the session's input format: PCM16 little-endian at 24,000 Hz as `bytes`, `bytearray`,
                `memoryview` or a 16-bit integer array, or `bytes` of G.711 at 8,000 Hz. Empty audio sends nothing.
            batch_ms: Collect chunks until there are so many milliseconds, 0 to 1,000, and send them as one event, which
                costs less than many. What is collected goes out before anything else that is sent, and on leaving the
                session; but it waits for that, or for the next chunk, however long that takes.

        Raises:
            ConfigError: It is none of these, or an odd number of bytes of PCM16, or `batch_ms` is out of range; nothing
                was sent.

        Cancellation:
            While waiting for room nothing of it is sent, except pieces of 15 MiB that had room before.

        Wire: `input_audio_buffer.append`.
        """
        self._scope.check_open()
        encoding = self._machine.input_encoding
        data = encoding.audio_bytes(audio)
        if batch_ms:
            if type(batch_ms) is not int or not 0 < batch_ms <= MAX_BATCH_MS:
                raise ConfigError(f"batch_ms must be a whole number, 0 to {MAX_BATCH_MS}, not {batch_ms!r}")
            if len(data) < (batch_bytes := encoding.ms_to_bytes(batch_ms)):
                await self._scope.outbox.wait_room()
                self._scope.check_open()
                self._scope.collect(data, batch_bytes)
                await trio.lowlevel.checkpoint()
                return
        for start in range(0, len(data), MAX_APPEND_BYTES):
            await self._scope.outbox.wait_room()
            self._scope.check_open()
            piece = data if len(data) <= MAX_APPEND_BYTES else data[start : start + MAX_APPEND_BYTES]
            self._scope.append(piece)
        await trio.lowlevel.checkpoint()

    async def commit_audio(self) -> str | None:
        """Make the audio that was appended a user item; only for manual turns, turn detection commits by itself.

        The acknowledgement does not say which commit it answers; it is taken for the oldest that waits.

        Returns:
            Id of the item, where the server says it.

        Raises:
            ServerError: The server refused it, for instance because it has less than 100 ms of audio.

        Wire: `input_audio_buffer.commit`, answered by `input_audio_buffer.committed`.
        """
        return cast("str | None", await self._scope.command(client.InputAudioBufferCommit(event_id=new_id("event"))))

    async def clear_audio(self) -> None:
        """Drop the audio that was appended and not committed.

        The acknowledgement does not say which clear it answers; it is taken for the oldest that waits.

        Wire: `input_audio_buffer.clear`, answered by `input_audio_buffer.cleared`.
        """
        await self._scope.command(client.InputAudioBufferClear(event_id=new_id("event")))
