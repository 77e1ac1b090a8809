"""Threads that compute in turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Literal, TypeAlias, TypeVar

R = TypeVar("R")
Line: TypeAlias = Literal["pictures", "searches"]

#: Time that a search leaves to pictures between two blocks of images.
PAUSE_SECONDS = 0.002


class StoppedError(Exception):
    """End of the server during a search."""


class Turns:
    """Two threads, for pictures and for searches, of which one computes at a time.

    Layers draw from torch's global generators, so that two computations must not overlap. Torch has a pool of threads
    for each thread that computes, so that two threads are faster than one for each request.
    """

    def __init__(self) -> None:
        self._queues: dict[Line, SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]] = {}
        self._turn, self._stopped = threading.Lock(), False
        lines: tuple[Line, ...] = ("pictures", "searches")
        for line in lines:
            self._queues[line] = SimpleQueue()
            threading.Thread(target=self._work, args=(self._queues[line],)).start()

    def submit(self, line: Line, function: Callable[[], R]) -> Future[R]:
        """Return the future result of a function."""
        future: Future[R] = Future()
        self._queues[line].put((function, future))
        return future

    def give_way(self) -> None:
        """Let the other thread compute. Raises StoppedError if the server has ended."""
        self._turn.release()
        time.sleep(PAUSE_SECONDS)
        self._turn.acquire()
        if self._stopped:
            raise StoppedError

    def stop(self) -> None:
        """End both threads; a search ends at its next `give_way`."""
        self._stopped = True
        for queue in self._queues.values():
            queue.put(None)

    def _work(self, queue: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]) -> None:
        while (item := queue.get()) is not None and not self._stopped:
            function, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                with self._turn:
                    result = function()
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                future.set_exception(error)
            else:
                future.set_result(result)
