"""What the body of a session talks to."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Unpack, cast, get_args, overload

import msgspec
import trio
from msgspec import UNSET, Struct

from .arguments import message_parts, new_id, requested_configuration, response_create, split_tools
from .channels import ChannelStatistics, UpdateChannel
from .errors import ConfigError, RealtimeError
from .limits import check_counts
from .playback import Playback
from .session_scope import SessionScope
from .state.configuration import (
    ResponseKeywords,
    SessionKeywords,
)
from .state.conversation import Conversation
from .state.item import ConversationItem
from .state.updates import ItemAppended, ItemCompleted, RawEvent, TurnDone, Update
from .tool_runner import AnyTool, ToolRunner
from .tools import encoded_output
from .turn import RespondScope
from .update_buffer import DEFAULT_BUFFER_BYTES, Overflow
from .wire import client_events as client, server_events as server
from .wire.client_events import ClientEvent
from .wire.codec import known_client_event
from .wire.items import FunctionCallOutput, Item, McpApprovalResponse, Message, Part
from .wire.responses import Response, ResponseParams, Usage
from .wire.session_config import (
    FunctionTool,
    McpTool,
    SessionConfig,
    SessionInfo,
    TranscriptionSessionConfig,
    TranscriptionSessionInfo,
)

MAX_APPEND_BYTES = 15 * 2**20
"""Audio that one append may carry (limit of the protocol); more is split."""

_T = TypeVar("_T")


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


class RealtimeSession:
    """An open session; `open_session` makes it.

    Commands return when the server has confirmed them, with the server's version of the object, and raise `ServerError`
    when it refuses. Cancelling a command leaves its event entirely sent or entirely unsent and the session intact; the
    event is queued before the first checkpoint, so it is sent even in a cancelled scope. What is not valid is refused
    with `ConfigError` before anything is sent. Before and after the scope, commands raise `trio.ClosedResourceError`;
    after a failure, the failure.

    Attributes:
        conversation: The items, live; readable after the scope.
    """

    def __init__(self, scope: SessionScope, functions: ToolRunner) -> None:
        self._scope = scope
        self._functions = functions
        self._machine = scope.machine
        self.conversation: Conversation = scope.machine.conversation

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

    # --- listening ------------------------------------------------------------------------------------------------

    @overload
    def updates(
        self,
        *,
        overflow: Overflow = "raise",
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        name: str | None = None,
    ) -> UpdateChannel[Update]: ...

    @overload
    def updates(
        self,
        *types: type[_T],
        overflow: Overflow = "raise",
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        name: str | None = None,
    ) -> UpdateChannel[_T]: ...

    def updates(
        self,
        *types: type[Any],
        overflow: Overflow = "raise",
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        name: str | None = None,
    ) -> UpdateChannel[Any]:
        """Subscribe: `with session.updates(...) as updates:` gives a Trio receive channel of what happens from then on.

        A subscriber that falls behind delays nobody. What it has not received is bounded in bytes; at the bound only
        deltas are affected, whatever is not a delta is kept.

        Args:
            types: Classes of updates to receive; none means all but `RawEvent`, which repeats everything.
            overflow: At the bound: `"raise"` `SubscriberOverflow` after what fitted; `"coalesce"` adjacent deltas of
                one content part into one, and raise if that does not help; `"drop_oldest"` deltas, and say so with
                `Lagged`.
            max_buffer_bytes: The bound; by default 64 MiB, which is 22 minutes of PCM16.
            name: For `SubscriberOverflow` and `statistics()`.

        Raises:
            ConfigError: An argument is not valid.
            trio.ClosedResourceError: On entering, when the session has ended.
            RealtimeError: On entering, when the session has failed with this.
        """
        if overflow not in get_args(Overflow):
            raise ConfigError(f"overflow must be 'raise', 'coalesce' or 'drop_oldest', not {overflow!r}")
        check_counts(1, max_buffer_bytes=max_buffer_bytes)
        for kind in types:
            if kind not in get_args(Update):
                raise ConfigError(
                    f"updates takes classes of updates, such as ItemUpdated, not {kind!r}; "
                    "events of the server come from events() and wait_for()"
                )
        return self._scope.fanout.subscribe(types, name=name, max_buffer_bytes=max_buffer_bytes, overflow=overflow)

    def events(
        self,
        *,
        overflow: Overflow = "raise",
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        name: str | None = None,
    ) -> UpdateChannel[RawEvent]:
        """Subscribe to the events of both directions as they cross the wire: `updates(RawEvent)`."""
        return self.updates(RawEvent, overflow=overflow, max_buffer_bytes=max_buffer_bytes, name=name)

    async def wait_item(self) -> ConversationItem:
        """Wait for the next item that comes into the conversation.

        Raises:
            trio.ClosedResourceError: The session ended first.
            RealtimeError: It failed first.
        """
        return (await self.wait_for(ItemAppended)).item

    async def wait_completed_item(self) -> ConversationItem:
        """Wait for the next item that becomes final; raises as `wait_item`."""
        return (await self.wait_for(ItemCompleted)).item

    async def wait_for(self, kind: type[_T]) -> _T:
        """Wait for the next update of a class, or for the next event of the server of a class.

        Args:
            kind: A class of updates, or of `trio_realtime.wire.server_events`.

        Raises:
            ConfigError: It is neither.
            trio.ClosedResourceError: The session ended first.
            RealtimeError: It failed first.

        Cancellation:
            Loses nothing; what came meanwhile is in the conversation and in other channels.
        """
        self._scope.check_open()
        is_event = isinstance(kind, type) and issubclass(kind, server.ServerEventStruct | server.UnknownEvent)  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
        if not is_event and kind not in get_args(Update):
            raise ConfigError(f"wait_for takes a class of updates or of events of the server, not {kind!r}")
        with self.updates(
            cast("type[Any]", RawEvent if is_event else kind), name=f"wait_for {kind.__name__}"
        ) as updates:
            async for update in updates:
                if not is_event:
                    return cast("_T", update)
                if isinstance(update.event, kind):
                    return update.event
            raise trio.ClosedResourceError(f"the session ended before there was a {kind.__name__}")

    # --- the session ------------------------------------------------------------------------------------------------

    async def update(
        self, config: SessionConfig | TranscriptionSessionConfig | None = None, /, **keywords: Unpack[SessionKeywords]
    ) -> SessionInfo | TranscriptionSessionInfo:
        """Change the configuration, key by key: what is not given keeps its value.

        The acknowledgement does not say which update it answers; it is taken for the oldest that waits.

        Args:
            config: The change in the wire's own shape, instead of or below the keywords.
            keywords: As those of `open_session`; None is null for `turn_detection`, `transcription`, `noise_reduction`,
                `tracing` and `prompt`, and turns them off.

        Returns:
            The server's view of the whole session.

        Raises:
            ConfigError: It is not valid, changes nothing, or changes the model. Nothing was sent.
            ServerError: The server refused it; the configuration is what it was.

        Wire: `session.update`, answered by `session.updated`.
        """
        change = requested_configuration(config, keywords)
        if isinstance(change, SessionConfig) and change.model is not UNSET:
            raise ConfigError("the model of an open session cannot be changed; open another session")
        if all(getattr(change, name) is UNSET for name in change.__struct_fields__):
            raise ConfigError("update was given nothing to change")
        if isinstance(change, SessionConfig) and change.tools is not UNSET:
            return await self._update_tools(change, keywords.get("tools", change.tools))
        return await self._update(change)

    async def add_tool(self, tool: AnyTool | FunctionTool | McpTool) -> None:
        """Give the model one more tool.

        Args:
            tool: A function under `@tool`, or a definition that the program answers itself.

        Raises:
            ConfigError: There is a tool of that name already. Nothing was sent.
            ServerError: The server refused it; the tools are what they were.

        Wire: `session.update` with all the tools.
        """
        await self._replace_tools((*self._functions.tools, *self._definitions(), tool))

    async def remove_tool(self, name: str) -> None:
        """Take a tool away from the model; calls of it that are open are not touched.

        Args:
            name: Of the tool, or the label of an MCP server.

        Raises:
            ConfigError: There is no such tool. Nothing was sent.
            ServerError: The server refused it; the tools are what they were.

        Wire: `session.update` with the tools that are left.
        """
        tools = (*self._functions.tools, *self._definitions())
        left = [each for each in tools if _name_of(each) != name]
        if len(left) == len(tools):
            names = ", ".join([repr(_name_of(each)) for each in tools]) or "none"
            raise ConfigError(f"there is no tool named {name!r}; there are: {names}")
        await self._replace_tools(left)

    async def approve(self, request_id: str, *, approve: bool = True, reason: str | None = None) -> None:
        """Allow or forbid a call for which `ApprovalRequested` asked.

        Args:
            request_id: Of the request.
            approve: Whether the call may be made.
            reason: Why not, for the model.

        Raises:
            ConfigError: Nothing waits under this id. Nothing was sent.
            ServerError: The server refused the answer to a request of an MCP server.

        Wire: `conversation.item.create` of a `mcp_approval_response`, for MCP servers.
        """
        self._scope.check_open()
        if self._functions.settle_approval(request_id, granted=approve, reason=reason):
            await trio.lowlevel.checkpoint()
            return
        item = self.conversation.get(request_id)
        if item is None or item.type != "mcp_approval_request":
            raise ConfigError(f"no approval waits under the id {request_id!r}")
        await self.create_item(McpApprovalResponse(approval_request_id=request_id, approve=approve, reason=reason))

    def _definitions(self) -> tuple[FunctionTool | McpTool, ...]:
        """The tools that the program answers itself, or the server."""
        config = self._machine.config
        tools = config.tools if isinstance(config, SessionConfig) and config.tools is not UNSET else []
        functions = {function.name for function in self._functions.tools}
        return tuple([each for each in tools if isinstance(each, McpTool) or each.name not in functions])

    async def _update_tools(
        self, change: SessionConfig, given: Sequence[object]
    ) -> SessionInfo | TranscriptionSessionInfo:
        """Replace the functions, or the plain definitions, or both: what of it is given; an empty list clears both."""
        functions, definitions = split_tools(given)
        if functions or definitions:
            functions = functions or self._functions.tools
            definitions = definitions or self._definitions()
        return await self._replace_tools((*functions, *definitions), change)

    async def _replace_tools(
        self, tools: Sequence[object], change: SessionConfig | None = None
    ) -> SessionInfo | TranscriptionSessionInfo:
        functions, definitions = split_tools(tools)
        before = self._functions.tools, self._definitions()
        config = msgspec.structs.replace(
            change or SessionConfig(), tools=[*[function.definition for function in functions], *definitions]
        )
        # Both until the server has confirmed: a call of either may already be on its way.
        names = {_name_of(each) for each in (*functions, *definitions)}
        other_functions = [each for each in before[0] if _name_of(each) not in names]
        other_definitions = [each for each in before[1] if _name_of(each) not in names]
        self._functions.hold((*other_functions, *functions), (*other_definitions, *definitions))
        try:
            info = await self._update(config)
        except BaseException:
            self._functions.hold(*before)
            raise
        self._functions.hold(functions, definitions)
        return info

    async def _update(
        self, change: SessionConfig | TranscriptionSessionConfig
    ) -> SessionInfo | TranscriptionSessionInfo:
        return cast(
            "SessionInfo | TranscriptionSessionInfo",
            await self._scope.command(client.SessionUpdate(event_id=new_id("event"), session=change)),
        )

    # --- items ------------------------------------------------------------------------------------------------------

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

    async def send_tool_output(self, call_id: str, output: Any, *, respond: bool = True) -> ConversationItem:
        """Answer a function call that the program handles itself.

        Args:
            call_id: Id of the call, `item.call_id`.
            output: Text as it is; anything else as JSON, None as `null`.
            respond: Whether the model is asked to go on, when all calls of that response are answered and none is under
                way.

        Raises:
            ConfigError: There is no such call, or the output cannot be encoded; nothing was sent.
            ServerError: The server refused it.

        Wire: `conversation.item.create` of a `function_call_output`.
        """
        calls = [item for item in self.conversation if item.type == "function_call" and item.call_id == call_id]
        if not calls:
            raise ConfigError(f"there is no function call with the id {call_id!r} in the conversation")
        try:
            words = encoded_output(output)
        except ValueError as error:
            raise ConfigError(f"the output of call {call_id!r} cannot be sent: {error}") from error
        item = FunctionCallOutput(id=new_id("item"), call_id=call_id, output=words)
        event = client.ConversationItemCreate(event_id=new_id("event"), item=item)
        return cast("ConversationItem", await self._scope.answer_call(event, call_id, reply=respond))

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

    async def append_audio(self, audio: Any) -> None:
        """Send audio of the user, as it comes from a microphone.

        The server never answers this; it returns when the audio is queued, and waits first while more than a mebibyte
        is queued already. More than 15 MiB is split.

        Args:
            audio: Mono, in the session's input format: PCM16 little-endian at 24,000 Hz as `bytes`, `bytearray`,
                `memoryview` or a 16-bit integer array, or `bytes` of G.711 at 8,000 Hz. Empty audio sends nothing.

        Raises:
            ConfigError: It is none of these, or an odd number of bytes of PCM16; nothing was sent.

        Cancellation:
            While waiting for room nothing of it is sent, except pieces of 15 MiB that had room before.

        Wire: `input_audio_buffer.append`.
        """
        self._scope.check_open()
        data = self._machine.input_encoding.audio_bytes(audio)
        for start in range(0, len(data), MAX_APPEND_BYTES):
            await self._scope.outbox.wait_room()
            self._scope.check_open()
            piece = data if len(data) <= MAX_APPEND_BYTES else data[start : start + MAX_APPEND_BYTES]
            self._scope.post(client.InputAudioBufferAppend(audio=piece))
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

    # --- responses ----------------------------------------------------------------------------------------------------

    async def create_response(
        self, params: ResponseParams | None = None, /, **keywords: Unpack[ResponseKeywords]
    ) -> Response:
        """Ask for a response, when none is under way; with manual turns what was appended is committed first.

        A response beside the conversation (`conversation="none"`) does not wait for others. A request that crosses the
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
        typed: ClientEvent | None
        typed = cast("ClientEvent | None", known_client_event(event)) if isinstance(event, Mapping) else event
        if not isinstance(typed, ClientEvent | None):  # pyright: ignore[reportUnnecessaryIsInstance]  as above
            raise ConfigError(f"an event is a struct of trio_realtime.wire or a mapping, not {type(typed).__name__}")
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


def _name_of(tool: object) -> str:
    return str(getattr(tool, "server_label", None) or getattr(tool, "name", None))
