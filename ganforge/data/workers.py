"""Worker processes of the streaming loader: start, signals and termination."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from types import TracebackType
from typing import Any

from ganforge.errors import TrainingError
from ganforge.utils.format import format_count
from ganforge.utils.signals import EXIT_CODES
from ganforge.utils.tracebacks import single_line

FIX = (
    "use fewer workers, such as --workers 1, or enlarge /dev/shm, their shared memory (Docker: --shm-size 1g); "
    "--workers 0 reads in the training process"
)
#: Signals that a worker handles itself.
HANDLED_SIGNALS = frozenset(EXIT_CODES)
#: A worker ends this long after SIGTERM or SIGHUP. Batch systems and terminals send the signal to all processes of a
#: job, and the training process, which decides, may need another batch to finish its step.
GRACE_SECONDS = 10
#: Exit code of a worker that ends so.
GRACE_EXIT_CODE = 94
#: Limit for all workers together to finish their batches.
TERMINATION_SECONDS = 3.0
#: Limit for a worker that broke its connection to exit.
EXIT_SECONDS = 2.0


def start_method() -> str | None:
    """Return the start method of workers: fork on Linux, which is fast and needs no imports, else Python's default."""
    return "fork" if sys.platform == "linux" else None


@contextmanager
def signals_kept() -> Iterator[None]:
    """Start workers with the signals that they handle blocked, and keep the handler of SIGCHLD.

    DataLoader's own handler would raise anywhere in the training process: within a save, or within a plugin's code.
    """
    if sys.platform == "win32":
        yield
        return
    mask, handler = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED_SIGNALS), signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGCHLD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def initialize_worker(_: int) -> None:
    """Make a worker leave decisions to the training process, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _show_unless_disconnected
    Queue._on_queue_feeder_error = _send_error  # type: ignore[attr-defined]  # noqa: SLF001 - the only such hook
    receiver, sender = multiprocessing.Pipe(duplex=False)
    threading.Thread(target=_exit_in_time, args=(receiver, sender), daemon=True).start()
    if sys.platform != "win32":
        for number in HANDLED_SIGNALS - {signal.SIGINT}:
            signal.signal(number, lambda *_: sender.send_bytes(b"signal"))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED_SIGNALS)


def _send_error(queue: Queue[Any], error: Exception, item: Any) -> None:  # noqa: ANN401 - see multiprocessing
    """Send an error in place of a batch for which the queue's thread has no shared memory or no file descriptor.

    The thread would drop the batch, and the training process would wait for it without end.
    """
    if not isinstance(item, tuple):  # a message that the pipe refuses
        os._exit(1)
    number, _ = item
    queue.put((number, TrainingError(f"a worker cannot send a batch: {single_line(str(error))}", fix=FIX)))


def _show_unless_disconnected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error, unless the connection broke: then the training process was killed, and the worker ends too."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _exit_in_time(receiver: Connection, _sender: Connection) -> None:
    """End this process as soon as its parent has ended, and `GRACE_SECONDS` after its first signal.

    A killed run can be resumed at once. The only timer of SIGALRM is left to the dataset, and a signal handler must
    not start a thread: it may interrupt another start.

    Args:
        receiver: End of a pipe that a signal makes readable.
        _sender: Other end, which stays open if a dataset replaces the signal handlers.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a child"  # noqa: S101
    wait([parent.sentinel, receiver])
    parent.join(GRACE_SECONDS)
    os._exit(GRACE_EXIT_CODE)


@contextmanager
def terminating(workers: Sequence[BaseProcess]) -> Iterator[None]:
    """Wait a few seconds for workers that are dismissed within this block, then kill the others."""

    def kill() -> None:
        for worker in workers:
            worker.kill()

    timer = threading.Timer(TERMINATION_SECONDS, kill)
    timer.daemon = True
    try:
        if workers:
            timer.start()
    except RuntimeError:  # no thread can be started, as with `ulimit -u`
        kill()
    try:
        yield
    finally:
        timer.cancel()
        kill()  # an exception on its way up may still hold the iterator that dismisses them
        for worker in workers:
            worker.join()


def describe_exit(workers: Sequence[BaseProcess]) -> tuple[str, str | None] | None:
    """Return a description of the first exit of a worker and its fix, or None if all are alive."""
    ended = wait([worker.sentinel for worker in workers], EXIT_SECONDS) if workers else []
    for worker in workers:
        if worker.sentinel in ended:
            worker.join(EXIT_SECONDS)  # its pipes are closed a moment before its exit code is known
        if worker.exitcode is not None and worker.exitcode < 0:
            name = signal.Signals(-worker.exitcode).name
            if name == "SIGALRM":
                return "was ended by SIGALRM, a time limit of the dataset", None
            return f"was killed by {name}, perhaps for lack of memory", FIX
        if worker.exitcode == GRACE_EXIT_CODE:
            return f"ended {format_count(GRACE_SECONDS, 'second')} after SIGTERM or SIGHUP", None
        if worker.exitcode is not None:
            return f"ended by itself with exit code {worker.exitcode}", FIX
    return None
