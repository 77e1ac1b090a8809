"""Long tables as plain lines: rich measures and wraps every cell, which takes a second for a thousand rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rich.cells import cell_len, set_cell_size

from ganforge.component import CONTROL

GAP = 2


@dataclass(frozen=True, slots=True)
class Lines:
    """Hold a table's columns, as wide as their widest cell.

    heads: their names. rows: cells as text. numbers: the columns that are aligned to the right.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()

    def render(self, width: int | None, paint: Callable[[str], str] = str) -> tuple[str, list[str]]:
        """Return the lines, and the names of the columns at the right that have no room in `width` characters.

        The first two columns are always shown. paint: what the second one's cells go through when they are padded.
        """
        cells = [list(map(safe, row)) for row in (self.heads, *self.rows)]
        widths = [max(map(_length, column)) for column in zip(*cells, strict=True)]
        ends = accumulate(width + GAP for width in widths)
        kept = [width is None or end - GAP <= width for end in ends]
        kept[:2] = [True] * len(kept[:2])
        count = kept.index(False) if False in kept else len(kept)
        lines = []
        for row in cells:
            padded = [_pad(cell, widths[index], index in self.numbers) for index, cell in enumerate(row[:count])]
            if row is not cells[0]:
                padded[1] = paint(padded[1])
            lines.append((" " * GAP).join(padded).rstrip() + "\n")
        return "".join(lines), list(self.heads[count:])


def safe(text: str) -> str:
    """Return a text that cannot command a terminal, nor end a line."""
    return text if text.isascii() and text.isprintable() else CONTROL.sub("�", text)


def _length(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _pad(text: str, width: int, right: bool) -> str:  # noqa: FBT001 - one of two, both named by the caller
    if text.isascii():
        return text.rjust(width) if right else text.ljust(width)
    return " " * (width - cell_len(text)) + text if right else set_cell_size(text, width)
