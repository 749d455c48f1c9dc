"""Server events about what the user says: speech, commits, transcriptions."""

from collections.abc import Callable
from typing import Any

from ..wire import server_events as server
from ..wire.server_events import TranscriptionError
from . import updates
from .conversation import Conversation
from .effects import Effects
from .input_audio import InputAudio
from .requests import Requests
from .updates import Update


class InputEvents:
    """Binds what was sent and what was understood of it to the user's items."""

    def __init__(self, conversation: Conversation, requests: Requests, input_audio: InputAudio) -> None:
        self._conversation = conversation
        self._requests = requests
        self._input = input_audio
        self.receivers: dict[type[Any], Callable[[Any], Effects]] = {
            server.ConversationItemInputAudioTranscriptionDelta: self._transcription_delta,
            server.ConversationItemInputAudioTranscriptionCompleted: self._transcription_completed,
            server.ConversationItemInputAudioTranscriptionFailed: self._transcription_failed,
            server.InputAudioBufferCommitted: self._committed,
            server.InputAudioBufferCleared: self._cleared,
            server.InputAudioBufferSpeechStarted: self._speech_started,
            server.InputAudioBufferSpeechStopped: self._speech_stopped,
            server.InputAudioBufferTimeoutTriggered: self._timeout_triggered,
        }

    def _transcription_delta(self, event: server.ConversationItemInputAudioTranscriptionDelta) -> Effects:
        if not event.delta:
            return Effects(event=event)
        grown = self._conversation.append_input_transcript(event.item_id, event.delta, event.content_index)
        if grown is None:
            return Effects(event=event)
        return Effects(publish=(updates.ItemUpdated(item=grown[0], delta=grown[1]),), event=event)

    def _transcription_completed(self, event: server.ConversationItemInputAudioTranscriptionCompleted) -> Effects:
        item = self._conversation.set_input_transcript(event.item_id, event.transcript, event.content_index)
        completed = updates.TranscriptionCompleted(
            item_id=event.item_id, transcript=event.transcript, item=item, usage=event.usage
        )
        publish = (completed,) if item is None else (updates.ItemUpdated(item=item), completed)
        return Effects(publish=publish, event=event)

    def _transcription_failed(self, event: server.ConversationItemInputAudioTranscriptionFailed) -> Effects:
        failed = updates.TranscriptionFailed(
            item_id=event.item_id,
            error=event.error or TranscriptionError(),
            item=self._conversation.get(event.item_id),
        )
        return Effects(publish=(failed,), event=event)

    def _committed(self, event: server.InputAudioBufferCommitted) -> Effects:
        item_id, audio, ours = self._input.committed(event.item_id)
        publish: tuple[Update, ...] = ()
        if item_id is not None:
            self._conversation.reserve(item_id, event.previous_item_id)
            if audio is not None:
                publish = self._bind_audio(item_id, audio)
        settled = self._requests.confirm("commit", item_id) if ours else None
        return Effects(publish=publish, settle=() if settled is None else (settled,), event=event)

    def _bind_audio(self, item_id: str, audio: bytes) -> tuple[Update, ...]:
        item = self._conversation.set_input_audio(item_id, audio)
        return () if item is None else (updates.ItemUpdated(item=item),)

    def _cleared(self, event: server.InputAudioBufferCleared) -> Effects:
        self._input.cleared()
        settled = self._requests.confirm("clear", None)
        return Effects(settle=() if settled is None else (settled,), event=event)

    def _speech_started(self, event: server.InputAudioBufferSpeechStarted) -> Effects:
        self._input.speech_started(event.item_id, event.audio_start_ms)
        latest = self._conversation.latest("assistant")
        started = updates.SpeechStarted(item_id=event.item_id, audio_start_ms=event.audio_start_ms)
        interrupted = updates.Interrupted(item_id=None if latest is None else latest.id)
        return Effects(publish=(started, interrupted), event=event)

    def _speech_stopped(self, event: server.InputAudioBufferSpeechStopped) -> Effects:
        publish: tuple[Update, ...] = (updates.SpeechStopped(item_id=event.item_id, audio_end_ms=event.audio_end_ms),)
        audio = self._input.speech_stopped(
            event.item_id, event.audio_end_ms, has_item=event.item_id in self._conversation
        )
        if event.item_id is not None and audio is not None:
            publish += self._bind_audio(event.item_id, audio)
        return Effects(publish=publish, event=event)

    def _timeout_triggered(self, event: server.InputAudioBufferTimeoutTriggered) -> Effects:
        # The silence is committed as an item too.
        self._input.speech_started(event.item_id, event.audio_start_ms)
        audio = self._input.speech_stopped(
            event.item_id, event.audio_end_ms, has_item=event.item_id in self._conversation
        )
        return Effects(publish=() if audio is None else self._bind_audio(event.item_id, audio), event=event)
