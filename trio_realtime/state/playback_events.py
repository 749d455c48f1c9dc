"""What server events mean for the audio that is being played.

It stands behind the other receivers and sees an event after them, together with what they made of it; while nobody
plays audio it is not asked at all.
"""

from collections.abc import Callable
from typing import Any, cast

import msgspec

from ..wire import server_events as server
from ..wire.client_events import ClientEvent
from . import updates
from .effects import Effects
from .item import ConversationItem
from .playback import Interruption, PlaybackLedger


class PlaybackEvents:
    """Keeps the ledger of one playback, and makes of the user's speech an interruption of what sounds.

    Args:
        ledger: The playback's.
        send_cuts: Gives the cuts of an interruption the form in which they go out.
        speech_interrupts: Whether the user's speech stops what sounds.
    """

    def __init__(
        self,
        ledger: PlaybackLedger,
        send_cuts: Callable[[Interruption], tuple[ClientEvent, ...]],
        *,
        speech_interrupts: bool,
    ) -> None:
        self.ledger = ledger
        self.speech_interrupts = speech_interrupts
        self._send_cuts = send_cuts
        self._observers: dict[type[Any], Callable[[Any, Effects], Effects]] = {
            server.ResponseOutputAudioDelta: self._audio_delta,
            server.ResponseOutputAudioDone: self._audio_done,
            server.ResponseOutputItemDone: self._item_done,
            server.ConversationItemDone: self._item_done,
            server.ConversationItemDeleted: self._item_deleted,
            server.ConversationItemTruncated: self._item_truncated,
            server.ResponseDone: self._response_done,
            server.InputAudioBufferSpeechStarted: self._speech_started,
        }

    def observe(self, event: object, effects: Effects) -> Effects:
        """An event was received, with these effects; gives what they are with a playback under way."""
        observer = self._observers.get(type(event))
        return effects if observer is None else observer(event, effects)

    def _audio_delta(self, event: server.ResponseOutputAudioDelta, effects: Effects) -> Effects:
        if effects.publish:  # otherwise the delta was not wanted
            item = cast("updates.ItemUpdated", effects.publish[0]).item
            part = item.part(event.content_index, "output_audio")
            position = part.audio_held_bytes + part.audio_evicted_bytes - len(event.delta)
            self.ledger.received(
                item.id,
                event.content_index,
                event.response_id,
                item.encoding,
                event.delta,
                position_bytes=max(position, 0),
            )
        return effects

    def _audio_done(self, event: server.ResponseOutputAudioDone, effects: Effects) -> Effects:
        self.ledger.part_done(event.item_id, event.content_index)
        return effects

    def _item_done(
        self, event: server.ResponseOutputItemDone | server.ConversationItemDone, effects: Effects
    ) -> Effects:
        if event.item.id is not None:
            self.ledger.item_done(event.item.id)
        return effects

    def _item_deleted(self, event: server.ConversationItemDeleted, effects: Effects) -> Effects:
        self.ledger.item_deleted(event.item_id)
        return effects

    def _item_truncated(self, event: server.ConversationItemTruncated, effects: Effects) -> Effects:
        self.ledger.item_truncated(event.item_id, event.content_index, event.audio_end_ms)
        return effects

    def _response_done(self, _: server.ResponseDone, effects: Effects) -> Effects:
        for update in effects.publish:  # a malformed event has no id, but is known to be the end of one
            if isinstance(update, updates.ResponseDone):
                self.ledger.response_done(update.response.id)
        return effects

    def _speech_started(self, _: server.InputAudioBufferSpeechStarted, effects: Effects) -> Effects:
        """The user speaks: what sounds stops, and the server forgets what was not heard of it."""
        others = tuple([update for update in effects.publish if not isinstance(update, updates.Interrupted)])
        if not self.ledger.sounding:
            return msgspec.structs.replace(effects, publish=others)
        if not self.speech_interrupts:
            return effects
        interruption = self.ledger.interrupt()
        interrupted = updates.Interrupted(item_id=interruption.item_id, heard_ms=interruption.heard_ms)
        return msgspec.structs.replace(
            effects,
            urgent=(*effects.urgent, *self._send_cuts(interruption)),
            publish=(*others, interrupted),
        )


def clocked_interruption(item: ConversationItem, played_samples: int) -> Interruption:
    """What an interruption means by the program's own clock, where no playback keeps count."""
    return PlaybackLedger().interrupt_at(item, played_samples)
