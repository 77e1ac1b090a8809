"""Printer: the console of all commands, which shows untrusted text as it was written."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape as escape_markup
from rich.text import Text

from ganforge.utils.text import printable, printable_lines


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
