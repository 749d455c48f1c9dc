"""Whether an event that a client sends now stands for one that was recorded, and which ids stand for which."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, cast

from ...wire.excerpt import excerpt
from ..server import Json
from .recording import RecordedMessage

Names = dict[str, str]
"""Ids of the recording, and those that stand for them now."""

_MOST_DIFFERENCES = 3
_LONGEST_VALUE = 60


def renamed(value: Any, names: Names) -> Any:
    """A copy of JSON in which every string that is an id of the recording is the one that stands for it."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [renamed(member, names) for member in cast("list[object]", value)]
    if isinstance(value, dict):
        return {name: renamed(member, names) for name, member in cast("Json", value).items()}
    return value


def differences(expected: Json, event: Json, names: Names, assigned_item_id: str | None) -> list[str]:
    """How an event differs from the recorded one, in words; nothing when they stand for each other.

    Then the ids that the client made up are in `names`.

    Args:
        expected: As recorded.
        event: As sent now; both redacted.
        names: What is known of ids.
        assigned_item_id: What the server called the item, where the recorded event did not say it.
    """
    if expected.get("type") != event.get("type"):
        return [f"expected {expected.get('type')}, got {event.get('type')}"]
    expected, event = deepcopy(expected), deepcopy(event)
    fresh: Names = {}
    _leave_out_request_name(expected, event)
    _pair(expected, event, "event_id", fresh)
    if event["type"] == "conversation.item.create" and _both_objects(expected.get("item"), event.get("item")):
        _pair(expected["item"], event["item"], "id", fresh, assigned_item_id)
    wrong = list(_different(renamed(expected, {**names, **fresh}), event, ""))
    if not wrong:
        names.update(fresh)
    return wrong[:_MOST_DIFFERENCES]


def assigned_item_ids(messages: Sequence[RecordedMessage]) -> dict[int, str]:
    """What the server called the items that a client created without an id, by the line of the request."""
    assigned: dict[int, str] = {}
    nameless: list[tuple[int, Json]] = []
    outputs: set[object] = set()  # items that are the server's own
    for message in messages:
        event = message.content
        if not isinstance(event, dict):
            continue
        item: Any = event.get("item")
        match event.get("type"):
            case "conversation.item.create" if isinstance(item, dict) and "id" not in item:
                nameless.append((message.line, cast("Json", item)))
            case "response.output_item.added" if isinstance(item, dict):
                outputs.add(cast("Json", item).get("id"))
            case "input_audio_buffer.committed":
                outputs.add(event.get("item_id"))
            case "conversation.item.added" | "conversation.item.created" if isinstance(item, dict):
                held = cast("Json", item)
                if nameless and held.get("id") not in outputs and _same_kind(nameless[0][1], held):
                    assigned[nameless.pop(0)[0]] = str(held.get("id"))
            case _:
                pass
    return assigned


def _same_kind(item: Json, held: Json) -> bool:
    return all(item.get(name) == held.get(name) for name in ("type", "role", "call_id"))


def _pair(expected: Json, event: Json, name: str, fresh: Names, otherwise: str | None = None) -> None:
    """Let what both call `name` stand for each other, and leave it out where one of them has none."""
    then, now = expected.get(name, otherwise), event.get(name)
    if isinstance(then, str) and isinstance(now, str):
        fresh[then] = now
        expected[name] = then
    else:
        expected.pop(name, None)
        event.pop(name, None)


def _both_objects(one: object, other: object) -> bool:
    return isinstance(one, dict) and isinstance(other, dict)


def _leave_out_request_name(expected: Json, event: Json) -> None:
    """This library names a request in its metadata by the id of its event; in recordings of others there is none."""
    response: Any = event.get("response")
    if "event_id" in expected or event["type"] != "response.create" or not isinstance(response, dict):
        return
    params = cast("Json", response)
    metadata: Any = params.get("metadata")
    if isinstance(metadata, dict):
        named = cast("Json", metadata)
        params["metadata"] = {key: value for key, value in named.items() if value != event.get("event_id")}
        if not params["metadata"]:
            del params["metadata"]
    if not params:
        del event["response"]


def _different(expected: Any, got: Any, where: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(got, dict):
        then, now = cast("Json", expected), cast("Json", got)
        for name in sorted(then.keys() | now.keys()):
            place = f"{where}.{name}" if where else name
            if name not in now:
                yield f"expected {place}={_shown(then[name])}, which is missing"
            elif name not in then:
                yield f"got {place}={_shown(now[name])}, which was not there"
            else:
                yield from _different(then[name], now[name], place)
    elif isinstance(expected, list) and isinstance(got, list):
        yield from _different_members(cast("list[object]", expected), cast("list[object]", got), where)
    elif expected != got:
        yield f"expected {where}={_shown(expected)}, got {_shown(got)}"


def _different_members(expected: list[object], got: list[object], where: str) -> Iterator[str]:
    if len(expected) != len(got):
        yield f"expected {len(expected)} of {where}, got {len(got)}"
        return
    for index, (then, now) in enumerate(zip(expected, got, strict=True)):
        yield from _different(then, now, f"{where}[{index}]")


def _shown(value: Any) -> str:
    text = excerpt(json.dumps(value))
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."
