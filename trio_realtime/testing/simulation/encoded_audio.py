"""Audio as a client sends it: base64 within JSON."""

from __future__ import annotations

from base64 import b64decode

from .refusal import RefusedError
from .sound import PCM


def decoded_audio(encoded: str, param: str, format_type: str) -> bytes:
    """Read the audio of a client event.

    Args:
        encoded: Base64.
        param: Path of the key that holds it.
        format_type: The format of the session's input.

    Raises:
        RefusedError: It is no base64, or half a sample.
    """
    try:
        audio = b64decode(encoded, validate=True)
    except ValueError:
        raise RefusedError(
            f"Invalid '{param}'. Expected base64-encoded audio bytes but got something else.", param=param
        ) from None
    if format_type == PCM and len(audio) % 2:
        raise RefusedError(f"Invalid '{param}'. 16-bit audio has an even number of bytes.", param=param)
    return audio
