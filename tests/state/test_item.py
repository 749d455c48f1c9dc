"""One item as it grows: parts, audio, and what the server states of it."""

import pytest
from hypothesis import given, strategies as st

from trio_realtime.audio import PCM16
from trio_realtime.state.item import ConversationItem, ItemPart
from trio_realtime.wire.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    OutputText,
    Part,
    UnknownItem,
    UnknownPart,
)
from trio_realtime.wire.server_events import PartAudio, PartText, ResponsePart


def item_of(wire: Item) -> ConversationItem:
    item = ConversationItem("item_1", wire, PCM16)
    item.reconcile(wire, final=False)
    return item


def assistant(*parts: Part, status: str | None = "in_progress") -> Message:
    return Message(id="item_1", role="assistant", content=list(parts), status=status)


# --- parts -------------------------------------------------------------------------------------------------------


@given(chunks=st.lists(st.binary(max_size=8), max_size=20), wanted=st.lists(st.integers(0, 40), max_size=5))
def test_what_is_held_of_a_part_is_the_end_of_what_came_and_the_rest_is_counted(
    chunks: list[bytes], wanted: list[int]
) -> None:
    part = ItemPart("output_audio")
    for chunk in chunks:
        part.append_audio(chunk)
    everything = b"".join(chunks)
    for count in wanted:
        held = part.audio_held_bytes
        assert part.evict_audio(count) >= min(count, held)
    assert part.audio_evicted_bytes + part.audio_held_bytes == len(everything)
    assert part.audio == everything[part.audio_evicted_bytes :]
    assert part.audio_held_bytes == len(part.audio)


@given(audio=st.binary(max_size=40), evicted=st.integers(0, 20), kept=st.integers(-5, 60))
def test_a_part_keeps_its_beginning_up_to_a_length_as_far_as_it_is_held(audio: bytes, evicted: int, kept: int) -> None:
    part = ItemPart("output_audio")
    for byte in audio:
        part.append_audio(bytes([byte]))
    part.evict_audio(min(evicted, len(audio)))
    gone = part.audio_evicted_bytes
    part.keep_audio(kept)
    assert part.audio == audio[gone : max(gone, kept)]
    assert (part.audio_held_bytes, part.audio_evicted_bytes) == (len(part.audio), gone)


def test_no_more_chunks_are_given_up_than_it_takes() -> None:
    part = ItemPart("output_audio")
    for chunk in (b"ab", b"cd", b"ef"):
        part.append_audio(chunk)
    assert part.evict_audio(2) == 2
    assert part.audio == b"cdef"


def test_audio_is_joined_once() -> None:
    part = ItemPart("output_audio")
    part.append_audio(b"ab")
    part.append_audio(b"cd")
    assert part.audio is part.audio


def test_replaced_audio_is_all_there_is() -> None:
    part = ItemPart("input_audio")
    part.append_audio(b"abcd")
    part.evict_audio(1)
    part.replace_audio(b"xy")
    assert (part.audio, part.audio_held_bytes, part.audio_evicted_bytes) == (b"xy", 2, 0)
    part.replace_audio(b"")
    assert (part.audio, part.audio_held_bytes) == (b"", 0)


@pytest.mark.parametrize("index", [-1, -(2**63), 2**63 - 1])
def test_an_index_that_is_none_neither_fails_nor_takes_all_memory(index: int) -> None:
    item = item_of(assistant())
    item.part(index, "output_audio").append_audio(b"ab")
    assert item.audio == b"ab"
    assert len(item.content) == (1024 if index > 0 else 1)
    item.part(index, "output_audio").append_audio(b"cd")
    assert item.audio == b"abcd"


def test_missing_parts_are_made_up_to_the_one_that_is_named() -> None:
    item = item_of(assistant())
    third = item.part(2, "output_text")
    assert [part.type for part in item.content] == ["output_text"] * 3
    assert item.part(2, "output_audio") is third


def test_the_audio_of_several_parts_is_joined_in_order() -> None:
    item = item_of(assistant())
    item.part(1, "output_audio").append_audio(b"cd")
    item.part(0, "output_audio").append_audio(b"ab")
    item.part(1, "output_audio").append_audio(b"ef")
    item.part(1, "output_audio").evict_audio(1)
    assert (item.audio, item.audio_held_bytes, item.audio_evicted_bytes) == (b"abef", 4, 2)


def test_what_the_user_said_has_one_part_that_is_made_if_it_is_missing() -> None:
    item = item_of(Message(role="user", content=[InputText(text="Hi")]))
    part = item.input_audio_part()
    assert item.input_audio_part() is part
    assert [each.type for each in item.content] == ["input_text", "input_audio"]


# --- what the server states --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (Message(role="user", content=[InputText(text="Hi"), InputText(text=" you")]), ("message", "user", "Hi you")),
        (Message(role="system", content=[InputText()]), ("message", "system", "")),
        (assistant(OutputText(text="Yes")), ("message", "assistant", "Yes")),
        (FunctionCall(name="f", arguments="{}", call_id="c"), ("function_call", None, "")),
        (McpListTools(server_label="s"), ("mcp_list_tools", None, "")),
        (UnknownItem(raw={"type": "new"}), ("new", None, "")),
        (UnknownItem(raw=7), ("unknown", None, "")),
    ],
)
def test_an_item_is_what_the_server_says(wire: Item, expected: tuple[str, str | None, str]) -> None:
    item = item_of(wire)
    assert (item.type, item.role, item.text) == expected
    assert item.wire is wire


def test_what_is_no_call_has_no_fields_of_one() -> None:
    wire = assistant()
    item = ConversationItem("item_1", wire, PCM16)
    assert (item.name, item.call_id, item.arguments, item.output) == (None, None, "", None)
    assert item.wire is wire
    assert item.in_conversation


def test_calls_and_their_outputs_have_their_fields() -> None:
    call = item_of(FunctionCall(name="f", arguments='{"a": 1}', call_id="c", status="completed"))
    assert (call.name, call.arguments, call.call_id, call.status) == ("f", '{"a": 1}', "c", "completed")
    output = item_of(FunctionCallOutput(call_id="c", output="42"))
    assert (output.call_id, output.output, output.status) == ("c", "42", None)
    mcp = item_of(McpCall(server_label="s", name="g", arguments="{}"))
    assert (mcp.name, mcp.arguments, mcp.output) == ("g", "{}", None)
    mcp.reconcile(McpCall(server_label="s", name="g", arguments="{}", output="done"), final=True)
    assert mcp.output == "done"


def test_a_call_keeps_its_id_where_the_server_leaves_it_out_later() -> None:
    call = item_of(FunctionCall(name="f", call_id="c"))
    call.reconcile(FunctionCall(name="f", arguments="{}"), final=True)
    assert (call.call_id, call.arguments) == ("c", "{}")


PARTS: list[tuple[Part | ResponsePart, str, str, str | None]] = [
    (InputText(text="a"), "input_text", "a", None),
    (InputAudio(transcript="a"), "input_audio", "", "a"),
    (InputAudio(), "input_audio", "", None),
    (OutputText(text="a"), "output_text", "a", None),
    (OutputAudio(transcript="a"), "output_audio", "", "a"),
    (PartText(text="a"), "output_text", "a", None),
    (PartAudio(transcript="a"), "output_audio", "", "a"),
    (InputImage(image_url="data:"), "input_image", "", None),
    (UnknownPart(raw={"type": "new"}), "new", "", None),
    (UnknownPart(raw=[]), "unknown", "", None),
]


@pytest.mark.parametrize(("wire", "kind", "text", "transcript"), PARTS)
def test_a_part_is_what_the_server_says(
    wire: Part | ResponsePart, kind: str, text: str, transcript: str | None
) -> None:
    item = item_of(assistant())
    item.reconcile_part(0, wire, final=True)
    [part] = item.content
    assert (part.type, part.text, part.transcript) == (kind, text, transcript)
    assert part.image_url == getattr(wire, "image_url", None)


def test_the_last_word_replaces_what_the_deltas_gave_and_an_earlier_one_only_fills_gaps() -> None:
    item = item_of(assistant())
    item.part(0, "output_text").text = "Hel"
    item.part(1, "output_audio").transcript = "wor"
    stated = assistant(OutputText(text="Hello"), OutputAudio(transcript="world"))
    assert not item.reconcile(stated, final=False)
    assert (item.text, item.transcript) == ("Hel", "wor")
    assert item.reconcile(stated, final=True)
    assert (item.text, item.transcript) == ("Hello", "world")
    assert not item.reconcile(stated, final=True)


def test_arguments_that_are_complete_are_not_emptied() -> None:
    call = item_of(FunctionCall(name="f", call_id="c"))
    call.arguments = '{"a": '
    call.reconcile(FunctionCall(name="f", call_id="c", arguments="{}"), final=False)
    assert call.arguments == '{"a": '
    call.reconcile(FunctionCall(name="f", call_id="c", arguments='{"a": 1}'), final=True)
    call.reconcile(FunctionCall(name="f", call_id="c", arguments=""), final=True)
    assert call.arguments == '{"a": 1}'


def test_what_the_server_leaves_out_stays() -> None:
    item = item_of(assistant())
    item.part(0, "output_text").text = "Hi"
    item.part(1, "output_audio").transcript = "you"
    item.reconcile(assistant(OutputText(), OutputAudio()), final=True)
    assert (item.text, item.transcript) == ("Hi", "you")


def test_a_status_never_goes_back_unless_it_is_the_last_word() -> None:
    item = item_of(assistant(status="completed"))
    item.reconcile(assistant(status="in_progress"), final=False)
    assert item.status == "completed"
    item.reconcile(assistant(status="incomplete"), final=True)
    assert item.status == "incomplete"


def test_an_item_that_is_final_without_a_status_is_completed() -> None:
    item = item_of(assistant())
    item.reconcile(assistant(status=None), final=True)
    assert item.status == "completed"
    output = item_of(FunctionCallOutput(call_id="c", output="1"))
    output.reconcile(FunctionCallOutput(call_id="c", output="1"), final=True)
    assert output.status is None


def test_a_transcript_that_was_cut_stays_cut() -> None:
    item = item_of(assistant(OutputAudio(transcript="Hello")))
    part = item.part(0, "output_audio")
    part.truncated = True
    part.transcript = ""
    item.reconcile(assistant(OutputAudio(transcript="Hello")), final=True)
    assert item.transcript == ""


@pytest.mark.parametrize(
    ("known", "stated", "final", "then"),
    [
        (None, "Hi", False, "Hi"),
        (None, "", False, ""),
        ("Hi", None, True, "Hi"),
        ("Hi", "", True, "Hi"),
        ("Hi", "Hello", True, "Hello"),
        ("", "Hello", True, "Hello"),
    ],
)
def test_the_transcript_of_the_user_is_not_lost_to_an_item_that_has_none(
    known: str | None, stated: str | None, final: bool, then: str
) -> None:
    item = item_of(Message(role="user", content=[InputAudio(transcript=known)]))
    item.reconcile(Message(role="user", content=[InputAudio(transcript=stated)]), final=final)
    assert item.content[0].transcript == then


def test_an_item_that_is_not_understood_later_keeps_its_type() -> None:
    item = item_of(assistant(OutputText(text="Hi")))
    item.reconcile(UnknownItem(raw={"type": "new"}), final=True)
    assert (item.type, item.text) == ("message", "Hi")


# --- repr --------------------------------------------------------------------------------------------------------


def test_a_repr_shows_words_and_the_length_of_audio_but_no_audio() -> None:
    item = item_of(assistant(OutputAudio(transcript="Hello")))
    item.part(0, "output_audio").append_audio(b"SECRET")
    assert repr(item) == "<ConversationItem item_1 assistant in_progress 'Hello', 6 bytes of audio>"
    assert repr(item.content[0]) == "<ItemPart output_audio text='' transcript='Hello' audio=6 bytes>"
    call = item_of(FunctionCall(name="f", arguments="{}"))
    assert repr(call) == "<ConversationItem item_1 function_call  '{}'>"
    output = item_of(FunctionCallOutput(call_id="c", output="7"))
    assert repr(output) == "<ConversationItem item_1 function_call_output  '7'>"
    assert repr(item_of(assistant())) == "<ConversationItem item_1 assistant in_progress ''>"


def test_a_repr_shows_the_first_60_characters() -> None:
    item = item_of(assistant(OutputText(text="x" * 61)))
    assert repr(item) == f"<ConversationItem item_1 assistant in_progress '{'x' * 60}'>"
