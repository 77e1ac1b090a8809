"""Separate processes: which modules an import loads, and how a component behaves without a network."""

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

from ganforge.components import ConditionSpec, Dataset, ImageSpec, ImageTensors
from ganforge.plugins.registry import Entry, Registry

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
attempt(json.loads(sys.argv[2]), addresses)
"""


class SandboxError(Exception):
    """Error of a separate process, with the end of its stderr."""


@cache
def heavy_imports(module: str) -> list[str]:
    """Return which of torch, torchvision and numpy importing a module imports."""
    names: list[str] = _run(_IMPORTS, module, json.dumps(HEAVY))
    return names


def without_network(
    entry: Entry, options: Mapping[str, Any], *, load: bool, image: ImageSpec | None = None
) -> dict[str, Any]:
    """Describe a dataset or feature extractor, and load it if requested, without a network and in empty folders.

    Args:
        entry: The component.
        options: Its options.
        load: Whether to open the dataset, or to build the extractor.
        image: Images of an extractor, or None for a dataset.

    Returns:
        `addresses` that it connected to, `error`: the type of the exception or None, its `message` and `fix`.
    """
    source = entry.source
    with tempfile.TemporaryDirectory() as empty:
        request = {
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
        result: dict[str, Any] = _run(_OFFLINE, json.dumps(request), environment=environment, folder=Path(empty))
        return result


def attempt(request: Mapping[str, Any], addresses: list[str]) -> None:
    """Do what `without_network` requests, in the process without a network, and print the result."""
    registry = Registry.discover([Path(path) for path in request["plugins"]])
    entry = registry.find(request["kind"], request["name"])
    cls = registry.load(entry)
    result: dict[str, Any] = {"error": None, "message": "", "fix": None}
    try:
        options = cls.Options.model_validate(request["options"])
        cls.Options.model_json_schema()
        if request["image"] is None:
            _open(cls(options), load=request["load"])
        elif request["load"]:
            cls(options, _image(request["image"]))
    except Exception as error:  # noqa: BLE001 - its exception is the result
        result = {"error": type(error).__name__, "message": str(error), "fix": getattr(error, "fix", None)}
    sys.stdout.write("\n" + json.dumps({**result, "addresses": addresses}) + "\n")


def _image(fields: Mapping[str, Any]) -> ImageSpec:
    condition = fields["condition"]
    if condition is not None:
        condition = ConditionSpec(
            **{**condition, "shape": tuple(condition["shape"]), "names": tuple(condition["names"])}
        )
    return ImageSpec(**{**fields, "condition": condition})


def _open(dataset: Dataset, *, load: bool) -> None:
    if load:
        for split in dataset.splits:
            opened = dataset.open(split)
            if not isinstance(opened, ImageTensors):
                opened[0]


def _run(
    program: str, *arguments: str, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Any:  # noqa: ANN401 - any JSON
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
