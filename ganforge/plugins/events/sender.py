"""Passing a run's events to the plugins that listen, in a process of their own.

A listener may hang, crash, fork, draw random numbers or hold Python's lock for a minute: training notices none of it.
Events wait in a bounded queue; where listeners are too slow, events are dropped and that is said once. At the end they
get a few seconds to catch up.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

QUEUE_LENGTH = 1000
DRAIN_SECONDS = 10.0

#: What the listeners' process has, beyond that, to say which listener did not come to an end.
GRACE_SECONDS = 2.0

#: The process finds modules and plugins exactly where this one does, and nothing that happens to lie in its folder.
PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from ganforge.plugins.events.worker import main; main(sys.argv[1:])"
)


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
        paths = (str(path.resolve()) for path in local)
        self._arguments = [str(drain_seconds), "no-plugins" if no_plugins else "plugins", *paths]
        self._log = log
        self._notice = notice
        self._seconds_to_end = drain_seconds + GRACE_SECONDS
        self._queue: queue.Queue[str | None] = queue.Queue(QUEUE_LENGTH)
        self._said: set[str] = set()
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        if not self._listening:
            return self
        try:
            self._process = self._start()
        except OSError as error:
            self._say_once(f"the plugins that listen to this run could not be started: {error}")
            return self
        for target, pipe in ((self._write, self._process.stdin), (self._read, self._process.stdout)):
            thread = threading.Thread(target=target, args=(pipe,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def _start(self) -> subprocess.Popen[str]:
        with self._log.open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, json.dumps([*map(str, sys.path)]), *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C is the training's to answer
            )

    def send(self, event: str, **arguments: Any) -> None:  # noqa: ANN401 - whatever the hook takes
        """Queue an event: a hook's name without `ganforge_`, and its arguments. Never waits and never raises."""
        if self._process is None:
            return
        try:
            self._queue.put_nowait(json.dumps({"event": event, "arguments": arguments}, default=str))
        except queue.Full:
            self._say_once("a plugin that listens to this run is too slow; it will miss events")
        except (TypeError, ValueError) as error:  # a plugin's scores may be anything
            self._say_once(f"plugins that listen to this run could not be told that it {event}: {error}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        deadline = time.monotonic() + self._seconds_to_end
        try:
            self._queue.put(None, timeout=self._seconds_to_end)
            status = self._process.wait(max(0.0, deadline - time.monotonic()))
        except (queue.Full, subprocess.TimeoutExpired):
            self._kill(self._process)
            self._say_once("the plugins that listen to this run did not come to an end; they were stopped")
        else:
            if status:
                self._say_ended_early()
        for thread in self._threads:
            # It closes its pipe when the other end is closed. A process that a plugin left behind may hold that open:
            # the thread is then left to it, and closing the pipe here would wait for it.
            thread.join(timeout=1)

    @staticmethod
    def _kill(process: subprocess.Popen[str]) -> None:
        """End the process and, where it has a session of its own, all that it started."""
        if sys.platform == "win32":
            process.kill()
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._notice(line)

    def _say_ended_early(self) -> None:
        self._say_once(f"the process of the plugins that listen to this run has ended early; see {self._log}")

    def _write(self, pipe: IO[str]) -> None:
        line: str | None = ""
        try:
            with pipe:
                while (line := self._queue.get()) is not None:
                    pipe.write(line + "\n")
                    pipe.flush()
        except OSError:  # broken, also where what is left is written while it is closed
            self._say_ended_early()
        while line is not None:
            line = self._queue.get()  # nobody listens any more, but the sender must not find the queue full

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                self._notice(line.rstrip("\n"))
