"""What matters of an event, in one line of words."""

import json
from typing import Literal, cast

from ..testing.server import Json

Tone = Literal["plain", "repeated", "warning", "error"]
"""How much it wants to be seen."""

_LONGEST_INSTRUCTIONS = 100
_NOT_SHOWN = {
    *("type", "event_id", "obfuscation", "response_id", "item_id", "previous_item_id"),
    *("output_index", "content_index"),
}


def described(kind: str, event: Json) -> tuple[str, Tone]:
    """What matters of an event, and how much it wants to be seen."""
    # An item is told in its deltas, or where the client creates it, and then some six times more.
    tone: Tone = "repeated" if kind.endswith((".done", ".added")) else "plain"
    match kind, event:
        case "error" | "conversation.item.input_audio_transcription.failed", _:
            return _error_words(json_object(event.get("error"))), "error"
        case "response.done", _:
            return _ended(json_object(event.get("response")))
        case "response.created", _:
            beside = json_object(event.get("response")).get("conversation_id", "") is None
            return "beside the conversation" if beside else "", "plain"
        case "response.create", _:
            return _fields(json_object(event.get("response")), {"metadata"}), "plain"
        case "session.created" | "session.updated" | "session.update", _:
            return _session_words(json_object(event.get("session"))), "plain"
        case "conversation.item.input_audio_transcription.completed", {"transcript": str() as words}:
            return words, "plain"
        case "conversation.item.truncate" | "conversation.item.truncated", {"audio_end_ms": end_ms}:
            return f"at {number(end_ms):,} ms", "warning"
        case "response.function_call_arguments.done", {"arguments": str() as arguments}:
            return f"{event.get('name') or 'call'} {arguments}", "plain"
        case "rate_limits.updated", _:
            return ", ".join(_limit_words(json_object(limit)) for limit in _list(event.get("rate_limits"))), "repeated"
        case _, {"item": dict()}:
            return _item_words(json_object(event["item"])), tone
        case _, {"part": dict()}:
            return _part_words(json_object(event["part"])), tone
        case _, {"text": str() as words} | {"transcript": str() as words}:
            return words, tone
        case _, {"audio_start_ms": ms} | {"audio_end_ms": ms}:
            return f"at {number(ms):,} ms", "plain"
        case _:
            return _fields(event, _NOT_SHOWN), tone


def _ended(response: Json) -> tuple[str, Tone]:
    status = str(response.get("status"))
    details = json_object(response.get("status_details"))
    usage = json_object(response.get("usage"))
    reason = details.get("reason")
    words = [status if reason in {None, status} else f"{status} ({reason})"]
    if error := json_object(details.get("error")):
        words.append(_error_words(error))
    if usage:
        words.append(f"tokens: {number(usage.get('input_tokens')):,} in, {number(usage.get('output_tokens')):,} out")
    tone: Tone = "plain" if status == "completed" else "error" if status == "failed" else "warning"
    return "; ".join(words), tone


def _session_words(session: Json) -> str:
    audio = json_object(session.get("audio"))
    heard, spoken = json_object(audio.get("input")), json_object(audio.get("output"))
    words = [str(session["model"])] if session.get("model") else []
    if modalities := session.get("output_modalities"):
        words.append(" and ".join(map(str, modalities)))
    if voice := spoken.get("voice"):
        words.append(f"voice {voice if isinstance(voice, str) else json_object(voice).get('id')}")
    if "turn_detection" in heard:
        words.append(f"turns by {json_object(heard['turn_detection']).get('type', 'hand')}")
    if transcription := json_object(heard.get("transcription")):
        words.append(f"transcription by {transcription.get('model')}")
    if tools := _list(session.get("tools")):
        words.append("tools " + " ".join(_tool_name(json_object(each)) for each in tools))
    if instructions := session.get("instructions"):
        words.append(f'"{_beginning(str(instructions))}"')
    return ", ".join(words)


def _beginning(text: str) -> str:
    return text if len(text) <= _LONGEST_INSTRUCTIONS else text[:_LONGEST_INSTRUCTIONS] + "..."


def _tool_name(tool: Json) -> str:
    return str(tool.get("name") or f"{tool.get('type')}:{tool.get('server_label')}")


def _item_words(item: Json) -> str:
    match item:
        case {"type": "message"}:
            words = " ".join(filter(None, (_part_words(json_object(part)) for part in _list(item.get("content")))))
            status = f" ({item['status']})" if item.get("status") in {"in_progress", "incomplete"} else ""
            return f"{item.get('role')}{status}: {words}".removesuffix(": ")
        case {"type": "function_call"}:
            return f"call {item.get('name')} {item.get('arguments') or ''}".rstrip()
        case {"type": "function_call_output"}:
            return f"result {item.get('output')}"
        case _:
            return _fields(item, {"id", "object"})


def _part_words(part: Json) -> str:
    match part:
        case {"text": str() as words} | {"transcript": str() as words} if words:
            return words
        case {"type": "input_image"}:
            return "[an image]"
        case {"type": str() as kind}:
            return f"[{kind}]"
        case _:
            return ""


def _error_words(error: Json) -> str:
    named = error.get("code") or error.get("type")
    about = f" (about {error['event_id']})" if error.get("event_id") else ""
    return f"{f'{named}: ' if named else ''}{error.get('message') or ''}{about}"


def _limit_words(limit: Json) -> str:
    return f"{limit.get('name')}: {number(limit.get('remaining')):,} of {number(limit.get('limit')):,} left"


def _fields(fields: Json, without: set[str]) -> str:
    """Whatever an object says, but for some names."""
    shown = {name: value for name, value in fields.items() if name not in without and value is not None}
    return " ".join(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in shown.items())


def json_object(value: object) -> Json:
    """The object that a value is, `{}` for anything else."""
    return cast("Json", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def number(value: object) -> int:
    """The number that a value is, 0 for anything else."""
    return int(value) if isinstance(value, int | float) else 0
