"""Time limit for the import of a plugin: one that hangs must not block every command."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

#: Interval of further interrupts, for a plugin that swallows the first exception in a loop.
REPEAT_SECONDS = 1.0


class PluginTimeoutError(BaseException):
    """Timeout of a plugin's import; not an Exception, so that `except Exception` does not catch it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise PluginTimeoutError in the running code after a number of seconds.

    The limit applies in the main thread of systems with timers (Linux, macOS) only.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return

    def interrupt(_: int, __: FrameType | None) -> NoReturn:
        raise PluginTimeoutError(f"it took longer than {seconds:g} s")

    previous_handler = signal.signal(signal.SIGALRM, interrupt)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, remaining, interval)
        signal.signal(signal.SIGALRM, previous_handler)
