"""The session's state: events and commands in, effects out.

Theory of operation. `receive` takes what the server sent, `command` what the program wants sent. Both change the state
at once, synchronously, and return what the world outside has to do about it: events to send, updates to publish,
commands to settle. Nothing else changes the state, and the state knows no task, no clock and no socket.
"""

from collections.abc import Callable, Collection
from typing import Any

import msgspec
from msgspec import UNSET

from ..audio import Encoding
from ..errors import ConfigError, ConnectionLost, ProtocolError, RealtimeError, SessionExpired
from ..wire import client_events as client, server_events as server
from ..wire.client_events import ClientEvent
from ..wire.server_events import ErrorDetails, ProtocolIssue, ServerEvent
from ..wire.session_config import (
    SessionConfig,
    SessionInfo,
    TranscriptionSessionConfig,
    TranscriptionSessionInfo,
    TurnDetection,
)
from . import updates
from .configuration import merged
from .conversation import Conversation
from .effects import Effects, combined
from .formats import Formats
from .input_audio import InputAudio
from .input_events import InputEvents
from .item_events import ItemEvents
from .output_events import OutputEvents
from .playback import Interruption, PlaybackLedger
from .playback_events import PlaybackEvents, clocked_interruption
from .requests import Kind, Request, Requests, Settled, server_error
from .response_events import ResponseEvents

EXPIRY_MARGIN_S = 5.0
"""A connection that ends this close to `expires_at` ended because of it."""

_ENDS_OF_SPEECH = (server.InputAudioBufferSpeechStopped, server.InputAudioBufferTimeoutTriggered)


class Machine:
    """What one session knows.

    Args:
        new_id: Gives a new id with a prefix, for what the machine sends by itself.
        retained_audio_bytes: How much audio the conversation may hold.
        input_audio_seconds: How much of the sent audio is kept, to cut the user's turns out of it.
        malformed_run_limit: How many malformed frames in a row end the session.
        knows_all_items: False where the conversation began before the connection, so that ids cannot be checked.
    """

    def __init__(
        self,
        *,
        new_id: Callable[[str], str],
        retained_audio_bytes: int,
        input_audio_seconds: float,
        malformed_run_limit: int,
        knows_all_items: bool = True,
    ) -> None:
        self.conversation: Conversation = Conversation(retained_audio_bytes)
        self.info: SessionInfo | TranscriptionSessionInfo | None = None
        self.config: SessionConfig | TranscriptionSessionConfig = SessionConfig()
        self.malformed_frames: int = 0
        self._knows_all_items = knows_all_items
        self._malformed_run_limit = malformed_run_limit
        self._malformed_run = 0
        self._requests = Requests()
        self._formats = Formats()
        self._input = InputAudio(self._formats.input, input_audio_seconds)
        self._items = ItemEvents(self.conversation, self._requests, self._formats)
        output = OutputEvents(self.conversation)
        self.responses: ResponseEvents = ResponseEvents(
            new_id=new_id,
            requests=self._requests,
            items=self._items,
            output=output,
            formats=self._formats,
            input_audio=self._input,
        )
        self._changes: dict[str, SessionConfig | TranscriptionSessionConfig] = {}
        self._expired: ErrorDetails | None = None
        self._playback: PlaybackEvents | None = None
        self._new_id = new_id
        self._receivers: dict[type[Any], Callable[[Any], Effects]] = {
            server.SessionCreated: self._session_changed,
            server.SessionUpdated: self._session_changed,
            server.Error: self._error,
            server.RateLimitsUpdated: self._rate_limits,
            **self._items.receivers,
            **InputEvents(self.conversation, self._requests, self._input).receivers,
            **output.receivers,
            **self.responses.receivers,
        }

    # --- what is asked of it --------------------------------------------------------------------------------------

    @property
    def turn_detection_type(self) -> str | None:
        """`"server_vad"`, `"semantic_vad"`, or None for manual turns."""
        detection = self._turn_detection()
        return None if detection is None else str(detection.__struct_config__.tag)

    @property
    def input_encoding(self) -> Encoding:
        """How the audio that the program sends is encoded."""
        return self._input.encoding

    @property
    def output_encoding(self) -> Encoding:
        """How the audio that the server sends is encoded."""
        return self._formats.output

    @property
    def sent_audio_bytes(self) -> int:
        """How much audio was ever sent."""
        return self._input.sent_bytes

    # --- commands ---------------------------------------------------------------------------------------------------

    def command(self, event: ClientEvent) -> Effects:
        """The program wants `event` sent; its `event_id` is set, except on an append.

        Raises:
            ConfigError: It names an item that does not exist, or what does not fit the item. Nothing has changed.
        """
        if isinstance(event, client.InputAudioBufferAppend):
            self.append_audio(event)
            return Effects(send=(event,))
        event_id = _id_of(event)
        match event:
            case client.InputAudioBufferCommit():
                self._input.commit()
                return self._ask(event, "commit")
            case client.InputAudioBufferClear():
                self._input.clear()
                return self._ask(event, "clear")
            case client.SessionUpdate():
                self._changes[event_id] = event.session
                return self._ask(event, "update")
            case client.ConversationItemCreate():
                return self._create_item(event)
            case client.ConversationItemRetrieve():
                self._check_known(event.item_id)
                return self._ask(event, "retrieve", event.item_id)
            case client.ConversationItemTruncate():
                self._check_truncation(event)
                self._requests.add(Request(event_id=event_id, kind="truncate", key=event.item_id))
                return Effects(urgent=(event,))
            case client.ConversationItemDelete():
                self._check_known(event.item_id)
                return self._ask(event, "delete", event.item_id)
            case client.ResponseCreate():
                return self.responses.create(event, automatic=False)
            case client.ResponseCancel():
                return self.responses.cancel(event)
            case _:  # `output_audio_buffer.clear`: its answer names no command
                return Effects(urgent=(event,))

    def append_audio(self, event: client.InputAudioBufferAppend) -> None:
        """The program wants audio sent: the same as `command` for it, without effects, since it has no others."""
        self._input.append(event.audio)

    def _ask(self, event: ClientEvent, kind: Kind, key: str | None = None) -> Effects:
        self._requests.add(Request(event_id=_id_of(event), kind=kind, key=key))
        return Effects(send=(event,))

    def _create_item(self, event: client.ConversationItemCreate) -> Effects:
        item_id = event.item.id
        if item_id is None:
            raise ConfigError("the item has no id; give it one, so that its acknowledgement can be recognised")
        if item_id in self.conversation or item_id in self._requested_items():
            raise ConfigError(f"there is an item with the id {item_id!r} already")
        if isinstance(event.previous_item_id, str) and event.previous_item_id != "root":
            self._check_known(event.previous_item_id)
        previous_item_id = event.previous_item_id if isinstance(event.previous_item_id, str) else None
        self._requests.add(
            Request(
                event_id=_id_of(event),
                kind="create_item",
                key=item_id,
                item=event.item,
                previous_item_id=previous_item_id,
            )
        )
        return Effects(send=(event,))

    def _requested_items(self) -> set[str | None]:
        return {request.key for request in self._requests.outstanding("create_item")}

    def _check_known(self, item_id: str) -> None:
        if (
            self._knows_all_items
            and not self.conversation.has_place(item_id)
            and item_id not in self._requested_items()
        ):
            raise ConfigError(f"there is no item {item_id!r} in the conversation")

    def _check_truncation(self, event: client.ConversationItemTruncate) -> None:
        self._check_known(event.item_id)
        item = self.conversation.get(event.item_id)
        if item is None:
            return
        if item.role != "assistant":
            raise ConfigError(f"item {item.id!r} is not a message of the assistant; only those can be truncated")
        parts = item.content[event.content_index : event.content_index + 1]
        received = sum(part.audio_held_bytes + part.audio_evicted_bytes for part in parts)
        received_ms = item.encoding.bytes_to_ms(received)
        if self._knows_all_items and event.audio_end_ms > received_ms:
            raise ConfigError(
                f"item {item.id!r} has {received_ms} ms of audio in part {event.content_index}; "
                f"it cannot be truncated at {event.audio_end_ms} ms"
            )

    # --- playback and interruption ----------------------------------------------------------------------------------

    def begin_playback(self) -> PlaybackLedger:
        """The program plays audio from now on; only then is it known what was heard."""
        ledger = PlaybackLedger()
        self._playback = PlaybackEvents(ledger, self._cuts, speech_interrupts=self._speech_interrupts())
        return ledger

    def end_playback(self) -> None:
        """The program plays no more audio."""
        self._playback = None

    def interrupt(self, item_id: str | None, played_samples: int | None) -> Effects:
        """The program stops the assistant: the response is cancelled, and what was not heard is cut.

        Args:
            item_id: The item that is being played, if the program keeps its own clock.
            played_samples: How many samples of it were heard; together with `item_id`.

        Raises:
            ConfigError: The item cannot be interrupted, or only one of the two is given. Nothing has changed.
        """
        if (item_id is None) != (played_samples is None):
            raise ConfigError("interrupt takes an item and how many samples of it were played, or neither")
        interruption = Interruption()
        if item_id is not None:
            item = self.conversation.get(item_id)
            if item is None:
                raise ConfigError(f"there is no item {item_id!r} in the conversation")
            if self._playback is None:
                interruption = clocked_interruption(item, played_samples or 0)
            else:
                interruption = self._playback.ledger.interrupt_at(item, played_samples or 0)
        elif self._playback is not None:
            interruption = self._playback.ledger.interrupt()
        cancelled = self.responses.cancel(client.ResponseCancel(event_id=self._new_id("event")))
        beside = [each for each in interruption.response_ids if each in self._items.beside]
        for response_id in beside:
            cancel = client.ResponseCancel(event_id=self._new_id("event"), response_id=response_id)
            cancelled = combined(cancelled, self.responses.cancel(cancel))
        own = Effects(urgent=cancelled.urgent)
        return combined(own, self._cut(interruption), self.responses.tools.interrupt(turn_detected=False))

    def stop_turn(self, turn_id: str) -> Effects:
        """Nobody wants a turn any more: it is cancelled, and what is still to be heard of it must not be heard.

        Other turns play on.
        """
        response_ids = self.responses.responses_of(turn_id)
        stopped = self.responses.stop_turn(turn_id)
        return combined(stopped, self._stop_playing(response_ids))

    def _stop_playing(self, response_ids: Collection[str]) -> Effects:
        """Cut what is still to be heard of some responses; it is told if it was in the player's hands already."""
        if self._playback is None or not any(self._playback.ledger.plays(each) for each in response_ids):
            return Effects()
        ledger = self._playback.ledger
        generation = ledger.generation
        cut = self._cut(ledger.stop(response_ids))
        return cut if ledger.generation > generation else Effects(urgent=cut.urgent)

    def _cut(self, interruption: Interruption) -> Effects:
        """What was not heard is cut; it is told unless a playback knows that nothing sounded."""
        item_id = interruption.item_id
        if item_id is None and self._playback is not None:
            return Effects()
        if item_id is None:
            latest = self.conversation.latest("assistant")
            item_id = None if latest is None else latest.id
        interrupted = updates.Interrupted(item_id=item_id, heard_ms=interruption.heard_ms)
        return Effects(urgent=self._cuts(interruption), publish=(interrupted,))

    def stop_response(self, response_id: str) -> Effects:
        """A response has to stop, and what is still to be heard of it must not be heard; others go on.

        Only what the player holds together with audio of it stops with it.
        """
        stopping = [response_id]
        if self._playback is None:
            is_active = response_id == self.responses.sequencer.active_id
            cut = self._cut(Interruption()) if is_active else Effects()
        else:
            cut = self._stop_playing((response_id,))
            if self._playback.ledger.plays(response_id):
                interruption = self._playback.ledger.interrupt()
                cut = self._cut(interruption)
                stopping.extend(interruption.response_ids)
        cancels = [client.ResponseCancel(event_id=self._new_id("event"), response_id=each) for each in stopping]
        cancelled = [self.responses.cancel(cancel) for cancel in cancels]
        return combined(*[Effects(urgent=each.urgent) for each in cancelled], cut)

    def end_stalled(self, response_id: str, seconds: float) -> Effects:
        """Nothing has come of a response for so long: it ends as failed here, and the server is told to stop it."""
        effects = self.responses.end_stalled(response_id, seconds)
        return effects if self._playback is None else self._playback.observe(server.ResponseDone(), effects)

    def _cuts(self, interruption: Interruption) -> tuple[ClientEvent, ...]:
        """The cuts as they go out: named, so that a refusal can be told from others."""
        cuts: list[ClientEvent] = []
        for cut in interruption.cuts:
            item = self.conversation.get(cut.item_id)
            if item is None or not item.in_conversation:
                continue  # said beside the conversation: the server keeps nothing of it
            event = msgspec.structs.replace(cut, event_id=self._new_id("event"))
            kind: Kind = "truncate" if isinstance(event, client.ConversationItemTruncate) else "delete"
            self._requests.add(Request(event_id=_id_of(event), kind=kind, key=event.item_id))
            cuts.append(event)
        return tuple(cuts)

    def _speech_interrupts(self) -> bool:
        """Whether the server lets the user's speech interrupt; a program may have chosen that it does not."""
        detection = self._turn_detection()
        return detection is None or detection.interrupt_response is not False

    def _speech_is_answered(self) -> bool:
        """Whether the server begins a response by itself when the user has spoken."""
        detection = self._turn_detection()
        return detection is not None and detection.create_response is not False

    def _turn_detection(self) -> TurnDetection | None:
        """What the server says of it, or what it was asked for where it says nothing of its input."""
        heard = self.info.audio.input if self.info is not None and self.info.audio is not None else None
        if heard is not None:
            return heard.turn_detection
        asked = UNSET if self.config.audio is UNSET else self.config.audio.input
        return None if asked is UNSET or asked.turn_detection is UNSET else asked.turn_detection

    # --- events -----------------------------------------------------------------------------------------------------

    def receive(self, event: ServerEvent | ProtocolIssue) -> Effects:
        """The server sent `event`."""
        receiver = self._receivers.get(type(event))
        if receiver is not None:
            self._malformed_run = 0
            if self.responses.stalled and getattr(event, "response_id", None) in self.responses.stalled:
                return Effects(event=event)  # it has failed, and nothing that comes late changes that
            effects = receiver(event)
            if type(event) is server.ResponseOutputItemDone:
                effects = combined(effects, self._output_item_done(event))
            elif type(event) is server.ResponseOutputItemAdded:
                self._output_item_added(event)
            elif type(event) is server.InputAudioBufferSpeechStarted and self._speech_interrupts():
                effects = combined(effects, self.responses.tools.interrupt(turn_detected=True))
            elif type(event) in _ENDS_OF_SPEECH:
                self.responses.server_answers = self._speech_is_answered()
            return effects if self._playback is None else self._playback.observe(event, effects)
        if isinstance(event, ProtocolIssue):
            return self._malformed(event)
        self._malformed_run = 0
        effects = Effects(event=event)
        return effects if self._playback is None else self._playback.observe(event, effects)

    def _output_item_added(self, event: server.ResponseOutputItemAdded) -> None:
        if event.response_id is not None and event.response_id not in self._items.beside:
            self.responses.tools.item_added(event.item, event.response_id)

    def _output_item_done(self, event: server.ResponseOutputItemDone) -> Effects:
        if event.response_id is None or event.response_id in self._items.beside:
            return Effects()
        return self.responses.tools.item_done(event.item, event.response_id)

    def _malformed(self, issue: ProtocolIssue) -> Effects:
        self.malformed_frames += 1
        if issue.event is not None:
            effects = self.receive(issue.event)
            seen = msgspec.structs.replace(issue, event=effects.event)  # without what is private to this library
            return msgspec.structs.replace(effects, publish=(seen, *effects.publish))
        self._malformed_run += 1
        failure = None
        if self._malformed_run >= self._malformed_run_limit:
            failure = ProtocolError(f"{self._malformed_run} malformed frames in a row; the last one: {issue.reason}")
        return Effects(publish=(issue,), failure=failure)

    def connection_ended(
        self, *, code: int | None, reason: str, cause: BaseException | None, unix_time: float
    ) -> Effects:
        """The connection is gone, and not because the program closed it.

        Args:
            code: The peer's close code, None if it sent no close frame.
            reason: The reason in it.
            cause: The transport's error, if it was one.
            unix_time: What time it is, in seconds since 1970, to hold against `expires_at`.
        """
        expires_at = self.info.expires_at if self.info is not None else None
        by_time = bool(expires_at) and unix_time >= (expires_at or 0) - EXPIRY_MARGIN_S
        by_words = "maximum duration" in reason or "session_expired" in reason
        failure: RealtimeError
        if isinstance(cause, RealtimeError) and not isinstance(cause, ConnectionLost):
            failure = cause
        elif self._expired is not None or by_words or by_time:
            words = (self._expired.message if self._expired else None) or reason or "its time is up"
            failure = SessionExpired(f"the session has expired: {words}", code=code, reason=reason)
        elif isinstance(cause, ConnectionLost):
            failure = cause
        else:
            said = f"{'no code' if code is None else f'code {code}'}{f', {reason}' if reason else ''}"
            failure = ConnectionLost(f"the server closed the connection: {said}", code=code, reason=reason)
        failure.__cause__ = cause if cause is not failure else failure.__cause__
        if self._playback is not None:
            self._playback.ledger.connection_ended()
        ended = tuple(updates.ItemUpdated(item=item) for item in self.conversation.end_in_progress())
        return Effects(publish=ended, failure=failure)

    # session, errors, limits

    def _session_changed(self, event: server.SessionCreated | server.SessionUpdated) -> Effects:
        settle: tuple[Settled, ...] = ()
        if event.session is not None:
            self.info = event.session
            self._formats.take_session(event.session)
            self._input.encoding = self._formats.input
            self.responses.tools.session_stated(event.session)
        if isinstance(event, server.SessionUpdated):
            settled = self._requests.confirm("update", self.info)
            if settled is not None:
                settle = (settled,)
                self._take_change(settled.event_id)
        self.responses.manual_turns = self.info is not None and self.turn_detection_type is None
        if self._playback is not None:
            self._playback.speech_interrupts = self._speech_interrupts()
        publish = () if self.info is None else (updates.SessionUpdated(info=self.info),)
        return Effects(publish=publish, settle=settle, event=event)

    def _take_change(self, event_id: str) -> None:
        change = self._changes.pop(event_id, None)
        if isinstance(change, SessionConfig) and isinstance(self.config, SessionConfig):
            self.config = merged(self.config, change)
        elif isinstance(change, TranscriptionSessionConfig):
            known = self.config if isinstance(self.config, TranscriptionSessionConfig) else TranscriptionSessionConfig()
            self.config = merged(known, change)

    def _error(self, event: server.Error) -> Effects:
        details = event.error
        if details.code == "session_expired":
            self._expired = details
        refused = self._requests.refuse(details)
        if refused is None and details.code == "response_cancel_not_active":
            return Effects(event=event)  # the cancel crossed `response.done` on the wire, which has settled it
        if refused is None:
            return Effects(publish=(updates.ErrorReported(error=server_error(details)),), event=event)
        request, settled = refused
        if request.kind == "update":
            self._changes.pop(request.event_id, None)
        elif request.kind == "commit":
            self._input.commit_refused()
        elif request.kind in {"create_response", "create_beside"}:
            effects, again = self.responses.refused(request.event_id, details.code)
            # What goes out again is settled then.
            answer = () if again else (settled,)
            return msgspec.structs.replace(effects, settle=(*answer, *effects.settle), event=event)
        elif request.kind == "cancel" and details.code == "response_cancel_not_active":
            settled = Settled(event_id=request.event_id)  # it crossed `response.done` on the wire
        return Effects(settle=(settled,), event=event)

    def _rate_limits(self, event: server.RateLimitsUpdated) -> Effects:
        limits = tuple(event.rate_limits or ())
        return Effects(publish=(updates.RateLimitsUpdated(rate_limits=limits),), event=event)


def _id_of(event: ClientEvent) -> str:
    if not isinstance(event.event_id, str):
        raise ConfigError(f"{type(event).__name__} has no event_id")
    return event.event_id
