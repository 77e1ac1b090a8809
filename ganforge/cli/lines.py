"""Long tables as plain lines: rich measures and wraps every cell, which takes a second for a thousand rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rich.cells import cell_len, set_cell_size

from ganforge.components.spec import CONTROL

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
        columns = [_clean(column) for column in zip(self.heads, *self.rows, strict=True)]
        widths = [max(map(_length, column)) for column in columns]
        ends = accumulate(width + GAP for width in widths)
        kept = [width is None or end - GAP <= width for end in ends]
        kept[:2] = [True] * len(kept[:2])
        count = kept.index(False) if False in kept else len(kept)
        padded = [_pad(column, widths[index], index in self.numbers) for index, column in enumerate(columns[:count])]
        if len(padded) > 1:
            padded[1] = [padded[1][0], *map(paint, padded[1][1:])]
        gap = " " * GAP
        lines = [f"{gap.join(cells).rstrip()}\n" for cells in zip(*padded, strict=True)]
        return "".join(lines), list(self.heads[count:])


def _clean(column: Sequence[str]) -> Sequence[str]:
    """Return a column's cells as `safe` makes them."""
    together = "".join(column)
    return column if together.isascii() and together.isprintable() else list(map(safe, column))


def safe(text: str) -> str:
    """Return a text that cannot command a terminal, nor end a line."""
    return text if text.isascii() and text.isprintable() else CONTROL.sub("�", text)


def _length(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _pad(column: Sequence[str], width: int, right: bool) -> list[str]:  # noqa: FBT001 - one of two, both named there
    if "".join(column).isascii():
        return [text.rjust(width) if right else text.ljust(width) for text in column]
    return [" " * (width - cell_len(text)) + text if right else set_cell_size(text, width) for text in column]
