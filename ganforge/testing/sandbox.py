"""Separate processes: modules that an import loads, and checks of components that read data, without a network."""

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
from typing import Any, NamedTuple, get_args

from ganforge.components import ImageSpec, ImageTensors
from ganforge.components.spec import Kind
from ganforge.errors import DataError
from ganforge.plugins.registry import Registry
from ganforge.testing.checks import Checks, require
from ganforge.testing.fixture import Fixture

checks = Checks("dataset", "features", needs="builds")
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
    """Dataset or feature extractor that is described without a network, and loaded on request."""

    kind: Kind
    name: str  # qualified
    plugin: Path | None  # file of a local plugin
    options: Mapping[str, Any]
    image: ImageSpec | None  # None for a dataset
    load: bool  # open the dataset, or build the extractor


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


def offline(fixture: Fixture, *, load: bool) -> dict[str, Any]:
    """Describe a component, or read its data or weights from an empty folder, in a process without a network."""
    options = fixture.options.model_dump(mode="json")
    for name, item in type(fixture.options).model_fields.items():
        if load and Path in (item.annotation, *get_args(item.annotation)):
            options[name] = "."
    image = fixture.image if fixture.kind == "features" else None
    source = fixture.entry.source
    return without_network(Request(fixture.kind, fixture.entry.qualified_name, source.path, options, image, load))


@checks.add("connect to the network where data or weights are read, not before")
def no_network(fixture: Fixture) -> None:
    """Importing and describing it, and building a dataset, does not connect to a network."""
    result = offline(fixture, load=False)
    require(not result["addresses"], f"it connects to {', '.join(result['addresses'][:2])}")
    require(result["error"] is None, f"without a network it raises {result['error']}: {result['message']}")


@checks.add("raise ganforge.errors.DataError(message, fix=…) with the place where the user puts it")
def missing_data(fixture: Fixture) -> None:
    """If its data or weights are missing, and there is no network, it raises a DataError with a fix."""
    result = offline(fixture, load=True)
    if result["error"] is not None:
        reason = f"without its data it raises {result['error']}: {result['message'][:200]}"
        require(result["error"] == DataError.__name__, f"{reason}; a DataError is needed")
        require(result["fix"], f"{reason}; a fix is required")
