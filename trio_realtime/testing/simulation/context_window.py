"""How much of the conversation the simulated model sees, and what is cut off when it gets too long.

Facts: tokens are counted after the instructions and the tools. What is cut off are the oldest items; they stay in the
conversation, but are not seen again. With a retention ratio more is cut off than needs be, so that it is needed less
often. With truncation disabled a response fails instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..server import Json
from .conversation import ServerItem
from .usage import item_tokens, prompt_tokens


def max_input_tokens(model: str) -> int:
    """Say how much a model can read: its context less the longest answer."""
    return 96_000 if model.startswith("gpt-realtime-2") else 28_224


class ContextWindow:
    """What the model of one connection sees of its conversation.

    Attributes:
        max_tokens: How much it can see at most, instructions and tools included.
    """

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._forgotten: set[str] = set()

    def seen(self, items: Sequence[ServerItem], settings: Json) -> list[ServerItem] | None:
        """Say which items of the conversation are seen by the next response; None: they are too many, and it fails."""
        kept = self.fitting([held for held in items if held.id not in self._forgotten], settings)
        if kept is not None:
            self._forgotten = {held.id for held in items} - {held.id for held in kept}
        return kept

    def fitting(self, items: Sequence[ServerItem], settings: Json) -> list[ServerItem] | None:
        """Say which of these items are seen: the last that fit; None: they do not, and must not be cut off."""
        truncation: Json | str = settings["truncation"]
        limit, ratio = self.max_tokens - prompt_tokens(settings).total, 1.0
        if isinstance(truncation, dict):
            ratio = truncation["retention_ratio"]
            limit = min(limit, truncation.get("token_limits", {}).get("post_instructions", limit))
        sizes = [item_tokens(held).total for held in items]
        size = sum(sizes)
        if size <= limit:
            return list(items)
        if truncation == "disabled":
            return None
        first = 0
        while first < len(items) - 1 and (
            # The output of a call means nothing without the call, which stood before it.
            size > limit * ratio or items[first].item["type"] == "function_call_output"
        ):
            size -= sizes[first]
            first += 1
        return list(items[first:])
