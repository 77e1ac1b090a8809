"""Plugins that are a file or a folder, loaded only where a person names them."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from ganforge.errors import PluginError
from ganforge.plugins.sources import Source, explain


def places(path: Path) -> list[Path]:
    """Return what a person's path means: a Python file, a package folder, or each Python file of a plain folder.

    Raises PluginError where there is none of these.
    """
    if path.is_file() and path.suffix == ".py":
        return [path.resolve()]
    if path.is_dir():
        if (path / "__init__.py").is_file():
            return [path.resolve()]
        files = sorted(file.resolve() for file in path.glob("*.py") if not file.name.startswith("_"))
        if files:
            return files
        raise PluginError(f"no plugin in {path}: the folder has no Python files")
    if path.exists():
        raise PluginError(f"{path} is no plugin: a Python file (.py) or a folder is needed")
    raise PluginError(f"no plugin at {path}: there is no such file or folder")


def short_name(place: Path) -> str:
    """Return the name by which a local plugin's targets call its own module: `my_gan` for my_gan.py and my-gan.py."""
    return re.sub(r"\W", "_", place.name if place.is_dir() else place.stem)


def module_name(place: Path) -> str:
    """Return the name under which a local plugin is imported; no other file has it, whatever it is called."""
    digest = hashlib.sha256(str(place).encode("utf-8", "surrogateescape")).hexdigest()
    return f"ganforge_local_{short_name(place)}_{digest[:8]}"


class _FreshLoader(SourceFileLoader):
    """Run what the file says now, as its SHA-256 tells; a compiled file beside it has its time and size to go by."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source, and leave nothing beside it."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def load_local(place: Path) -> tuple[ModuleType, Source]:
    """Load one of those places. Raises PluginError, with the author's line, where it cannot be loaded."""
    name = module_name(place)
    file = place / "__init__.py" if place.is_dir() else place
    spec = importlib.util.spec_from_file_location(
        name,
        file,
        loader=_FreshLoader(name, str(file)),
        submodule_search_locations=[str(place)] if place.is_dir() else None,
    )
    assert spec is not None and spec.loader is not None, "a loader was given"  # noqa: PT018, S101
    module = importlib.util.module_from_spec(spec)
    _forget(name)  # a notebook loads a plugin again after it was edited
    if place.is_dir():
        _read_afresh(place)
    sys.modules[name] = module  # so that dataclasses, submodules and pickle find it
    try:
        sha256 = _digest(place)
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _forget(name)
        within = place if place.is_dir() else place.parent
        raise PluginError(f"local plugin {place} cannot be imported: {explain(error, within)}") from error
    return module, Source(place.name, "local", path=place, sha256=sha256)


def _read_afresh(package: Path) -> None:
    """Let the modules of a package be found and compiled anew."""
    loaders = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (_FreshLoader, SOURCE_SUFFIXES))
    for folder in {package, *(file.parent for file in package.rglob("*.py"))}:
        sys.path_importer_cache[str(folder)] = FileFinder(str(folder), *loaders)


def _forget(name: str) -> None:
    for loaded in list(sys.modules):
        if loaded == name or loaded.startswith(f"{name}."):
            del sys.modules[loaded]


def _digest(place: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's Python files with their names."""
    if place.is_file():
        return hashlib.sha256(place.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(place.rglob("*.py")):
        digest.update(f"{file.relative_to(place).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()
