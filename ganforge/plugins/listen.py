"""The listeners' process: reads events from its standard input and calls every listener, each in a thread of its own.

`python -m ganforge.plugins.listen [--no-plugins] [--plugin=PATH …]`. What it prints are lines for a person: the first
time that a listener raises. Whatever listeners print goes to the run's listeners.log.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganforge.errors import GanforgeError
from ganforge.hookspecs import RunInfo
from ganforge.plugins.discovery import LISTENER_HOOKS, Plugins, discover
from ganforge.plugins.policy import Policy
from ganforge.plugins.sources import Source, explain


class Listener:
    """Call one plugin's hooks, in order, in a thread; report the first time that it raises."""

    def __init__(self, source: Source, implementations: dict[str, Any], report: Callable[[str], None]) -> None:
        self.source = source
        self.implementations = {name: hook for name, hook in implementations.items() if name in LISTENER_HOOKS}
        self.report = report
        self.failed = False
        self.events: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Work through the events until None comes."""
        while (item := self.events.get()) is not None:
            name, arguments = item
            implementation = self.implementations.get(name)
            if implementation is None:
                continue
            try:
                implementation.function(*(arguments[argument] for argument in implementation.argnames))
            except BaseException as error:  # noqa: BLE001 - a plugin may even call sys.exit()
                if not self.failed:
                    self.failed = True
                    self.report(
                        f"plugin {self.source} failed in {name}: {explain(error)}; its later failures are not shown"
                    )


def read_event(line: str, run: RunInfo | None) -> tuple[str, dict[str, Any]]:
    """Return the hook's name and its arguments, as the hook specification types them."""
    message = json.loads(line)
    arguments: dict[str, Any] = message["arguments"]
    if message["event"] == "started":
        given = arguments.pop("run")
        run = RunInfo(Path(given["path"]), given["experiment"], given["manifest"])
    if "path" in arguments:
        arguments["path"] = Path(arguments["path"])
    arguments["run"] = run
    return f"ganforge_{message['event']}", arguments


def start(plugins: Plugins, report: Callable[[str], None]) -> list[Listener]:
    """Start a thread for every plugin that listens."""
    listeners = []
    for plugin, source in plugins.admitted:
        if source in plugins.listeners:
            listeners.append(Listener(source, plugins.implementations(plugin), report))
    return listeners


def main(arguments: list[str]) -> None:
    """Serve events until standard input ends, then let the listeners finish."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    sys.stdout = sys.stderr  # whatever plugins print is no message of ours
    lock = threading.Lock()

    def report(line: str) -> None:
        with lock:
            messages.write(" ".join(line.split()) + "\n")

    local = [Path(argument.removeprefix("--plugin=")) for argument in arguments if argument.startswith("--plugin=")]
    try:
        plugins = discover(Policy.from_environment(no_plugins="--no-plugins" in arguments), local)
    except GanforgeError as error:
        report(error.message)
        return
    listeners = start(plugins, report)
    run: RunInfo | None = None
    for line in sys.stdin:
        event, values = read_event(line, run)
        run = values["run"]
        for listener in listeners:
            listener.events.put((event, values))
    for listener in listeners:
        listener.events.put(None)
    for listener in listeners:
        listener.thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
