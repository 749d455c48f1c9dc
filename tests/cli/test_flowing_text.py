"""Text that comes in pieces looks as if it had come at once, and fits the terminal."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len
from rich.console import Console

from trio_realtime.cli.flowing_text import FlowingText, printable

LETTERS = "abé漢字\U0001f600"
WORDS = st.lists(st.text(st.sampled_from(LETTERS), max_size=50) | st.sampled_from([" ", "\n"]), max_size=8).map("".join)
INDENT = 6


def flowed(pieces: list[str], *, width: int = 40, **console: Any) -> str:
    file = io.StringIO()
    flow = FlowingText(Console(file=file, width=width, **console), INDENT)
    flow.begin("who", label_style="bold")
    for piece in pieces:
        flow.write(piece)
    flow.end()
    return file.getvalue()


@given(WORDS, st.lists(st.integers(0, 200)))
def test_it_looks_the_same_in_whatever_pieces_it_comes(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    assert flowed(pieces) == flowed([text])


@given(WORDS, st.integers(20, 60))
def test_every_line_fits_and_no_word_is_lost(text: str, width: int) -> None:
    lines = flowed([text], width=width).split("\n")
    assert lines.pop() == ""
    assert max(map(cell_len, lines)) <= width
    assert lines[0].startswith(" who  ")
    assert all(line.startswith(" " * INDENT) for line in lines[1:])
    assert "".join(line[INDENT:] for line in lines).replace(" ", "") == "".join(text.split())


@given(st.lists(st.text(st.sampled_from("abcdefgh"), min_size=1, max_size=12), min_size=1, max_size=20))
def test_words_that_fit_on_a_line_are_not_torn(words: list[str]) -> None:
    lines = flowed([" ".join(words)], width=30).splitlines()
    assert " ".join(line[INDENT:] for line in lines).split() == words


def test_a_word_waits_until_it_is_whole() -> None:
    file = io.StringIO()
    flow = FlowingText(Console(file=file, width=40), INDENT)
    flow.begin("who", label_style="")
    flow.write("Good mor")
    assert file.getvalue().endswith("Good")
    flow.write("ning ")
    assert file.getvalue().endswith("Good morning")


def test_a_line_of_its_own_ends_the_paragraph_before() -> None:
    file = io.StringIO()
    flow = FlowingText(Console(file=file, width=40), INDENT)
    flow.begin("who", label_style="")
    flow.write("hello")
    flow.line("aside")
    flow.end()
    assert file.getvalue() == " who  hello\n      aside\n"


def test_colours_are_for_terminals() -> None:
    assert "\x1b[" in flowed(["hello"], force_terminal=True, color_system="standard")
    assert "\x1b" not in flowed(["hello"], force_terminal=True, color_system=None)
    assert "\x1b" not in flowed(["hello"])


@pytest.mark.parametrize("text", ["\x1b[2J", "\x07", "\x9b31m", "a\rb", "\x1b]0;title\x07"])
def test_words_cannot_steer_the_terminal(text: str) -> None:
    shown = flowed([text])
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in shown.replace("\n", ""))
    assert printable("plain text\nwith é") == "plain text\nwith é"
