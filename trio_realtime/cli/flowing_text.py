"""Text that comes piece by piece, wrapped at the terminal's width as it flows."""

import re

from rich.cells import cell_len, chop_cells
from rich.console import Console

_PIECES = re.compile(r"\s+|\S+")


class FlowingText:
    """Paragraphs with a label in the margin, of which the last one grows.

    A word is printed when it is whole, so that one that comes in two pieces is not torn at the margin; nothing that was
    printed is ever taken back, so it looks the same in a pipe.

    Args:
        console: Where it goes.
        indent: Width of the margin, in cells.
    """

    def __init__(self, console: Console, indent: int) -> None:
        self._console = console
        self._indent = indent
        self._column = 0
        self._word = ""
        self._spaced = False
        self._open = False
        self._style: str | None = None

    @property
    def width(self) -> int:
        """How many cells a line has beside the margin."""
        return max(10, self._console.width - self._indent - 1)

    def begin(self, label: str, *, label_style: str, style: str | None = None) -> None:
        """End the paragraph that grows, and begin another."""
        self.end()
        self._style = style
        self._out(f"{label:>{self._indent - 2}}  ", label_style)
        self._column, self._spaced, self._open = 0, False, True

    def write(self, words: str) -> None:
        """Append to the paragraph; what no terminal should be told is left out."""
        for piece in _PIECES.findall(printable(words)):
            if not piece.isspace():
                self._word += piece
                while cell_len(self._word) > self.width:
                    self._tear()
            else:
                self._flush()
                self._spaced = True

    def line(self, text: str, style: str | None = None) -> None:
        """End the paragraph, and print one line beside the margin, wrapped if it must be."""
        self.begin("", label_style="", style=style)
        self.write(text)
        self.end()

    def glyphs(self, text: str, style: str | None = None) -> None:
        """Append as it is, without any wrapping."""
        self._out(text, style)
        self._column += cell_len(text)

    def end(self) -> None:
        """End the paragraph that grows, if there is one."""
        self._flush()
        if self._open:
            self._open = False
            self._out("\n")

    def _tear(self) -> None:
        """Print as much as a line holds of a word that is longer."""
        whole, head = self._word, chop_cells(self._word, self.width)[0]
        self._word = head
        self._flush()
        self._word = whole[len(head) :]

    def _flush(self) -> None:
        if not self._word:
            return
        if self._column and self._column + self._spaced + cell_len(self._word) > self.width:
            self._out("\n" + " " * self._indent)
            self._column = 0
        elif self._column and self._spaced:
            self._out(" ")
            self._column += 1
        self._out(self._word, self._style)
        self._column += cell_len(self._word)
        self._word, self._spaced = "", False

    def _out(self, text: str, style: str | None = None) -> None:
        self._console.out(text, style=style or None, highlight=False, end="")


def printable(text: str) -> str:
    """Text without control characters, which could do anything to a terminal."""
    return "".join([character for character in text if character.isprintable() or character in " \n\t"])
