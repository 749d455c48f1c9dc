"""Audio as the simulator handles it: the three formats of the protocol, and a voice to speak with.

Written apart from `trio_realtime.audio`, so that the two can disagree.
"""

from __future__ import annotations

import io
import sys
import wave
from array import array
from bisect import bisect_left
from functools import cache
from importlib.resources import files
from itertools import pairwise

PCM, MU_LAW, A_LAW = "audio/pcm", "audio/pcmu", "audio/pcma"

BYTES_PER_MS = {PCM: 48, MU_LAW: 8, A_LAW: 8}
"""PCM16 mono at 24,000 Hz; G.711 at 8,000 Hz."""

SPEECH_MS_PER_CHARACTER = 60

QUESTION = "Hello! Could you tell me what the weather will be like in Paris tomorrow?"
"""What is said in `question.wav`."""

INTERRUPTION = "Wait, stop there please."
"""What is said in `interruption.wav`."""


@cache
def load_voice(name: str) -> bytes:
    """Load spoken audio: mono PCM16 little-endian at 24,000 Hz, without a WAV header.

    Args:
        name: `"question"` or `"interruption"` (a user speaks, with silence around), or `"passage"`.

    Raises:
        FileNotFoundError: There is no such voice.
    """
    content = files("trio_realtime.testing").joinpath("voice", f"{name}.wav").read_bytes()
    with wave.open(io.BytesIO(content)) as recording:
        audio: bytes = recording.readframes(recording.getnframes())
    return audio


@cache
def _spoken_passage(format_type: str) -> bytes:
    return encode_pcm(load_voice("passage"), format_type)


def speak(duration_ms: int, format_type: str, *, after_ms: int = 0) -> bytes:
    """Cut `duration_ms` of speech out of the passage, which is a loop, beginning at `after_ms`."""
    loop = _spoken_passage(format_type)
    rate = BYTES_PER_MS[format_type]
    start = after_ms * rate % len(loop)
    needed = duration_ms * rate
    repeats = (start + needed) // len(loop) + 1
    return (loop * repeats)[start : start + needed]


def voice(text: str, audio: bytes | float | None, format_type: str, *, speed: float = 1.0, after_ms: int = 0) -> bytes:
    """Make the audio of a `Says`: its own, or as much speech as it asks for or as its text needs at this speed."""
    if isinstance(audio, bytes):
        return encode_pcm(audio, format_type)
    duration_ms = round(len(text) * SPEECH_MS_PER_CHARACTER / speed if audio is None else audio * 1000)
    return speak(duration_ms, format_type, after_ms=after_ms)


def pcm_samples(pcm: bytes | bytearray) -> array[int]:
    """Read PCM16 little-endian bytes as integers."""
    samples = array("h")
    samples.frombytes(pcm)
    if sys.byteorder == "big":  # pragma: no cover  the wire is little-endian wherever this runs
        samples.byteswap()
    return samples


def samples_of(audio: bytes | bytearray, format_type: str) -> array[int]:
    """Read audio of any format as 16-bit integers, at the format's own rate."""
    if format_type == PCM:
        return pcm_samples(audio)
    values = _mu_law_values() if format_type == MU_LAW else _a_law_values()
    return array("h", [values[byte] for byte in audio])


def encode_pcm(pcm: bytes, format_type: str) -> bytes:
    """Convert PCM16 at 24,000 Hz to a format; for G.711 each three samples become their mean."""
    if format_type == PCM:
        return pcm
    samples = pcm_samples(pcm)
    nearest = _nearest_codes(format_type)
    triples = zip(samples[0::3], samples[1::3], samples[2::3], strict=False)
    return bytes(nearest[(a + b + c) // 3] for a, b, c in triples)


@cache
def _mu_law_values() -> tuple[int, ...]:
    def value(code: int) -> int:
        code = ~code & 0xFF
        magnitude = ((((code & 0x0F) << 3) + 0x84) << (code >> 4 & 7)) - 0x84
        return -magnitude if code & 0x80 else magnitude

    return tuple(map(value, range(256)))


@cache
def _a_law_values() -> tuple[int, ...]:
    def value(code: int) -> int:
        code ^= 0x55
        segment, step = code >> 4 & 7, (code & 0x0F) << 4
        magnitude = step + 8 if segment == 0 else (step + 0x108) << (segment - 1)
        return magnitude if code & 0x80 else -magnitude

    return tuple(map(value, range(256)))


@cache
def _nearest_codes(format_type: str) -> tuple[int, ...]:
    """For each 16-bit sample (negative ones count from the end, as indices do) the code with the nearest value."""
    values = _mu_law_values() if format_type == MU_LAW else _a_law_values()
    steps = sorted((value, code) for code, value in enumerate(values))
    # The codes change half-way between two values.
    middles = [(low + high) / 2 for (low, _), (high, _) in pairwise(steps)]
    codes = [steps[bisect_left(middles, sample)][1] for sample in range(-32768, 32768)]
    return tuple(codes[32768:] + codes[:32768])
