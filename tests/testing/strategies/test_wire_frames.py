"""Frames of a server: tagged with what they are and what a client makes of them."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings

from trio_realtime import ConfigError
from trio_realtime.frames import CLOSE
from trio_realtime.testing.strategies import WireFrames, wire_frames


@given(wire_frames())
def test_frames_say_what_they_are(frames: WireFrames) -> None:
    assert (frames.kind == "hostile") == (frames.refusal is not None) == bool(frames.violation)
    assert frames.kind != "mutated" or not frames.read
    opcodes = [opcode for opcode, _ in frames.read]
    assert CLOSE not in opcodes[:-1]
    assert CLOSE not in opcodes or frames.kind == "valid"


def test_every_violation_is_drawn() -> None:
    seen: dict[str, int | None] = {}

    @settings(max_examples=500, derandomize=True, database=None, phases=[Phase.generate])
    @given(wire_frames(["hostile"]))
    def collect(frames: WireFrames) -> None:
        seen[frames.violation] = frames.refusal

    collect()
    assert len(seen) == 15
    assert set(seen.values()) == {1002, 1007, 1009}


def test_frames_are_shown_short() -> None:
    assert repr(WireFrames("valid", b"\x81\x00")) == "<WireFrames valid: b'\\x81\\x00'>"
    long = WireFrames("hostile", bytes(65), (), 1002, "a masked frame")
    assert repr(long) == f"<WireFrames hostile, a masked frame: 1002: <65 bytes, {bytes(32)!r}...>>"


def test_frames_of_another_kind_are_refused() -> None:
    with pytest.raises(ConfigError, match="frames are valid, mutated, hostile, not 'good'"):
        wire_frames(["good"])  # type: ignore[list-item]
