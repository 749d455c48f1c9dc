"""Server events about whole items: they come, are stated again, are retrieved, truncated and deleted."""

from collections.abc import Callable, Iterable
from typing import Any

from ..wire import server_events as server
from ..wire.items import Item
from ..wire.server_events import ServerEvent
from . import updates
from .conversation import Conversation
from .effects import Effects
from .formats import Formats
from .item import ConversationItem
from .requests import Requests
from .updates import Update


class ItemEvents:
    """Keeps the items of the conversation as the server states them, and confirms the commands about them.

    Attributes:
        at_root: Items that the program wants at the front: the server says so with a null that says nothing else.
        beside: The items of each response beside the conversation that is under way, by the response's id.
    """

    def __init__(self, conversation: Conversation, requests: Requests, formats: Formats) -> None:
        self.at_root: set[str] = set()
        self.beside: dict[str, list[str]] = {}
        self._conversation = conversation
        self._requests = requests
        self._formats = formats
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
        # One event for two: an item that is not under way is final with it.
        done = getattr(event.item, "status", None) != "in_progress" and getattr(event.item, "role", "") != "assistant"
        return self._take_item(event, event.item, event.previous_item_id, done=done)

    def _item_done(self, event: server.ConversationItemDone) -> Effects:
        known = event.item.id is not None and self._conversation.get(event.item.id) is not None
        return self._take_item(event, event.item, None if known else event.previous_item_id, done=True)

    def _take_item(
        self,
        event: ServerEvent,
        wire: Item,
        previous_item_id: str | None,
        *,
        done: bool,
        response_id: str | None = None,
    ) -> Effects:
        item_id = wire.id
        if item_id is None:
            return Effects(event=event)
        publish: list[Update] = []
        item = self._conversation.get(item_id)
        if item is None or not (item.in_conversation or isinstance(event, _OF_RESPONSE)):
            at_root = item_id in self.at_root
            self.at_root.discard(item_id)
            item = self._conversation.add(
                item_id, wire, self._formats.output_of(response_id), previous_item_id=previous_item_id, at_root=at_root
            )
            publish.append(updates.ItemAppended(item=item))
        else:
            if previous_item_id is not None and not done:
                self._conversation.move(item_id, previous_item_id)
            item.reconcile(wire, final=done)
        if done:
            item.reconcile(wire, final=True)
            self.complete(item, publish)
        settled = self._requests.confirm_item(item_id, wire, item)
        return Effects(publish=tuple(publish), settle=() if settled is None else (settled,), event=event)

    def complete_all(self, output: Iterable[Item], publish: list[Update]) -> None:
        """A response is over, and states its items for the last time."""
        for wire in output:
            item = self._conversation.get(wire.id or "")
            if item is not None:
                item.reconcile(wire, final=True)
                self.complete(item, publish)

    def end_beside(self, response_id: str) -> bool:
        """A response is over; true if it was one beside the conversation."""
        item_ids = self.beside.pop(response_id, None)
        for item_id in item_ids or ():
            self._conversation.drop_detached(item_id)
        return item_ids is not None

    def complete(self, item: ConversationItem, publish: list[Update]) -> None:
        """Tell that an item is final, once."""
        if item.completed:
            return
        item.completed = True
        publish.append(updates.ItemUpdated(item=item))
        publish.append(updates.ItemCompleted(item=item))

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
        item = self._conversation.remove(event.item_id)
        settled = self._requests.confirm("delete", item, event.item_id)
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
        if item_id is not None and event.response_id in self.beside:
            self.beside[event.response_id].append(item_id)
            item = self._conversation.add_detached(item_id, event.item, self._formats.output_of(event.response_id))
            return Effects(publish=(updates.ItemAppended(item=item),), event=event)
        return self._take_item(event, event.item, None, done=False, response_id=event.response_id)

    def _output_item_done(self, event: server.ResponseOutputItemDone) -> Effects:
        return self._take_item(event, event.item, None, done=True, response_id=event.response_id)


_OF_RESPONSE = (server.ResponseOutputItemAdded, server.ResponseOutputItemDone)
