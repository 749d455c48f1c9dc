"""The line of bars and the turn beneath it."""

from __future__ import annotations

import math
from array import array
from itertools import pairwise

from hypothesis import given, strategies as st

from trio_realtime.audio import PCM16
from trio_realtime.cli.report import level_dbfs
from trio_realtime.cli.waveform import ASCII_BARS, BARS, Waveform, bar
from trio_realtime.testing import load_voice

WIDTHS = st.integers(5, 120)


@given(st.integers(0, 8_000), WIDTHS)
def test_all_of_the_expected_audio_has_room(total_ms: int, width: int) -> None:
    waveform = Waveform(total_ms, width)
    bars = waveform.extend(PCM16.silence(total_ms))
    assert len(bars) == total_ms // waveform.bar_ms <= width
    assert set(bars) <= {BARS[0]}


@given(st.lists(st.integers(0, 3_000), max_size=20), WIDTHS)
def test_bars_do_not_depend_on_the_chunks(cuts: list[int], width: int) -> None:
    audio = load_voice("interruption")[: PCM16.ms_to_bytes(1_000)]
    places = [0, *sorted(2 * cut for cut in cuts), len(audio)]
    whole, chunked = Waveform(800, width), Waveform(800, width)
    bars = "".join(chunked.extend(audio[start:end]) for start, end in pairwise(places))
    assert bars == whole.extend(audio)
    assert len(bars) <= width


@given(st.integers(0, 9_000), st.integers(1, 9_000), st.integers(0, 9_000), WIDTHS)
def test_the_turn_lies_within_the_line(start_ms: int, length_ms: int, line_start_ms: int, width: int) -> None:
    waveform = Waveform(5_000, width, start_ms=line_start_ms)
    first, length = waveform.span(start_ms, start_ms + length_ms)
    assert 0 <= first < width
    assert 1 <= length <= width - first


def test_speech_stands_out_from_silence() -> None:
    audio = PCM16.silence(200) + load_voice("question")[PCM16.ms_to_bytes(800) : PCM16.ms_to_bytes(1_000)]
    silent, loud = list(Waveform(400, 2).extend(audio))
    assert BARS.index(loud) > BARS.index(silent) + 3


def test_bars_span_all_heights_in_both_alphabets() -> None:
    for bars in (BARS, ASCII_BARS):
        heights = [bars.index(bar(level, bars)) for level in (None, -60.0, -40.0, -30.0, -20.0, -10.0, 0.0)]
        assert heights == sorted(heights)
        assert (heights[0], heights[-1]) == (0, len(bars) - 1)


def test_the_level_is_that_of_the_sound() -> None:
    assert level_dbfs(PCM16.silence(20)) is None
    assert level_dbfs(b"") is None
    sine = array("h", (round(16_384 * math.sin(2 * math.pi * 440 * n / 24_000)) for n in range(24_000)))
    assert level_dbfs(sine.tobytes()) == -9.0
