"""What the simulated server accepts of a translation session: its configuration, and each of the 3 client events."""

from __future__ import annotations

from .json_shape import Shape, any_json, decimal, nullable, record, string, tagged

_ID = string(max_length=512)
_TEXT = string()
_AUDIO = record(
    {
        "input": record(
            {
                "noise_reduction": nullable(
                    record(
                        {"type": string(choices=("near_field", "far_field")), "strength": decimal(0, 1)},
                        required=["type"],
                    )
                ),
                "transcription": nullable(record({"model": _TEXT}, required=["model"])),
            }
        ),
        "output": record({"language": _TEXT}),
    }
)

TRANSLATION_SESSION = record({"model": _TEXT, "audio": _AUDIO}, required=["model"])
"""What a client secret holds; a connection states its model in the URL."""


def _event(fields: dict[str, Shape]) -> Shape:
    return record({"type": any_json, "event_id": _ID, **fields}, required=list(fields))


TRANSLATION_EVENT = tagged(
    {
        "session.update": _event({"session": record({"audio": _AUDIO})}),
        "session.input_audio_buffer.append": _event({"audio": _TEXT}),
        "session.close": _event({}),
    }
)
"""The shape of any client event; its path is `""`."""
