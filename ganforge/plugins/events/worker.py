"""Listeners' process: reads events from its standard input and calls every listener, each in its own thread.

`EventSender` starts it. Its standard output is for the user: a line for the first time that a listener raises, cannot
keep up, or does not finish. Output of listeners goes to the run's listeners.log.
"""

from __future__ import annotations

import inspect
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from ganforge.errors import GanforgeError
from ganforge.plugins.discovery import LISTENER_HOOKS, Plugins, discover
from ganforge.plugins.hookspecs import RunInfo
from ganforge.plugins.policy import Policy
from ganforge.plugins.sources import Source
from ganforge.utils.privacy import MaskedStream
from ganforge.utils.tracebacks import summarize_exception

#: Rows that wait for a listener. A slow one misses rows beyond it, but none of the rarer events.
MAX_ROWS = 1000
ROW = "ganforge_step_logged"

Report = Callable[[str], None]


class Listener:
    """Thread that calls one plugin's hooks in order, and reports the first time that it raises or is too slow.

    Each listener parses the events, so that none can change the arguments of another.
    """

    def __init__(self, source: Source, implementations: dict[str, Any], report: Report) -> None:
        self.source = source
        self.implementations = {name: hook.function for name, hook in implementations.items() if name in LISTENER_HOOKS}
        self.report = report
        self.run: RunInfo | None = None
        self.reported: set[str] = set()
        self.events: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def enqueue(self, line: str) -> None:
        """Queue an event, unless it is a row and too many events wait already. Never waits."""
        name, arguments = read_event(line, self.run)
        self.run = arguments["run"]
        if name == ROW and self.events.qsize() >= MAX_ROWS:
            self.report_once("slow", "is too slow; it misses rows of metrics.jsonl")
        elif name in self.implementations:
            self.events.put((name, arguments))

    def end(self) -> None:
        """Queue the end of the events."""
        self.events.put(None)

    def done(self, deadline: float) -> bool:
        """Wait for the thread until a deadline of the monotonic clock; return whether it has ended."""
        self.thread.join(max(0.0, deadline - time.monotonic()))
        return not self.thread.is_alive()

    def work(self) -> None:
        """Call the hooks of queued events until the end is queued."""
        while (item := self.events.get()) is not None:
            name, arguments = item
            function = self.implementations[name]
            try:
                # The signature decides, since pluggy passes nothing to parameters that have a default.
                parameters = inspect.signature(function).parameters.keys() & arguments.keys()
                function(**{name: arguments[name] for name in parameters})
            except BaseException as error:  # noqa: BLE001 - a plugin may even call sys.exit()
                message = f"failed in {name}: {summarize_exception(error)}; its later failures are not shown"
                if self.source.path is None:
                    message += f"; GANFORGE_DISABLE_PLUGINS={self.source.distribution} disables it"
                self.report_once("raises", message)

    def report_once(self, kind: str, message: str) -> None:
        """Report a kind of failure of this listener, the first time that it happens."""
        if kind not in self.reported:
            self.reported.add(kind)
            self.report(f"plugin {self.source} {message}")


def read_event(line: str, run: RunInfo | None) -> tuple[str, dict[str, Any]]:
    """Return the hook's name and its arguments, as the hook specification types them."""
    message = json.loads(line)
    arguments: dict[str, Any] = message["arguments"]
    if message["event"] == "started":
        info = arguments.pop("run")
        run = RunInfo(Path(info["path"]), info["experiment"], info["manifest"])
    if "path" in arguments:
        arguments["path"] = Path(arguments["path"])
    arguments["run"] = run
    return f"ganforge_{message['event']}", arguments


def start(plugins: Plugins, report: Report) -> list[Listener]:
    """Start a thread for every plugin that listens."""
    implementations = [(source, plugins.implementations(plugin)) for plugin, source in plugins.admitted]
    return [Listener(source, hooks, report) for source, hooks in implementations if hooks.keys() & {*LISTENER_HOOKS}]


def _own_channels() -> tuple[IO[str], IO[str]]:
    """Return standard input and output, and detach them from plugins and the processes that they start."""
    events = os.fdopen(os.dup(0), encoding="utf-8")
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr = MaskedStream(sys.stderr)
    return events, messages


def main(arguments: list[str]) -> None:
    """Serve events until standard input ends, then let the listeners finish: `SECONDS plugins|no-plugins [PATH …]`."""
    events, messages = _own_channels()
    lock = threading.Lock()

    def report(line: str) -> None:
        with lock, suppress(OSError):  # the run may be gone
            messages.write(" ".join(line.split()) + "\n")

    drain_seconds, no_plugins, *paths = arguments
    policy = Policy.from_environment(no_plugins=no_plugins == "no-plugins")
    try:
        listeners = start(discover(policy, [Path(path) for path in paths]), report)
    except GanforgeError as error:
        report(error.message)
        listeners = []
    for line in events:
        for listener in listeners:
            listener.enqueue(line)
    for listener in listeners:
        listener.end()
    deadline = time.monotonic() + float(drain_seconds)
    late = [listener for listener in listeners if not listener.done(deadline)]
    for listener in late:
        report(f"plugin {listener.source} did not finish within {float(drain_seconds):g} s; it was stopped")
    if late:
        sys.stderr.flush()
        os._exit(0)  # a thread that hangs may keep Python from ending
