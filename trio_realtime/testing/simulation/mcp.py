"""MCP servers, as one connection of the simulated server knows them: their tools, approvals, calls.

Theory of operation: three things go on beside the responses, each on the timeline of the connection.

- A configuration names a server: an `mcp_list_tools` item enters the conversation, and has the tools when the listing
  is completed.
- The model calls a tool: its `mcp_call` item is an output of the response, which ends without waiting for the call. The
  call runs, and only then is its item done. `response.mcp_call.*` names no response because that is over by then. What
  the model makes of the result, it says when the client asks for another response.
- The call needs an approval: an `mcp_approval_request` item enters the conversation, and the call waits for the
  client's `mcp_approval_response`. A call that is not approved fails without having run.

Several clients of the real server are written so; where they do not agree about an order (whether the listing's item or
its event is final first) it is the one that items of responses have: the event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..server import Json
from .conversation import ServerConversation, ServerItem
from .emit import Emit
from .identifiers import IdCounter
from .refusal import RefusedError
from .script import CallsMcp
from .timeline import Steps, Timeline

_SECONDS = 1.0
"""How long a listing and a call take, at a pace of 1."""

McpTools = Mapping[str, Sequence[Mapping[str, Any]]]
"""By the label of a server, the tools that it offers, in the wire's shape: `name`, `input_schema` and so on."""


@dataclass(frozen=True, slots=True)
class McpCall:
    """A call that the model has made.

    Attributes:
        held: Its item.
        output_index: Where it stands in the response.
        response_id: Of the response.
        previous_item_id: What `conversation.item.done` states; the item is in the conversation or was deleted.
        in_conversation: Whether the response is one of the conversation.
        script: What comes of it.
    """

    held: ServerItem
    output_index: int
    response_id: str
    previous_item_id: str | None
    in_conversation: bool
    script: CallsMcp


class McpServers:
    """What happens between one connection and its MCP servers."""

    def __init__(
        self,
        emit: Emit,
        ids: IdCounter,
        timeline: Timeline,
        *,
        conversation: ServerConversation,
        offered: McpTools,
        pace: float,
        clock: Callable[[], float],
    ) -> None:
        self._emit = emit
        self._ids = ids
        self._timeline = timeline
        self._conversation = conversation
        self._offered = offered
        self._seconds = _SECONDS * pace
        self._clock = clock
        self._listed: dict[str, Json] = {}
        self._waiting: dict[str, McpCall] = {}

    # --- tools ---------------------------------------------------------------------------------------------------

    def list_new(self, tools: Sequence[Json]) -> float | None:
        """Ask the servers for their tools that a configuration names and that were not asked before.

        Returns:
            How many seconds that takes, or None when there is nothing new.
        """
        new = [tool for tool in tools if tool["type"] == "mcp" and self._listed.get(tool["server_label"]) != tool]
        for tool in new:
            self._listed[tool["server_label"]] = tool
            self._timeline.add(self._clock(), self._list(tool))
        return self._seconds if new else None

    def _list(self, definition: Json) -> Steps:
        label: str = definition["server_label"]
        held = ServerItem({"id": self._ids.next("mcpl"), "type": "mcp_list_tools", "server_label": label, "tools": []})
        previous = self._conversation.insert(held)
        self._emit("conversation.item.added", previous_item_id=previous, item=held.shown())
        self._emit("mcp_list_tools.in_progress", item_id=held.id)
        yield self._seconds
        offered = self._offered.get(label)
        if offered is None:
            self._emit("mcp_list_tools.failed", item_id=held.id)
        else:
            allowed = _allowed(definition)
            held.item["tools"] = [{"input_schema": {"type": "object"}, **tool} for tool in offered if allowed(tool)]
            self._emit("mcp_list_tools.completed", item_id=held.id)
        self._item_done(held, previous)

    def _item_done(self, held: ServerItem, previous_item_id: str | None) -> None:
        if held in self._conversation.items:  # the client may have deleted it
            self._emit("conversation.item.done", previous_item_id=previous_item_id, item=held.shown())

    # --- calls ---------------------------------------------------------------------------------------------------

    def call(self, call: McpCall, tools: Sequence[Json]) -> None:
        """Run a call, or ask first whether it may run.

        Args:
            call: Its arguments are complete.
            tools: What the model has; they say which calls need an approval.
        """
        label, name = call.script.server_label, call.script.name
        definition = next((tool for tool in tools if tool["type"] == "mcp" and tool["server_label"] == label), None)
        offered = next((tool for tool in self._offered.get(label, ()) if tool["name"] == name), {"name": name})
        if definition is None or not _needs_approval(definition, offered):
            self._timeline.add(self._clock(), self._run(call))
            return
        arguments = call.held.item["arguments"]
        request: Json = {"id": self._ids.next("mcpr"), "type": "mcp_approval_request"}
        asked = ServerItem({**request, "server_label": label, "name": name, "arguments": arguments})
        call.held.item["approval_request_id"] = asked.id
        self._waiting[asked.id] = call
        previous = self._conversation.insert(asked)
        self._emit("conversation.item.added", previous_item_id=previous, item=asked.shown())
        self._emit("conversation.item.done", previous_item_id=previous, item=asked.shown())

    def check_answer(self, answer: Json) -> None:
        """Check that an `mcp_approval_response` answers a request, and for the first time.

        Raises:
            RefusedError: It does not.
        """
        request_id: str = answer["approval_request_id"]
        if request_id not in self._waiting:
            raise RefusedError(
                f"No approval request with id '{request_id}' is waiting for a response.",
                param="item.approval_request_id",
            )

    def answer(self, answer: Json) -> None:
        """Go on with the call that was approved, or refused; the answer was checked."""
        call = self._waiting.pop(answer["approval_request_id"])
        if answer["approve"]:
            self._timeline.add(self._clock(), self._run(call))
            return
        reason = answer.get("reason")
        message = "The call was not approved." if reason is None else f"The call was not approved: {reason}"
        self._end(call, {"type": "tool_execution_error", "message": message})

    def _run(self, call: McpCall) -> Steps:
        self._emit("response.mcp_call.in_progress", item_id=call.held.id, output_index=call.output_index)
        yield self._seconds
        self._end(call, call.script.error)

    def _end(self, call: McpCall, error: Mapping[str, Any] | None) -> None:
        item = call.held.item
        if error is None:
            item["output"] = call.script.output
        else:
            item["error"] = dict(error)
        how = "completed" if error is None else "failed"
        self._emit(f"response.mcp_call.{how}", item_id=call.held.id, output_index=call.output_index)
        if call.in_conversation:
            self._item_done(call.held, call.previous_item_id)
        self._emit(
            "response.output_item.done",
            response_id=call.response_id,
            output_index=call.output_index,
            item=call.held.shown(),
        )


# --- filters -------------------------------------------------------------------------------------------------------


def _matches(tool: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    """Whether a filter chooses a tool: by name, or because its annotations say that it only reads."""
    names: Sequence[str] | None = chosen.get("tool_names")
    read_only: bool | None = chosen.get("read_only")
    annotations: Mapping[str, Any] = tool.get("annotations") or {}
    return (names is None or tool["name"] in names) and (
        read_only is None or bool(annotations.get("readOnlyHint")) is read_only
    )


def _allowed(definition: Json) -> Callable[[Mapping[str, Any]], bool]:
    allowed = definition.get("allowed_tools")
    if allowed is None:
        return lambda tool: True
    chosen: Json = {"tool_names": allowed} if isinstance(allowed, list) else allowed
    return lambda tool: _matches(tool, chosen)


def _needs_approval(definition: Json, tool: Mapping[str, Any]) -> bool:
    """Whether somebody has to allow a call: by default each, as the protocol is on the safe side."""
    required = definition.get("require_approval") or "always"
    if isinstance(required, str):
        return required == "always"
    filters = cast("Mapping[str, Mapping[str, Any] | None]", required)
    always, never = filters.get("always"), filters.get("never")
    if never is not None and _matches(tool, never):
        return False
    if always is not None and _matches(tool, always):
        return True
    # What no filter names: a filter that names those that need one leaves the others free.
    return never is not None or always is None
