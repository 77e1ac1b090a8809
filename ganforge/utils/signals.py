"""Handling of Ctrl-C, SIGTERM and SIGHUP: the first stops the run after its step, the second at once."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
if sys.platform != "win32":
    import termios

    EXIT_CODES[signal.SIGHUP] = 129


#: Time in which a slow terminal takes output.
TERMINAL_SECONDS = 0.2


class WaitInterrupted(KeyboardInterrupt):
    """First signal while the training waits; not an Exception, which code of components may catch."""


class SecondSignal(KeyboardInterrupt, SystemExit):
    """Second SIGTERM or SIGHUP. Both bases: a SystemExit alone would be taken for that of a component."""

    def __init__(self, code: int) -> None:
        SystemExit.__init__(self, code)  # that of KeyboardInterrupt sets no code


class Interruption:
    """Signal handler that records the first signal.

    A second SIGINT raises KeyboardInterrupt, another second signal SecondSignal. Python handles signals in the main
    thread only; in other threads nothing is installed and `received` stays None. A SIGHUP that is ignored, as under
    `nohup`, remains so. A rank of torchrun that fails keeps the handlers until it ends: torchrun terminates the ranks
    that are left, and this one must print its error first.

    Attributes:
        received: First signal, or None.
        echo_seconds: Time after the first signal in which others are ignored, in a rank of torchrun, which forwards
            signals that the terminal has already sent to every rank; else 0.
    """

    def __init__(self, *, echo_seconds: float = 0.0) -> None:
        self.echo_seconds = echo_seconds
        self.received: signal.Signals | None = None
        self._received_at = 0.0
        self._previous_handlers: dict[signal.Signals, Any] = {}
        self._waiting = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Raise WaitInterrupted in this block at the first signal, or if it was received before."""
        self._waiting = True
        try:
            if self.received is not None:
                raise WaitInterrupted
            yield
        finally:
            self._waiting = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in EXIT_CODES:
                if number != signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._previous_handlers[number] = signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, _: FrameType | None) -> None:
        if sys.platform != "win32":
            _discard_output_of_lost_terminal()
        if self.received is None:
            self.received, self._received_at = signal.Signals(number), time.monotonic()
            if self._waiting:
                raise WaitInterrupted
        elif time.monotonic() - self._received_at >= self.echo_seconds:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            raise SecondSignal(EXIT_CODES[signal.Signals(number)])

    def reinstall(self) -> None:
        """Install the handlers again that a component has replaced, and unblock their signals."""
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._previous_handlers)
        for number in self._previous_handlers:
            if signal.getsignal(number) != self._receive:
                signal.signal(number, self._receive)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.echo_seconds:
            return
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)


def _discard_output_of_lost_terminal() -> None:
    """Connect stdout and stderr to the null device if their terminal takes no output, so that printing cannot fail.

    It has hung up, or is stopped or not read. A thread that waits to write there is released.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})  # a background job may not be stopped here
    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
            if select.select([], [descriptor], [], TERMINAL_SECONDS)[1]:
                continue
            termios.tcflow(descriptor, termios.TCOOFF)
            termios.tcflush(descriptor, termios.TCOFLUSH)
            termios.tcflow(descriptor, termios.TCOON)  # wakes threads that wait to write
        except termios.error as error:
            if error.args[0] != errno.EIO:
                continue  # no terminal
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
