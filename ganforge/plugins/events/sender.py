"""Sender of a run's events to the plugins that listen, which run in a separate process.

A listener may hang, crash, fork, draw random numbers or hold Python's lock for a minute without any effect on training.
Events wait in a bounded queue. If listeners are too slow, events are dropped, which is reported once. At the end
listeners have a few seconds to catch up.
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

from ganforge.utils.files import open_appending

QUEUE_LENGTH = 1000
DRAIN_SECONDS = 10.0

#: Time for the listeners' process, after DRAIN_SECONDS, to report listeners that did not finish.
GRACE_SECONDS = 2.0

#: The process has the module search path of this one, without its working folder.
PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from ganforge.plugins.events.worker import main; main(sys.argv[1:])"
)


class EventSender:
    """Sender that starts the listeners' process, sends events without waiting, and ends the process.

    A context manager; without listeners it does nothing.

    Args:
        listening: Whether any plugin listens.
        local: Paths of local plugins.
        no_plugins: Whether installed plugins are not loaded.
        log: File for the output of listeners.
        notice: Callback for one line about each failure, called from another thread.
        drain_seconds: Time for listeners to finish.
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
        self._reported: set[str] = set()
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        if not self._listening:
            return self
        try:
            self._process = self._start()
        except OSError as error:
            self._report_once(f"the plugins that listen to this run could not be started: {error}")
            return self
        for target, pipe in ((self._write, self._process.stdin), (self._read, self._process.stdout)):
            thread = threading.Thread(target=target, args=(pipe,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def _start(self) -> subprocess.Popen[str]:
        with open_appending(self._log) as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, json.dumps([*map(str, sys.path)]), *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # the training handles Ctrl-C
            )

    def send(self, event: str, **arguments: Any) -> None:  # noqa: ANN401 - arguments of the hook
        """Queue an event: a hook's name without `ganforge_`, and its arguments. Never waits and never raises."""
        if self._process is None:
            return
        try:
            self._queue.put_nowait(json.dumps({"event": event, "arguments": arguments}, default=str))
        except queue.Full:
            self._report_once("a plugin that listens to this run is too slow; it will miss events")
        except (TypeError, ValueError) as error:  # a plugin's scores may have any type
            self._report_once(f"event {event!r} could not be sent to the plugins that listen to this run: {error}")

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
            self._report_once("the plugins that listen to this run did not finish in time; they were stopped")
        else:
            if status:
                self._report_early_exit()
        for thread in self._threads:
            # A thread ends when the other end of its pipe is closed. A process that a plugin left behind may keep that
            # open: such a thread is abandoned, since closing the pipe here would wait for the process.
            thread.join(timeout=1)

    @staticmethod
    def _kill(process: subprocess.Popen[str]) -> None:
        """Kill the process and, except on Windows, all processes of its session."""
        if sys.platform == "win32":
            process.kill()
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _report_once(self, line: str) -> None:
        if line not in self._reported:
            self._reported.add(line)
            self._notice(line)

    def _report_early_exit(self) -> None:
        self._report_once(f"the process of the plugins that listen to this run ended early; see {self._log}")

    def _write(self, pipe: IO[str]) -> None:
        line: str | None = ""
        try:
            with pipe:
                while (line := self._queue.get()) is not None:
                    pipe.write(line + "\n")
                    pipe.flush()
        except OSError:  # the pipe is broken; closing it may raise too, as it flushes
            self._report_early_exit()
        while line is not None:
            line = self._queue.get()  # keep the queue from filling up: the events have no reader

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                self._notice(line.rstrip("\n"))
