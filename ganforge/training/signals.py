"""Ctrl-C and SIGTERM: the first asks the run to stop after its step, the second stops it at once.

torchrun passes a signal on to processes that have heard it already, so that for those a few seconds' signals are one.
"""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any, NoReturn, Self

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Interruption:
    """Remember the first signal that arrives; a second one raises KeyboardInterrupt, or SystemExit for SIGTERM.

    echo_seconds: how long after the first one others count as its echo.
    Signals can only be handled in the main thread; elsewhere nothing is installed and `received` stays None.
    """

    def __init__(self, *, echo_seconds: float = 0.0) -> None:
        self.echo_seconds = echo_seconds
        self.received: signal.Signals | None = None
        self._heard = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in EXIT_CODES:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self.received is None:
            self.received, self._heard = signal.Signals(number), time.monotonic()
        elif time.monotonic() - self._heard >= self.echo_seconds:
            _stop_at_once(number)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _stop_at_once(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(EXIT_CODES[signal.Signals(number)])
