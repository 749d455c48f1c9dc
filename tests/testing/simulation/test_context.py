"""What the simulated model reads: how much of a long conversation, and which tokens of it are cached."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime import ConfigError
from trio_realtime.testing import ModelContext, Simulator, calls, load_voice, says
from trio_realtime.testing.simulation.context_window import max_input_tokens
from trio_realtime.testing.simulation.prompt_cache import PromptCache, Tokens

INSTRUCTIONS = "x" * 40
"""Ten tokens."""


def response(events: list[Any]) -> Any:
    (event,) = [event for event in events if event["type"] == "response.done"]
    return event["response"]


def usage(events: list[Any]) -> Any:
    return response(events)["usage"]["input_token_details"]


class Reader:
    """A model that notes what it reads, and says little."""

    def __init__(self, drive: Any, max_input_tokens: int | None = None, **session: Any) -> None:
        self.read: list[list[str]] = []
        self.client = drive(Simulator([self.reads] * 50, max_input_tokens=max_input_tokens))
        self.client.configure(instructions=INSTRUCTIONS, output_modalities=["text"], **session)

    def reads(self, context: ModelContext) -> Any:
        self.read.append([item["content"][0]["text"] for item in context.items])
        return ()

    def says(self, text: str) -> str:
        """Write a message of twenty-five tokens."""
        self.client.say(text.ljust(100))
        return text.ljust(100)


# --- truncation -------------------------------------------------------------------------------------------------------


def test_the_oldest_items_leave_the_view_but_not_the_conversation(drive: Any, wire: Any) -> None:
    reader = Reader(drive, max_input_tokens=10 + 60)
    said = [reader.says(str(number)) for number in range(2)]
    reader.client.respond()
    said.append(reader.says("2"))
    details = usage(reader.client.respond())
    assert reader.read == [said[:2], said[1:]]
    assert details["text_tokens"] == 10 + 50
    assert [item["content"][0]["text"] for item in reader.client.connection.items] == said
    wire.check_order(reader.client.events)


def test_with_a_retention_ratio_more_is_cut_off_and_less_often(drive: Any) -> None:
    truncation = {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 100}}
    reader = Reader(drive, truncation=truncation)
    for number in range(8):
        reader.says(str(number))
        reader.client.respond()
    assert [len(read) for read in reader.read] == [1, 2, 3, 4, 2, 3, 4, 2]


def test_token_limits_only_lower_what_the_model_can_read(drive: Any) -> None:
    truncation = {"type": "retention_ratio", "retention_ratio": 1.0, "token_limits": {"post_instructions": 1000}}
    reader = Reader(drive, max_input_tokens=10 + 30, truncation=truncation)
    for number in range(2):
        reader.says(str(number))
    reader.client.respond()
    assert [len(read) for read in reader.read] == [1]
    reader.client.configure(truncation={"type": "retention_ratio", "retention_ratio": 1.0})
    reader.client.respond()
    assert [len(read) for read in reader.read] == [1, 1]


def test_with_truncation_disabled_the_response_fails(drive: Any, wire: Any) -> None:
    reader = Reader(drive, max_input_tokens=10 + 30, truncation="disabled")
    reader.says("1")
    assert response(reader.client.respond())["status"] == "completed"
    reader.says("2")
    failed = response(reader.client.respond())
    assert (failed["status"], failed["usage"]) == ("failed", None)
    assert failed["status_details"]["error"]["code"] == "context_length_exceeded"
    assert len(reader.read) == 1, "the model was not asked"
    reader.client.configure(truncation="auto")
    assert response(reader.client.respond())["status"] == "completed"
    wire.check_order(reader.client.events)


def test_the_last_item_is_read_however_long_it_is(drive: Any) -> None:
    reader = Reader(drive, max_input_tokens=1)
    reader.says("1")
    last = reader.says("2")
    reader.client.respond()
    assert reader.read == [[last]]


def test_an_input_of_its_own_is_cut_off_by_itself(drive: Any) -> None:
    reader = Reader(drive, max_input_tokens=10 + 60)
    said = [reader.says(str(number)) for number in range(3)]
    reader.client.respond()
    references = [{"type": "item_reference", "id": item["id"]} for item in reader.client.connection.items]
    reader.client.respond(input=references[:2])
    reader.client.respond(input=references, conversation="none")
    assert reader.read == [said[1:], said[:2], said[1:]], "what is forgotten can be shown again"


def test_an_output_leaves_with_its_call(drive: Any) -> None:
    seen: list[list[str]] = []

    def reads(context: ModelContext) -> Any:
        seen.append([item["type"] for item in context.items])
        return ()

    client = drive(Simulator([calls("f", "x" * 200, call_id="c1"), reads], max_input_tokens=120))
    client.configure(instructions=INSTRUCTIONS)
    client.respond()
    client.send("conversation.item.create", item={"type": "function_call_output", "call_id": "c1", "output": "x" * 100})
    client.say("And now something else.")
    client.respond()
    assert seen == [["message"]]


@pytest.mark.parametrize(
    ("model", "tokens"), [("gpt-realtime-2.1", 96_000), ("gpt-realtime-2", 96_000), ("gpt-realtime-1.5", 28_224)]
)
def test_how_much_is_read_is_the_models(model: str, tokens: int) -> None:
    assert max_input_tokens(model) == tokens


def test_a_model_that_reads_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_input_tokens"):
        Simulator(max_input_tokens=0)


# --- caching ----------------------------------------------------------------------------------------------------------


def test_what_was_read_before_is_cached_in_whole_steps(drive: Any) -> None:
    client = drive(Simulator([says("y" * 100)] * 5))
    client.configure(instructions=INSTRUCTIONS, output_modalities=["text"])
    client.say("x" * 400)
    first, second = usage(client.respond()), usage(client.respond())
    assert (first["text_tokens"], first["cached_tokens"]) == (110, 0)
    # 110 tokens were read and 25 said; two whole steps of 64 of them are cached.
    assert (second["text_tokens"], second["cached_tokens"]) == (135, 128)
    assert second["cached_tokens_details"] == {"text_tokens": 128, "audio_tokens": 0, "image_tokens": 0}


def test_another_beginning_is_not_cached(drive: Any) -> None:
    client = drive(Simulator([says("y" * 100)] * 5))
    client.configure(instructions=INSTRUCTIONS, output_modalities=["text"])
    client.say("x" * 400)
    client.respond()
    client.configure(instructions="z" * 40)
    assert usage(client.respond())["cached_tokens"] == 0
    client.configure(instructions=INSTRUCTIONS)
    assert usage(client.respond())["cached_tokens"] == 128, "the old one is not forgotten"
    client.say("First of all: " + "x" * 400, previous_item_id="root")
    assert usage(client.respond())["cached_tokens"] == 0


def test_speech_costs_a_token_for_each_whole_tenth_of_a_second(drive: Any) -> None:
    client = drive()
    client.configure(audio={"input": {"turn_detection": None}})
    client.speak(bytes(2796 * 48))
    client.send("input_audio_buffer.commit")
    usage = client.respond()[-2]["response"]["usage"]
    assert usage["input_token_details"]["audio_tokens"] == 27


def test_speech_is_cached_as_speech(drive: Any) -> None:
    client = drive(Simulator([says("Yes.", audio=10.0)] * 3))
    client.configure(instructions=INSTRUCTIONS)
    client.speak(load_voice("question"))
    client.wait(60)
    details = usage(client.respond())["cached_tokens_details"]
    assert details["audio_tokens"] > 150
    assert sum(details.values()) % 64 == 0


@given(
    contexts=st.lists(
        st.lists(st.tuples(st.sampled_from("abc"), st.builds(Tokens, *[st.integers(0, 100)] * 3)), max_size=5),
        min_size=1,
        max_size=6,
    )
)
@settings(deadline=None)
def test_cached_tokens_are_those_of_the_longest_beginning_that_was_read(
    contexts: list[list[tuple[str, Tokens]]],
) -> None:
    cache = PromptCache()
    for context in contexts[:-1]:
        cache.add(context)
    last = contexts[-1]
    common = max(
        (
            length
            for context in contexts[:-1]
            for length in range(len(last) + 1)
            if len(context) >= length and context[:length] == last[:length]
        ),
        default=0,
    )
    expected = sum((tokens for _, tokens in last[:common]), Tokens())
    cached = cache.cached(last)
    assert cached.total == expected.total // 64 * 64
    assert cached.text <= expected.text
    assert cached.audio <= expected.audio
    assert cached.image <= expected.image
