"""Handling of Ctrl-C and SIGTERM: the first signal stops the run after the current step, the second one at once."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any, Self

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Interruption:
    """Signal handler that records the first signal.

    A second SIGINT raises KeyboardInterrupt, a second SIGTERM SystemExit. Python handles signals in the main thread
    only; in other threads nothing is installed and `received` stays None.

    Attributes:
        received: First signal, or None.
        echo_seconds: Time after the first signal in which others are ignored. torchrun forwards signals that the
            terminal has already sent to every rank.
    """

    def __init__(self, *, echo_seconds: float = 0.0) -> None:
        self.echo_seconds = echo_seconds
        self.received: signal.Signals | None = None
        self._received_at = 0.0
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in EXIT_CODES:
                self._previous_handlers[number] = signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self.received is None:
            self.received, self._received_at = signal.Signals(number), time.monotonic()
        elif time.monotonic() - self._received_at >= self.echo_seconds:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(EXIT_CODES[signal.Signals(number)])

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
