"""What the simulated server says that things cost: counted from what was really said, so that the sums add up."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from .conversation import Json, ServerItem

IMAGE_TOKENS = 85
USER_MS_PER_TOKEN = 100
ASSISTANT_MS_PER_TOKEN = 50
_CHARACTERS_PER_TOKEN = 4

_TOKEN = re.compile(r"\s*\w+|\s*[^\w\s]+|\s+")


def tokenise(text: str) -> list[str]:
    """Split text into what stands for tokens; joined again they are the text."""
    return _TOKEN.findall(text)


def _text_tokens(text: str) -> int:
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def _item_tokens(held: ServerItem) -> tuple[int, int, int]:
    """Text, audio and image tokens of one item as input."""
    item = held.item
    if item["type"] != "message":
        return _text_tokens(json.dumps(item)), 0, 0
    # The model sees its own words, but not what a transcription made of the user's.
    words = "transcript" if item["role"] == "assistant" else "text"
    text = sum(_text_tokens(part.get("text") or part.get(words) or "") for part in item["content"])
    images = sum(IMAGE_TOKENS for part in item["content"] if part["type"] == "input_image")
    per_token = ASSISTANT_MS_PER_TOKEN if item["role"] == "assistant" else USER_MS_PER_TOKEN
    return text, math.ceil(held.audio_ms / per_token), images


def response_usage(
    context: Iterable[ServerItem],
    instructions: str,
    tools: Sequence[Any],
    output: tuple[int, int],
) -> Json:
    """Make the usage of a response that saw `context` and made `output` text and audio tokens."""
    text = _text_tokens(instructions) + sum(_text_tokens(json.dumps(tool)) for tool in tools)
    audio = images = 0
    for held in context:
        more_text, more_audio, more_images = _item_tokens(held)
        text, audio, images = text + more_text, audio + more_audio, images + more_images
    input_tokens = text + audio + images
    return {
        "total_tokens": input_tokens + sum(output),
        "input_tokens": input_tokens,
        "output_tokens": sum(output),
        "input_token_details": {
            "text_tokens": text,
            "audio_tokens": audio,
            "image_tokens": images,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": output[0], "audio_tokens": output[1]},
    }


def transcript_usage(model: str, transcript: str, audio_ms: int) -> Json:
    """Make the usage of a transcription: tokens for the gpt-4o models, seconds for the others."""
    if not model.startswith("gpt-4o"):
        return {"type": "duration", "seconds": math.ceil(audio_ms / 1000)}
    audio, text = math.ceil(audio_ms / USER_MS_PER_TOKEN), len(tokenise(transcript))
    return {
        "type": "tokens",
        "total_tokens": audio + text,
        "input_tokens": audio,
        "input_token_details": {"text_tokens": 0, "audio_tokens": audio},
        "output_tokens": text,
    }
