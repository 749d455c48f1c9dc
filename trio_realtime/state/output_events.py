"""Server events that make an item grow while the model produces it."""

from collections.abc import Callable
from typing import Any

from ..wire import server_events as server
from . import updates
from .conversation import Conversation
from .effects import Effects


class OutputEvents:
    """Takes the deltas into the conversation. A delta of an item that is not there changes nothing.

    Attributes:
        muted: Responses that were cancelled and are not done: what still comes of them is not wanted.
    """

    def __init__(self, conversation: Conversation) -> None:
        self.muted: set[str | None] = set()
        self._conversation = conversation
        self.receivers: dict[type[Any], Callable[[Any], Effects]] = {
            server.ResponseContentPartAdded: self._content_part,
            server.ResponseContentPartDone: self._content_part,
            server.ResponseOutputTextDelta: self._text_delta,
            server.ResponseOutputTextDone: self._text_done,
            server.ResponseOutputAudioDelta: self._audio_delta,
            server.ResponseOutputAudioTranscriptDelta: self._transcript_delta,
            server.ResponseOutputAudioTranscriptDone: self._transcript_done,
            server.ResponseFunctionCallArgumentsDelta: self._arguments_delta,
            server.ResponseFunctionCallArgumentsDone: self._arguments_done,
            server.ResponseMcpCallArgumentsDelta: self._arguments_delta,
            server.ResponseMcpCallArgumentsDone: self._arguments_done,
        }

    def _content_part(self, event: server.ResponseContentPartAdded | server.ResponseContentPartDone) -> Effects:
        item = self._conversation.get(event.item_id)
        if item is not None and event.part is not None:
            final = isinstance(event, server.ResponseContentPartDone)
            item.reconcile_part(event.content_index, event.part, final=final)
        return Effects(event=event)

    def _audio_delta(self, event: server.ResponseOutputAudioDelta) -> Effects:
        item = self._conversation.get(event.item_id)
        if item is None or event.response_id in self.muted:
            return Effects(event=event)
        delta = self._conversation.append_audio(item, event.content_index, event.delta)
        return Effects(
            publish=(updates.ItemUpdated(item=item, delta=delta, response_id=event.response_id),), event=event
        )

    def _text_delta(self, event: server.ResponseOutputTextDelta) -> Effects:
        item = self._conversation.get(event.item_id)
        if item is None or event.response_id in self.muted:
            return Effects(event=event)
        delta = self._conversation.append_text(item, event.content_index, event.delta)
        return Effects(
            publish=(updates.ItemUpdated(item=item, delta=delta, response_id=event.response_id),), event=event
        )

    def _transcript_delta(self, event: server.ResponseOutputAudioTranscriptDelta) -> Effects:
        item = self._conversation.get(event.item_id)
        if item is None or event.response_id in self.muted:
            return Effects(event=event)
        delta = self._conversation.append_transcript(item, event.content_index, event.delta)
        return Effects(
            publish=(updates.ItemUpdated(item=item, delta=delta, response_id=event.response_id),), event=event
        )

    def _arguments_delta(
        self, event: server.ResponseFunctionCallArgumentsDelta | server.ResponseMcpCallArgumentsDelta
    ) -> Effects:
        item = self._conversation.get(event.item_id)
        if item is None or event.response_id in self.muted:
            return Effects(event=event)
        delta = self._conversation.append_arguments(item, event.delta)
        return Effects(
            publish=(updates.ItemUpdated(item=item, delta=delta, response_id=event.response_id),), event=event
        )

    def _text_done(self, event: server.ResponseOutputTextDone) -> Effects:
        item = self._conversation.get(event.item_id)
        if item is not None and event.text is not None:
            item.part(event.content_index, "output_text").text = event.text
        return Effects(event=event)

    def _transcript_done(self, event: server.ResponseOutputAudioTranscriptDone) -> Effects:
        item = self._conversation.get(event.item_id)
        if item is not None and event.transcript is not None:
            part = item.part(event.content_index, "output_audio")
            if not part.truncated:
                part.transcript = event.transcript
        return Effects(event=event)

    def _arguments_done(
        self, event: server.ResponseFunctionCallArgumentsDone | server.ResponseMcpCallArgumentsDone
    ) -> Effects:
        item = self._conversation.get(event.item_id)
        if item is not None and event.arguments is not None:
            item.arguments = event.arguments
        return Effects(event=event)
