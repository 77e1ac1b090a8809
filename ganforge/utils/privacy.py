"""Removal of passwords and home folders from text that leaves the machine or stays in logs."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO, TypeVar

#: User, password or token in an address.
CREDENTIALS = re.compile(r"(?<=://)[^\s/]+@")

Value = TypeVar("Value")


def mask_credentials(text: str) -> str:
    """Return text without users, passwords and tokens of addresses."""
    return CREDENTIALS.sub("***@", text)


def shorten_home(value: Value) -> Value:
    """Return text, or all text within dictionaries and lists, with `~` in place of the user's home folder."""
    if isinstance(value, str):
        return re.sub(rf"(?<![\w.-]){re.escape(str(Path.home()))}(?![\w.-])", "~", value)  # type: ignore[return-value]  # text stays text
    if isinstance(value, Mapping):
        return {key: shorten_home(item) for key, item in value.items()}  # type: ignore[return-value]  # JSON stays JSON
    if isinstance(value, list | tuple):
        return [shorten_home(item) for item in value]  # type: ignore[return-value]  # JSON stays JSON
    return value


class MaskedStream(io.TextIOBase):
    """Text stream that writes to another one, without credentials.

    Args:
        stream: The other stream.
    """

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
