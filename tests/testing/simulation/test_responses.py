"""Responses: the order of their events, what is in them, how they end."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from trio_realtime.testing import ModelContext, ScriptedTurn, Simulator, calls, fails, incomplete, load_voice, says

AUDIO_TURN = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]


def only(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["type"] == kind]


def done(events: list[Any]) -> Any:
    (event,) = only(events, "response.done")
    return event["response"]


def audio_of(events: list[Any]) -> bytes:
    return b"".join(base64.b64decode(event["delta"]) for event in only(events, "response.output_audio.delta"))


def text_session(drive: Any, simulator: Simulator) -> Any:
    client = drive(simulator)
    client.configure(output_modalities=["text"])
    return client


def test_an_audio_turn_has_the_observed_order(drive: Any, wire: Any) -> None:
    client = drive(Simulator([says("Hi.", audio=0.1)]))
    added = client.say("Say a short greeting.")
    assert [event["type"] for event in added] == ["conversation.item.added", "conversation.item.done"]
    events = client.respond()
    assert list(dict.fromkeys(wire.types(events))) == AUDIO_TURN
    wire.check_order(client.events)
    response = done(events)
    assert response["output"][0]["content"] == [{"type": "output_audio", "transcript": "Hi."}]
    assert client.connection.items[-1] == response["output"][0]
    assert response["audio"]["output"]["voice"] == "marin"


def test_an_answer_stands_behind_what_it_answers(drive: Any) -> None:
    client = drive(Simulator([calls("f", call_id="call_1"), [says("One."), calls("f")]]))
    client.say("First")
    for _ in range(2):
        client.respond()
    added, finished = (
        [(event["item"]["id"], event["previous_item_id"]) for event in only(client.events, f"conversation.item.{kind}")]
        for kind in ("added", "done")
    )
    user, call, message, last = (item["id"] for item in client.connection.items)
    assert added == [(user, None), (call, user), (message, call), (last, message)]
    # What the real server says of the second item of a conversation, once it is done, is not so.
    assert finished == [(user, None), (call, None), (message, call), (last, message)]


def test_a_text_turn_has_no_audio(drive: Any, wire: Any) -> None:
    client = text_session(drive, Simulator([says("Just text, then.")]))
    events = client.respond()
    assert "response.output_text.done" in wire.types(events)
    assert not [event for event in events if "audio" in event["type"]]
    assert done(events)["output"][0]["content"] == [{"type": "output_text", "text": "Just text, then."}]
    wire.check_order(client.events)


def test_the_modality_of_one_response_leaves_the_session_alone(drive: Any) -> None:
    client = drive(Simulator([says("One"), says("Two")]))
    assert not audio_of(client.respond(output_modalities=["text"]))
    assert audio_of(client.respond())


@pytest.mark.parametrize(("model", "interleaved"), [("gpt-realtime-2.1", True), ("gpt-realtime", False)])
def test_a_message_and_calls_in_one_response(drive: Any, wire: Any, model: str, interleaved: bool) -> None:
    script = [[says("Let me check."), calls("get_weather", {"city": "Paris"}), calls("get_time", "{", call_id="c1")]]
    client = drive(Simulator(script), model=model)
    client.configure(output_modalities=["text"])
    events = client.respond()
    wire.check_order(client.events)
    message, weather, time = done(events)["output"]
    assert (weather["name"], weather["arguments"], weather["status"]) == (
        "get_weather",
        '{"city": "Paris"}',
        "completed",
    )
    assert (time["call_id"], time["arguments"]) == ("c1", "{")
    assert 0 < len(weather["call_id"]) <= 32
    names = [event["name"] for event in only(events, "response.function_call_arguments.done")]
    assert names == ["get_weather", "get_time"]
    order = [(event["type"], event["output_index"]) for event in events if "output_item" in event["type"]]
    first_done, second_added = (
        order.index(("response.output_item.done", 0)),
        order.index(("response.output_item.added", 1)),
    )
    assert (second_added < first_done) is interleaved
    assert [item["id"] for item in client.connection.items] == [message["id"], weather["id"], time["id"]]


@pytest.mark.parametrize("format_type", ["audio/pcm", "audio/pcmu", "audio/pcma"])
def test_speech_lasts_as_long_as_its_text(drive: Any, format_type: str) -> None:
    text = "This sentence is spoken, and it takes its time."
    client = drive(Simulator([says(text)]))
    client.configure(audio={"output": {"format": {"type": format_type}}})
    audio = audio_of(client.respond())
    rate = {"audio/pcm": 48, "audio/pcmu": 8, "audio/pcma": 8}[format_type]
    assert len(audio) == len(text) * 60 * rate
    assert len(set(audio)) > 50  # speech, not silence


def test_speech_is_a_loop_of_the_passage(drive: Any) -> None:
    passage = load_voice("passage")
    audio = audio_of(drive(Simulator([says("Long.", audio=20.0)])).respond())
    assert audio == (passage + passage)[: 20 * 48000]


def test_speech_may_be_given_as_audio_or_seconds(drive: Any) -> None:
    mine = load_voice("interruption")[:9602]
    client = drive(Simulator([says("Mine", audio=mine), says("Silent", audio=0), says("Long", audio=1.5)]))
    assert audio_of(client.respond()) == mine
    silent = client.respond()
    assert audio_of(silent) == b""
    assert done(silent)["output"][0]["content"][0]["transcript"] == "Silent"
    assert len(audio_of(client.respond())) == 72000


@pytest.mark.parametrize("audio", [b"odd", -1.0, float("inf"), float("nan")])
def test_speech_that_cannot_be_is_refused_by_the_script(audio: Any) -> None:
    with pytest.raises(ValueError, match=r"even number|cannot last"):
        says("?", audio=audio)


def test_the_pace_sets_when_deltas_are_due(drive: Any) -> None:
    client = drive(Simulator([says("?", audio=2.0)], pace=0.5, audio_delta_ms=100))
    client.send("response.create")
    assert len(audio_of(client.wait(0.499))) == 9 * 4800
    assert len(audio_of(client.wait(0.002))) == 4800
    assert done(client.wait(0.5))["status"] == "completed"
    assert client.connection.next_deadline() == 1000 + 3600


def test_a_late_caller_gets_the_same_events(drive: Any) -> None:
    def play(steps: list[float]) -> list[Any]:
        client = drive(Simulator([says("Same whatever the clock does."), says("Again.")], transcripts=["Hi"]))
        client.send("response.create")
        for step in steps:
            client.wait(step)
        return list(client.events)

    assert play([5.0]) == play([0.01] * 500)


def test_without_pace_all_is_due_at_once(drive: Any) -> None:
    client = drive(Simulator([says("Immediately, please.")], pace=0))
    client.send("response.create")
    assert client.connection.next_deadline() == client.now
    assert done(client.wait(0))["status"] == "completed"


@pytest.mark.parametrize(
    ("given", "told"), [("Hello!", "not of 'Hello!'"), (["Hello!"], "not of 'Hello!'"), (None, "not of None")]
)
def test_a_function_that_gives_something_else_is_a_mistake(drive: Any, given: Any, told: str) -> None:
    client = drive(Simulator([lambda _: given]))
    with pytest.raises(TypeError, match=f"made of says.*{told}"):
        client.respond()


def test_a_failure_has_details_and_no_usage(drive: Any, wire: Any) -> None:
    client = drive(Simulator([fails("rate_limit_exceeded", "Slow down.", "tokens"), [says("Half"), fails()]]))
    response = done(client.respond())
    assert response["status_details"] == {
        "type": "failed",
        "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "Slow down."},
    }
    assert (response["usage"], response["output"]) == (None, [])
    assert done(client.respond())["output"][0]["status"] == "incomplete"
    wire.check_order(client.events)


@pytest.mark.parametrize("model", ["gpt-realtime-2.1", "gpt-realtime"])
def test_an_incomplete_response_says_why(drive: Any, wire: Any, model: str) -> None:
    client = drive(Simulator([[says("I was"), incomplete("content_filter")]]), model=model)
    response = done(client.respond())
    assert response["status"] == response["output"][0]["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "content_filter"}
    wire.check_order(client.events)


def test_what_was_said_before_the_cut_is_complete(drive: Any, wire: Any) -> None:
    client = drive(Simulator([[says("All of it."), calls("f", {"x": 1}), incomplete()]]))
    assert [item["status"] for item in done(client.respond())["output"]] == ["completed", "incomplete"]
    wire.check_order(client.events)


@pytest.mark.parametrize("modality", ["text", "audio"])
def test_max_output_tokens_cuts_short(drive: Any, wire: Any, modality: str) -> None:
    client = drive(Simulator([says("one two three four five six seven eight nine ten")] * 2))
    response = done(client.respond(max_output_tokens=7, output_modalities=[modality]))
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert 0 < response["usage"]["output_tokens"] <= 7
    assert done(client.respond(max_output_tokens="inf"))["status"] == "completed"
    wire.check_order(client.events)


def test_cancelling_ends_the_response_where_it_stands(drive: Any, wire: Any) -> None:
    client = drive(Simulator([says("This will never be said to its end.")], pace=1))
    (created,) = client.send("response.create")
    client.wait(0.9)
    events = client.send("response.cancel", response_id=created["response"]["id"])
    assert events[-2]["type"] == "response.done"
    response = done(events)
    assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    said = response["output"][0]["content"][0]["transcript"]
    assert "This will never be said to its end.".startswith(said)
    assert said
    assert client.wait(60) == []
    wire.check_order(client.events)


def test_cancelling_before_anything_is_said_leaves_no_item(drive: Any) -> None:
    client = drive(Simulator([says("Nothing")]))
    client.send("response.create")
    assert done(client.send("response.cancel"))["output"] == []
    assert client.connection.items == []


def test_cancelling_a_call_leaves_it_incomplete(drive: Any, wire: Any) -> None:
    client = drive(Simulator([calls("slow", {"argument": "of some length"})], pace=1))
    client.send("response.create")
    client.wait(0.6)
    item = done(client.send("response.cancel"))["output"][0]
    assert item["status"] == "incomplete"
    assert '{"argument": "of some length"}'.startswith(item["arguments"])
    wire.check_order(client.events)


def test_nothing_to_cancel_is_an_error(drive: Any) -> None:
    client = drive()
    assert client.refused("response.cancel")["code"] == "response_cancel_not_active"
    client.send("response.create")
    assert client.refused("response.cancel", response_id="resp_other")["code"] == "response_cancel_not_active"


def test_one_response_at_a_time_in_the_conversation(drive: Any, wire: Any) -> None:
    client = drive()
    client.send("response.create")
    error = client.refused("response.create")
    assert error["code"] == "conversation_already_has_active_response"
    assert "resp_" in error["message"]
    client.wait(60)
    client.respond()
    wire.check_order(client.events)


def test_responses_beside_the_conversation(drive: Any, wire: Any) -> None:
    client = drive(Simulator([says("Main"), says("Side one"), [says("Side two"), calls("f")]]))
    client.send("response.create")
    for topic in ("a", "b"):
        client.send("response.create", response={"conversation": "none", "metadata": {"topic": topic}, "input": []})
    client.wait(60)
    wire.check_order(client.events)
    finished = [event["response"] for event in only(client.events, "response.done")]
    beside = [response for response in finished if response["conversation_id"] is None]
    assert [response["metadata"] for response in beside] == [{"topic": "a"}, {"topic": "b"}]
    assert len(beside[1]["output"]) == 2
    assert [item["content"][0]["transcript"] for item in client.connection.items] == ["Main"]


def test_cancelling_one_of_several_names_it(drive: Any) -> None:
    client = drive()
    (side,) = client.send("response.create", response={"conversation": "none"})
    assert client.refused("response.cancel")["code"] == "response_cancel_not_active"
    assert done(client.send("response.cancel", response_id=side["response"]["id"]))["status"] == "cancelled"


def test_input_replaces_the_context(drive: Any) -> None:
    heard = []

    def reply(context: ModelContext) -> Any:
        heard.append((context.heard, len(context.items), context.instructions, context.metadata))
        return says("ok")

    client = drive(Simulator([reply] * 3))
    first = client.say("First")[0]["item"]["id"]
    client.say("Second")
    client.respond()
    client.respond(instructions="Be brief.", metadata={"k": "v"}, input=[{"type": "item_reference", "id": first}])
    own = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Own"}]}
    client.respond(input=[own], conversation="none")
    assert [entry[:2] for entry in heard] == [("Second", 2), ("First", 1), ("Own", 1)]
    assert heard[1][2:] == ("Be brief.", {"k": "v"})
    assert client.refused("response.create", response={"input": [{"type": "item_reference", "id": "item_x"}]})[
        "param"
    ] == ("response.input[0].id")


def test_the_default_script_answers_what_was_said(drive: Any) -> None:
    client = text_session(drive, Simulator([calls("clock")]))
    call_id = done(client.respond())["output"][0]["call_id"]
    client.send("conversation.item.create", item={"type": "function_call_output", "call_id": call_id, "output": "noon"})

    def text() -> str:
        return str(done(client.respond())["output"][0]["content"][0]["text"])

    assert "noon" in text()
    client.say("I like tea.")
    assert "I like tea." in text()
    assert "Hello" in done(text_session(drive, Simulator()).respond())["output"][0]["content"][0]["text"]


def test_a_model_that_reasons_says_which_words_are_not_its_answer(drive: Any) -> None:
    script: list[ScriptedTurn] = [[says("Let me see."), calls("f")], says("It rains.")]
    client = drive(Simulator(script))
    assert done(client.respond())["output"][0]["phase"] == "commentary"
    assert done(client.respond())["output"][0]["phase"] == "final_answer"
    client = drive(Simulator(script), model="gpt-realtime")
    assert "phase" not in done(client.respond())["output"][0]


def test_speech_is_as_fast_as_asked_and_changes_its_speed_between_turns(drive: Any) -> None:
    client = drive(Simulator([says("Slow or fast?")] * 3))
    ordinary = len(audio_of(client.respond()))
    client.configure(audio={"output": {"speed": 1.5}})
    assert len(audio_of(client.respond())) == pytest.approx(ordinary / 1.5, abs=48)
    client.send("response.create")
    slower = {"type": "realtime", "audio": {"output": {"speed": 0.5}}}
    assert client.refused("session.update", session=slower)["param"] == "session.audio.output.speed"
    client.configure(audio={"output": {"speed": 1.5}})
    client.wait(60)
    client.configure(**slower)


def test_metadata_comes_back_from_the_first_event_on(drive: Any) -> None:
    events = drive().respond(metadata={"topic": "tea"})
    for kind in ("response.created", "response.done"):
        (event,) = only(events, kind)
        assert event["response"]["metadata"] == {"topic": "tea"}


def test_usage_grows_with_the_conversation(drive: Any) -> None:
    client = drive()
    client.say("A question of some length, to be counted.")
    first = done(client.respond())["usage"]
    second = done(client.respond())["usage"]
    assert second["input_token_details"]["text_tokens"] > first["input_token_details"]["text_tokens"] > 0
    assert second["input_token_details"]["audio_tokens"] >= first["output_token_details"]["audio_tokens"] - 1 > 0


def test_rate_limits_follow_a_response(drive: Any) -> None:
    events = drive().respond()
    (limits,) = events[-1]["rate_limits"]
    assert limits["remaining"] == limits["limit"] - done(events)["usage"]["total_tokens"]


def test_a_named_conversation_is_the_one_that_is_there(drive: Any) -> None:
    client = drive()
    conversation_id = done(client.respond())["conversation_id"]
    assert done(client.respond(conversation=conversation_id))["conversation_id"] == conversation_id
    assert client.refused("response.create", response={"conversation": "other"})["param"] == "response.conversation"


def test_a_sideband_connection_has_no_greeting_and_no_audio(drive: Any, wire: Any) -> None:
    client = drive(call_id="rtc_1")
    assert client.events == []
    kinds = wire.types(client.respond())
    assert "response.output_audio.delta" not in kinds
    assert "response.output_audio.done" in kinds
    wire.check_order(client.events)
