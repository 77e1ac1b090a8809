"""Processes of their own: to see what importing a module imports, and what a component does without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from ganforge.components import Dataset, ImageSpec
from ganforge.plugins.registry import Entry, Registry

HEAVY = ("torch", "torchvision", "numpy")
SECONDS = 120.0

_IMPORTS = """
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
importlib.import_module(sys.argv[2])
print(json.dumps([name for name in json.loads(sys.argv[3]) if name in sys.modules]))
"""

#: Every connection is refused and noted, whichever library asks for it.
_OFFLINE = """
import json, socket, sys
sys.path[:] = json.loads(sys.argv[1])
asked = []
def refuse(*arguments, **keywords):
    asked.append(str(arguments[-1] if arguments else keywords))
    raise OSError("there is no network here")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refuse
from ganforge.testing.sandbox import attempt
attempt(json.loads(sys.argv[2]), asked)
"""


class SandboxError(Exception):
    """Say what a process of its own said before it ended with an error."""


@cache
def heavy_imports(module: str) -> list[str]:
    """Return which of torch, torchvision and numpy a fresh process has imported after importing a module."""
    found: list[str] = _answer(_IMPORTS, module, json.dumps(HEAVY))
    return found


def without_network(
    entry: Entry, options: Mapping[str, Any], *, load: bool, image: ImageSpec | None = None
) -> dict[str, Any]:
    """Describe a data set, and load it where asked for, in a process that has no network and empty folders.

    With an image's shape it is a feature extractor that is described, and built where `load` asks for it.

    Returns `asked`, the addresses that it wanted to reach, `error`, the type of what was raised, or None, `message` and
    `fix`.
    """
    source = entry.source
    with tempfile.TemporaryDirectory() as empty:
        told = {
            "kind": entry.component.kind,
            "name": entry.qualified_name,
            "plugins": [] if source.path is None else [str(source.path)],
            "options": dict(options),
            "load": load,
            "image": None if image is None else asdict(image),
        }
        environment = {
            "GANFORGE_OFFLINE": "1",
            **dict.fromkeys(("HOME", "XDG_CACHE_HOME", "HF_HOME", "TORCH_HOME", "GANFORGE_DATA"), empty),
        }
        found: dict[str, Any] = _answer(_OFFLINE, json.dumps(told), environment=environment, folder=Path(empty))
        return found


def attempt(told: Mapping[str, Any], asked: list[str]) -> None:
    """Do what `without_network` asks for, within the process that has none, and print what came of it."""
    registry = Registry.discover([Path(path) for path in told["plugins"]])
    entry = registry.find(told["kind"], told["name"])
    cls = registry.load(entry)
    result: dict[str, Any] = {"error": None, "message": "", "fix": None}
    try:
        options = cls.Options.model_validate(told["options"])
        cls.Options.model_json_schema()
        if told["image"] is not None:
            if told["load"]:
                cls(options, ImageSpec(**told["image"]))
        else:
            _open(cls(options), load=told["load"])
    except Exception as error:  # noqa: BLE001 - what it raises is what is asked
        result = {"error": type(error).__name__, "message": str(error), "fix": getattr(error, "fix", None)}
    sys.stdout.write("\n" + json.dumps({**result, "asked": asked}) + "\n")


def _open(dataset: Dataset, *, load: bool) -> None:
    if load:
        for split in dataset.splits:
            if dataset.load(split) is None:
                dataset.open(split)[0]


def _answer(
    program: str, *arguments: str, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Any:  # noqa: ANN401 - whatever the program prints
    """Run a program in a fresh Python, and return its last line as JSON. Raises SandboxError."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, json.dumps([*map(str, sys.path)]), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, **(environment or {})},
        cwd=folder,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise SandboxError(" ".join(done.stderr.split()[-40:]))
    return json.loads(done.stdout.strip().splitlines()[-1])
