"""Audio: exact arithmetic, what counts as audio, conversions, WAV files."""

import io
import math
import subprocess
import sys
import wave
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from trio_realtime import audio as audio_module
from trio_realtime.audio import (
    PCM16,
    PCMA,
    PCMU,
    Encoding,
    encoding,
    floats_to_pcm16,
    g711_to_pcm16,
    pcm16_to_floats,
    pcm16_to_g711,
    read_wav,
    resample,
    write_wav,
)
from trio_realtime.errors import ConfigError

ENCODINGS = [PCM16, PCMU, PCMA]
encodings = st.sampled_from(ENCODINGS)
counts = st.integers(0, 2**40)
int16 = st.integers(-32768, 32767)
int16_lists = st.lists(int16, max_size=50)


def pcm(*samples: int) -> bytes:
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


# --- arithmetic --------------------------------------------------------------------------------------------------


def test_the_encodings_are_those_of_the_protocol() -> None:
    assert [(each.name, each.rate_hz, each.bytes_per_sample, each.bytes_per_second) for each in ENCODINGS] == [
        ("audio/pcm", 24_000, 2, 48_000),
        ("audio/pcmu", 8_000, 1, 8_000),
        ("audio/pcma", 8_000, 1, 8_000),
    ]
    assert [encoding(each.name) for each in ENCODINGS] == ENCODINGS


@pytest.mark.parametrize("name", ["", "pcm16", "audio/PCM", "g711_ulaw", None, []])
def test_an_encoding_that_the_protocol_lacks_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="audio/pcm, audio/pcmu, audio/pcma"):
        encoding(name)


@pytest.mark.parametrize(("ms", "samples"), [(0, 0), (1, 24), (250, 6000), (514, 12_336), (751, 18_024)])
def test_milliseconds_are_exact_samples(ms: int, samples: int) -> None:
    assert PCM16.ms_to_samples(ms) == samples
    assert PCM16.ms_to_bytes(ms) == 2 * samples
    assert PCM16.samples_to_ms(samples) == ms


@given(each=encodings, count=counts)
def test_samples_become_the_milliseconds_below(each: Encoding, count: int) -> None:
    ms = each.samples_to_ms(count)
    assert each.ms_to_samples(ms) <= count < each.ms_to_samples(ms + 1)
    ms = each.bytes_to_ms(count)
    assert each.ms_to_bytes(ms) <= count < each.ms_to_bytes(ms + 1)


@given(each=encodings, count=counts)
def test_the_arithmetic_goes_there_and_back(each: Encoding, count: int) -> None:
    assert each.samples_to_ms(each.ms_to_samples(count)) == count
    assert each.bytes_to_ms(each.ms_to_bytes(count)) == count
    assert each.bytes_to_samples(each.samples_to_bytes(count)) == count
    assert each.ms_to_bytes(1000) == each.bytes_per_second


@pytest.mark.parametrize("each", ENCODINGS)
def test_silence_is_silent_and_as_long_as_asked(each: Encoding) -> None:
    silence = each.silence(20)
    assert len(silence) == each.bytes_per_second // 50
    heard = silence if each is PCM16 else g711_to_pcm16(silence, each)
    assert max(abs(sample) for sample in array("h", heard)) <= (8 if each is PCMA else 0)  # A-law has no zero
    assert each.silence(0) == b""
    with pytest.raises(ConfigError, match="0 ms or more"):
        each.silence(-1)


def test_an_encoding_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        PCM16.rate_hz = 16_000  # type: ignore[misc]


# --- what counts as audio ----------------------------------------------------------------------------------------


@given(samples=int16_lists)
def test_every_kind_of_buffer_gives_the_same_bytes(samples: list[int]) -> None:
    expected = pcm(*samples)
    interleaved = b"".join(expected[i : i + 1] + b"\xaa" for i in range(len(expected)))
    buffers: list[Any] = [
        expected,
        bytearray(expected),
        memoryview(expected),
        memoryview(b"\x01\x02" + expected + b"\x03")[2:-1],
        memoryview(interleaved)[::2],
        array("h", samples),
        array("B", expected),
        array("b", [byte - 256 if byte > 127 else byte for byte in expected]),
        memoryview(array("h", [value for sample in samples for value in (sample, 99)]))[::2],
        np.array(samples, dtype=np.int16),
        np.array(samples, dtype="<i2"),
        np.array(samples, dtype=">i2"),
        np.array(samples, dtype=np.int16).reshape(-1, 1),
        np.frombuffer(expected, dtype=np.uint8),
        type("Bytes", (bytes,), {})(expected),
    ]
    for buffer in buffers:
        encoded = PCM16.audio_bytes(buffer)
        assert type(encoded) is bytes
        assert encoded == expected


def test_bytes_are_not_copied_and_other_buffers_are() -> None:
    audio = bytes(range(100))
    assert PCM16.audio_bytes(audio) is audio
    buffer = bytearray(audio)
    encoded = PCM16.audio_bytes(buffer)
    buffer.clear()  # possible, since nothing exports it any longer
    assert encoded == audio


@given(each=encodings, audio=st.binary(max_size=20))
def test_pcm16_refuses_an_odd_number_of_bytes(each: Encoding, audio: bytes) -> None:
    if len(audio) % each.bytes_per_sample:
        with pytest.raises(ConfigError, match="odd byte"):
            each.audio_bytes(audio)
        with pytest.raises(ConfigError, match="odd byte"):
            each.audio_bytes(memoryview(audio))
    else:
        assert each.audio_bytes(audio) == each.audio_bytes(bytearray(audio)) == audio


def released() -> memoryview:
    view = memoryview(b"ab")
    view.release()
    return view


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (array("f", [0.5]), "floats_to_pcm16"),
        (np.zeros(4, dtype=np.float32), "floats_to_pcm16"),
        (np.zeros(4), "floats_to_pcm16"),
        (np.zeros(4, dtype=np.uint16), "unsigned 16-bit"),
        (np.zeros(4, dtype=np.int32), "format 'i'"),
        (np.zeros(4, dtype=np.bool_), "format"),
        (np.zeros((4, 2), dtype=np.int16), "one channel"),
        ("AAAA", "got str"),
        ([1, 2], "got list"),
        (None, "got NoneType"),
        (3, "got int"),
        (released(), "got memoryview"),
    ],
)
def test_what_is_no_audio_is_refused(audio: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PCM16.audio_bytes(audio)


def test_g711_is_bytes_and_not_16_bit_integers() -> None:
    for each in (PCMU, PCMA):
        with pytest.raises(ConfigError, match="16-bit integers"):
            each.audio_bytes(array("h", [1, 2]))


def test_a_refusal_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="odd byte"):
        PCM16.audio_bytes(b"abc")


def test_a_big_endian_machine_writes_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    # On this machine an array in big-endian order stands for a native one of the other kind.
    native = array("h", [1, -2, 300])
    native.byteswap()
    monkeypatch.setattr(sys, "byteorder", "big")
    assert PCM16.audio_bytes(native) == pcm(1, -2, 300)
    swapped: Any = np.array([1, -2, 300], dtype=">i2")
    assert PCM16.audio_bytes(swapped) == pcm(1, -2, 300)
    assert PCM16.audio_bytes(pcm(1, -2, 300)) == pcm(1, -2, 300)
    assert audio_module._samples(pcm(1, -2, 300)) == native
    assert audio_module._pcm16(native) == pcm(1, -2, 300)


# --- floats ------------------------------------------------------------------------------------------------------


@given(samples=int16_lists)
def test_pcm16_survives_the_way_through_floats(samples: list[int]) -> None:
    floats = pcm16_to_floats(pcm(*samples))
    assert all(-1 <= value < 1 for value in floats)
    for form in (floats, list(floats), iter(floats), np.asarray(floats), np.asarray(floats).astype(np.float64)):
        assert floats_to_pcm16(form) == pcm(*samples)


@given(samples=st.lists(st.floats(allow_nan=False), max_size=20))
def test_floats_are_clipped(samples: list[float]) -> None:
    for value, sample in zip(samples, array("h", floats_to_pcm16(samples)), strict=True):
        assert abs(sample - 32768 * min(max(value, -1), 1)) <= 1
    assert floats_to_pcm16([-math.inf, math.inf, -1, 1, 0, -0.0]) == pcm(-32768, 32767, -32768, 32767, 0, 0)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([0.0, math.nan], "NaN"),
        (np.array([np.nan]), "NaN"),
        (array("h", [1]), "got 16-bit integers"),
        (b"ab", "format 'B'"),
        ("ab", "floats"),
        (["a"], "floats"),
        (None, "floats"),
        (0.5, "floats"),
        (np.zeros((2, 2)), "one dimension"),
        ([0.5, 1j], "floats"),
    ],
)
def test_what_is_no_float_is_refused(samples: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        floats_to_pcm16(samples)


# --- G.711 -------------------------------------------------------------------------------------------------------


def mu_law_value(code: int) -> int:
    """The value of ITU-T G.711, table 2, on 16 bits."""
    inverted = ~code & 0xFF
    magnitude = ((((inverted & 0x0F) << 3) + 0x84) << (inverted >> 4 & 7)) - 0x84
    return -magnitude if inverted & 0x80 else magnitude


def a_law_value(code: int) -> int:
    """The value of ITU-T G.711, table 1, on 16 bits."""
    toggled = code ^ 0x55
    segment, step = toggled >> 4 & 7, (toggled & 0x0F) << 4
    magnitude = step + 8 if segment == 0 else (step + 0x108) << (segment - 1)
    return magnitude if toggled & 0x80 else -magnitude


@pytest.mark.parametrize(("each", "value"), [(PCMU, mu_law_value), (PCMA, a_law_value)])
def test_g711_decodes_as_the_standard_says(each: Encoding, value: Any) -> None:
    codes = bytes(range(256))
    assert g711_to_pcm16(codes, each) == pcm(*map(value, codes))
    assert g711_to_pcm16(memoryview(codes)[::2], each) == pcm(*map(value, codes[::2]))


@given(each=st.sampled_from([PCMU, PCMA]), samples=int16_lists)
def test_g711_is_as_near_as_its_steps_allow(each: Encoding, samples: list[int]) -> None:
    decoded = array("h", g711_to_pcm16(pcm16_to_g711(pcm(*samples), each), each))
    for sample, near in zip(samples, decoded, strict=True):
        assert abs(sample - near) <= max(16, abs(sample) / 16)


@pytest.mark.parametrize("each", [PCMU, PCMA])
def test_g711_survives_the_way_through_pcm16(each: Encoding) -> None:
    codes = bytes(code for code in range(256) if not (each is PCMU and code == 0x7F))  # the second zero of mu-law
    assert pcm16_to_g711(g711_to_pcm16(codes, each), each) == codes


def test_g711_conversions_refuse_what_is_no_g711() -> None:
    with pytest.raises(ConfigError, match="PCMU or PCMA"):
        pcm16_to_g711(b"", PCM16)
    with pytest.raises(ConfigError, match="PCMU or PCMA"):
        g711_to_pcm16(b"", PCM16)
    with pytest.raises(ConfigError, match="odd byte"):
        pcm16_to_g711(b"abc", PCMU)


# --- resampling --------------------------------------------------------------------------------------------------


def tone(rate_hz: int, ms: int = 500, hz: int = 440) -> bytes:
    return floats_to_pcm16([0.5 * math.sin(2 * math.pi * hz * n / rate_hz) for n in range(rate_hz * ms // 1000)])


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48_000, 24_000), (44_100, 24_000), (8_000, 24_000), (24_000, 8_000)])
def test_a_resampled_tone_is_the_same_tone(from_hz: int, to_hz: int) -> None:
    resampled = array("h", resample(tone(from_hz), from_hz, to_hz))
    expected = array("h", tone(to_hz))
    assert abs(len(resampled) - len(expected)) <= 1
    middle = slice(len(expected) // 4, 3 * len(expected) // 4)
    assert max(abs(a - b) for a, b in zip(resampled[middle], expected[middle], strict=True)) < 100


def test_the_same_rate_and_nothing_at_all_stay_as_they_are() -> None:
    assert resample(bytearray(tone(8000)), 8000, 8000) == tone(8000)
    assert resample(b"", 48_000, 24_000) == b""


@pytest.mark.parametrize("rate_hz", [0, -1, 0.5, None])
def test_rates_are_checked(rate_hz: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rate in Hz"):
        resample(b"", rate_hz, 24_000)
    with pytest.raises(ConfigError, match="rate in Hz"):
        resample(b"", 24_000, rate_hz)
    with pytest.raises(ConfigError, match="rate in Hz"):
        write_wav(tmp_path / "a.wav", b"", rate_hz)
    assert not (tmp_path / "a.wav").exists()


def test_a_missing_resampler_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ConfigError, match=r"pip install 'trio-realtime\[audio\]'"):
        resample(b"abcd", 48_000, 24_000)


# --- WAV ---------------------------------------------------------------------------------------------------------


class Pipe(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.written += bytes(data)
        return len(data)


@given(samples=int16_lists, rate_hz=st.integers(1, 192_000))
def test_a_wav_file_gives_back_what_was_written(samples: list[int], rate_hz: int) -> None:
    file = io.BytesIO()
    write_wav(file, pcm(*samples), rate_hz)
    assert read_wav(io.BytesIO(file.getvalue())) == (pcm(*samples), rate_hz)
    pipe: Any = Pipe()
    write_wav(pipe, array("h", samples), rate_hz)
    assert pipe.written == file.getvalue()


@pytest.mark.parametrize("kind", [str, Path])
def test_wav_files_have_paths(kind: Any, tmp_path: Path) -> None:
    path = kind(tmp_path / "a.wav")
    write_wav(path, pcm(1, 2, 3))
    write_wav(path, pcm(4, 5))
    assert read_wav(path) == (pcm(4, 5), 24_000)
    with wave.open(str(path)) as other:
        assert other.getparams()[:4] == (1, 2, 24_000, 2)
        assert other.readframes(2) == pcm(4, 5)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_wav(tmp_path / "a.wav")


def test_a_longer_file_is_read_whole() -> None:
    samples = pcm(*range(-30_000, 30_000)) * 3
    file = io.BytesIO()
    write_wav(file, samples)
    assert read_wav(io.BytesIO(file.getvalue()))[0] == samples


@pytest.mark.parametrize(("channels", "width"), [(2, 2), (1, 1), (1, 3), (1, 4), (2, 1)])
def test_another_shape_of_wav_is_refused_by_name(channels: int, width: int, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as other:
        other.setparams((channels, width, 24_000, 0, "NONE", ""))
        other.writeframes(bytes(channels * width * 4))
    with pytest.raises(ConfigError, match=rf"got {channels} channels of {8 * width} bits"):
        read_wav(path)


def test_the_length_in_a_streamed_header_is_not_believed() -> None:
    file = io.BytesIO()
    write_wav(file, pcm(1, 2, 3))
    streamed = bytearray(file.getvalue())
    streamed[4:8] = streamed[40:44] = b"\xff\xff\xff\x7f"
    assert read_wav(io.BytesIO(bytes(streamed))) == (pcm(1, 2, 3), 24_000)
    assert read_wav(io.BytesIO(bytes(streamed[:-1]))) == (pcm(1, 2), 24_000)


@given(data=st.data())
def test_no_bytes_break_the_reader(data: st.DataObject) -> None:
    file = io.BytesIO()
    write_wav(file, pcm(1, 2, 3, 4))
    broken = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    del broken[data.draw(st.integers(0, len(broken))) :]
    try:
        samples, rate_hz = read_wav(io.BytesIO(bytes(broken)))
    except ConfigError:
        return
    assert len(samples) % 2 == 0
    assert rate_hz > 0


@given(junk=st.binary(max_size=80))
def test_what_is_no_wav_file_is_refused(junk: bytes) -> None:
    with pytest.raises(ConfigError, match="not a WAV file"):
        read_wav(io.BytesIO(junk))


# --- cost --------------------------------------------------------------------------------------------------------


def test_importing_it_loads_nothing_that_few_programs_need() -> None:
    program = "import sys, trio_realtime.audio\nprint(sorted({'wave', 'audioop', 'soxr', 'numpy'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"
