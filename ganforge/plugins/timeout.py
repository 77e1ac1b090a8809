"""A limit on how long a plugin may take to be imported: one that hangs must not hang every command."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

#: A plugin that swallows the first exception, in a loop of its own, is interrupted again this often.
AGAIN_SECONDS = 1.0


class TooSlowError(BaseException):
    """Interrupt a plugin that takes too long; no `except Exception` of its own keeps it going."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TooSlowError in whatever is still running after so many seconds.

    Only in the main thread and where the system has timers, as Linux and macOS have; elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return

    def interrupt(_: int, __: FrameType | None) -> NoReturn:
        raise TooSlowError(f"it took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, remaining, interval)
        signal.signal(signal.SIGALRM, before)
