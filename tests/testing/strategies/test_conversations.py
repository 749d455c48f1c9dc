"""Histories of conversations: valid, whole, with all that a session may bring, and simple when they are shrunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings

from trio_realtime.testing import calls, says, strategies
from trio_realtime.testing.strategies import (
    Asks,
    Cancels,
    Clears,
    Commits,
    Configures,
    Deletes,
    History,
    Interrupts,
    IsSilent,
    Retrieves,
    Returns,
    Speaks,
    Step,
    Waits,
    Writes,
    conversations,
    play_conversation,
    programs,
    scripts,
)
from trio_realtime.wire import client_events as client, server_events as server
from trio_realtime.wire.items import FunctionCallOutput, InputAudio, Message, OutputAudio
from trio_realtime.wire.session_config import AudioConfig, AudioInputConfig, ServerVad, SessionConfig


def situations(history: History) -> Iterator[str]:
    """Tell what happens in a history."""
    for event in history.server_events:
        match event:
            case server.Error(error=error):
                yield f"error: {error.code}"
            case server.ResponseDone(response=response) if response is not None:
                yield f"response: {response.status_details.reason if response.status_details else response.status}"
                yield "answer beside the conversation" if response.conversation_id is None else "answer"
            case server.ConversationItemTruncated(audio_end_ms=ms):
                yield "truncated to nothing" if ms == 0 else "truncated"
            case _:
                yield type(event).__name__
    yield from (type(event).__name__ for event in history.client_events)
    for item in history.items:
        parts = item.content if isinstance(item, Message) else []
        yield from (f"{type(part).__name__} with audio" for part in parts if getattr(part, "audio", None))
        if isinstance(item, FunctionCallOutput):
            yield "output of a call"


EXPECTED = {
    "InputAudio with audio",
    "OutputAudio with audio",
    "answer",
    "answer beside the conversation",
    "error: conversation_already_has_active_response",
    "error: input_audio_buffer_commit_empty",
    "error: response_cancel_not_active",
    "output of a call",
    "response: client_cancelled",
    "response: completed",
    "response: max_output_tokens",
    "response: turn_detected",
    "truncated",
    "truncated to nothing",
    "ConversationItemInputAudioTranscriptionCompleted",
    "ConversationItemInputAudioTranscriptionDelta",
    "ConversationItemInputAudioTranscriptionFailed",
    "InputAudioBufferCleared",
    "ResponseFunctionCallArgumentsDone",
    "ResponseOutputTextDelta",
    *[kind.__name__ for kind in client.ClientEvent.__args__ if kind is not client.OutputAudioBufferClear],
}


def test_histories_are_valid_and_whole_and_bring_everything(wire: Any) -> None:
    seen: set[str] = set()

    @settings(max_examples=300, phases=[Phase.generate], derandomize=True, database=None)
    @given(conversations())
    def check(history: History) -> None:
        seen.update(situations(history))
        raws = [entry.raw for entry in history.entries if entry.source == "server"]
        wire.check_order(raws)
        assert [entry.time for entry in history.entries] == sorted(entry.time for entry in history.entries)
        begun = sum(raw["type"] == "response.created" for raw in raws)
        assert begun == sum(raw["type"] == "response.done" for raw in raws), "nothing is under way at the end"
        for entry in history.entries:
            assert not isinstance(entry.event, server.ProtocolIssue | server.UnknownEvent)

    check()
    assert seen >= EXPECTED


def test_a_history_is_shrunk_to_a_program_that_can_be_read() -> None:
    def is_interrupted_by_speech(history: History) -> bool:
        return "response: turn_detected" in set(situations(history))

    simplest = find(conversations(), is_interrupted_by_speech, settings=settings(max_examples=2000, database=None))
    assert [type(step) for step in simplest.program] == [Asks, Speaks]
    assert len(repr(simplest)) < 150, simplest


def test_the_repr_of_a_history_makes_it_again() -> None:
    program: list[Step] = [
        Configures(SessionConfig(audio=AudioConfig(input=AudioInputConfig(turn_detection=None)))),
        Writes("Hi", role="system", after=-1),
        Speaks(300, pause_ms=0),
        Commits(),
        Asks(),
    ]
    history = play_conversation(program, script=[says("Hello.")], transcripts=["What?"])
    names = {**vars(strategies), **{kind.__name__: kind for kind in (SessionConfig, AudioConfig, AudioInputConfig)}}
    names["Says"] = type(says(""))
    assert eval(repr(history), names) == history
    assert repr(play_conversation([])) == "play_conversation([])"
    assert repr(history.entries[-1]).startswith("<1.660 s, server: RateLimitsUpdated(")


def sent(*program: Step, script: Any = ()) -> list[Any]:
    """The events that a program sends, without their ids."""
    events: list[Any] = []
    for entry in play_conversation(program, script=script).entries:
        if entry.source == "client":
            raw = {key: value for key, value in entry.raw.items() if key != "event_id"}
            events.append(raw)
    return events


def test_each_step_sends_what_it_says() -> None:
    assert sent(Waits(100), Deletes(), Retrieves(), Interrupts(), Returns()) == [], "there is nothing to do it to"
    assert [event["type"] for event in sent(Speaks(250, pause_ms=100), IsSilent(50))] == [
        "input_audio_buffer.append"
    ] * 5
    assert sent(Commits(), Clears(), Cancels(), Asks(), Asks(beside=True, modality="text")) == [
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.clear"},
        {"type": "response.cancel"},
        {"type": "response.create"},
        {"type": "response.create", "response": {"conversation": "none", "output_modalities": ["text"]}},
    ]
    assert sent(Configures(SessionConfig(instructions="x"))) == [
        {"type": "session.update", "session": {"type": "realtime", "instructions": "x"}}
    ]
    written = sent(Writes("a"), Writes("b", role="assistant", after=-1), Writes("c", after=1), Deletes(2), Retrieves(4))
    assert [event.get("previous_item_id") for event in written] == [None, "root", "item_1", None, None]
    assert written[1]["item"] == {
        "id": "item_2",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "b"}],
    }
    assert [event.get("item_id") for event in written[3:]] == ["item_3", "item_2"]


def test_an_interruption_cuts_what_has_come_and_stops_what_is_under_way() -> None:
    cancelled, truncated = sent(Asks(), Interrupts(50), script=[says("x", audio=2.0)])[1:]
    assert cancelled == {"type": "response.cancel"}
    assert (truncated["type"], truncated["audio_end_ms"]) == ("conversation.item.truncate", 100)
    over = sent(Asks(), Waits(5000), Interrupts(50), Interrupts(50), script=[says("x", audio=2.0)])[1:]
    assert [(event["type"], event["audio_end_ms"]) for event in over] == [
        ("conversation.item.truncate", 1000),
        ("conversation.item.truncate", 500),
    ]


def test_each_call_gets_one_output() -> None:
    script = [[calls("f", call_id="call_1"), calls("g", call_id="call_2")]]
    outputs = sent(Asks(), Waits(5000), Returns("1"), Returns("2"), script=script)[1:]
    assert [(event["item"]["call_id"], event["item"]["output"]) for event in outputs] == [
        ("call_1", "1"),
        ("call_2", "1"),
    ]


def test_the_items_are_what_the_server_holds_with_audio() -> None:
    history = play_conversation([Speaks(500), Waits(5000)], script=[says("Yes.", audio=0.5)], transcripts=["Really?"])
    spoken, answer = history.items
    assert isinstance(spoken, Message)
    assert isinstance(answer, Message)
    assert isinstance(spoken.content[0], InputAudio)
    assert isinstance(answer.content[0], OutputAudio)
    assert len(spoken.content[0].audio or b"") >= 48 * 500
    came = b"".join(
        [event.delta for event in history.server_events if isinstance(event, server.ResponseOutputAudioDelta)]
    )
    assert answer.content[0].audio == came
    assert len(came) == 48 * 500


def test_a_server_that_asks_for_ever_whether_somebody_is_there_is_told_not_to() -> None:
    heard = AudioInputConfig(turn_detection=ServerVad(idle_timeout_ms=5_000))
    history = play_conversation([Configures(SessionConfig(audio=AudioConfig(input=heard))), Asks(), Waits(20_000)])
    assert "InputAudioBufferTimeoutTriggered" in set(situations(history))
    assert history.entries[-1].time < 30
    off = SessionConfig(audio=AudioConfig(input=AudioInputConfig(turn_detection=None)))
    assert history.client_events[-1] == client.SessionUpdate(event_id="event_3", session=off)


def test_what_is_no_step_is_refused() -> None:
    with pytest.raises(TypeError, match="a program is made of steps, not of 'Hi'"):
        play_conversation(["Hi"])  # type: ignore[list-item]


@given(conversations(programs=programs().map(lambda program: (Asks(), *program)), scripts=scripts()))
@settings(max_examples=10)
def test_the_parts_of_a_history_can_be_chosen(history: History) -> None:
    assert isinstance(history.client_events[0], client.ResponseCreate)
