"""What the simulated server says that things cost: counted from what was really said, so that the sums add up."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..server import Json
from .conversation import ServerItem
from .prompt_cache import Piece, Tokens

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


def item_tokens(held: ServerItem) -> Tokens:
    """Count an item as the model reads it."""
    item = held.item
    if item["type"] != "message":
        return Tokens(_text_tokens(json.dumps(item)))
    # The model sees its own words, but not what a transcription made of the user's.
    words = "transcript" if item["role"] == "assistant" else "text"
    text = sum(_text_tokens(part.get("text") or part.get(words) or "") for part in item["content"])
    images = sum(IMAGE_TOKENS for part in item["content"] if part["type"] == "input_image")
    per_token = ASSISTANT_MS_PER_TOKEN if item["role"] == "assistant" else USER_MS_PER_TOKEN
    # Only whole tokens count: 2,796 ms were seen to be 27.
    return Tokens(text, held.audio_ms // per_token, images)


def prompt_tokens(settings: Mapping[str, Any]) -> Tokens:
    """Count what stands before all items: the instructions, and the definitions of the tools."""
    tools = sum(_text_tokens(json.dumps(tool)) for tool in settings["tools"])
    return Tokens(_text_tokens(settings["instructions"]) + tools)


def context_pieces(settings: Mapping[str, Any], items: Iterable[ServerItem]) -> list[Piece]:
    """Take apart all that the model reads for a response."""
    prompt = json.dumps([settings["instructions"], settings["tools"]])
    return [(prompt, prompt_tokens(settings)), *((held.id, item_tokens(held)) for held in items)]


def response_usage(context: Tokens, cached: Tokens, output: tuple[int, int]) -> Json:
    """Make the usage of a response that read `context`, partly cached, and made `output` text and audio tokens."""
    return {
        "total_tokens": context.total + sum(output),
        "input_tokens": context.total,
        "output_tokens": sum(output),
        "input_token_details": {
            **_by_kind(context),
            "cached_tokens": cached.total,
            "cached_tokens_details": _by_kind(cached),
        },
        "output_token_details": {"text_tokens": output[0], "audio_tokens": output[1]},
    }


def _by_kind(tokens: Tokens) -> Json:
    return {"text_tokens": tokens.text, "audio_tokens": tokens.audio, "image_tokens": tokens.image}


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
