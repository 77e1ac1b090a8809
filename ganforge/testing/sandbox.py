"""Separate processes: which modules an import loads, and how a component behaves without a network."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ganforge.components import ImageSpec, ImageTensors
from ganforge.components.spec import Kind
from ganforge.plugins.registry import Registry

HEAVY = ("torch", "torchvision", "numpy")
MAX_SECONDS = 120.0

_IMPORTS = """
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
importlib.import_module(sys.argv[2])
print(json.dumps([name for name in json.loads(sys.argv[3]) if name in sys.modules]))
"""

#: Every connection is refused and noted, for any library.
_OFFLINE = """
import json, socket, sys
sys.path[:] = json.loads(sys.argv[1])
addresses = []
def refuse(*arguments, **keywords):
    addresses.append(str(arguments[-1] if arguments else keywords))
    raise OSError("there is no network here")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refuse
from ganforge.testing.sandbox import attempt
attempt(sys.argv[2], addresses)
"""


class SandboxError(Exception):
    """Error of a separate process, with the end of its stderr."""


class Request(NamedTuple):
    """Component that is described without a network, and loaded on request.

    Attributes:
        kind: Its kind: a dataset or a feature extractor.
        name: Its qualified name.
        plugin: File of a local plugin, or None.
        options: Its options.
        image: Images of an extractor, or None for a dataset.
        load: Whether to open the dataset, or to build the extractor.
    """

    kind: Kind
    name: str
    plugin: Path | None
    options: Mapping[str, Any]
    image: ImageSpec | None
    load: bool


@cache
def heavy_imports(module: str) -> list[str]:
    """Return which of torch, torchvision and numpy importing a module imports."""
    names: list[str] = _run(_IMPORTS, module, json.dumps(HEAVY))
    return names


def without_network(request: Request) -> dict[str, Any]:
    """Answer a request in a process without a network, and in empty folders.

    Returns:
        `addresses` that it connected to, `error`: the type of the exception or None, its `message` and `fix`.
    """
    with tempfile.TemporaryDirectory() as empty:
        folders = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "HF_HOME", "TORCH_HOME", "GANFORGE_DATA"), empty)
        text = base64.b64encode(pickle.dumps(request)).decode()
        result: dict[str, Any] = _run(_OFFLINE, text, environment=folders | {"GANFORGE_OFFLINE": "1"}, folder=empty)
        return result


def attempt(text: str, addresses: list[str]) -> None:
    """Answer a request in the process without a network, and print the result."""
    request: Request = pickle.loads(base64.b64decode(text))  # noqa: S301 - of `without_network`
    registry = Registry.discover([] if request.plugin is None else [request.plugin])
    cls = registry.load(registry.find(request.kind, request.name))
    result: dict[str, Any] = {"error": None, "message": "", "fix": None}
    try:
        _describe(cls, request)
    except Exception as error:  # noqa: BLE001 - its exception is the result
        result = {"error": type(error).__name__, "message": str(error), "fix": getattr(error, "fix", None)}
    sys.stdout.write("\n" + json.dumps({**result, "addresses": addresses}) + "\n")


def _describe(cls: type[Any], request: Request) -> None:
    options = cls.Options.model_validate(request.options)
    cls.Options.model_json_schema()
    if request.image is None:
        dataset = cls(options)
        for split in dataset.splits if request.load else ():
            opened = dataset.open(split)
            if not isinstance(opened, ImageTensors):
                opened[0]
    elif request.load:
        cls(options, request.image)


def _run(program: str, *arguments: str, environment: Mapping[str, str] | None = None, folder: str | None = None) -> Any:  # noqa: ANN401 - any JSON
    """Run a program in a new Python, and return its last line as JSON. Raises SandboxError."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, json.dumps([*map(str, sys.path)]), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=MAX_SECONDS,
        env={**os.environ, **(environment or {})},
        cwd=folder,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise SandboxError(" ".join(done.stderr.split()[-40:]))
    return json.loads(done.stdout.strip().splitlines()[-1])
