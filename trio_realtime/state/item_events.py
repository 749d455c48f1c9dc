"""Server events about whole items: they come, are stated again, are retrieved, truncated and deleted."""

from collections.abc import Callable, Iterable
from typing import Any

from ..audio import Encoding
from ..wire import server_events as server
from ..wire.items import FunctionCall, Item, McpApprovalRequest, McpCall
from ..wire.server_events import ServerEvent
from . import updates
from .conversation import Conversation
from .effects import Effects
from .formats import Formats
from .item import ConversationItem
from .requests import Requests, Settled
from .updates import Update


class ItemEvents:
    """Keeps the items of the conversation as the server states them, and confirms the commands about them.

    Attributes:
        beside: The items of each response beside the conversation that is under way, by the response's id.
    """

    def __init__(self, conversation: Conversation, requests: Requests, formats: Formats) -> None:
        self.beside: dict[str, list[str]] = {}
        self._conversation = conversation
        self._requests = requests
        self._formats = formats
        self._deleted: dict[str, None] = {}
        self.receivers: dict[type[Any], Callable[[Any], Effects]] = {
            server.ConversationItemAdded: self._item_added,
            server.ConversationItemCreated: self._item_created,
            server.ConversationItemDone: self._item_done,
            server.ConversationItemRetrieved: self._item_retrieved,
            server.ConversationItemDeleted: self._item_deleted,
            server.ConversationItemTruncated: self._item_truncated,
            server.ResponseOutputItemAdded: self._output_item_added,
            server.ResponseOutputItemDone: self._output_item_done,
        }

    def _item_added(self, event: server.ConversationItemAdded) -> Effects:
        return self._take_item(event, event.item, event.previous_item_id, done=False)

    def _item_created(self, event: server.ConversationItemCreated) -> Effects:
        return self._take_item(event, event.item, event.previous_item_id, done=None)

    def _item_done(self, event: server.ConversationItemDone) -> Effects:
        return self._take_item(event, event.item, event.previous_item_id, done=True)

    def _take_item(
        self,
        event: ServerEvent,
        wire: Item,
        previous_item_id: str | None,
        *,
        done: bool | None,
        response_id: str | None = None,
    ) -> Effects:
        """The server states an item; `done` tells whether it is final, None that the item itself has to tell."""
        item_id = wire.id
        if item_id is None or (done and item_id in self._deleted):
            return Effects(event=event)
        publish: list[Update] = []
        item = self._conversation.get(item_id)
        of_response = isinstance(event, _OF_RESPONSE)
        is_new = item is None or not (item.in_conversation or of_response)
        # What the server makes itself is announced, by a response or by the commit of its audio.
        may_be_ours = is_new and not of_response and not self._conversation.has_place(item_id)
        request = self._requests.take_item(item_id, wire if may_be_ours else None)
        if done is None:
            # One event for two: an item that the model is not about to fill is final with it.
            in_progress = bool(getattr(wire, "status", None) == "in_progress")
            done = not in_progress and (request is not None or not _is_of_model(wire))
        if item is None or is_new:
            self._deleted.pop(item_id, None)
            if previous_item_id is None and request is not None:
                previous_item_id = request.previous_item_id  # some servers do not say, and `"root"` none
            item = self._conversation.add(
                item_id, wire, self._encoding_of(wire, response_id), previous_item_id=previous_item_id
            )
            publish.append(updates.ItemAppended(item=item))
        elif not done:
            self._conversation.move(item_id, previous_item_id)
        if item.reconcile(wire, final=done) and not is_new and (item.completed or not done):
            publish.append(updates.ItemUpdated(item=item))
        if done:
            self.complete(item, publish)
        settle = () if request is None else (Settled(event_id=request.event_id, result=item),)
        return Effects(publish=tuple(publish), settle=settle, event=event)

    def _encoding_of(self, wire: Item, response_id: str | None) -> Encoding:
        return self._formats.input if getattr(wire, "role", "") == "user" else self._formats.output_of(response_id)

    def complete_all(self, output: Iterable[Item], publish: list[Update], *, cut_short: bool) -> None:
        """A response is over, and states its items for the last time.

        All are final but calls of tools of MCP servers: they run beside the response, which does not wait for them, and
        `conversation.item.done` tells of their end. After a response that was cut short nothing else may come.
        """
        for wire in output:
            item = self._conversation.get(wire.id or "")
            if item is not None:
                if item.reconcile(wire, final=True) and item.completed:
                    publish.append(updates.ItemUpdated(item=item))
                if cut_short or not _runs(item.wire):
                    self.complete(item, publish)

    def end_beside(self, response_id: str) -> bool:
        """A response is over; true if it was one beside the conversation."""
        item_ids = self.beside.pop(response_id, None)
        for item_id in item_ids or ():
            self._conversation.drop_detached(item_id)
            self._remember_deleted(item_id)  # a call of a tool of an MCP server ends later, and is no item by then
        return item_ids is not None

    def _remember_deleted(self, item_id: str) -> None:
        self._deleted[item_id] = None
        if len(self._deleted) > _MAX_DELETED:
            del self._deleted[next(iter(self._deleted))]

    def complete(self, item: ConversationItem, publish: list[Update]) -> None:
        """Tell that an item is final, once."""
        if item.completed:
            return
        item.completed = True
        publish.append(updates.ItemUpdated(item=item))
        publish.append(updates.ItemCompleted(item=item))
        if isinstance(item.wire, McpApprovalRequest):
            publish.append(
                updates.ApprovalRequested(
                    request_id=item.id,
                    name=item.wire.name,
                    arguments=item.wire.arguments,
                    server_label=item.wire.server_label,
                )
            )

    def _item_retrieved(self, event: server.ConversationItemRetrieved) -> Effects:
        item = self._conversation.get(event.item.id or "")
        publish: list[Update] = []
        if item is not None:
            self._conversation.set_retrieved(item, event.item)
            publish.append(updates.ItemUpdated(item=item))
        publish.append(updates.ItemRetrieved(item=event.item))
        settled = self._requests.confirm("retrieve", event.item, event.item.id)
        return Effects(publish=tuple(publish), settle=() if settled is None else (settled,), event=event)

    def _item_deleted(self, event: server.ConversationItemDeleted) -> Effects:
        item_id = event.item_id
        if not item_id:  # some servers do not say which; they delete in order
            item_id = next((request.key or "" for request in self._requests.outstanding("delete")), "")
        item = self._conversation.remove(item_id)
        self._remember_deleted(item_id)
        settled = self._requests.confirm("delete", item, item_id)
        publish = () if item is None else (updates.ItemDeleted(item=item),)
        return Effects(publish=publish, settle=() if settled is None else (settled,), event=event)

    def _item_truncated(self, event: server.ConversationItemTruncated) -> Effects:
        item = self._conversation.get(event.item_id)
        publish: tuple[Update, ...] = ()
        if item is not None:
            self._conversation.truncate(item, event.content_index, event.audio_end_ms)
            publish = (
                updates.ItemTruncated(item=item, audio_end_ms=event.audio_end_ms, content_index=event.content_index),
            )
        settled = self._requests.confirm("truncate", item, event.item_id)
        return Effects(publish=publish, settle=() if settled is None else (settled,), event=event)

    def _output_item_added(self, event: server.ResponseOutputItemAdded) -> Effects:
        item_id = event.item.id
        if item_id is not None and event.response_id in self.beside and self._conversation.get(item_id) is None:
            self.beside[event.response_id].append(item_id)
            item = self._conversation.add_detached(item_id, event.item, self._formats.output_of(event.response_id))
            return Effects(publish=(updates.ItemAppended(item=item),), event=event)
        return self._take_item(event, event.item, None, done=False, response_id=event.response_id)

    def _output_item_done(self, event: server.ResponseOutputItemDone) -> Effects:
        return self._take_item(event, event.item, None, done=True, response_id=event.response_id)


_OF_RESPONSE = (server.ResponseOutputItemAdded, server.ResponseOutputItemDone)

_MAX_DELETED = 256
"""Deleted items that are remembered, so that an event that was on its way does not bring them back."""


def _runs(wire: Item) -> bool:
    return isinstance(wire, McpCall) and wire.output is None and wire.error is None


def _is_of_model(wire: Item) -> bool:
    return getattr(wire, "role", "") == "assistant" or isinstance(wire, FunctionCall | McpCall | McpApprovalRequest)
