"""Plugins that are a file or a folder, loaded only where a person names them."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from ganforge.errors import PluginError
from ganforge.plugins.sources import Source, explain


def load_local(path: Path) -> Iterator[tuple[ModuleType, Source]]:
    """Load a plugin from a Python file, a package folder, or each Python file of a plain folder.

    Raises PluginError, with the author's line, for what cannot be loaded.
    """
    for place in _places(path):
        yield _load(place)


def _places(path: Path) -> list[Path]:
    if path.is_file() and path.suffix == ".py":
        return [path]
    if path.is_dir():
        if (path / "__init__.py").is_file():
            return [path]
        files = sorted(file for file in path.glob("*.py") if not file.name.startswith("_"))
        if files:
            return files
        raise PluginError(f"no plugin in {path}: the folder has no Python files")
    if path.exists():
        raise PluginError(f"{path} is no plugin: a Python file (.py) or a folder is needed")
    raise PluginError(f"no plugin at {path}: there is no such file or folder")


def _load(place: Path) -> tuple[ModuleType, Source]:
    place = place.resolve()
    file = place / "__init__.py" if place.is_dir() else place
    name = f"ganforge_local_{place.stem}"
    spec = importlib.util.spec_from_file_location(
        name, file, submodule_search_locations=[str(place)] if place.is_dir() else None
    )
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"  # noqa: PT018, S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that a target "ganforge_local_x:Class", a submodule and pickle find it
    try:
        sha256 = _digest(place)
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        del sys.modules[name]
        within = place if place.is_dir() else place.parent
        raise PluginError(f"local plugin {place} cannot be imported: {explain(error, within)}") from error
    return module, Source(place.name, "local", path=place, sha256=sha256)


def _digest(place: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's Python files with their names."""
    if place.is_file():
        return hashlib.sha256(place.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(place.rglob("*.py")):
        digest.update(f"{file.relative_to(place).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()
