"""Printer: the console of all commands, which shows untrusted text as it was written; long tables as plain lines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.text import Text

from ganforge.cli._output import notice
from ganforge.utils.text import printable, printable_lines

#: Characters between two columns of a table.
GAP = 2


class Printer(Console):
    """Console without control characters and emoji from text such as `:fire:`, and without breaks within lines."""

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own
        """Return text of one or more lines for the terminal."""
        return super().render_str(printable_lines(text), **{**options, "emoji": False})

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401 - as above
        """Print tables in the terminal's width, and text unbroken, since it may be a path or a command to paste."""
        is_text = all(isinstance(item, str | Text) for item in objects)
        super().print(*objects, **{"soft_wrap": is_text or self.soft_wrap, **options})

    def message(self, head: str, style: str, text: str) -> None:
        """Print a line of untrusted text after a colored head."""
        self.print(Text.assemble((head, style), printable(text)))


def escape(text: object) -> str:
    """Return untrusted text within markup: one line, shown as it was written."""
    return escape_markup(printable(str(text)))


def escape_lines(text: str) -> str:
    """Return untrusted text of several lines within markup."""
    return escape_markup(printable_lines(text))


def format_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Collection[int] = (),
    width: int | None,
    paint: Callable[[str], str] = str,
) -> tuple[str, list[str]]:
    """Return a table as lines, and the names of the columns on the right that do not fit.

    rich takes a second for a thousand rows.

    Args:
        heads: Names of the columns, each as wide as its widest cell.
        rows: Cells as text.
        numbers: Indices of the columns that are aligned to the right.
        width: Maximum width in characters; None for no limit. The first two columns are always shown.
        paint: Function applied to the padded cells of the second column.
    """
    columns = [list(map(printable, column)) for column in zip(heads, *rows, strict=True)]
    widths = [max(len(text) if text.isascii() else cell_len(text) for text in column) for column in columns]
    ends = accumulate(width + GAP for width in widths)
    kept = [width is None or end - GAP <= width for end in ends]
    kept[:2] = [True] * len(kept[:2])
    count = kept.index(False) if False in kept else len(kept)
    padded = [_pad(column, widths[index], right=index in numbers) for index, column in enumerate(columns[:count])]
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


def _pad(column: Sequence[str], width: int, *, right: bool) -> list[str]:
    if "".join(column).isascii():  # cell_len would take as long as all the rest
        return [text.rjust(width) if right else text.ljust(width) for text in column]
    return [" " * (width - cell_len(text)) + text if right else set_cell_size(text, width) for text in column]
