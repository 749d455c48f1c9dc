"""MCP servers of the simulated server: their tools are listed, their calls run beside the response, or wait."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trio_realtime.testing import Simulator, calls, calls_mcp, incomplete, says
from trio_realtime.testing.simulation.script import MCP_ERRORS

SEARCH: dict[str, Any] = {"name": "search", "input_schema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
DELETE: dict[str, Any] = {"name": "delete", "input_schema": {"type": "object"}, "description": "Delete a page."}
TOOLS = {"docs": [SEARCH, DELETE]}

CALL = calls_mcp("docs", "search", {"q": "trio"}, output="Found it.")


def docs(**fields: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example", **fields}


def kinds(events: list[Any]) -> list[str]:
    return [event["type"] for event in events]


def only(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["type"] == kind]


def connected(drive: Any, *script: Any, pace: float = 0.2, **fields: Any) -> Any:
    """A text session with an MCP server whose tools are listed."""
    client = drive(Simulator(script, mcp_tools=TOOLS, pace=pace))
    client.configure(tools=[docs(**fields)], output_modalities=["text"])
    client.wait(10)
    return client


def listed(client: Any) -> list[Any]:
    return [item for item in client.connection.items if item["type"] == "mcp_list_tools"]


# --- listing ----------------------------------------------------------------------------------------------------------


def test_a_session_with_a_server_lists_its_tools(drive: Any, wire: Any) -> None:
    client = drive(Simulator(mcp_tools=TOOLS, pace=1))
    client.configure(tools=[docs()])
    added, in_progress = client.wait(0)
    assert (added["type"], in_progress["type"]) == ("conversation.item.added", "mcp_list_tools.in_progress")
    assert added["item"] == {
        "id": in_progress["item_id"],
        "type": "mcp_list_tools",
        "server_label": "docs",
        "tools": [],
    }
    (retrieved,) = client.send("conversation.item.retrieve", item_id=added["item"]["id"])
    assert retrieved["item"] == added["item"], "the official JavaScript client asks for it at this moment"
    assert client.wait(0.9) == []
    completed, done = client.wait(0.2)
    assert (completed["type"], completed["item_id"]) == ("mcp_list_tools.completed", added["item"]["id"])
    assert (done["type"], done["item"]) == ("conversation.item.done", {**added["item"], "tools": [SEARCH, DELETE]})
    assert client.connection.items == [done["item"]]
    wire.check_order(client.events)


def test_a_server_that_cannot_be_reached_has_no_tools(drive: Any, wire: Any) -> None:
    client = drive()
    client.configure(tools=[docs()])
    assert kinds(client.wait(10)) == [
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.failed",
        "conversation.item.done",
    ]
    wire.check_order(client.events)


def test_a_server_is_asked_again_only_when_its_definition_changes(drive: Any) -> None:
    client = connected(drive)
    client.configure(instructions="Be brief.")
    client.configure(tools=[docs(), {"type": "function", "name": "f"}])
    assert client.wait(10) == []
    client.configure(tools=[docs(allowed_tools=["search"])])
    assert "mcp_list_tools.completed" in kinds(client.wait(10))
    assert [[tool["name"] for tool in item["tools"]] for item in listed(client)] == [["search", "delete"], ["search"]]


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, ["search", "delete"]),
        (["delete", "unknown"], ["delete"]),
        ([], []),
        ({"read_only": True}, ["search"]),
        ({"read_only": False}, ["delete"]),
        ({"tool_names": ["search"], "read_only": False}, []),
        ({}, ["search", "delete"]),
    ],
)
def test_only_the_tools_that_are_allowed_are_listed(drive: Any, allowed: Any, names: list[str]) -> None:
    (item,) = listed(connected(drive, allowed_tools=allowed))
    assert [tool["name"] for tool in item["tools"]] == names


def test_a_tool_without_a_schema_takes_any_object(drive: Any) -> None:
    client = drive(Simulator(mcp_tools={"docs": [{"name": "ping"}]}))
    client.configure(tools=[docs()])
    client.wait(10)
    assert listed(client)[0]["tools"] == [{"name": "ping", "input_schema": {"type": "object"}}]


@pytest.mark.parametrize("pace", [0, 1])
def test_a_response_lists_the_tools_that_it_is_the_first_to_name(drive: Any, wire: Any, pace: float) -> None:
    client = drive(Simulator([CALL], mcp_tools=TOOLS, pace=pace))
    events = client.respond(tools=[docs(require_approval="never")])
    order = kinds(events)
    assert order[0] == "response.created"
    assert order.index("mcp_list_tools.completed") < order.index("response.output_item.added")
    wire.check_order(client.events)
    assert "mcp_list_tools.in_progress" not in kinds(client.respond(tools=[docs(require_approval="never")]))


def test_a_listing_outlives_the_response_that_asked_and_its_item(drive: Any, wire: Any) -> None:
    client = drive(Simulator(mcp_tools=TOOLS, pace=1))
    client.send("response.create", response={"tools": [docs()]})
    client.wait(0.5)
    client.send("response.cancel")
    client.send("conversation.item.delete", item_id=listed(client)[0]["id"])
    assert kinds(client.wait(10)) == ["mcp_list_tools.completed"]
    wire.check_order(client.events)


# --- calls ------------------------------------------------------------------------------------------------------------


def test_a_call_runs_when_its_response_is_over(drive: Any, wire: Any) -> None:
    client = connected(drive, CALL, require_approval="never")
    events = client.respond()
    assert wire.types(events) == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.done",
        "rate_limits.updated",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
    ]
    wire.check_order(client.events)
    added, done, finished = events[1]["item"], events[-1]["item"], only(events, "response.done")[0]["response"]
    asked = {"type": "mcp_call", "server_label": "docs", "name": "search", "approval_request_id": None}
    assert added == {**asked, "id": done["id"], "arguments": "", "output": None, "error": None}
    called = {**added, "arguments": '{"q": "trio"}'}
    assert finished["output"] == [called]
    assert done == {**called, "output": "Found it."} == client.connection.items[-1]
    for event in (event for event in events if "mcp_call" in event["type"]):
        assert (event["item_id"], event["output_index"]) == (done["id"], 0)
        names_response = event["type"].startswith("response.mcp_call_arguments")
        assert event.get("response_id") == (finished["id"] if names_response else None)


def test_the_result_is_what_the_next_response_speaks_of(drive: Any) -> None:
    client = connected(drive, CALL, require_approval="never")
    client.respond()
    (done,) = only(client.respond(), "response.done")
    assert done["response"]["output"][0]["content"][0]["text"] == "The tool says: Found it."


@pytest.mark.parametrize(
    "error",
    [
        "The page is gone.",
        {"type": "tool_execution_error", "message": "The page is gone."},
        {"type": "protocol_error", "code": -32602, "message": "Unknown tool"},
        {"type": "http_error", "code": 503, "message": "Service Unavailable"},
    ],
)
def test_a_call_that_fails_says_how(drive: Any, wire: Any, error: Any) -> None:
    client = connected(drive, calls_mcp("docs", "search", error=error), require_approval="never")
    events = client.respond()
    (failed,) = only(events, "response.mcp_call.failed")
    item = client.connection.items[-1]
    assert failed["item_id"] == item["id"]
    expected = {"type": "tool_execution_error", "message": error} if isinstance(error, str) else error
    assert (item["error"], item["output"]) == (expected, None)
    wire.check_order(client.events)
    (done,) = only(client.respond(), "response.done")
    assert expected["message"] in done["response"]["output"][0]["content"][0]["text"]


def test_calls_of_several_kinds_in_one_response(drive: Any, wire: Any) -> None:
    script = [says("Let me look."), CALL, calls("f", {"x": 1}), calls_mcp("docs", "delete", output={"ok": True})]
    client = connected(drive, script, require_approval="never")
    events = client.respond()
    wire.check_order(client.events)
    (done,) = only(events, "response.done")
    output = done["response"]["output"]
    assert [item["type"] for item in output] == ["message", "mcp_call", "function_call", "mcp_call"]
    assert output[0]["phase"] == "commentary"
    assert [event["output_index"] for event in only(events, "response.mcp_call.completed")] == [1, 3]
    assert json.loads(client.connection.items[-1]["output"]) == {"ok": True}


def test_a_call_beside_the_conversation_is_no_item_of_it(drive: Any, wire: Any) -> None:
    client = connected(drive, CALL, require_approval="never")
    events = client.respond(conversation="none")
    assert only(events, "response.output_item.done")[0]["item"]["output"] == "Found it."
    assert not [name for name in kinds(events) if name.startswith("conversation.item")]
    wire.check_order(client.events)


def test_a_call_that_was_not_whole_does_not_run(drive: Any, wire: Any) -> None:
    client = connected(drive, CALL, [CALL, incomplete()], require_approval="never", pace=1)
    client.send("response.create")
    client.wait(0.5)
    cut = client.send("response.cancel")
    assert only(cut, "response.mcp_call_arguments.done")[0]["arguments"] in '{"q": "trio"}'
    assert client.wait(10) == []
    assert "response.mcp_call.completed" in kinds(client.respond()), "what is whole runs, however the response ends"
    wire.check_order(client.events)


def test_a_deleted_call_still_ends(drive: Any, wire: Any) -> None:
    client = connected(drive, CALL, require_approval="never", pace=1)
    client.send("response.create")
    client.wait(1.5)
    client.send("conversation.item.delete", item_id=client.connection.items[-1]["id"])
    assert kinds(client.wait(10)) == ["response.mcp_call.completed", "response.output_item.done"]
    wire.check_order(client.events)


def test_a_server_that_the_session_does_not_name_is_called_all_the_same(drive: Any, wire: Any) -> None:
    client = drive(Simulator([CALL]))
    assert "response.mcp_call.completed" in kinds(client.respond())
    wire.check_order(client.events)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"error": {"type": "other"}}, "other"),
        ({"error": {"message": "?"}}, "None"),
        ({"error": "?", "output": "!"}, "no output"),
    ],
)
def test_a_call_that_cannot_be_is_refused_by_the_script(fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calls_mcp("docs", "search", **fields)


# --- approvals --------------------------------------------------------------------------------------------------------


def answer(client: Any, request: Any, *, approve: bool, **fields: Any) -> list[Any]:
    item = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve, **fields}
    events: list[Any] = client.send("conversation.item.create", item=item)
    return events


def requests(client: Any) -> list[Any]:
    return [item for item in client.connection.items if item["type"] == "mcp_approval_request"]


def test_a_call_waits_for_its_approval_and_runs_then(drive: Any, wire: Any) -> None:
    client = connected(drive, CALL, require_approval="always")
    events = client.respond()
    assert "response.mcp_call.in_progress" not in kinds(events)
    order = kinds(events)
    assert order.index("response.mcp_call_arguments.done") < order.index("response.done")
    (request,) = requests(client)
    asked = {"type": "mcp_approval_request", "server_label": "docs", "name": "search", "arguments": '{"q": "trio"}'}
    assert request == {**asked, "id": request["id"]}
    assert request in [event["item"] for event in only(events, "conversation.item.done")]
    assert client.wait(1000) == []
    assert kinds(answer(client, request, approve=True)) == ["conversation.item.added", "conversation.item.done"]
    assert kinds(client.wait(10)) == [
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
    ]
    call = next(item for item in client.connection.items if item["type"] == "mcp_call")
    assert (call["approval_request_id"], call["output"]) == (request["id"], "Found it.")
    (done,) = only(client.respond(), "response.done")
    assert done["response"]["output"][0]["content"][0]["text"] == "The tool says: Found it."
    wire.check_order(client.events)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"reason": "too risky"}, "too risky"), ({"reason": None}, "not approved."), ({}, "not approved.")],
)
def test_a_call_that_is_not_approved_fails_without_running(
    drive: Any, wire: Any, fields: dict[str, Any], message: str
) -> None:
    client = connected(drive, CALL)
    client.respond()
    events = answer(client, requests(client)[0], approve=False, **fields)
    assert kinds(events)[2:] == [
        "response.mcp_call.failed",
        "conversation.item.done",
        "response.output_item.done",
    ]
    error = events[-1]["item"]["error"]
    assert (error["type"], error["message"].endswith(message)) == ("tool_execution_error", True)
    assert client.wait(10) == []
    wire.check_order(client.events)


def test_an_approval_answers_a_request_and_only_once(drive: Any) -> None:
    client = connected(drive, CALL)
    client.respond()
    (request,) = requests(client)
    for wrong in ("mcpr_other", client.connection.items[0]["id"]):
        item = {"type": "mcp_approval_response", "approval_request_id": wrong, "approve": True}
        error = client.refused("conversation.item.create", item=item)
        assert (error["code"], error["param"]) == ("invalid_value", "item.approval_request_id")
    item = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True, "id": "answer_1"}
    added = client.send("conversation.item.create", item=item, previous_item_id=request["id"])[0]
    assert (added["item"], added["previous_item_id"]) == (item, request["id"])
    # Without an id, as the official JavaScript client answers.
    assert answer(client, request, approve=True)[0]["type"] == "error"


@pytest.mark.parametrize(
    ("required", "search", "delete"),
    [
        ("always", True, True),
        ("never", False, False),
        (None, True, True),
        ({"never": {"tool_names": ["search"]}}, False, True),
        ({"always": {"tool_names": ["delete"]}}, False, True),
        ({"always": {"read_only": False}, "never": {"read_only": True}}, False, True),
        ({"always": {"tool_names": ["delete"]}, "never": {"tool_names": ["other"]}}, True, True),
        ({"always": {"tool_names": ["search"]}, "never": {"tool_names": ["search"]}}, False, True),
        ({}, True, True),
    ],
)
def test_which_calls_need_an_approval(drive: Any, required: Any, search: bool, delete: bool) -> None:
    script = [[calls_mcp("docs", "search"), calls_mcp("docs", "delete")]]
    client = connected(drive, *script, require_approval=required)
    client.respond()
    names = [request["name"] for request in requests(client)]
    assert (("search" in names), ("delete" in names)) == (search, delete)


def test_by_default_each_call_needs_an_approval(drive: Any) -> None:
    client = connected(drive, calls_mcp("docs", "not offered"))
    client.respond()
    assert len(requests(client)) == 1


# --- items of a client ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        {"type": "mcp_list_tools", "id": "mine", "server_label": "docs", "tools": [SEARCH]},
        {"type": "mcp_approval_request", "id": "mine", "server_label": "docs", "name": "f", "arguments": "{}"},
        {"type": "mcp_call", "id": "mine", "server_label": "docs", "name": "f", "arguments": "{}", "output": "x"},
        *(
            {
                "type": "mcp_call",
                "id": "mine",
                "server_label": "docs",
                "name": "f",
                "arguments": "{}",
                "error": {"type": kind, "message": "?"} | ({} if kind == "tool_execution_error" else {"code": 1}),
            }
            for kind in MCP_ERRORS
        ),
    ],
    ids=lambda item: item["type"],
)
def test_what_happened_elsewhere_may_be_seeded(drive: Any, item: dict[str, Any]) -> None:
    client = drive()
    assert client.send("conversation.item.create", item=item)[0]["item"] == item
    assert client.wait(10) == []
    if item["type"] == "mcp_approval_request":
        assert answer(client, item, approve=True)[0]["type"] == "error", "nothing waits for it"
