"""A client of a simulated connection without Trio, and the rules that whatever the server sends must keep."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from trio_realtime.testing import Simulator

Event = dict[str, Any]


class Drive:
    """Plays the client: sends events, lets time pass, keeps all that the server sent."""

    def __init__(self, simulator: Simulator | None = None, *, connecting: Event | None = None, **query: str) -> None:
        self.simulator = simulator or Simulator()
        self.now = 1000.0
        query = query or {"model": "gpt-realtime-2.1"}
        self.connection: Any = self.simulator.connect(
            query, now=self.now, unix_time=1_800_000_000.25, **(connecting or {})
        )
        self.events: list[Event] = []
        self._order = self._held()
        self.wait(0)

    def _seen(self, events: list[Event]) -> list[Event]:
        events = json.loads(json.dumps(events, allow_nan=False))
        self.events += events
        self._check_places(events)
        return events

    def _held(self) -> list[str]:
        """The ids of what the server holds; a translation has no items."""
        return [item["id"] for item in getattr(self.connection, "items", [])]

    def _check_places(self, events: list[Event]) -> None:
        """Who goes by the predecessors that are stated has the items in the order in which the server has them."""
        held = self._held()
        added = {"conversation.item.added", "conversation.item.created"}  # in the two dialects
        for event in events:
            if event["type"] in added and event["item"]["id"] in held:  # what a test says by itself is not
                self._order.insert(_place_behind(event["previous_item_id"], self._order), event["item"]["id"])
        self._order = [item_id for item_id in self._order if item_id in held]  # the others were deleted
        assert self._order == held

    def send(self, event_type: str, **fields: Any) -> list[Event]:
        """Send an event and return what answers it at once."""
        return self.send_raw(json.dumps({"type": event_type, **fields}))

    def send_raw(self, message: str | bytes, *, binary: bool = False) -> list[Event]:
        return self._seen(self.connection.receive(message, self.now, binary=binary))

    def refused(self, event_type: str, **fields: Any) -> Event:
        """Send an event that is refused and return the error."""
        (event,) = self.send(event_type, event_id="mine", **fields)
        assert event["type"] == "error", event
        assert event["error"]["event_id"] == "mine"
        return dict(event["error"])

    def wait(self, seconds: float) -> list[Event]:
        """Let time pass and return what the server sent meanwhile."""
        self.now += seconds
        return self._seen(self.connection.advance(self.now))

    def say(self, text: str, **fields: Any) -> list[Event]:
        """Write a user message."""
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        return self.send("conversation.item.create", item=item, **fields)

    def speak(self, audio: bytes, chunk_bytes: int = 4800) -> list[Event]:
        """Append audio in chunks, without letting time pass."""
        events = []
        for start in range(0, len(audio), chunk_bytes):
            chunk = base64.b64encode(audio[start : start + chunk_bytes]).decode()
            events += self.send("input_audio_buffer.append", audio=chunk)
        return events

    def respond(self, seconds: float = 60, **response: Any) -> list[Event]:
        """Ask for a response and return it whole."""
        return self.send("response.create", **({"response": response} if response else {})) + self.wait(seconds)

    def configure(self, **session: Any) -> Event:
        """Update the session and return its whole configuration."""
        (event,) = self.send("session.update", session={"type": self.connection.session["type"], **session})
        assert event["type"] == "session.updated", event
        return dict(event["session"])


def types(events: list[Event]) -> list[str]:
    """List the types of events, runs of one type as one."""
    names = [event["type"] for event in events]
    return [name for index, name in enumerate(names) if not index or names[index - 1] != name]


def check_order(events: list[Event]) -> None:
    """Check that events keep the order that was observed on the wire, and agree with each other."""
    ids = [event["event_id"] for event in events]
    assert len(set(ids)) == len(ids)
    responses: dict[str, Event] = {}
    active: set[str] = set()
    outputs: dict[str, Event] = {}  # output items under way
    mcp = McpOrder()
    sounding: set[str] = set()  # the response that a call's server plays
    items: dict[str, str] = {}  # conversation items: what was said of them last
    order: list[str] = []
    previous: dict[str, set[str | None]] = {}  # the predecessors that may be stated when they are done
    committed: dict[str, str | None] = {}
    transcripts: dict[str, str] = {}
    for index, event in enumerate(events):
        kind = event["type"]
        mcp.check(event)
        if kind.startswith("response.") and not mcp.beside_the_response(event):
            _check_response_event(event, responses, active, outputs)
            if kind == "response.done":
                assert events[index + 1]["type"] == "rate_limits.updated"
        elif kind == "output_audio_buffer.started":
            assert not sounding
            sounding.add(event["response_id"])
        elif kind == "output_audio_buffer.stopped":
            sounding.remove(event["response_id"])
        elif kind == "output_audio_buffer.cleared":
            sounding.discard(event["response_id"])
        elif kind == "conversation.item.added":
            assert event["item"]["id"] not in items
            assert event["previous_item_id"] is None or event["previous_item_id"] in items
            items[event["item"]["id"]] = "added"
            previous[event["item"]["id"]] = _predecessors_when_done(event, order)
            order.insert(_place_behind(event["previous_item_id"], order), event["item"]["id"])
            assert event["previous_item_id"] == committed.pop(event["item"]["id"], event["previous_item_id"])
        elif kind == "conversation.item.done":
            assert items[event["item"]["id"]] == "added"
            items[event["item"]["id"]] = "done"
            assert event["previous_item_id"] in previous[event["item"]["id"]]
        elif kind == "input_audio_buffer.committed":
            committed[event["item_id"]] = event["previous_item_id"]
        elif kind == "conversation.item.deleted":
            assert items.pop(event["item_id"])
            order.remove(event["item_id"])
        elif kind == "conversation.item.input_audio_transcription.delta":
            transcripts[event["item_id"]] = transcripts.get(event["item_id"], "") + event["delta"]
        elif kind == "conversation.item.input_audio_transcription.completed":
            # One model puts a space before the first word of the deltas.
            assert transcripts.pop(event["item_id"], "").removeprefix(" ") == event["transcript"].removeprefix(" ")


def _place_behind(previous: str | None, order: list[str]) -> int:
    return 0 if previous is None else order.index(previous) + 1


def _predecessors_when_done(added: Event, order: list[str]) -> set[str | None]:
    """The same as when it was added; but of an output that stood second then, the real server states none."""
    item, previous = added["item"], added["previous_item_id"]
    is_output = item.get("role") == "assistant" or item["type"] in {"function_call", "mcp_call"}
    return {previous, None} if is_output and order[:1] == [previous] else {previous}


class McpOrder:
    """Knows how far each listing and each call of an MCP server has come."""

    def __init__(self) -> None:
        self._stage: dict[str, str] = {}

    def beside_the_response(self, event: Event) -> bool:
        """Whether an event of a call may come when the response is over."""
        kind = str(event["type"])
        finished = kind == "response.output_item.done" and str(event["item"]["type"]) == "mcp_call"
        return finished or kind.startswith("response.mcp_call.")

    def check(self, event: Event) -> None:
        kind = event["type"]
        item = event.get("item", {})
        if kind.startswith("mcp_list_tools."):
            how = kind.removeprefix("mcp_list_tools.")
            assert self._stage.get(event["item_id"]) == ("added" if how == "in_progress" else "in_progress")
            self._stage[event["item_id"]] = how
        elif kind == "conversation.item.added" and item["type"] == "mcp_list_tools":
            assert item["tools"] == []
            self._stage[item["id"]] = "added"
        elif kind == "conversation.item.done" and item["type"] == "mcp_list_tools":
            assert self._stage[item["id"]] == ("completed" if item["tools"] else "failed")
        elif kind == "response.output_item.added" and item["type"] == "mcp_call":
            self._stage[item["id"]] = "added"
        elif kind == "response.mcp_call_arguments.done":
            assert self._stage[event["item_id"]] == "added"
            self._stage[event["item_id"]] = "argued"
        elif kind == "response.mcp_call.in_progress":
            assert self._stage[event["item_id"]] == "argued"
            self._stage[event["item_id"]] = "in_progress"
        elif kind == "response.mcp_call.completed":
            assert self._stage[event["item_id"]] == "in_progress"
            self._stage[event["item_id"]] = "completed"
        elif kind == "response.mcp_call.failed":
            assert self._stage[event["item_id"]] in {"argued", "in_progress"}  # the former where it was not approved
            self._stage[event["item_id"]] = "failed"
        elif kind == "response.output_item.done" and item["type"] == "mcp_call":
            ends = {"completed": "output", "failed": "error"}
            stage = self._stage[item["id"]]
            assert stage in {*ends, "argued"}  # the last where the response was cut short
            assert all((item[name] is not None) == (stage == end) for end, name in ends.items())


def _check_response_event(
    event: Event, responses: dict[str, Event], active: set[str], outputs: dict[str, Event]
) -> None:
    kind = event["type"].removeprefix("response.")
    if kind == "created":
        response = event["response"]
        assert response["id"] not in responses
        assert (response["status"], response["output"], response["usage"]) == ("in_progress", [], None)
        if response["conversation_id"] is not None:
            assert not any(responses[other]["conversation_id"] for other in active)
        responses[response["id"]] = {**response, "done_items": []}
        active.add(response["id"])
        return
    if kind == "done":
        _check_done(event["response"], responses)
        active.remove(event["response"]["id"])
        return
    response = responses[event["response_id"]]
    assert event["response_id"] in active
    if kind == "output_item.added":
        item = event["item"]
        assert item["type"] == "mcp_call" or item["status"] == "in_progress"
        outputs[item["id"]] = {"index": event["output_index"], "text": "", "transcript": "", "stage": "open"}
        return
    output = outputs[event["item_id"] if "item_id" in event else event["item"]["id"]]
    assert event["output_index"] == output["index"]
    assert output["stage"] != "over"
    if kind == "output_item.done":
        output["stage"] = "over"
        response["done_items"].append(event["item"])
    elif kind == "content_part.done":
        assert event["part"].get("text", event["part"].get("transcript")) == output["text"]
    elif kind.endswith(".delta"):
        assert output["stage"] == "open"
        if kind != "output_audio.delta":
            output["text"] += event["delta"]
    elif kind.endswith(".done"):
        output["stage"] = "done"
        for name in ("text", "transcript", "arguments"):
            assert event.get(name, output["text"]) == output["text"]


def _check_done(response: Event, responses: dict[str, Event]) -> None:
    created = responses[response["id"]]
    # What it calls of MCP servers goes on after it.
    assert [item for item in response["output"] if item["type"] != "mcp_call"] == created["done_items"]
    assert response["metadata"] == created["metadata"]
    assert (response["status"] == "completed") == (response["status_details"] is None)
    if response["status"] == "failed":
        assert response["usage"] is None
        return
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    inputs, made = usage["input_token_details"], usage["output_token_details"]
    assert usage["input_tokens"] == inputs["text_tokens"] + inputs["audio_tokens"] + inputs["image_tokens"]
    assert usage["output_tokens"] == made["text_tokens"] + made["audio_tokens"]
    cached = inputs["cached_tokens_details"]
    assert inputs["cached_tokens"] == sum(cached.values())
    assert all(cached[kind] <= inputs[kind] for kind in cached)


@pytest.fixture(scope="session")
def drive() -> Any:
    """The class of a client without Trio."""
    return Drive


@pytest.fixture(scope="session")
def wire() -> Any:
    """The functions that judge what the server sent."""

    class Wire:
        pass

    judge: Any = Wire()
    judge.types, judge.check_order = types, check_order
    return judge
