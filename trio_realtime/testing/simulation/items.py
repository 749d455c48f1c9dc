"""What a client does with the items of a simulated conversation: create, retrieve, truncate, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy

from ..server import Json
from .conversation import ServerConversation, ServerItem
from .emit import Emit
from .encoded_audio import decoded_audio
from .identifiers import IdCounter
from .mcp import McpServers
from .refusal import RefusedError
from .script import Fails, Hears


class Items:
    """Answers the client's commands on items."""

    def __init__(
        self,
        emit: Emit,
        ids: IdCounter,
        *,
        conversation: ServerConversation,
        mcp: McpServers,
        speech: Iterator[Hears | Fails],
        input_format: Callable[[], str],
    ) -> None:
        self._emit = emit
        self._ids = ids
        self._conversation = conversation
        self._mcp = mcp
        self._speech = speech
        self._input_format = input_format

    def create(self, event: Json) -> None:
        """Answer `conversation.item.create`.

        Raises:
            RefusedError: It is refused.
        """
        given: Json = event["item"]
        previous_item_id: str | None = event.get("previous_item_id") or None  # "" is the end on the real server too
        if previous_item_id not in {None, "root"}:
            self.find(previous_item_id, "previous_item_id")
        if self._conversation.find(given.get("id", "")) is not None:
            raise RefusedError(f"Item with item_id '{given['id']}' already exists.", param="item.id")
        if given["type"] == "function_call_output" and not self._knows_call(given["call_id"]):
            raise RefusedError(
                f"Tool call ID '{given['call_id']}' not found in conversation.",
                code="invalid_tool_call_id",
                param="item.call_id",
            )
        if given["type"] == "mcp_approval_response":
            self._mcp.check_answer(given)
        held = self.new(given, "item")
        previous = self._conversation.insert(held, after=previous_item_id)
        self._emit("conversation.item.added", previous_item_id=previous, item=held.shown())
        self._emit("conversation.item.done", previous_item_id=previous, item=held.shown())
        if given["type"] == "mcp_approval_response":
            self._mcp.answer(given)

    def new(self, given: Json, path: str) -> ServerItem:
        """Make an item of what a client gives, in the conversation or not.

        Raises:
            RefusedError: Its audio is none.
        """
        item: Json = {"id": given.get("id") or self._ids.next("item"), "type": given["type"]}
        if given["type"] in {"message", "function_call"}:
            item["status"] = given.get("status", "completed")
        left_out = {"id", "type", "status", "object"}
        item.update({key: deepcopy(value) for key, value in given.items() if key not in left_out})
        if given["type"] == "function_call":
            item.setdefault("call_id", self._ids.next("call"))
        held = ServerItem(item, format_type=self._input_format())
        for index, part in enumerate(item.get("content", ())):
            words = part.get("text", "")
            if part["type"] == "input_audio":
                encoded = part.pop("audio")
                audio = decoded_audio(encoded, f"{path}.content[{index}].audio", held.format_type)
                held.audio[index] = bytearray(audio)
                words = part.setdefault("transcript", None) or self._next_words()
            if item["role"] == "user":
                held.heard = f"{held.heard} {words}".strip()
        return held

    def _next_words(self) -> str:
        said = next(self._speech)
        return said.text if isinstance(said, Hears) else ""

    def _knows_call(self, call_id: str) -> bool:
        calls = (held.item for held in self._conversation.items if held.item["type"] == "function_call")
        return any(item["call_id"] == call_id for item in calls)

    def find(self, item_id: str | None, param: str) -> ServerItem:
        """Find an item of the conversation.

        Raises:
            RefusedError: There is none with this id; `param` is the path of the key that holds it.
        """
        held = self._conversation.find(item_id) if item_id is not None else None
        if held is None:
            raise RefusedError(f"Item with item_id '{item_id}' not found.", param=param)
        return held

    def _addressed(self, event: Json, command: str) -> ServerItem:
        """Find the item that a command is about."""
        held = self._conversation.find(event["item_id"])
        if held is None:
            doing = f"{command.removesuffix('e')}ing"
            raise RefusedError(
                f"Error {doing} item: the item with id '{event['item_id']}' does not exist.",
                code=f"item_{command}_invalid_item_id",
            )
        return held

    def retrieve(self, event: Json) -> None:
        """Answer `conversation.item.retrieve`.

        Raises:
            RefusedError: There is no such item.
        """
        self._emit("conversation.item.retrieved", item=self._addressed(event, "retrieve").retrieved())

    def truncate(self, event: Json) -> None:
        """Answer `conversation.item.truncate`.

        Raises:
            RefusedError: There is no such audio, or it is shorter.
        """
        held = self._addressed(event, "truncate")
        index, end_ms = event["content_index"], event["audio_end_ms"]
        # An item of which nothing was spoken yet is none either.
        if held.item.get("role") != "assistant" or index not in held.audio:
            raise RefusedError("Only model output audio messages can be truncated", code="unsupported_content_type")
        if not held.truncate(index, end_ms):
            raise RefusedError(
                f"Audio content of {held.audio_ms}ms is already shorter than {end_ms}ms", param="audio_end_ms"
            )
        held.item["content"][index].pop("transcript", None)
        self._emit("conversation.item.truncated", item_id=held.id, content_index=index, audio_end_ms=end_ms)

    def delete(self, event: Json) -> None:
        """Answer `conversation.item.delete`.

        Raises:
            RefusedError: There is no such item.
        """
        held = self._addressed(event, "delete")
        self._conversation.items.remove(held)
        self._emit("conversation.item.deleted", item_id=held.id)
