"""What an issue says of a frame: why, where, of which event, and what could be kept of it."""

import json
from typing import Any

import pytest

from trio_realtime.wire.codec import Codec
from trio_realtime.wire.items import InputText, Message
from trio_realtime.wire.responses import Response, StatusDetails, Usage
from trio_realtime.wire.server_events import (
    ConversationItemAdded,
    Error,
    ErrorDetails,
    ProtocolIssue,
    RateLimit,
    RateLimitsUpdated,
    ResponseDone,
    SessionCreated,
)
from trio_realtime.wire.session_config import AudioInfo, AudioInputInfo, ServerVad, SessionInfo


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"[1]", "expected an object, got list"),
        (b"null", "expected an object, got NoneType"),
        (b"{}", "an event without a type"),
        (b'{"type": 5}', "an event without a type"),
        (b"NaN", "not JSON: NaN is no JSON"),
        (b"{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[" * 100_000, "nested too deeply"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_event_is_shown_with_the_reason(payload: bytes, reason: str) -> None:
    issue = Codec().decode(payload)
    assert isinstance(issue, ProtocolIssue)
    assert (issue.reason, issue.event_type, issue.event) == (reason, None, None)
    assert issue.excerpt.startswith(payload[:50].decode())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "Object missing required field `item_id` - at `$`"),
        ({"item_id": "a"}, "Object missing required field `delta` - at `$`"),
        ({"item_id": "a", "delta": 5}, "Expected `str`, got `int` - at `$.delta`"),
        ({"item_id": [], "delta": "x"}, "Expected `str`, got `array` - at `$.item_id`"),
    ],
    ids=str,
)
def test_an_event_that_lacks_what_it_needs_is_shown_with_the_place(fields: dict[str, Any], reason: str) -> None:
    payload = json.dumps({"type": "response.output_text.delta", **fields}).encode()
    issue = Codec().decode(payload)
    assert issue == ProtocolIssue(
        event_type="response.output_text.delta", reason=reason, excerpt=payload.decode(), event=None
    )


TURN_DETECTION = {"type": "server_vad", "threshold": 7, "silence_duration_ms": 500}
PARTS = [{"type": "input_text", "text": 5}, {"type": "input_text", "text": "Hi"}]


@pytest.mark.parametrize(
    ("raw", "reason", "event"),
    [
        (
            {"type": "rate_limits.updated", "event_id": 5, "rate_limits": [{"name": 1}, 2, {"limit": 3}]},
            (
                "Expected `str | null`, got `int` - at `$.event_id`; "
                "Expected `str | null`, got `int` - at `$.rate_limits[0].name`; "
                "Expected `object`, got `int` - at `$.rate_limits[1]`"
            ),
            RateLimitsUpdated(rate_limits=[RateLimit(), RateLimit(limit=3)]),
        ),
        (
            {
                "type": "conversation.item.added",
                "item": {"type": "message", "role": "user", "content": PARTS},
                "previous_item_id": "a",
            },
            "Expected `str | null`, got `int` - at `$.item.content[0].text`",
            ConversationItemAdded(
                item=Message(role="user", content=[InputText(), InputText(text="Hi")]), previous_item_id="a"
            ),
        ),
        (
            {"type": "session.created", "session": {"type": "realtime", "tools": [{"type": "function", "name": 5}]}},
            "Expected `str`, got `int` - at `$.session.tools[0].name`",
            SessionCreated(session=SessionInfo(tools=[])),
        ),
        (
            {"type": "response.done", "response": {"id": "r", "metadata": {"a": 5}}},
            "Expected `str`, got `int` - at `$.response.metadata`",
            ResponseDone(response=Response(id="r")),
        ),
        (
            {"type": "error", "error": {"message": 5, "code": "c"}},
            "Expected `str | null`, got `int` - at `$.error.message`",
            Error(error=ErrorDetails(code="c")),
        ),
        (
            {
                "type": "response.done",
                "response": {"status_details": {"error": 7, "type": 8}, "usage": {"total_tokens": "x"}, "id": "r"},
            },
            (
                "Expected `str | null`, got `int` - at `$.response.status_details.type`; "
                "Expected `object | null`, got `int` - at `$.response.status_details.error`; "
                "Expected `int | null`, got `str` - at `$.response.usage.total_tokens`"
            ),
            ResponseDone(response=Response(status_details=StatusDetails(), usage=Usage(), id="r")),
        ),
        (
            {
                "type": "session.created",
                "session": {"type": "realtime", "audio": {"input": {"turn_detection": TURN_DETECTION}}},
            },
            "Expected `float` <= 1.0 - at `$.session.audio.input.turn_detection.threshold`",
            SessionCreated(
                session=SessionInfo(
                    audio=AudioInfo(input=AudioInputInfo(turn_detection=ServerVad(silence_duration_ms=500)))
                )
            ),
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_event_that_lost_something_is_shown_with_what_was_kept(raw: dict[str, Any], reason: str, event: Any) -> None:
    issue = Codec().decode(json.dumps(raw).encode())
    assert isinstance(issue, ProtocolIssue)
    assert (issue.event_type, issue.reason, issue.event) == (raw["type"], reason, event)
    assert issue.excerpt.startswith('{"type": ')


def test_a_member_of_a_list_that_cannot_be_read_is_placed_in_the_list() -> None:
    raw = {"type": "rate_limits.updated", "rate_limits": [{"limit": 1}, [], {"limit": "x"}]}
    issue = Codec().decode(json.dumps(raw).encode())
    assert isinstance(issue, ProtocolIssue)
    assert issue.event == RateLimitsUpdated(rate_limits=[RateLimit(limit=1), RateLimit()])
    assert issue.reason == (
        "Expected `object`, got `array` - at `$.rate_limits[1]`; "
        "Expected `int | null`, got `str` - at `$.rate_limits[2].limit`"
    )
