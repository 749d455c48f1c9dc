"""The order of the items, and the budget of the audio that they hold."""

from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.state.talks import held_bytes, message, wire_message
from trio_realtime.audio import PCM16, PCMU
from trio_realtime.state.conversation import Conversation
from trio_realtime.state.item import ConversationItem
from trio_realtime.state.updates import Delta
from trio_realtime.wire.items import FunctionCall, InputAudio, InputText, Item, Message, OutputAudio

IDS = ["a", "b", "c", "d", "e", "f"]
PLACES = [None, "root", "gone", *IDS]


def ids(conversation: Conversation) -> list[str]:
    return [item.id for item in conversation]


def user(transcript: str | None = None) -> Message:
    return Message(role="user", content=[InputAudio(transcript=transcript)])


class OrderAgainstList(RuleBasedStateMachine):
    """The order, held against a server that keeps a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation(1000)
        self.places: list[str] = []
        self.there: set[str] = set()

    def put(self, item_id: str, previous: str | None) -> None:
        if previous == "root":
            self.places.insert(0, item_id)
        elif previous in self.places:
            self.places.insert(self.places.index(previous) + 1, item_id)
        else:
            self.places.append(item_id)

    def state_place(self, item_id: str, previous: str | None) -> None:
        """The server states a place of an item that has one: an unknown one says nothing."""
        if previous != item_id and (previous == "root" or previous in self.places):
            self.places.remove(item_id)
            self.put(item_id, previous)

    @rule(item_id=st.sampled_from(IDS), previous=st.sampled_from(PLACES))
    def reserve(self, item_id: str, previous: str | None) -> None:
        self.conversation.reserve(item_id, previous)
        if item_id not in self.places:
            self.put(item_id, previous)

    @rule(item_id=st.sampled_from(IDS), previous=st.sampled_from(PLACES))
    def add(self, item_id: str, previous: str | None) -> None:
        if item_id in self.there:
            self.conversation.move(item_id, previous)
            self.state_place(item_id, previous)
            return
        self.conversation.add(item_id, message(), PCM16, previous_item_id=previous)
        if item_id in self.places:
            self.state_place(item_id, previous)
        else:
            self.put(item_id, previous)
        self.there.add(item_id)

    @rule(item_id=st.sampled_from(IDS))
    def delete(self, item_id: str) -> None:
        removed = self.conversation.remove(item_id)
        assert (removed is not None) == (item_id in self.there)
        if item_id in self.places:
            self.places.remove(item_id)
        self.there.discard(item_id)

    @invariant()
    def same_order(self) -> None:
        assert ids(self.conversation) == [item_id for item_id in self.places if item_id in self.there]
        assert len(self.conversation) == len(self.there)
        for item_id in IDS:
            assert self.conversation.has_place(item_id) == (item_id in self.places)
            assert (item_id in self.conversation) == (item_id in self.there)
            found = self.conversation.get(item_id)
            assert (found is not None) == (item_id in self.there)
            if found is not None:
                assert self.conversation[item_id] is found


TestOrderAgainstList = OrderAgainstList.TestCase


def test_a_late_user_item_stands_before_the_answer_that_it_prompted() -> None:
    conversation = Conversation(0)
    conversation.add("before", message(), PCM16)
    conversation.reserve("question", "before")
    conversation.add("answer", message(), PCM16, previous_item_id="question")
    conversation.add("question", user(), PCM16)
    assert ids(conversation) == ["before", "question", "answer"]


def test_an_item_that_comes_to_a_place_that_was_kept_stands_where_it_says_itself() -> None:
    conversation = Conversation(0)
    for item_id in "ab":
        conversation.add(item_id, message(), PCM16)
    conversation.reserve("c", "a")
    conversation.add("c", message(), PCM16, previous_item_id="b")
    assert ids(conversation) == ["a", "b", "c"]


def test_an_item_that_comes_in_from_beside_the_conversation_keeps_what_it_has() -> None:
    conversation = Conversation(0)
    item = conversation.add_detached("a", message(), PCM16)
    conversation.append_text(item, 0, "Hello")
    assert conversation.add("a", wire_message("a", "Hel"), PCM16) is item
    assert (item.text, item.in_conversation) == ("Hello", True)


def test_the_latest_of_a_role_is_the_last_in_order() -> None:
    conversation = Conversation(0)
    assert conversation.latest("assistant") is None
    wires: list[Item] = [message(), user(), message(), FunctionCall(name="f")]
    for item_id, wire in zip("abcd", wires, strict=True):
        conversation.add(item_id, wire, PCM16)
    conversation.reserve("e", None)
    assert conversation.latest("assistant") is conversation["c"]
    assert conversation.latest("user") is conversation["b"]
    assert conversation.latest("system") is None


class Holder:
    """What the model knows of one part: all that came, in order, and whether it is still whole."""

    def __init__(self) -> None:
        self.received = 0
        self.cut = False


class BudgetAgainstCount(RuleBasedStateMachine):
    """The budget, counted anew after each step."""

    BUDGET = 100

    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation(self.BUDGET)
        self.live: dict[str, ConversationItem] = {}
        self.parts: dict[tuple[str, int], Holder] = {}
        self.texts: dict[str, str] = {}

    @rule(item_id=st.sampled_from(IDS), beside=st.booleans())
    def come(self, item_id: str, beside: bool) -> None:
        if self.conversation.get(item_id) is not None:
            return
        if beside:
            self.live[item_id] = self.conversation.add_detached(item_id, message(), PCMU)
        else:
            early = len(self.conversation._early_audio.get(item_id, b""))
            self.live[item_id] = self.conversation.add(item_id, message(), PCMU)
            if early:
                self.parts[item_id, 0] = Holder()
                self.parts[item_id, 0].received = early
        self.texts[item_id] = ""

    def some(self, item_id: str) -> ConversationItem | None:
        return self.conversation.get(item_id)

    @rule(item_id=st.sampled_from(IDS), index=st.integers(0, 1), size=st.integers(0, 45))
    def hear(self, item_id: str, index: int, size: int) -> None:
        item = self.some(item_id)
        if item is not None:
            delta = self.conversation.append_audio(item, index, bytes(size))
            assert delta.audio == bytes(size)
            self.parts.setdefault((item_id, index), Holder()).received += size

    @rule(item_id=st.sampled_from(IDS), text=st.sampled_from(["", "x", "yz"]))
    def read(self, item_id: str, text: str) -> None:
        item = self.some(item_id)
        if item is not None:
            self.conversation.append_text(item, 0, text)
            self.texts[item_id] += text

    @rule(item_id=st.sampled_from(IDS), size=st.integers(0, 120))
    def cut_input(self, item_id: str, size: int) -> None:
        item = self.conversation.set_input_audio(item_id, bytes(size))
        if item is not None:
            index = [part.type for part in item.content].index("input_audio")
            self.parts[item_id, index] = Holder()
            self.parts[item_id, index].received = size

    @rule(item_id=st.sampled_from(IDS), index=st.integers(0, 1), ms=st.integers(0, 8))
    def truncate(self, item_id: str, index: int, ms: int) -> None:
        item = self.some(item_id)
        if item is not None:
            self.conversation.truncate(item, index, ms)
            self.parts.setdefault((item_id, index), Holder()).cut = True
            part = item.content[index]
            assert part.audio_held_bytes <= max(0, PCMU.ms_to_bytes(ms) - part.audio_evicted_bytes)

    @rule(item_id=st.sampled_from(IDS), size=st.integers(0, 60))
    def retrieve(self, item_id: str, size: int) -> None:
        item = self.some(item_id)
        if item is not None:
            self.conversation.set_retrieved(item, wire_message(item_id, "", audio=bytes(size)))
            self.parts[item_id, 0] = Holder()
            self.parts[item_id, 0].received = size

    @rule(item_id=st.sampled_from(IDS))
    def delete(self, item_id: str) -> None:
        if item_id in self.conversation:
            assert self.conversation.remove(item_id) is self.live[item_id]
            self.forget(item_id)

    @rule(item_id=st.sampled_from(IDS))
    def end_beside(self, item_id: str) -> None:
        if item_id in self.live and item_id not in self.conversation:
            self.forget(item_id)
        self.conversation.drop_detached(item_id)

    @rule(item_id=st.sampled_from(IDS))
    def join(self, item_id: str) -> None:
        """An item beside the conversation comes into it."""
        if item_id in self.live and item_id not in self.conversation:
            early = self.conversation._early_audio.get(item_id)
            assert self.conversation.add(item_id, message(), PCM16) is self.live[item_id]
            assert self.live[item_id].in_conversation
            if early:
                index = [part.type for part in self.live[item_id].content].index("input_audio")
                self.parts[item_id, index] = Holder()
                self.parts[item_id, index].received = len(early)

    def forget(self, item_id: str) -> None:
        del self.live[item_id]
        for key in [key for key in self.parts if key[0] == item_id]:
            del self.parts[key]

    @invariant()
    def counted_right(self) -> None:
        beside = [item for item_id, item in self.live.items() if item_id not in self.conversation]
        assert self.conversation.retained_audio_bytes == held_bytes(self.conversation, *beside)
        assert self.conversation.retained_audio_bytes <= self.BUDGET

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        for (item_id, index), holder in self.parts.items():
            part = self.live[item_id].content[index]
            if not holder.cut:
                assert part.audio_held_bytes + part.audio_evicted_bytes == holder.received
            assert part.audio_held_bytes + part.audio_evicted_bytes <= holder.received


TestBudgetAgainstCount = BudgetAgainstCount.TestCase
TestBudgetAgainstCount.settings = settings(stateful_step_count=40)


def test_the_oldest_audio_is_given_up_first_and_text_is_kept() -> None:
    conversation = Conversation(25)
    items = [conversation.add(item_id, message(), PCM16) for item_id in "abc"]
    for item in items:
        conversation.append_text(item, 1, f"text of {item.id}")
        conversation.append_audio(item, 0, bytes(10))
    assert [item.audio_held_bytes for item in items] == [0, 10, 10]
    assert [item.audio_evicted_bytes for item in items] == [10, 0, 0]
    assert [item.text for item in items] == ["text of a", "text of b", "text of c"]


def test_no_more_of_the_oldest_audio_is_given_up_than_the_chunks_that_have_to_go() -> None:
    conversation = Conversation(25)
    item = conversation.add("a", message(), PCM16)
    for number in range(5):
        conversation.append_audio(item, 0, bytes([number]) * 10)
        assert item.audio_evicted_bytes == max(0, number - 1) * 10
    assert item.audio == bytes([3]) * 10 + bytes([4]) * 10


def test_audio_of_an_item_that_was_deleted_is_not_looked_for() -> None:
    conversation = Conversation(25)
    first, second, third = [conversation.add(item_id, message(), PCM16) for item_id in "abc"]
    for item in (first, second):
        conversation.append_audio(item, 0, bytes(10))
    conversation.remove("a")
    for _ in range(2):
        conversation.append_audio(third, 0, bytes(10))
    assert [item.audio_evicted_bytes for item in (first, second, third)] == [0, 10, 0]


def test_a_budget_of_nothing_keeps_no_audio_and_counts_it() -> None:
    conversation = Conversation(0)
    item = conversation.add("a", message(), PCM16)
    delta = conversation.append_audio(item, 0, b"abcd")
    assert delta.audio == b"abcd"
    assert (item.audio, item.audio_evicted_bytes, conversation.retained_audio_bytes) == (b"", 4, 0)


def test_chunks_are_taken_without_a_copy() -> None:
    conversation = Conversation(100)
    item = conversation.add("a", message(), PCM16)
    chunk = bytes(10)
    assert conversation.append_audio(item, 0, chunk).audio is chunk
    assert item.content[0].audio is chunk


def test_a_flood_of_empty_deltas_takes_no_place_in_the_queue_of_what_sounds() -> None:
    conversation = Conversation(100)
    item = conversation.add("a", message(), PCM16)
    for _ in range(50):
        conversation.append_audio(item, 0, b"")
        conversation.set_input_audio("a", b"")
    assert not conversation._audible


def test_deltas_grow_the_item_by_what_they_say() -> None:
    conversation = Conversation(100)
    item = conversation.add("a", message(), PCM16)
    assert conversation.append_text(item, 0, "Hel").text == "Hel"
    assert conversation.append_text(item, 0, "lo").content_index == 0
    assert conversation.append_transcript(item, 1, "wor").transcript == "wor"
    assert conversation.append_transcript(item, 1, "ld").content_index == 1
    assert conversation.append_arguments(item, "{").arguments == "{"
    conversation.append_arguments(item, "}")
    assert (item.text, item.transcript, item.arguments) == ("Hello", "world", "{}")


def test_what_the_server_retrieves_replaces_audio_and_words() -> None:
    conversation = Conversation(100)
    item = conversation.add("a", message(), PCM16)
    conversation.append_audio(item, 0, b"ab")
    conversation.set_retrieved(item, wire_message("a", "Hello", audio=b"abcdef"))
    assert (item.audio, item.transcript, item.audio_evicted_bytes) == (b"abcdef", "Hello", 0)
    conversation.set_retrieved(item, wire_message("a", "Hello again", audio=b"abcdef"))
    assert item.transcript == "Hello again"
    spoken = conversation.add("b", message(role="user"), PCM16)
    parts: list[Any] = [InputText(text="x"), InputAudio(audio=b"12", transcript="said"), InputAudio()]
    conversation.set_retrieved(spoken, Message(role="user", content=parts))
    assert [part.audio for part in spoken.content] == [b"", b"12", b""]
    assert [part.type for part in spoken.content] == ["input_text", "input_audio", "input_audio"]
    call = conversation.add("c", FunctionCall(name="f"), PCM16)
    conversation.set_retrieved(call, FunctionCall(name="f", arguments="{}"))
    assert call.arguments == "{}"


def test_audio_that_was_retrieved_is_given_up_as_any_other() -> None:
    conversation = Conversation(10)
    item = conversation.add("a", message(), PCM16)
    conversation.set_retrieved(item, wire_message("a", "Hello", audio=bytes(10)))
    other = conversation.add("b", message(), PCM16)
    conversation.append_audio(other, 0, bytes(10))
    assert [item.audio_held_bytes, other.audio_held_bytes] == [0, 10]


def test_a_part_that_was_not_announced_is_what_its_first_piece_says() -> None:
    conversation = Conversation(100)
    heard, said, written, cut = [conversation.add(item_id, message(), PCM16) for item_id in "abcd"]
    assert conversation.append_audio(heard, 1, b"ab").content_index == 1
    conversation.append_transcript(said, 0, "Hello")
    conversation.append_text(written, 0, "Hello")
    assert conversation.append_text(written, 1, "Hello").content_index == 1
    conversation.truncate(cut, 0, 10)
    assert [part.type for part in heard.content] == ["output_audio"] * 2
    assert [item.content[0].type for item in (said, written, cut)] == ["output_audio", "output_text", "output_audio"]


def test_audio_and_transcript_that_come_before_their_item_are_kept_for_it() -> None:
    conversation = Conversation(100)
    assert conversation.set_input_audio("a", b"abcd") is None
    assert conversation.append_input_transcript("a", "Hel") is None
    assert conversation.append_input_transcript("a", "lo") is None
    assert conversation.set_input_transcript("b", "") is None
    item = conversation.add("a", user(), PCM16)
    assert (item.audio, item.transcript) == (b"abcd", "Hello")
    assert conversation.add("b", user(), PCM16).content[0].transcript == ""


def test_what_came_early_goes_with_an_item_that_is_deleted() -> None:
    conversation = Conversation(100)
    conversation.set_input_audio("a", b"abcd")
    conversation.set_input_transcript("a", "Hello")
    conversation.remove("a")
    item = conversation.add("a", user(), PCM16)
    assert (item.audio, item.content[0].transcript) == (b"", None)


def test_what_comes_early_for_items_that_never_come_is_bounded() -> None:
    conversation = Conversation(100)
    for number in range(200):
        conversation.set_input_audio(f"a{number}", b"ab")
        conversation.append_input_transcript(f"a{number}", "x")
        conversation.append_input_transcript(f"a{number}", "y")
    assert len(conversation._early_audio) == len(conversation._early_transcripts) == 64
    assert conversation.add("a199", user(), PCM16).transcript == "xy"


def test_a_transcript_goes_to_the_part_that_it_names_if_that_holds_speech() -> None:
    conversation = Conversation(100)
    parts: list[Any] = [InputText(text="x"), InputAudio(), InputAudio()]
    item = conversation.add("a", Message(role="user", content=parts), PCM16)
    conversation.set_input_transcript("a", "second", 2)
    conversation.append_input_transcript("a", "fir", 0)
    grown = conversation.append_input_transcript("a", "st", 7)
    assert grown is not None
    assert (grown[0], grown[1].transcript, grown[1].content_index) == (item, "st", 7)
    assert [part.transcript for part in item.content] == [None, "first", "second"]


@pytest.mark.parametrize("index", [-1, -2, 1, 2**40])
def test_a_transcript_for_a_part_that_cannot_be_goes_to_what_the_user_said(index: int) -> None:
    conversation = Conversation(100)
    item = conversation.add("a", user(), PCM16)
    conversation.set_input_transcript("a", "said", index)
    assert item.content[0].transcript == "said"


def test_what_was_under_way_when_the_connection_ended_is_incomplete() -> None:
    conversation = Conversation(100)
    items = [
        conversation.add("a", Message(role="assistant", status="completed"), PCM16),
        conversation.add("b", Message(role="assistant", status="in_progress"), PCM16),
        conversation.add_detached("c", Message(role="assistant", status="in_progress"), PCM16),
    ]
    assert conversation.end_in_progress() == items[1:]
    assert [item.status for item in items] == ["completed", "incomplete", "incomplete"]
    assert conversation.end_in_progress() == []


def test_an_item_beside_the_conversation_is_found_but_has_no_place() -> None:
    conversation = Conversation(100)
    item = conversation.add_detached("a", Message(role="assistant", content=[OutputAudio()]), PCM16)
    assert conversation.get("a") is item
    assert "a" not in conversation
    assert not item.in_conversation
    conversation.drop_detached("a")
    assert conversation.get("a") is None


def test_a_server_that_states_all_that_was_understood_so_far_revises_instead_of_repeating() -> None:
    conversation = Conversation(retained_audio_bytes=0)
    conversation.append_input_transcript("a", "Hello")
    conversation.append_input_transcript("a", "Hello, my")
    item = conversation.add("a", Message(role="user", content=[InputAudio()]), PCM16)
    assert item.transcript == "Hello, my"
    grown = conversation.append_input_transcript("a", "Hello, my name")
    assert grown is not None
    assert (item.transcript, grown[1].transcript) == ("Hello, my name", " name")


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        (["no", "no"], "nono"),
        (["a ", "longer piece"], "a longer piece"),
        (["Hello", "Hel"], "HelloHel"),
        (["Hello", "Hello, my", "Hello, my name"], "Hello, my name"),
    ],
)
@pytest.mark.parametrize("early", [True, False])
def test_only_a_piece_that_begins_with_all_that_was_said_is_taken_for_all_of_it(
    pieces: list[str], whole: str, early: bool
) -> None:
    conversation = Conversation(0)
    if not early:
        conversation.add("a", user(), PCM16)
    grown = [conversation.append_input_transcript("a", piece) for piece in pieces]
    item = conversation["a"] if not early else conversation.add("a", user(), PCM16)
    assert item.transcript == whole
    deltas = [delta for each in grown if each is not None for delta in each[1:]]
    assert [delta.content_index for delta in deltas if isinstance(delta, Delta)] == ([] if early else [0] * len(pieces))
