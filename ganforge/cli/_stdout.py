"""Standard output, reserved for the results of commands."""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from typing import TextIO

#: Descriptors of the standard streams for output.
STDOUT, STDERR = 1, 2

_reserved: ContextVar[TextIO | None] = ContextVar("reserved", default=None)


def reserve_stdout() -> None:
    """Reserve stdout for results: text that libraries write to its descriptor goes to stderr.

    A terminal, which shows both, keeps its descriptor.
    """
    stdout = sys.__stdout__
    if stdout is None or sys.stdout is not stdout or stdout.isatty():
        return
    stdout.flush()
    stream = os.fdopen(os.dup(STDOUT), "w", encoding=stdout.encoding, errors=stdout.errors, closefd=False)
    stream.reconfigure(line_buffering=stdout.write_through)  # PYTHONUNBUFFERED
    os.dup2(STDERR, STDOUT)
    sys.stdout = stream
    _reserved.set(stream)


def share_stdout() -> None:
    """Let the programs that a command starts write to its stdout again."""
    stream = _reserved.get()
    if stream is not None:
        os.dup2(stream.fileno(), STDOUT)
