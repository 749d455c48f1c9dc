"""What the simulated model has read before: a context that begins like an earlier one is partly cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_STEP = 64
"""Whole steps are cached; observed on the wire."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A number of tokens, by kind."""

    text: int = 0
    audio: int = 0
    image: int = 0

    @property
    def total(self) -> int:
        """Of all kinds."""
        return self.text + self.audio + self.image

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.text + other.text, self.audio + other.audio, self.image + other.image)

    def first(self, count: int) -> Tokens:
        """At most `count` of them: text before audio before images."""
        text = min(self.text, count)
        audio = min(self.audio, count - text)
        return Tokens(text, audio, min(self.image, count - text - audio))


Piece = tuple[str, Tokens]
"""A part of a context: what tells it from others, and what it costs. The first is the instructions with the tools."""


class PromptCache:
    """The beginnings of all contexts of one connection, each with what the model made of it."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def add(self, pieces: Sequence[Piece]) -> None:
        """The model has read these, one after the other."""
        self._known.update(_beginnings(pieces))

    def cached(self, pieces: Sequence[Piece]) -> Tokens:
        """Say which tokens of a context are cached: those of its longest known beginning, in whole steps."""
        known = [tokens for (_, tokens), mark in zip(pieces, _beginnings(pieces), strict=True) if mark in self._known]
        left = sum(tokens.total for tokens in known) // _STEP * _STEP
        cached = Tokens()
        for tokens in known:
            taken = tokens.first(left)
            cached, left = cached + taken, left - taken.total
        return cached


def _beginnings(pieces: Sequence[Piece]) -> Iterator[int]:
    """Mark each piece by itself and all before it: a piece is known only behind what it stood behind."""
    mark = 0
    for piece in pieces:
        mark = hash((mark, piece))
        yield mark
