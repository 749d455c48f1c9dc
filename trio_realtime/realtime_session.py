"""What the body of a session talks to."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack, cast

import msgspec
import trio
from msgspec import UNSET, Struct

from .arguments import message_parts, new_id, response_create
from .channels import ChannelStatistics
from .errors import ConfigError, RealtimeError
from .limits import check_counts
from .playback import Playback
from .session_tools import SessionTools
from .session_updates import SessionUpdates
from .state.configuration import (
    ResponseKeywords,
)
from .state.updates import TurnDone
from .turn import RespondScope
from .wire import client_events as client
from .wire.client_events import ClientEvent
from .wire.codec import known_client_event
from .wire.items import Message, Part
from .wire.responses import Response, ResponseParams, Usage
from .wire.session_config import (
    SessionConfig,
    SessionInfo,
    TranscriptionSessionConfig,
    TranscriptionSessionInfo,
)


class SessionStatistics(Struct, frozen=True, kw_only=True):
    """How a session stands.

    Attributes:
        received_frames: Messages of the server.
        received_bytes: Their payload.
        sent_events: Events that were put into the outbox.
        queued_bytes: What of them waits to be written.
        sent_audio_bytes: Audio that was appended, not encoded.
        retained_audio_bytes: Audio that the conversation holds.
        malformed_frames: Frames that were not what the protocol says.
        subscribers: Each subscription.
    """

    received_frames: int
    received_bytes: int
    sent_events: int
    queued_bytes: int
    sent_audio_bytes: int
    retained_audio_bytes: int
    malformed_frames: int
    subscribers: tuple[ChannelStatistics, ...]


class RealtimeSession(SessionUpdates, SessionTools):
    """An open session; `open_session` makes it.

    Commands return when the server has confirmed them, with the server's version of the object, and raise `ServerError`
    when it refuses. Cancelling a command leaves its event entirely sent or entirely unsent and the session intact; the
    event is queued before the first checkpoint, so it is sent even in a cancelled scope. What is not valid is refused
    with `ConfigError` before anything is sent. Before and after the scope, commands raise `trio.ClosedResourceError`;
    after a failure, the failure.

    Attributes:
        conversation: The items, live; readable after the scope.
    """

    # --- what is known --------------------------------------------------------------------------------------------

    @property
    def info(self) -> SessionInfo | TranscriptionSessionInfo | None:
        """The server's view of the session, from the last `session.created` or `session.updated`."""
        return self._machine.info

    @property
    def config(self) -> SessionConfig | TranscriptionSessionConfig:
        """What the program asked for and the server confirmed, merged key by key."""
        return self._machine.config

    @property
    def usage(self) -> Usage:
        """Tokens of all responses so far."""
        return self._machine.responses.total_usage

    @property
    def last_usage(self) -> Usage | None:
        """Tokens of the last response that stated them."""
        return self._machine.responses.usage

    @property
    def failure(self) -> RealtimeError | None:
        """Why the session failed, or None; readable after the scope."""
        return self._scope.failure

    @property
    def turn_detection_type(self) -> str | None:
        """`"server_vad"`, `"semantic_vad"`, or None for manual turns."""
        return self._machine.turn_detection_type

    def statistics(self) -> SessionStatistics:
        """How the session stands now; readable after the scope."""
        return SessionStatistics(
            received_frames=self._scope.received_frames,
            received_bytes=self._scope.received_bytes,
            sent_events=self._scope.sent_events,
            queued_bytes=self._scope.outbox.queued_bytes,
            sent_audio_bytes=self._machine.sent_audio_bytes,
            retained_audio_bytes=self.conversation.retained_audio_bytes,
            malformed_frames=self._machine.malformed_frames,
            subscribers=self._scope.fanout.statistics(),
        )

    # --- responses ----------------------------------------------------------------------------------------------------

    async def create_response(
        self, params: ResponseParams | None = None, /, **keywords: Unpack[ResponseKeywords]
    ) -> Response:
        """Ask for a response, when none is under way; with manual turns what was appended is committed first.

        A response beside the conversation (`conversation="none"`) does not wait for others; functions that it calls are
        not run, because the server takes an output only for a call in the conversation. A request that crosses the
        server's own turn detection on the wire is sent again after the response that won.

        Args:
            params: What this response does differently from the session's configuration, in the wire's own shape.
            keywords: The same as keywords, on top of it.

        Returns:
            The response as it begins.

        Raises:
            ConfigError: A parameter is not valid; nothing was sent.
            ServerError: The server refused it.

        Cancellation:
            While it waits for its turn nothing is sent, and nothing will be. After that the response goes on.

        Wire: `response.create`, answered by `response.created`.
        """
        return cast("Response", await self._scope.command(response_create(params, keywords)))

    def respond(
        self,
        message: str | Sequence[Part | str] | None = None,
        *,
        follow: bool = True,
        params: ResponseParams | None = None,
        **keywords: Unpack[ResponseKeywords],
    ) -> RespondScope:
        """Ask for a turn, and listen to it: `async with session.respond("How are you?") as turn:`.

        Entering sends the message, if there is one, and the request, which waits while another response is under way.
        Leaving before the turn is done cancels it, also when the scope is cancelled: the `response.cancel`, by id, is
        in the outbox at once. What of it is still to be heard by then is cut as in `interrupt`, where there is a
        `playback`; without one nothing is truncated. A turn that did not complete and that nobody read to its end
        raises on leaving.

        Args:
            message: What the user says first, as in `send_message`; None asks for a response to what is there.
            follow: Whether the responses that follow from its tools belong to it.
            params: What the response does differently from the session's configuration, in the wire's own shape.
            keywords: The same as keywords, on top of it.

        Raises:
            ConfigError: An argument is not valid; nothing was sent.
            ResponseError: On leaving and from the turn's streams: it failed, was cut short, or was cancelled.
            ServerError: On leaving and from the turn's streams: the server refused the message or the request.

        Wire: `conversation.item.create`, `response.create`, and all that answers them.
        """
        request = response_create(params, keywords)
        parts = [] if message is None else message_parts(message, "user", self._machine.input_encoding)
        item = None
        if parts:
            item = client.ConversationItemCreate(
                event_id=new_id("event"), item=Message(id=new_id("item"), role="user", content=parts)
            )
        return RespondScope(self._scope, request, item, follow=follow)

    async def wait_for_reply(self) -> TurnDone:
        """Wait until the turn of the assistant is done: its last response, after its tools.

        It is the turn that is under way or wanted; else the last one, if nobody waited for it and it was not cancelled;
        else the next. So it does not matter how late this is called after `send_message`. Turns beside the conversation
        do not count, nor those that `respond` has seen to their end.

        Raises:
            trio.ClosedResourceError: The session ended first.
            RealtimeError: It failed first.
        """
        self._scope.check_open()
        reply = None if self._machine.responses.replying else self._scope.replies.take()
        if reply is not None:
            await trio.lowlevel.checkpoint()
            return reply
        with self.updates(TurnDone, name="wait_for_reply") as turns:
            async for reply in turns:
                if not reply.beside:
                    self._scope.replies.seen(reply)
                    return reply
        raise trio.ClosedResourceError("the session ended before there was a reply")

    async def cancel_response(self, response_id: str | None = None) -> Response | None:
        """Cancel a response; nothing is sent when it is not under way.

        Args:
            response_id: Which one; None for the conversation's.

        Returns:
            The response as it ended, or None when there was nothing to cancel.

        Wire: `response.cancel` with the id, answered by `response.done`.
        """
        event = client.ResponseCancel(
            event_id=new_id("event"), response_id=UNSET if response_id is None else response_id
        )
        return cast("Response | None", await self._scope.command(event))

    # --- playback -----------------------------------------------------------------------------------------------------

    def playback(self) -> Playback:
        """Play the assistant's audio, and know what of it was heard: `async with session.playback() as playback:`.

        Iterating gives chunks to play. When the user speaks over them, what waits is dropped, `Interrupted` says what
        was heard, and the server is told: the item that was being played is truncated where it stood, later ones where
        they stood, and one of which nothing was heard is deleted; nothing is cut that was heard in full. The same
        happens in `interrupt`, and when the scope is left by an exception or a cancellation while something sounds.
        With `interrupt_response=False` in the turn detection, the user's speech is told with `Interrupted` and cuts
        nothing.

        Raises:
            trio.BusyResourceError: On entering: the session has a playback already.

        Wire: `response.cancel`, `conversation.item.truncate`, `conversation.item.delete`; the confirmation of a cut is
        the update `ItemTruncated` or `ItemDeleted`.
        """
        return Playback(self._scope)

    async def interrupt(self, item_id: str | None = None, *, played_samples: int | None = None) -> None:
        """Stop the assistant at once, without waiting for the server.

        The response that is under way is cancelled, if there is one. What was not heard is cut: by what `playback`
        knows, or by the program's own clock. Without either, a response is cancelled and nothing is truncated.

        Args:
            item_id: The item that is being played, together with
            played_samples: how many samples of it were heard; more than were received are as many. At 0 it is deleted.

        Raises:
            ConfigError: There is no such item, it is not the assistant's, or it has no audio. Nothing was sent.

        Cancellation:
            Too late: the events are queued before the first checkpoint.

        Wire: `response.cancel`, then `conversation.item.truncate` at `played_samples * 1000 // rate`.
        """
        self._scope.check_open()
        if played_samples is not None:
            check_counts(0, played_samples=played_samples)
        self._scope.interrupt(item_id, played_samples)
        await trio.lowlevel.checkpoint()

    async def wait_for_playback(self) -> None:
        """Wait until what the assistant said was heard: nothing sounds, and no response is under way or wanted.

        Raises:
            ConfigError: Nobody plays: there is no `playback()`.
            trio.ClosedResourceError: The playback or the session ended first.
            RealtimeError: The session failed first.
        """
        self._scope.check_open()
        playback = self._scope.playback
        if not isinstance(playback, Playback):
            raise ConfigError("nobody plays the audio: open `async with session.playback()` first")
        await playback.wait_heard()

    # --- raw ----------------------------------------------------------------------------------------------------------

    async def send(self, event: ClientEvent | Mapping[str, Any]) -> None:
        """Send an event as it is; returns when it is queued, whatever the server answers.

        Args:
            event: A struct of `trio_realtime.wire.client_events`, or a mapping in the wire's own shape, also of a type
                that this library does not know. An event without an id, or an item without one, gets one.

        Raises:
            ConfigError: It is not valid; nothing was sent.
        """
        self._scope.check_open()
        if not isinstance(event, ClientEvent | Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  as above
            raise ConfigError(f"an event is a struct of trio_realtime.wire or a mapping, not {type(event).__name__}")
        typed: ClientEvent | None
        typed = cast("ClientEvent | None", known_client_event(event)) if isinstance(event, Mapping) else event
        if typed is None:
            self._scope.put_unknown(dict(cast("Mapping[str, Any]", event)))
        else:
            if typed.event_id is UNSET and not isinstance(typed, client.InputAudioBufferAppend):
                typed = msgspec.structs.replace(typed, event_id=new_id("event"))
            if isinstance(typed, client.ConversationItemCreate) and typed.item.id is None:
                typed = msgspec.structs.replace(typed, item=msgspec.structs.replace(typed.item, id=new_id("item")))
            self._scope.check(typed)
            self._scope.post(typed)
        await trio.lowlevel.checkpoint()
