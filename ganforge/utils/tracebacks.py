"""Summaries of exceptions that foreign code raises, such as a plugin's."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from ganforge.utils.privacy import mask_credentials
from ganforge.utils.text import printable

MAX_LINE_LENGTH = 500

_OWN_FOLDER = Path(__file__).parents[1]
_STANDARD_LIBRARY = Path(os.__file__).parent
#: Folders of installed packages.
SITE_FOLDERS = frozenset({"site-packages", "dist-packages"})
_FRAMEWORKS = frozenset({"pluggy", "pydantic", "torch"})


def single_line(text: str) -> str:
    """Return text on one line that is safe to show: printable, of limited length, without passwords of addresses."""
    line = mask_credentials(printable(" ".join(text.split())))
    return line if len(line) <= MAX_LINE_LENGTH else f"{line[: MAX_LINE_LENGTH - 1]}…"


def summarize_exception(error: BaseException, within: Path | None = None) -> str:
    """Return an exception in one line: its type, its message, and the line of the author's code that raised it.

    That code is `within` a folder; by default it is everything but ganforge, torch, pydantic and Python.
    """
    try:
        text = single_line(str(error))
    except Exception:  # noqa: BLE001 - the __str__ of a plugin's exception may fail
        text = "an error that cannot be shown"
    summary = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError):
        return summary  # its message has file and line already
    files = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    for file, line in reversed(files):
        if file.is_relative_to(within) if within is not None else _is_author_code(file):
            return f"{summary} ({file.name}, line {line})"
    return summary


def author_traceback(error: BaseException) -> str:
    """Return the traceback of an exception from the first line of the author's code on."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((index for index, frame in enumerate(frames) if _is_author_code(Path(frame.filename))), len(frames))
    return "".join(traceback.format_list(frames[first:])).rstrip()


def _is_author_code(file: Path) -> bool:
    """Return whether a file is a plugin's or a built-in component's."""
    if file.name.startswith("<"):
        return False
    if file.is_relative_to(_OWN_FOLDER):
        return file.is_relative_to(_OWN_FOLDER / "builtin")
    for position, part in enumerate(file.parts[:-1]):
        if part in SITE_FOLDERS:
            return file.parts[position + 1] not in _FRAMEWORKS
    return not file.is_relative_to(_STANDARD_LIBRARY)
