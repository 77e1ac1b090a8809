"""Passing a run's events to the plugins that listen, in a process of their own.

A listener may hang, crash, fork, draw random numbers or hold Python's lock for a minute: training notices none of it.
Events wait in a bounded queue; where listeners are too slow, events are dropped and that is said once. At the end they
get a few seconds to catch up.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

QUEUE_LENGTH = 1000
DRAIN_SECONDS = 10.0


class ListenerRelay:
    """Start the listeners' process, send it events without ever waiting, and end it.

    notice: called with one line for each thing that went wrong, from another thread. log: the file that receives what
    listeners print. Used as a context manager; without listeners it does nothing.
    """

    def __init__(
        self,
        *,
        listening: bool,
        local: Sequence[Path],
        no_plugins: bool,
        log: Path,
        notice: Callable[[str], None],
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        self._listening = listening
        self._arguments = [*(f"--plugin={path.resolve()}" for path in local), *["--no-plugins"] * no_plugins]
        self._log = log
        self._notice = notice
        self._drain_seconds = drain_seconds
        self._queue: queue.Queue[str | None] = queue.Queue(QUEUE_LENGTH)
        self._dropped = False
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        if not self._listening:
            return self
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ganforge.plugins.listen", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is the training's to answer
            )
        for target, pipe in ((self._write, self._process.stdin), (self._read, self._process.stdout)):
            thread = threading.Thread(target=target, args=(pipe,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def send(self, event: str, **arguments: Any) -> None:  # noqa: ANN401 - whatever the hook takes
        """Queue an event: a hook's name without `ganforge_`, and its arguments. Never waits and never raises."""
        if self._process is None:
            return
        try:
            self._queue.put_nowait(json.dumps({"event": event, "arguments": arguments}, default=str))
        except queue.Full:
            if not self._dropped:
                self._dropped = True
                self._notice("a plugin that listens to this run is too slow; it will miss events")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        try:
            self._queue.put(None, timeout=self._drain_seconds)
            self._process.wait(self._drain_seconds)
        except (queue.Full, subprocess.TimeoutExpired):
            self._process.kill()
            self._notice(
                f"a plugin that listens to this run did not finish within {self._drain_seconds:.0f} s; it was stopped"
            )
            self._process.wait()
        for thread in self._threads:
            thread.join(timeout=1)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # the process was stopped with an event still in its pipe

    def _write(self, pipe: IO[str]) -> None:
        while (line := self._queue.get()) is not None:
            try:
                pipe.write(line + "\n")
                pipe.flush()
            except (BrokenPipeError, ValueError):
                self._notice("the process of the plugins that listen to this run has ended early")
                break
        try:
            pipe.close()  # the end of the events
        except BrokenPipeError:
            return
        while line is not None:
            line = self._queue.get()  # nobody listens any more, but the sender must not find the queue full

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            self._notice(line.rstrip("\n"))
