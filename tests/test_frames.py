"""The frame reader and writer, held against wsproto."""

from __future__ import annotations

import itertools
import re
import tracemalloc
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import example, given, settings, strategies as st
from wsproto import events
from wsproto.connection import Connection, ConnectionType

from trio_realtime.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameReader,
    encode_close,
    encode_frame,
    encode_frames,
    parse_close,
)
from trio_realtime.testing.strategies import WireFrames, wire_frames

NO_LIMIT = 2**63
FIN = 0x80

# What was read, in order, and the code of the refusal that ended it: None when there was none.
Outcome = tuple[list[tuple[int, bytes]], int | None]


def server_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, bits: int = 0, length: int | None = None
) -> bytes:
    """Encode a frame as a server does, without help from what is tested; `length` lies about the payload."""
    size = len(payload) if length is None else length
    first = (FIN if fin else 0) | bits | opcode
    if size < 126:
        return bytes((first, size)) + payload
    if size < 2**16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def chunked(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)]


class Ours:
    def __init__(self, limit: int = NO_LIMIT) -> None:
        self.reader = FrameReader(limit)
        self.read: list[tuple[int, bytes]] = []
        self.code: int | None = None
        self.words = ""

    def feed(self, data: bytes) -> None:
        try:
            for opcode, payload in self.reader.feed(data):
                self.read.append((opcode, bytes(payload)))
        except FrameError as error:
            assert self.code is None, "nothing is read after a refusal"
            self.code = error.code
            self.words = str(error)

    @property
    def outcome(self) -> Outcome:
        return self.read, self.code


class Theirs:
    """wsproto's client side, with its pieces of messages put together.

    It says `CloseConnection` both for the peer's close frame and for its own refusal; only the former changes
    its state.
    """

    def __init__(self) -> None:
        self.connection = Connection(ConnectionType.CLIENT)
        self.read: list[tuple[int, bytes]] = []
        self.code: int | None = None
        self.message = bytearray()

    def feed(self, data: bytes) -> None:
        if self.code is not None or (self.read and self.read[-1][0] == CLOSE):
            return
        self.connection.receive_data(data)
        for event in self.connection.events():
            match event:
                case events.TextMessage(data=text):
                    self.message += text.encode()
                    self.finish(TEXT, event)
                case events.BytesMessage(data=part):
                    self.message += part
                    self.finish(BINARY, event)
                case events.Ping(payload=payload):
                    self.read.append((PING, bytes(payload)))
                case events.Pong(payload=payload):
                    self.read.append((PONG, bytes(payload)))
                case events.CloseConnection(code=code, reason=reason):
                    if self.connection.state.name == "REMOTE_CLOSING":
                        said = b"" if code == 1005 else code.to_bytes(2, "big") + (reason or "").encode()
                        self.read.append((CLOSE, said))
                    else:
                        self.code = int(code)

    def finish(self, opcode: int, event: events.TextMessage | events.BytesMessage) -> None:
        if event.frame_finished and event.message_finished:
            self.read.append((opcode, bytes(self.message)))
            self.message.clear()

    @property
    def outcome(self) -> Outcome:
        return self.read, self.code


def read(chunks: Iterable[bytes], limit: int = NO_LIMIT) -> Outcome:
    ours = Ours(limit)
    for chunk in chunks:
        ours.feed(chunk)
    return ours.outcome


texts = st.text(max_size=40).map(str.encode) | st.text("abc", min_size=120, max_size=300).map(str.encode)
big = st.sampled_from([125, 126, 127, 65535, 65536, 70000]).map(lambda size: b"x" * size)
cuts = st.lists(st.integers(0, 2**32), max_size=8)


def mutated(data: bytes) -> WireFrames:
    return WireFrames("mutated", data)


@settings(max_examples=500)
@given(wire_frames(), cuts, cuts)
@example(mutated(b"\x01\x02\xc3"), [], [])
@example(
    mutated(server_frame(TEXT, "é".encode()[:1], fin=False) + server_frame(PING) + server_frame(0, b"\xa9")), [3], [1]
)
@example(mutated(server_frame(TEXT, b"\xff", fin=False) + server_frame(3)), [], [])
@example(mutated(b"\x01\x7f\0\0\0\0\0\x81\x02\xc2\x80"), [], [])
@example(mutated(server_frame(CLOSE, b"\x03\xe8\xff") + b"\xff"), [], [])
def test_any_bytes_in_any_chunks_are_read_as_wsproto_reads_them(
    frames: WireFrames, our_cuts: list[int], their_cuts: list[int]
) -> None:
    stream = frames.data
    ours, theirs = Ours(limit=2**17), Theirs()
    for chunk in chunked(stream, our_cuts):
        ours.feed(chunk)
    for chunk in chunked(stream, their_cuts):
        theirs.feed(chunk)
    if ours.code == 1009:  # wsproto has no limit, and reads on
        assert theirs.read[: len(ours.read)] == ours.read
        return
    # A stream may end inside a frame that one of the two refuses already and the other not yet: wsproto looks into
    # text before its frame is whole, we look at the whole of a header before its length is complete and at the order of
    # frames before their payload. So let the one that waits see more.
    if ours.code is None and theirs.code == 1007:
        ours.feed(bytes(2**17))
    if theirs.code is None and ours.code is not None:
        theirs.feed(bytes(16))
    assert ours.outcome == theirs.outcome


@settings(max_examples=500)
@given(wire_frames(["valid", "hostile"]), cuts)
def test_what_is_valid_is_read_and_what_is_hostile_is_refused_with_its_code(
    frames: WireFrames, chunk_cuts: list[int]
) -> None:
    assert read(chunked(frames.data, chunk_cuts), limit=2**17) == (list(frames.read), frames.refusal)


@pytest.mark.parametrize(
    ("stream", "code", "words"),
    [
        (server_frame(TEXT, bits=0x40), 1002, "reserved bit"),
        (server_frame(TEXT, bits=0x20), 1002, "reserved bit"),
        (server_frame(TEXT, bits=0x10), 1002, "reserved bit"),
        (server_frame(0x3), 1002, "reserved opcode"),
        (server_frame(0xB), 1002, "reserved opcode"),
        (b"\x81\x80\1\2\3\4", 1002, "masked"),
        (server_frame(PING, fin=False), 1002, "fragmented control"),
        (server_frame(PING, length=126), 1002, "more than 125"),
        (server_frame(CONTINUATION, b"x"), 1002, "continuation"),
        (server_frame(TEXT, fin=False) + server_frame(TEXT), 1002, "inside a fragmented"),
        (server_frame(TEXT, fin=False) + server_frame(BINARY), 1002, "inside a fragmented"),
        (b"\x81\x7e\x00\x7d", 1002, "shortest"),
        (b"\x81\x7f" + bytes(6) + b"\xff\xff", 1002, "shortest"),
        (b"\x81\x7f\x80" + bytes(7), 1002, "2.63"),
        (server_frame(CLOSE, b"\x03"), 1002, "close frame"),
        (server_frame(CLOSE, b"\x03\xed"), 1002, "close frame"),
        (server_frame(CLOSE, b"\x03\xee"), 1002, "close frame"),
        (server_frame(CLOSE, b"\x03\xf7"), 1002, "close frame"),
        (server_frame(CLOSE, b"\x07\xd0"), 1002, "close frame"),
        (server_frame(CLOSE, b"\x13\x88"), 1002, "close frame"),
        (server_frame(CLOSE, b"\x03\xe8\xff"), 1007, "close reason"),
        (server_frame(TEXT, b"a\xff"), 1007, "UTF-8"),
        (server_frame(TEXT, b"\xed\xa0\x80"), 1007, "UTF-8"),
        (server_frame(TEXT, b"\xc3"), 1007, "UTF-8"),
        (server_frame(TEXT, b"\xc3", fin=False) + server_frame(CONTINUATION, b"a"), 1007, "UTF-8"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_what_breaks_the_rules_is_refused_after_what_came_before(
    stream: bytes, code: int, words: str, size: int
) -> None:
    stream = server_frame(TEXT, b"before") + stream + server_frame(TEXT, b"after")
    ours = Ours()
    for start in range(0, len(stream), size):
        ours.feed(stream[start : start + size])
    assert ours.outcome == ([(TEXT, b"before")], code)
    assert re.search(words, ours.words)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=5), st.integers(1, 100), st.sampled_from([TEXT, BINARY]))
def test_the_limit_counts_the_bytes_of_all_fragments(sizes: list[int], limit: int, opcode: int) -> None:
    stream = b"".join(
        server_frame(CONTINUATION if number else opcode, "é".encode() * size, fin=number == len(sizes) - 1)
        + (server_frame(PING, bytes(125)) if number < len(sizes) - 1 else b"")
        for number, size in enumerate(sizes)
    )
    frames, code = read([stream], limit)
    assert code == (None if 2 * sum(sizes) <= limit else 1009)
    assert (opcode in dict(frames)) == (code is None)


def test_too_much_is_refused_from_the_header_alone() -> None:
    assert read([b"\x81\x7f" + (2**62).to_bytes(8, "big")], 2**20) == ([], 1009)
    assert read([server_frame(BINARY, bytes(10), fin=False), b"\x80\x06"], 15) == ([], 1009)


def test_memory_follows_what_arrives_and_not_what_a_header_promises() -> None:
    reader = FrameReader(2**31)
    tracemalloc.start()
    try:
        assert list(reader.feed(b"\x81\x7f" + (2**30).to_bytes(8, "big"))) == []
        for _ in range(2000):
            assert list(reader.feed(b"x")) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_close_reason_is_cut_between_characters() -> None:
    payload = encode_close(1002, "é" * 100)
    assert len(payload) == 124
    assert parse_close(payload) == (1002, "é" * 61)


@given(st.lists(st.tuples(texts | big, st.binary(min_size=4, max_size=4)), min_size=1, max_size=4), cuts)
def test_what_is_written_is_what_a_server_reads(sent: list[tuple[bytes, bytes]], chunk_cuts: list[int]) -> None:
    masks = b"".join(mask for _, mask in sent)
    stream = bytes(encode_frames(TEXT, [payload for payload, _ in sent], masks))
    server = Connection(ConnectionType.SERVER)
    seen: list[bytes] = [b""]
    for chunk in chunked(stream, chunk_cuts):
        server.receive_data(chunk)
        for event in server.events():
            assert isinstance(event, events.TextMessage)
            seen[-1] += event.data.encode()
            if event.message_finished:
                seen.append(b"")
    assert seen == [payload for payload, _ in sent] + [b""]


@given(st.binary(max_size=70), st.binary(min_size=4, max_size=4))
def test_the_payload_is_masked_with_the_given_mask(payload: bytes, mask: bytes) -> None:
    frame = encode_frame(BINARY, payload, mask)
    assert frame[2:6] == mask
    assert bytes(byte ^ mask[place % 4] for place, byte in enumerate(frame[6:])) == payload


def test_control_frames_are_read_by_a_server() -> None:
    server = Connection(ConnectionType.SERVER)
    frames: Sequence[bytearray] = [
        encode_frame(PING, b"a", b"1234"),
        encode_frame(PONG, b"b", b"5678"),
        encode_frame(CLOSE, encode_close(1000, "bye"), b"9012"),
    ]
    server.receive_data(b"".join(frames))
    assert list(server.events()) == [
        events.Ping(payload=b"a"),
        events.Pong(payload=b"b"),
        events.CloseConnection(code=1000, reason="bye"),
    ]
