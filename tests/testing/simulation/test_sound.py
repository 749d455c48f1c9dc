"""The simulator's own audio arithmetic, against the standard library's where there is one."""

from __future__ import annotations

import warnings
from array import array
from itertools import pairwise

import pytest

from trio_realtime.testing import load_voice
from trio_realtime.testing.simulation.sound import BYTES_PER_MS, encode_pcm, pcm_samples, samples_of, speak

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

CODES = bytes(range(256))


def test_g711_decodes_as_the_standard_library_does() -> None:
    assert samples_of(CODES, "audio/pcmu").tobytes() == audioop.ulaw2lin(CODES, 2)
    assert samples_of(CODES, "audio/pcma").tobytes() == audioop.alaw2lin(CODES, 2)


@pytest.mark.parametrize("format_type", ["audio/pcmu", "audio/pcma"])
def test_g711_encodes_to_the_nearest_value(format_type: str) -> None:
    values = samples_of(CODES, format_type)
    steps = sorted(set(values))
    widest = max(high - low for low, high in pairwise(steps))
    for sample in range(-32768, 32768, 97):
        (code,) = encode_pcm(array("h", [sample] * 3).tobytes(), format_type)
        distance = abs(values[code] - sample)
        assert distance == min(abs(value - sample) for value in steps)
        assert distance <= widest


@pytest.mark.parametrize("name", ["question", "interruption", "passage"])
def test_the_voices_are_speech_of_some_seconds(name: str) -> None:
    samples = pcm_samples(load_voice(name))
    assert 2 < len(samples) / 24_000 < 15
    assert max(samples) > 10_000
    frames = [samples[start : start + 480] for start in range(0, len(samples) - 480, 480)]
    levels = [max(frame) for frame in frames]
    assert min(levels) < 200  # with pauses, as speech has
    assert sum(level > 1000 for level in levels) > len(levels) / 4


@pytest.mark.parametrize("format_type", list(BYTES_PER_MS))
def test_speech_goes_on_where_it_stopped(format_type: str) -> None:
    whole = speak(20_000, format_type)
    assert speak(7_000, format_type) + speak(13_000, format_type, after_ms=7_000) == whole
    assert len(whole) == 20_000 * BYTES_PER_MS[format_type]
