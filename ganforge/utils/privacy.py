"""Removal of passwords, home folders and paths from text that leaves the machine or stays in logs."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import TextIO, TypeVar

from ganforge.utils.files import expanded
from ganforge.utils.text import printable_lines

#: User, password or token in an address.
CREDENTIALS = re.compile(r"(?<=://)[^\s/]+@")
#: Whole text that is an absolute path, and an absolute path within text.
ABSOLUTE = re.compile(r"(?:~[^/\\]*)?[/\\][^\n]*|[A-Za-z]:[/\\][^\n]*")
EMBEDDED = re.compile(r"(?<![\w./\\:~-])(?:~[\w.-]*)?/[^\s'\",:;]+|\b[A-Za-z]:\\[^\s'\",;]+")

Value = TypeVar("Value")


def mask_credentials(text: str) -> str:
    """Return text without users, passwords and tokens of addresses."""
    return CREDENTIALS.sub("***@", text)


def shorten_home(value: Value) -> Value:
    """Return text, or all text within dictionaries and lists, with `~` in place of the user's home folder."""
    home = re.escape(str(expanded("~")))
    return _map_text(lambda text: re.sub(rf"(?<![\w.-]){home}(?![\w.-])", "~", text), value)


def shorten_paths(value: Value) -> Value:
    """Return text, or all text within dictionaries and lists, with the last name in place of each absolute path."""
    return _map_text(_last_names, value)


def _last_names(text: str) -> str:
    pattern = re.compile(r"(?s).*") if ABSOLUTE.fullmatch(text) else EMBEDDED
    return pattern.sub(lambda path: re.split(r"[/\\]", path[0].rstrip("/\\"))[-1], text)


def _map_text(function: Callable[[str], str], value: Value) -> Value:
    """Return a value with a function applied to all text within dictionaries and lists, which becomes printable."""
    if isinstance(value, str):
        return printable_lines(function(value))  # type: ignore[return-value]  # text stays text
    if isinstance(value, Mapping):
        return {key: _map_text(function, item) for key, item in value.items()}  # type: ignore[return-value]  # JSON stays JSON
    if isinstance(value, list | tuple):
        return [_map_text(function, item) for item in value]  # type: ignore[return-value]  # JSON stays JSON
    return value


class MaskedStream(io.TextIOBase):
    """Text stream that writes to another one, without credentials."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text without credentials; return its length."""
        self._stream.write(mask_credentials(text))
        return len(text)

    def flush(self) -> None:
        """Flush the other stream."""
        self._stream.flush()

    def fileno(self) -> int:
        """Return the descriptor of the other stream."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Return whether the other stream is a terminal."""
        return self._stream.isatty()
