"""Long tables as plain lines, since rich takes a second for a thousand rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import accumulate

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from ganforge.cli._output import notice
from ganforge.utils.text import printable

GAP = 2


def format_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Collection[int] = (),
    width: int | None,
    paint: Callable[[str], str] = str,
) -> tuple[str, list[str]]:
    """Return a table as lines, and the names of the columns on the right that do not fit.

    Args:
        heads: Names of the columns, each as wide as its widest cell.
        rows: Cells as text.
        numbers: Indices of the columns that are aligned to the right.
        width: Maximum width in characters; None for no limit. The first two columns are always shown.
        paint: Function applied to the padded cells of the second column.
    """
    columns = [_clean(column) for column in zip(heads, *rows, strict=True)]
    widths = [max(map(_length, column)) for column in columns]
    ends = accumulate(width + GAP for width in widths)
    kept = [width is None or end - GAP <= width for end in ends]
    kept[:2] = [True] * len(kept[:2])
    count = kept.index(False) if False in kept else len(kept)
    padded = [_pad(column, widths[index], index in numbers) for index, column in enumerate(columns[:count])]
    if len(padded) > 1:
        padded[1] = [padded[1][0], *map(paint, padded[1][1:])]
    lines = [f"{(' ' * GAP).join(cells).rstrip()}\n" for cells in zip(*padded, strict=True)]
    return "".join(lines), list(heads[count:])


def print_table(
    console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Collection[int], more: str
) -> None:
    """Print a table as `format_table` does; a notice names the columns without room, and what shows `more`."""
    width = console.width if console.is_terminal else None
    text, omitted = format_table(heads, rows, numbers=numbers, width=width)
    console.print(Text(text.rstrip()), soft_wrap=True)
    if omitted:
        notice(f"no room for {', '.join(omitted)}: {more}")


def _clean(column: Sequence[str]) -> Sequence[str]:
    return column if "".join(column).isprintable() else list(map(printable, column))


def _length(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _pad(column: Sequence[str], width: int, right: bool) -> list[str]:  # noqa: FBT001 - private
    if "".join(column).isascii():
        return [text.rjust(width) if right else text.ljust(width) for text in column]
    return [" " * (width - cell_len(text)) + text if right else set_cell_size(text, width) for text in column]
