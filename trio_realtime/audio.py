"""Audio formats and their arithmetic: bytes, samples and milliseconds; PCM16, G.711, floats, WAV.

All audio is mono. `PCM16`, `PCMU` and `PCMA` are the encodings that the protocol has; all arithmetic is in integers, so
that nothing drifts. The conversions are for whole recordings and for chunks alike, except `resample`.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import IO, TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    File = str | os.PathLike[str] | IO[bytes]

_FULL_SCALE = 32768
_WAV_BLOCK_FRAMES = 65536


@dataclass(frozen=True, slots=True)
class Encoding:
    """How audio is written as bytes.

    Attributes:
        name: The wire's name, such as `"audio/pcm"`.
        rate_hz: Samples a second, a multiple of 1,000.
        bytes_per_sample: 2 for PCM16, 1 for G.711.
        silent_sample: One sample of silence.
    """

    name: str
    rate_hz: int
    bytes_per_sample: int
    silent_sample: bytes = field(repr=False)

    @property
    def bytes_per_second(self) -> int:
        """Bytes that a second of audio takes."""
        return self.rate_hz * self.bytes_per_sample

    def ms_to_samples(self, ms: int) -> int:
        """How many samples last `ms` milliseconds; exact."""
        return ms * (self.rate_hz // 1000)

    def samples_to_ms(self, samples: int) -> int:
        """How many whole milliseconds `samples` samples last."""
        return samples // (self.rate_hz // 1000)

    def ms_to_bytes(self, ms: int) -> int:
        """How many bytes last `ms` milliseconds; exact."""
        return self.ms_to_samples(ms) * self.bytes_per_sample

    def bytes_to_ms(self, count: int) -> int:
        """How many whole milliseconds `count` bytes last."""
        return self.samples_to_ms(self.bytes_to_samples(count))

    def samples_to_bytes(self, samples: int) -> int:
        """How many bytes `samples` samples take."""
        return samples * self.bytes_per_sample

    def bytes_to_samples(self, count: int) -> int:
        """How many whole samples `count` bytes are."""
        return count // self.bytes_per_sample

    def silence(self, ms: int) -> bytes:
        """Silence of `ms` milliseconds.

        Raises:
            ConfigError: `ms` is negative.
        """
        if ms < 0:
            raise ConfigError(f"silence lasts 0 ms or more, not {ms} ms")
        return self.silent_sample * self.ms_to_samples(ms)

    def audio_bytes(self, audio: Buffer) -> bytes:
        """Make the bytes of the wire of whatever holds audio in this encoding.

        Args:
            audio: `bytes` (returned as they are), `bytearray`, `memoryview` (also of every other sample; only its own
                bytes count) or any other buffer of bytes; for PCM16 also one of signed 16-bit integers, such as
                `array("h")` or a NumPy array, of which either byte order becomes little-endian. One channel.

        Raises:
            ConfigError: It is no buffer, or one of other values, or it has several channels, or its length is no whole
                number of samples.
        """
        encoded = audio if type(audio) is bytes else self._copied(audio)
        if len(encoded) % self.bytes_per_sample:
            raise ConfigError(
                f"{len(encoded)} bytes are no whole number of samples of {self.bytes_per_sample} bytes: "
                "keep the odd byte and put it before the next chunk"
            )
        return encoded

    def _copied(self, audio: Buffer) -> bytes:
        try:
            view = memoryview(audio)
        except (TypeError, ValueError, BufferError) as error:
            raise ConfigError(
                f"audio must be bytes or another buffer of {self.name}, got {type(audio).__name__}"
            ) from error
        with view:
            order, code = view.format[:-1], view.format[-1:]
            if sum(length != 1 for length in view.shape or ()) > 1:
                raise ConfigError(f"audio must have one channel, got an array of shape {view.shape}: mix it down first")
            if order in _BYTE_ORDERS and code in {"B", "b", "c"}:
                return view.tobytes()
            if order in _BYTE_ORDERS and code == "h" and self.bytes_per_sample == 2:
                return _swapped(view.tobytes(), (_BYTE_ORDERS[order] or sys.byteorder) == "big")
            raise ConfigError(
                f"audio must be bytes of {self.name}, got {_values_of(view.format)}: "
                + ("convert it with floats_to_pcm16" if code in {"e", "f", "d"} else "convert it first")
            )


PCM16 = Encoding("audio/pcm", 24_000, 2, b"\x00\x00")
"""Signed 16-bit integers, little-endian, at 24,000 Hz."""

PCMU = Encoding("audio/pcmu", 8_000, 1, b"\xff")
"""G.711 mu-law at 8,000 Hz."""

PCMA = Encoding("audio/pcma", 8_000, 1, b"\xd5")
"""G.711 A-law at 8,000 Hz."""

_ENCODINGS = {each.name: each for each in (PCM16, PCMU, PCMA)}
_BYTE_ORDERS = {"": None, "@": None, "=": None, "<": "little", ">": "big", "!": "big"}
_VALUES = {"H": "unsigned 16-bit integers", "h": "16-bit integers", "e": "floats", "f": "floats", "d": "floats"}


def encoding(name: str) -> Encoding:
    """The encoding of the wire's name.

    Raises:
        ConfigError: The protocol has none of this name.
    """
    try:
        return _ENCODINGS[name]
    except (KeyError, TypeError):
        raise ConfigError(f"there is no audio format {name!r}: expected one of {', '.join(_ENCODINGS)}") from None


def floats_to_pcm16(samples: Iterable[float]) -> bytes:
    """Convert samples from -1 to 1 to PCM16; what lies beyond is clipped.

    Args:
        samples: Floats in any iterable, such as a list, `array("f")` or a NumPy array of one dimension.

    Raises:
        ConfigError: They are no floats, or one of them is not a number.
    """
    try:
        with memoryview(samples) as view:  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  that is the question
            if view.format[-1:] not in {"e", "f", "d"}:
                raise ConfigError(
                    f"expected floats from -1 to 1, got {_values_of(view.format)}; PCM16 needs no conversion"
                )
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
    converted = array("h")
    try:
        for sample in samples:
            # A float that is not a number is the one thing that `min` and `max` would let through as noise.
            if sample != sample:  # noqa: PLR0124  as only not-a-number is
                raise ConfigError("one of the samples is not a number (NaN)")
            converted.append(round(min(max(sample * _FULL_SCALE, -_FULL_SCALE), _FULL_SCALE - 1)))
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError("expected floats from -1 to 1, in one dimension") from error
    return _pcm16(converted)


def pcm16_to_floats(pcm: Buffer) -> array[float]:
    """Convert PCM16 to samples from -1 to 1; `floats_to_pcm16` gives the same PCM16 back.

    Args:
        pcm: As of `Encoding.audio_bytes`.

    Returns:
        32-bit floats; `numpy.asarray` takes them without a copy.

    Raises:
        ConfigError: As of `Encoding.audio_bytes`.
    """
    return array("f", [sample / _FULL_SCALE for sample in _samples(pcm)])


def pcm16_to_g711(pcm: Buffer, encoding: Encoding) -> bytes:
    """Convert PCM16 to G.711 of the same rate.

    Args:
        pcm: As of `Encoding.audio_bytes`, at 8,000 Hz (see `resample`).
        encoding: `PCMU` or `PCMA`.

    Raises:
        ConfigError: As of `Encoding.audio_bytes`, or the encoding is another.
    """
    _check_g711(encoding)
    convert = _audioop().lin2ulaw if encoding == PCMU else _audioop().lin2alaw
    converted: bytes = convert(_samples(pcm), 2)
    return converted


def g711_to_pcm16(audio: Buffer, encoding: Encoding) -> bytes:
    """Convert G.711 to PCM16 of the same rate.

    Args:
        audio: As of `Encoding.audio_bytes`.
        encoding: `PCMU` or `PCMA`.

    Returns:
        PCM16 at 8,000 Hz.

    Raises:
        ConfigError: As of `Encoding.audio_bytes`, or the encoding is another.
    """
    _check_g711(encoding)
    convert = _audioop().ulaw2lin if encoding == PCMU else _audioop().alaw2lin
    return _pcm16(array("h", convert(encoding.audio_bytes(audio), 2)))


def resample(pcm: Buffer, from_hz: int, to_hz: int) -> bytes:
    """Convert PCM16 to another rate, with the SoX resampler.

    For one recording as a whole: between chunks of a stream it would click (`soxr.ResampleStream` does not).

    Args:
        pcm: As of `Encoding.audio_bytes`, at `from_hz`.
        from_hz: Its rate.
        to_hz: The rate of the result.

    Raises:
        ConfigError: The package `soxr` is not installed, or as of `Encoding.audio_bytes`, or a rate is not positive.
    """
    for rate_hz in (from_hz, to_hz):
        _check_rate(rate_hz)
    samples = _samples(pcm)
    if from_hz == to_hz or not samples:
        return _pcm16(samples)
    try:
        import numpy  # noqa: ICN001, PLC0415  optional
        import soxr  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]  optional
    except ImportError as error:
        raise ConfigError("resampling needs the package soxr: python -m pip install 'trio-realtime[audio]'") from error
    resampled = soxr.resample(numpy.frombuffer(samples, dtype=numpy.int16), from_hz, to_hz)
    return _pcm16(array("h", resampled.tobytes()))


def read_wav(file: File) -> tuple[bytes, int]:
    """Read a WAV file of mono PCM16.

    It reads from the disk in the calling thread. A file that was cut off gives what is there.

    Args:
        file: A path, or an open binary file.

    Returns:
        The audio as PCM16, and its rate in Hz.

    Raises:
        ConfigError: It is no WAV file, or has several channels or samples of another width.
        OSError: It cannot be read.
    """
    import wave  # noqa: PLC0415  few programs need it

    data = bytearray()
    try:
        with wave.open(_path(file), "rb") as wav:
            channels, bits, rate_hz = wav.getnchannels(), 8 * wav.getsampwidth(), wav.getframerate()
            if channels != 1 or bits != 16:
                raise ConfigError(
                    f"expected mono audio of 16 bits a sample, got {channels} channels of {bits} bits: convert the file"
                )
            _check_rate(rate_hz)
            # In blocks: the length in the header of a file that was made in a pipe may be 4 GiB.
            while block := wav.readframes(_WAV_BLOCK_FRAMES):
                data += block
    except (wave.Error, EOFError, RuntimeError) as error:  # RuntimeError: a chunk longer than the file, in Python 3.11
        raise ConfigError(
            f"not a WAV file of mono PCM16: {str(error) or 'it ends too early'}; convert the file"
        ) from error
    return _pcm16(array("h", bytes(data[: len(data) // 2 * 2]))), rate_hz


def write_wav(file: File, pcm: Buffer, rate_hz: int = 24_000) -> None:
    """Write a WAV file of mono PCM16; an existing one is replaced.

    It writes to the disk in the calling thread.

    Args:
        file: A path, or an open binary file (that need not be able to seek).
        pcm: As of `Encoding.audio_bytes`.
        rate_hz: Its rate.

    Raises:
        ConfigError: As of `Encoding.audio_bytes`, or the rate is not positive; nothing is written then.
        OSError: It cannot be written.
    """
    import wave  # noqa: PLC0415  few programs need it

    _check_rate(rate_hz)
    samples = _samples(pcm)
    with wave.open(_path(file), "wb") as wav:
        wav.setparams((1, 2, rate_hz, len(samples), "NONE", "not compressed"))
        wav.writeframesraw(samples)


def _samples(pcm: Buffer) -> array[int]:
    """The samples as integers of this machine."""
    return array("h", _swapped(PCM16.audio_bytes(pcm), sys.byteorder == "big"))


def _pcm16(samples: array[int]) -> bytes:
    return _swapped(samples.tobytes(), sys.byteorder == "big")


def _swapped(pcm: bytes, swap: bool) -> bytes:
    if not swap or len(pcm) % 2:
        return pcm
    swapped = array("h", pcm)
    swapped.byteswap()
    return swapped.tobytes()


def _path(file: File) -> str | IO[bytes]:
    return os.fspath(file) if isinstance(file, os.PathLike) else file


def _check_g711(encoding: Encoding) -> None:
    if encoding not in {PCMU, PCMA}:
        raise ConfigError(f"expected the encoding PCMU or PCMA, got {encoding!r}")


def _check_rate(rate_hz: int) -> None:
    if not isinstance(rate_hz, int) or rate_hz <= 0:  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
        raise ConfigError(f"expected a rate in Hz, such as 24000, got {rate_hz!r}")


def _values_of(code: str) -> str:
    return _VALUES.get(code[-1:], f"values of format {code!r}")


@cache
def _audioop() -> ModuleType:
    import warnings  # noqa: PLC0415  only for this

    with warnings.catch_warnings():
        # The standard library's own is deprecated; from Python 3.13 its successor of the same name takes its place.
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop  # noqa: PLC0415  few programs need it
    return audioop
