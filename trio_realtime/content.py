"""Content parts for `send_message`: `text("...")`, `audio(pcm)`, `image(png)`."""

import base64
from typing import Any

from .audio import PCM16
from .errors import ConfigError
from .wire.items import InputAudio, InputImage, InputText

_IMAGE_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def text(words: str) -> InputText:
    """Text. Wire: `input_text`, or `output_text` in a message of the assistant."""
    return InputText(text=words)


def audio(recording: Any, *, transcript: str | None = None) -> InputAudio:
    """Audio of the user, in the session's input format.

    Args:
        recording: Mono PCM16 little-endian, 24,000 Hz, as `bytes`, `bytearray`, `memoryview` or a 16-bit integer array;
            `bytes` of G.711 where the session takes that.
        transcript: What is said in it.

    Raises:
        ConfigError: It is none of these.
    """
    data = recording if isinstance(recording, bytes) else PCM16.audio_bytes(recording)
    return InputAudio(audio=data, transcript=transcript)


def image(picture: bytes | str, *, detail: str | None = None) -> InputImage:
    """An image of the user.

    Args:
        picture: The bytes of a PNG or JPEG file, or a `data:` URI of one.
        detail: `"auto"`, `"low"` or `"high"`.

    Raises:
        ConfigError: It is neither.
    """
    if isinstance(picture, str):
        if not picture.startswith("data:image/"):
            raise ConfigError("an image is given as the bytes of a PNG or JPEG file, or as a data:image/... URI")
        return InputImage(image_url=picture, detail=detail)
    if not isinstance(picture, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
        raise ConfigError(f"an image is given as bytes or as a data:image/... URI, not {type(picture).__name__}")
    for magic, kind in _IMAGE_TYPES.items():
        if picture.startswith(magic):
            return InputImage(image_url=f"data:{kind};base64,{base64.b64encode(picture).decode()}", detail=detail)
    raise ConfigError("the image is neither a PNG nor a JPEG file; convert it to one of them")
