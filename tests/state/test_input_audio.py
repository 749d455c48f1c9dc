"""The ring of sent audio, and which stretch of it belongs to which item."""

import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trio_realtime.audio import PCM16, PCMA, PCMU, Encoding
from trio_realtime.state.input_audio import InputAudio, InputAudioRing


def sound(count: int, start: int = 0) -> bytes:
    """Bytes that tell their own position."""
    return bytes((start + index) * 7 % 251 for index in range(count))


def ms_of(first_ms: int, last_ms: int, encoding: Encoding = PCM16) -> slice:
    return slice(encoding.ms_to_bytes(first_ms), encoding.ms_to_bytes(last_ms))


# --- the ring ----------------------------------------------------------------------------------------------------


class RingAgainstBytes(RuleBasedStateMachine):
    """The ring, held against one object with all bytes that were ever sent."""

    MAX = 50

    def __init__(self) -> None:
        super().__init__()
        self.ring = InputAudioRing(self.MAX)
        self.all = b""
        self.largest = 0

    @rule(count=st.integers(0, 30))
    def append(self, count: int) -> None:
        chunk = sound(count, len(self.all))
        self.all += chunk
        self.largest = max(self.largest, count)
        self.ring.append(chunk)

    @rule(start=st.integers(-20, 400), end=st.integers(-20, 400))
    def cut(self, start: int, end: int) -> None:
        assert self.ring.cut(start, end) == self.all[max(start, self.ring.start) : max(end, 0)]

    @invariant()
    def holds_as_much_as_it_may(self) -> None:
        assert self.ring.end == len(self.all)
        assert self.ring.end - self.ring.start <= self.MAX
        # Whole chunks are given up, so that nothing is copied.
        assert self.ring.end - self.ring.start >= min(len(self.all), self.MAX - self.largest + 1)


TestRingAgainstBytes = RingAgainstBytes.TestCase


def test_the_ring_takes_chunks_without_a_copy() -> None:
    ring = InputAudioRing(100)
    chunk = sound(40)
    ring.append(chunk)
    assert ring.cut(0, 40) == chunk
    assert ring._chunks[0] is chunk


def test_empty_chunks_take_no_room() -> None:
    ring = InputAudioRing(10)
    for _ in range(3):
        ring.append(b"")
    assert not ring._chunks


# --- turns -------------------------------------------------------------------------------------------------------


def heard(encoding: Encoding = PCM16, seconds: int = 2) -> tuple[InputAudio, bytes]:
    audio = sound(encoding.bytes_per_second * seconds)
    given_audio = InputAudio(encoding, 600)
    given_audio.append(audio)
    return given_audio, audio


@pytest.mark.parametrize("encoding", [PCM16, PCMU, PCMA], ids=lambda encoding: encoding.name)
def test_a_turn_is_what_lies_between_start_and_end_of_speech(encoding: Encoding) -> None:
    given_audio, audio = heard(encoding)
    given_audio.speech_started("item_1", 250)
    assert given_audio.speech_stopped("item_1", 751, has_item=False) is None
    assert given_audio.committed("item_1") == ("item_1", audio[ms_of(250, 751, encoding)], False)


ORDERS = [
    ("stopped", "committed", "item"),
    ("stopped", "item", "committed"),
    ("committed", "stopped", "item"),
    ("committed", "item", "stopped"),
    ("item", "stopped", "committed"),
    ("item", "committed", "stopped"),
]


@pytest.mark.parametrize("order", ORDERS, ids=">".join)
def test_a_turn_gives_its_audio_once_in_whatever_order_its_end_commit_and_item_come(order: tuple[str, ...]) -> None:
    given_audio, audio = heard()
    has_item = False
    got: list[bytes | None] = []
    given_audio.speech_started("item_1", 250)
    for event in order:
        if event == "stopped":
            got.append(given_audio.speech_stopped("item_1", 751, has_item=has_item))
        elif event == "committed":
            item_id, piece, ours = given_audio.committed("item_1")
            assert (item_id, ours) == ("item_1", False)
            got.append(piece)
        else:
            has_item = True
    assert [piece for piece in got if piece is not None] == [audio[ms_of(250, 751)]]


def test_what_is_sent_after_a_turn_is_still_to_be_committed() -> None:
    given_audio, audio = heard()
    given_audio.speech_started("item_1", 250)
    given_audio.speech_stopped("item_1", 751, has_item=False)
    given_audio.committed("item_1")
    assert given_audio.uncommitted_bytes == len(audio) - PCM16.ms_to_bytes(751)


def test_overlapping_turns_keep_their_own_audio() -> None:
    given_audio, audio = heard()
    given_audio.speech_started("item_1", 0)
    given_audio.speech_stopped("item_1", 500, has_item=False)
    given_audio.speech_started("item_2", 600)
    given_audio.speech_stopped("item_2", 900, has_item=False)
    assert given_audio.committed("item_1")[1] == audio[ms_of(0, 500)]
    assert given_audio.committed("item_2")[1] == audio[ms_of(600, 900)]


def test_a_commit_without_an_id_belongs_to_the_oldest_turn_that_has_none() -> None:
    given_audio, audio = heard()
    given_audio.speech_started("item_1", 0)
    given_audio.speech_stopped("item_1", 500, has_item=False)
    given_audio.speech_started("item_2", 600)
    assert given_audio.committed(None) == ("item_1", audio[ms_of(0, 500)], False)
    assert given_audio.committed(None) == ("item_2", None, False)
    assert given_audio.speech_stopped(None, 900, has_item=False) == audio[ms_of(600, 900)]


def test_a_turn_without_an_id_gets_that_of_its_commit() -> None:
    given_audio, audio = heard()
    given_audio.speech_started(None, 100)
    given_audio.speech_stopped(None, 300, has_item=False)
    assert given_audio.committed("item_1") == ("item_1", audio[ms_of(100, 300)], False)


def test_the_end_of_a_speech_that_never_began_is_nothing() -> None:
    given_audio, _ = heard()
    assert given_audio.speech_stopped("item_1", 300, has_item=True) is None


def test_a_commit_that_is_said_twice_changes_nothing() -> None:
    given_audio, audio = heard()
    given_audio.commit()
    assert given_audio.committed("item_1") == ("item_1", audio, True)
    given_audio.append(sound(4800))
    given_audio.commit()
    assert given_audio.committed("item_1") == ("item_1", None, False)
    assert given_audio.committed("item_2") == ("item_2", sound(4800), True)


def test_a_commit_in_mid_speech_is_the_programs_own_and_takes_the_whole_buffer() -> None:
    given_audio, audio = heard()
    given_audio.speech_started("item_1", 500)
    given_audio.commit()
    given_audio.append(sound(4800))
    assert given_audio.committed("item_1") == ("item_1", audio, True)
    assert given_audio.uncommitted_bytes == 4800


def test_what_was_cleared_in_mid_speech_is_not_of_the_turn() -> None:
    given_audio, _ = heard(seconds=1)
    given_audio.speech_started("item_1", 500)
    given_audio.clear()
    more = sound(9600)
    given_audio.append(more)
    given_audio.cleared()
    given_audio.speech_stopped("item_1", 1200, has_item=False)
    assert given_audio.committed("item_1")[1] == more


def test_a_turn_that_had_ended_before_the_clear_is_whole() -> None:
    given_audio, audio = heard(seconds=1)
    given_audio.speech_started("item_1", 100)
    given_audio.speech_stopped("item_1", 600, has_item=False)
    given_audio.cleared()
    assert given_audio.committed("item_1")[1] == audio[ms_of(100, 600)]


def test_a_refused_commit_leaves_its_audio_to_the_next() -> None:
    given_audio, audio = heard()
    given_audio.commit()
    assert given_audio.uncommitted_bytes == 0
    given_audio.commit_refused()
    assert given_audio.uncommitted_bytes == len(audio)
    given_audio.append(sound(10))
    assert given_audio.sent_bytes == len(audio) + 10
    given_audio.commit()
    assert given_audio.committed("item_1")[1] == audio + sound(10)
    given_audio.commit_refused()  # one that nobody sent


def test_turn_detection_that_is_switched_off_leaves_the_rest_to_the_next_commit() -> None:
    given_audio, audio = heard()
    given_audio.speech_started("item_1", 250)
    given_audio.speech_stopped("item_1", 751, has_item=False)
    given_audio.committed("item_1")
    given_audio.commit()
    assert given_audio.committed("item_2") == ("item_2", audio[ms_of(751, 2000)], True)


def test_turn_detection_that_is_switched_on_counts_from_the_first_byte_of_the_session() -> None:
    given_audio, audio = heard()
    given_audio.commit()
    given_audio.committed("item_1")
    given_audio.append(audio)
    given_audio.speech_started("item_2", 2500)
    given_audio.speech_stopped("item_2", 3000, has_item=False)
    assert given_audio.committed("item_2")[1] == audio[ms_of(500, 1000)]


def test_a_buffer_that_the_server_commits_unannounced_is_all_that_was_not_committed() -> None:
    given_audio, audio = heard()
    assert given_audio.committed("item_1") == ("item_1", audio, False)


def test_positions_stay_where_they_were_when_the_encoding_changes() -> None:
    given_audio, audio = heard(PCM16, 1)
    given_audio.encoding = PCM16
    given_audio.speech_started("item_1", 500)
    given_audio.encoding = PCMU
    law = sound(8000, 3)
    given_audio.append(law)
    given_audio.speech_stopped("item_1", 1000, has_item=False)
    given_audio.speech_started("item_2", 1250)
    given_audio.speech_stopped("item_2", 1750, has_item=False)
    assert given_audio.encoding is PCMU
    assert given_audio.committed("item_1")[1] == audio[ms_of(500, 1000)]
    assert given_audio.committed("item_2")[1] == law[2000:6000]


def test_positions_stay_where_they_were_however_often_the_encoding_changes() -> None:
    given_audio = InputAudio(PCM16, 600)
    pieces: list[bytes] = []
    for number, encoding in enumerate([PCM16, PCMU, PCM16, PCMA]):
        given_audio.encoding = encoding
        assert given_audio.encoding is encoding
        pieces.append(sound(encoding.ms_to_bytes(100), number))
        given_audio.append(pieces[-1])
    for number, piece in enumerate(pieces):
        given_audio.speech_started(f"item_{number}", number * 100)
        given_audio.speech_stopped(f"item_{number}", (number + 1) * 100, has_item=False)
        assert given_audio.committed(f"item_{number}")[1] == piece


def test_an_encoding_that_changes_within_a_millisecond_counts_from_its_first_byte() -> None:
    given_audio = InputAudio(PCM16, 600)
    given_audio.append(sound(PCM16.ms_to_bytes(10) + 24))
    given_audio.encoding = PCMU
    law = sound(160, 3)
    given_audio.append(law)
    given_audio.speech_started("item_1", 10)
    given_audio.speech_stopped("item_1", 30, has_item=False)
    assert given_audio.committed("item_1")[1] == law


@pytest.mark.parametrize("first", ["item_1", "item_2"])
def test_turns_that_overlap_keep_their_own_ends_and_commits(first: str) -> None:
    given_audio, audio = heard()
    second = "item_2" if first == "item_1" else "item_1"
    bounds = {"item_1": (100, 700), "item_2": (400, 900)}
    for item_id, (start_ms, _) in bounds.items():
        given_audio.speech_started(item_id, start_ms)
    for item_id in (first, second):
        given_audio.speech_stopped(item_id, bounds[item_id][1], has_item=False)
    for item_id in (second, first):
        assert given_audio.committed(item_id) == (item_id, audio[ms_of(*bounds[item_id])], False)


def test_a_turn_that_begins_again_is_the_last_to_have_begun() -> None:
    given_audio, audio = heard()
    for item_id, start_ms in (("item_1", 100), ("item_2", 200), ("item_1", 300)):
        given_audio.speech_started(item_id, start_ms)
    assert given_audio.speech_stopped(None, 500, has_item=True) == audio[ms_of(200, 500)]
    assert given_audio.speech_stopped(None, 500, has_item=True) == audio[ms_of(300, 500)]


def test_a_commit_after_the_encoding_has_changed_gives_what_is_encoded_alike() -> None:
    given_audio, _ = heard(PCM16, 1)
    given_audio.encoding = PCMU
    law = sound(800)
    given_audio.append(law)
    given_audio.commit()
    assert given_audio.committed("item_1") == ("item_1", law, True)


def test_the_ring_keeps_its_length_in_seconds_when_the_encoding_changes() -> None:
    given_audio = InputAudio(PCM16, 2)
    given_audio.encoding = PCMU
    for _ in range(50):
        given_audio.append(bytes(800))
    assert given_audio._ring.end - given_audio._ring.start == 16000


@given(
    chunks=st.lists(st.integers(0, 300), max_size=12),
    actions=st.lists(st.sampled_from(["commit", "clear", "refuse"]), max_size=12),
)
def test_manual_commits_and_clears_share_out_all_audio(chunks: list[int], actions: list[str]) -> None:
    """Held against a server's buffer; the answers come late, but in order."""
    given_audio = InputAudio(PCM16, 600)
    sent_bytes = 0
    buffer = b""
    expected: list[bytes] = []
    answers: list[str] = []
    for index, action in enumerate(actions):
        if index < len(chunks):
            chunk = sound(chunks[index], sent_bytes)
            sent_bytes += len(chunk)
            buffer += chunk
            given_audio.append(chunk)
        if action == "clear":
            given_audio.clear()
            buffer = b""
        else:
            given_audio.commit()
            if action == "commit":
                expected.append(buffer)
                buffer = b""
        answers.append(action)
    got: list[bytes | None] = []
    for number, action in enumerate(answers):
        if action == "commit":
            item_id, audio, ours = given_audio.committed(f"item_{number}")
            assert (item_id, ours) == (f"item_{number}", True)
            got.append(audio)
        elif action == "clear":
            given_audio.cleared()
        else:
            given_audio.commit_refused()
    assert got == expected
    assert given_audio.uncommitted_bytes == len(buffer)


def test_turns_and_commits_that_the_server_never_ends_are_forgotten() -> None:
    given_audio, _ = heard()
    for number in range(1000):
        given_audio.speech_started(f"item_{number}", 0)
        given_audio.committed(f"other_{number}")
    assert len(given_audio._turns) == 64
    assert len(given_audio._committed) == 64
