"""Configuring a session while it runs: its settings, its tools, and the calls that the program answers itself."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack, cast

import msgspec
import trio
from msgspec import UNSET

from .arguments import new_id, requested_configuration, split_tools
from .errors import ConfigError
from .session_items import SessionItems
from .state.configuration import (
    SessionKeywords,
)
from .state.item import ConversationItem
from .tool_runner import AnyTool
from .tools import encoded_output
from .wire import client_events as client
from .wire.items import FunctionCallOutput, McpApprovalResponse
from .wire.session_config import (
    FunctionTool,
    McpTool,
    SessionConfig,
    SessionInfo,
    TranscriptionSessionConfig,
    TranscriptionSessionInfo,
)


class SessionTools(SessionItems):
    """The commands about the configuration and the tools."""

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
        functions, definitions = self._functions.tools
        await self._replace_tools((*functions, *definitions, tool))

    async def remove_tool(self, name: str) -> None:
        """Take a tool away from the model; calls of it that are open are not touched.

        Args:
            name: Of the tool, or the label of an MCP server.

        Raises:
            ConfigError: There is no such tool. Nothing was sent.
            ServerError: The server refused it; the tools are what they were.

        Wire: `session.update` with the tools that are left.
        """
        functions, definitions = self._functions.tools
        tools = (*functions, *definitions)
        left = [each for each in tools if _name_of(each) != name]
        if len(left) == len(tools):
            names = ", ".join([repr(_name_of(each)) for each in tools]) or "none"
            raise ConfigError(f"there is no tool named {name!r}; there are: {names}")
        await self._replace_tools(left)

    async def approve(self, request_id: str, *, approve: bool = True, reason: str | None = None) -> None:
        """Allow or forbid a call for which `ApprovalRequested` asked.

        A function of the session runs then, and the model is asked to go on. A tool of an MCP server is run by the
        Realtime server, beside any response: `ItemCompleted` of its item tells that it is over, with its output or its
        error, and what the model makes of it, it says when it is asked: `respond()` or `create_response()`.

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

    async def _update_tools(
        self, change: SessionConfig, given: Sequence[object]
    ) -> SessionInfo | TranscriptionSessionInfo:
        """Replace the functions, or the plain definitions, or both: what of it is given; an empty list clears both."""
        functions, definitions = split_tools(given)
        if functions or definitions:
            functions = functions or self._functions.tools[0]
            definitions = definitions or self._functions.tools[1]
        return await self._replace_tools((*functions, *definitions), change)

    async def _replace_tools(
        self, tools: Sequence[object], change: SessionConfig | None = None
    ) -> SessionInfo | TranscriptionSessionInfo:
        functions, definitions = split_tools(tools)
        config = msgspec.structs.replace(
            change or SessionConfig(), tools=[*[function.definition for function in functions], *definitions]
        )
        event_id = new_id("event")
        return await self._update(
            config, event_id, then=lambda: self._functions.propose(event_id, functions, definitions)
        )

    async def _update(
        self,
        change: SessionConfig | TranscriptionSessionConfig,
        event_id: str | None = None,
        then: Callable[[], None] | None = None,
    ) -> SessionInfo | TranscriptionSessionInfo:
        event = client.SessionUpdate(event_id=event_id or new_id("event"), session=change)
        return cast("SessionInfo | TranscriptionSessionInfo", await self._scope.command(event, then=then))

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


def _name_of(tool: object) -> str:
    return str(getattr(tool, "server_label", None) or getattr(tool, "name", None))
