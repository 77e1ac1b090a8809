"""The processes that read streamed data: how they start, which signals they answer, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import TracebackType

#: Signals that a process that reads answers in its own way.
ANSWERED = frozenset({signal.SIGINT, signal.SIGTERM})
#: A process that is told to end by SIGTERM goes on for so long. Batch systems send the signal to all processes of a
#: job, and the training process, which decides, may need another batch to end its step.
GRACE_SECONDS = 10
#: How long all processes together may take to end what they read.
ENDING_SECONDS = 3.0
#: How long a process that broke its connection may take to be gone.
DYING_SECONDS = 2.0


def start_method() -> str | None:
    """Return how processes start: at once and with all that is loaded on Linux, else as Python does there."""
    return "fork" if sys.platform == "linux" else None


@contextmanager
def signals_kept() -> Iterator[None]:
    """Start processes that hold back the signals they will answer in their own way, and keep SIGCHLD's handler.

    DataLoader's own would raise wherever the training is when a process ends: within a save, or within a plugin's code.
    """
    if sys.platform == "win32":
        yield
        return
    before, handler = signal.pthread_sigmask(signal.SIG_BLOCK, ANSWERED), signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGCHLD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin(_: int) -> None:
    """Make a process that reads leave decisions to the training process, and end when that one does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _unless_lost
    if sys.platform != "win32":
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE_SECONDS))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ANSWERED)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _unless_lost(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error, but not that the connection broke: the training process was killed, and this one ends too."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _leave_with_parent() -> None:
    """End this process as soon as its parent is gone, so that a run that was killed can be resumed at once."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a child"  # noqa: S101
    parent.join()
    os._exit(1)


@contextmanager
def ending(processes: Sequence[BaseProcess]) -> Iterator[None]:
    """Give processes that are told to end within this block a few seconds, and kill those that are left."""

    def kill() -> None:
        for process in processes:
            process.kill()

    patience = threading.Timer(ENDING_SECONDS, kill)
    patience.daemon = True
    patience.start()
    try:
        yield
    finally:
        patience.cancel()
        kill()  # where an exception on its way up still holds what tells them to end
        for process in processes:
            process.join()


def how_one_ended(processes: Sequence[BaseProcess]) -> str | None:
    """Say how one of the processes ended, or return None where none did."""
    gone = wait([process.sentinel for process in processes], DYING_SECONDS) if processes else []
    for process in processes:
        if process.sentinel in gone:
            process.join(DYING_SECONDS)  # its pipes are closed a moment before its exit code is known
        if process.exitcode is not None and process.exitcode < 0:
            return f"was killed by {signal.Signals(-process.exitcode).name}, perhaps for want of memory"
        if process.exitcode is not None:
            return f"ended by itself with exit code {process.exitcode}"
    return None
