"""A strategy of what a server writes into a websocket: valid, mutated and hostile bytes (RFC 6455)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from hypothesis import strategies as st
from msgspec import Struct

from ...errors import ConfigError
from ...frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

FramesKind = Literal["valid", "mutated", "hostile"]

_FIN = 0x80
_MASKED = 0x80
_PROTOCOL_VIOLATION, _INVALID_TEXT, _TOO_BIG = 1002, 1007, 1009
_CLOSE_CODES = (*range(1000, 1004), *range(1007, 1014))


class WireFrames(Struct, frozen=True):
    """Bytes that a server writes after the handshake.

    Attributes:
        kind: `"valid"`; `"mutated"`: valid bytes that were changed, so that nobody knows what they are; `"hostile"`:
            valid frames, a violation, valid frames.
        data: The bytes. A client may read them in pieces of any size.
        read: What a client reads of them, in order, as opcode and payload: whole messages, pings, pongs and the
            close frame, which is the last. Before the violation in hostile ones; nothing in mutated ones.
        refusal: The close code with which a client has to refuse hostile ones: 1002, 1007, or 1009 (what is too big is
            refused only by clients with a limit below 2^40 bytes).
        violation: What is wrong with hostile ones, in words.
    """

    kind: FramesKind
    data: bytes
    read: tuple[tuple[int, bytes], ...] = ()
    refusal: int | None = None
    violation: str = ""

    def __repr__(self) -> str:
        shown = repr(self.data) if len(self.data) <= 64 else f"<{len(self.data)} bytes, {self.data[:32]!r}...>"
        why = f", {self.violation}: {self.refusal}" if self.violation else ""
        return f"<WireFrames {self.kind}{why}: {shown}>"


@dataclass(frozen=True, slots=True)
class _Frame:
    """One frame, as it is before it is written."""

    opcode: int
    payload: bytes = b""
    fin: bool = True

    def encoded(self) -> bytes:
        return _header((_FIN if self.fin else 0) | self.opcode, len(self.payload)) + self.payload


def _header(first: int, length: int) -> bytes:
    if length < 126:
        return bytes((first, length))
    if length < 2**16:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


# --- what is valid ---------------------------------------------------------------------------------------------------

_big = st.sampled_from([125, 126, 127, 65_535, 65_536, 70_000]).map(lambda size: b"x" * size)
_texts = st.text(max_size=20).map(str.encode) | st.text("aé", min_size=60, max_size=130).map(str.encode)
_payloads = st.tuples(st.just(TEXT), _texts | _big) | st.tuples(st.just(BINARY), st.binary(max_size=20) | _big)
_controls = st.builds(_Frame, st.sampled_from([PING, PONG]), st.binary(max_size=10) | st.just(b"y" * 125))


def _close(code: int, reason: str) -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


_closes = st.just(b"") | st.builds(
    _close, st.sampled_from(_CLOSE_CODES) | st.integers(3000, 4999), st.text(max_size=10)
)


@st.composite
def _messages(draw: st.DrawFn) -> list[_Frame]:
    """The frames of one message, perhaps in fragments, with control frames between them."""
    opcode, payload = draw(_payloads)
    cuts = sorted(cut % (len(payload) + 1) for cut in draw(st.lists(st.integers(0, 2**17), max_size=3)))
    parts = [payload[start:stop] for start, stop in pairwise([0, *cuts, len(payload)])]
    frames: list[_Frame] = []
    for index, part in enumerate(parts):
        if index:
            frames.extend(draw(st.lists(_controls, max_size=1)))
        frames.append(_Frame(CONTINUATION if index else opcode, part, fin=index == len(parts) - 1))
    return frames


_sequences = st.lists(_messages() | _controls.map(lambda control: [control]), max_size=4).map(
    lambda groups: [frame for group in groups for frame in group]
)


def _read(frames: Sequence[_Frame]) -> Iterator[tuple[int, bytes]]:
    """What valid frames say: messages are put together again."""
    opcode, message = TEXT, b""
    for frame in frames:
        if frame.opcode >= CLOSE:
            yield frame.opcode, frame.payload
            continue
        if frame.opcode != CONTINUATION:
            opcode, message = frame.opcode, b""
        message += frame.payload
        if frame.fin:
            yield opcode, message


def _encoded(frames: Sequence[_Frame]) -> bytes:
    return b"".join([frame.encoded() for frame in frames])


@st.composite
def _valid(draw: st.DrawFn) -> WireFrames:
    frames = draw(_sequences)
    close = draw(st.none() | _closes)
    if close is None:
        return WireFrames("valid", _encoded(frames), tuple(_read(frames)))
    frames = [*frames, _Frame(CLOSE, close)]
    rest = draw(st.binary(max_size=8))  # nobody reads on behind the close frame
    return WireFrames("valid", _encoded(frames) + rest, tuple(_read(frames)))


# --- what is mutated -------------------------------------------------------------------------------------------------

_places = st.integers(0, 2**17)


@st.composite
def _mutated(draw: st.DrawFn) -> WireFrames:
    frames = draw(_sequences) + draw(st.lists(_closes.map(lambda close: _Frame(CLOSE, close)), max_size=1))
    for change, place in draw(st.lists(st.tuples(st.sampled_from("rfo"), _places), max_size=2)):
        if not frames:
            break
        index = place % len(frames)
        frame = frames[index]
        match change:
            case "r":
                frames = [*frames[:index], frame, *frames[index:]]
            case "f":
                frames[index] = _Frame(frame.opcode, frame.payload, fin=not frame.fin)
            case _:
                frames[index] = _Frame(draw(st.integers(0, 15)), frame.payload, fin=frame.fin)
    data = bytearray(_encoded(frames))
    # A text of 70,000 bytes would take most of the changes; its header is where they matter.
    for change, place in draw(st.lists(st.tuples(st.sampled_from("bcil"), _places), max_size=3)):
        at = place % min(len(data) + 1, 400)
        match change:
            case "b" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "c":
                del data[at : at + draw(st.integers(1, 4))]
            case "l" if len(data) > 1:
                data[1] = draw(st.integers(0, 255))  # the length of the first frame, and whether it is masked
            case _:
                data[at:at] = draw(st.binary(max_size=8))
    return WireFrames("mutated", bytes(data[: draw(st.none() | st.integers(0, 400))]))


# --- what is hostile -------------------------------------------------------------------------------------------------

_VIOLATIONS = {
    "a reserved bit": _PROTOCOL_VIOLATION,
    "a reserved opcode": _PROTOCOL_VIOLATION,
    "a masked frame": _PROTOCOL_VIOLATION,
    "a fragmented control frame": _PROTOCOL_VIOLATION,
    "a control frame of more than 125 bytes": _PROTOCOL_VIOLATION,
    "a continuation of nothing": _PROTOCOL_VIOLATION,
    "a message inside another": _PROTOCOL_VIOLATION,
    "a length that is not in its shortest form": _PROTOCOL_VIOLATION,
    "a length of 2^63 bytes or more": _PROTOCOL_VIOLATION,
    "a message of 2^40 bytes or more": _TOO_BIG,
    "text that is not UTF-8": _INVALID_TEXT,
    "fragments of text that is not UTF-8": _INVALID_TEXT,
    "a close frame of one byte": _PROTOCOL_VIOLATION,
    "a close code that may not be sent": _PROTOCOL_VIOLATION,
    "a close reason that is not UTF-8": _INVALID_TEXT,
}
_LONG_FORMS = [b"\x7e\0\0", b"\x7e\0\x7d", b"\x7f" + bytes(8), b"\x7f" + bytes(6) + b"\xff\xff"]
_BAD_TEXTS = [b"\xff", b"a\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80"]
_BAD_CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535]
_data_opcodes = st.sampled_from([TEXT, BINARY])
_control_opcodes = st.sampled_from([CLOSE, PING, PONG])
_opcodes = _data_opcodes | _control_opcodes
_bad_texts = st.sampled_from(_BAD_TEXTS)


def _frame(first: int, payload: bytes = b"") -> bytes:
    return _header(first, len(payload)) + payload


def _broken(draw: st.DrawFn, violation: str) -> bytes:
    """Bytes that no client may accept between two messages."""
    match violation:
        case "a reserved bit":
            return _frame(_FIN | draw(st.sampled_from([0x10, 0x20, 0x40, 0x70])) | draw(_opcodes))
        case "a reserved opcode":
            return _frame(_FIN | draw(st.sampled_from([*range(3, 8), *range(11, 16)])))
        case "a masked frame":
            size = draw(st.integers(0, 9))
            return bytes((_FIN | draw(_opcodes), _MASKED | size)) + b"mask" + bytes(size)
        case "a fragmented control frame":
            return _frame(draw(_control_opcodes))
        case "a control frame of more than 125 bytes":
            return _frame(_FIN | draw(_control_opcodes), bytes(126))
        case "a continuation of nothing":
            return _frame(draw(st.sampled_from([CONTINUATION, _FIN | CONTINUATION])), b"x")
        case "a message inside another":
            return _frame(draw(_data_opcodes), b"x") + _frame(_FIN | draw(_data_opcodes), b"y")
        case "a length that is not in its shortest form":
            return bytes((_FIN | draw(_data_opcodes),)) + draw(st.sampled_from(_LONG_FORMS))
        case "a length of 2^63 bytes or more":
            return bytes((_FIN | draw(_data_opcodes), 127)) + draw(st.sampled_from([b"\x80" + bytes(7), b"\xff" * 8]))
        case "a message of 2^40 bytes or more":
            return bytes((_FIN | draw(_data_opcodes), 127)) + (1 << draw(st.integers(40, 62))).to_bytes(8, "big")
        case "text that is not UTF-8":
            return _frame(_FIN | TEXT, draw(_bad_texts))
        case "fragments of text that is not UTF-8":
            text, cut = draw(_bad_texts), draw(st.integers(0, 1))
            return _frame(TEXT, b"a" + text[:cut]) + _frame(_FIN | CONTINUATION, text[cut:])
        case "a close frame of one byte":
            return _frame(_FIN | CLOSE, b"\x03")
        case "a close code that may not be sent":
            return _frame(_FIN | CLOSE, draw(st.sampled_from(_BAD_CODES)).to_bytes(2, "big"))
        case _:  # a close reason that is not UTF-8
            return _frame(_FIN | CLOSE, b"\x03\xe8" + draw(_bad_texts))


@st.composite
def _hostile(draw: st.DrawFn) -> WireFrames:
    before, violation = draw(_sequences), draw(st.sampled_from(list(_VIOLATIONS)))
    data = _encoded(before) + _broken(draw, violation) + _encoded(draw(_sequences))
    return WireFrames("hostile", data, tuple(_read(before)), _VIOLATIONS[violation], violation)


_STRATEGIES: dict[FramesKind, st.SearchStrategy[WireFrames]] = {
    "valid": _valid(),
    "mutated": _mutated(),
    "hostile": _hostile(),
}


def wire_frames(kinds: Collection[FramesKind] = ("valid", "mutated", "hostile")) -> st.SearchStrategy[WireFrames]:
    """Bytes of a server's websocket frames, good and bad.

    Valid ones are messages in fragments and whole, in all three forms of a length, with control frames between the
    fragments, and perhaps a close frame. Hostile ones have one violation among them: reserved bits and opcodes, masks,
    lengths that lie, text that is not UTF-8, close codes that may not be sent. Mutated ones are valid ones with frames
    repeated and changed, and bits, bytes and lengths that are others.

    Args:
        kinds: Which of them.

    Raises:
        ConfigError: There is no such kind.

    Example:
        ```python
        @given(wire_frames(["hostile"]))
        def test_what_breaks_the_rules_is_refused(frames):
            assert my_proxy(frames.data) == (frames.read, frames.refusal)
        ```
    """
    for kind in kinds:
        if kind not in _STRATEGIES:
            raise ConfigError(f"frames are {', '.join(_STRATEGIES)}, not {kind!r}")
    return st.one_of([_STRATEGIES[kind] for kind in kinds])
