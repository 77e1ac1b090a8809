"""Installed plugins, each once, even if other distributions are damaged.

`importlib.metadata` reads the same files, but its import alone takes a tenth of the time of `ganforge --help`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from operator import attrgetter
from pathlib import Path

from ganforge.plugins.sources import OWN_DISTRIBUTION, Problem, Source, canonical
from ganforge.utils.tracebacks import single_line, summarize_exception

GROUP = "ganforge"

_SORT_KEY = attrgetter("source.distribution", "name")
#: Path of the metadata of a distribution, such as `torch-2.14.0.dist-info`.
_FOLDER = re.compile(r".*?(?P<name>[^-/\\]+)(?:-(?P<version>[^-/\\]+)[^/\\]*)?\.(?:dist|egg)-info", re.DOTALL)
_TARGET = re.compile(r"[\w.]+\s*(:\s*[\w.]+\s*)?(\[.*\]\s*)?")


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """Entry point of ganforge's group; a valid target is `module` or `module:attribute`."""

    source: Source
    name: str
    target: str

    @property
    def is_valid(self) -> bool:
        """The target has one of the two forms."""
        return _TARGET.fullmatch(self.target) is not None

    def load(self) -> object:
        """Import the target and return it."""
        module, _, attributes = re.sub(r"\s|\[.*", "", self.target).partition(":")
        return reduce(getattr, filter(None, attributes.split(".")), import_module(module))


def installed_plugins() -> tuple[list[InstalledPlugin], list[Problem]]:
    """Return the plugins, sorted by name, and a problem for each distribution with unreadable entry points."""
    plugins: list[InstalledPlugin] = []
    problems: list[Problem] = []
    for folder in _metadata_folders():
        try:
            plugins += _plugins_of(folder)
        except Exception as error:  # noqa: BLE001 - files may be damaged in any way
            source = _source(folder)
            text = f"its entry_points.txt cannot be read: {summarize_exception(error)}"
            problems.append(Problem(source.distribution, source.version, "metadata", text))
    return sorted(plugins, key=_SORT_KEY), problems


def own_plugins() -> tuple[list[InstalledPlugin], list[Problem]]:
    """Return ganforge's own plugins, without a look into other distributions."""
    return sorted(_plugins_of(_own_folder()), key=_SORT_KEY), []


def own_source() -> Source:
    """Return ganforge's name and version."""
    return _source(_own_folder())


def _own_folder() -> re.Match[str]:
    for folder in _metadata_folders():
        if canonical(folder["name"]) == OWN_DISTRIBUTION:
            return folder
    raise ImportError("ganforge is not installed; install it: python -m pip install ganforge")


def _metadata_folders() -> Iterator[re.Match[str]]:
    """Yield the path of each distribution's metadata, with its name and version; of equal names, the first."""
    seen: set[str] = set()
    for path in sys.path:
        with suppress(OSError):  # a zip file, or a folder that does not exist
            paths = sorted(item.path for item in os.scandir(path or ".") if item.name.endswith("-info"))
            for folder in filter(None, map(_FOLDER.fullmatch, paths)):
                if canonical(folder["name"]) not in seen:
                    seen.add(canonical(folder["name"]))
                    yield folder


def _plugins_of(folder: re.Match[str]) -> list[InstalledPlugin]:
    """Return the plugins of a distribution. Raises ValueError if a line of ganforge's group has no equals sign."""
    text = _text(folder, "entry_points.txt")
    if f"[{GROUP}]" not in text:
        return []
    source, group, plugins = _source(folder), None, []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("["):
            group = line.strip("[]")
        elif group == GROUP and not line.startswith("#"):
            name, equals, target = map(str.strip, line.partition("="))
            if not equals:
                raise ValueError(f"no equals sign in {line!r}")
            plugins.append(InstalledPlugin(source, name, target))
    return plugins


def _source(folder: re.Match[str]) -> Source:
    """Return a distribution's name and version, from the name of its folder if METADATA lacks them."""
    header: dict[str, str] = {}
    with suppress(Exception):  # a damaged file
        text = _text(folder, "METADATA") or _text(folder, "PKG-INFO")
        lines = text.partition("\n\n")[0].splitlines()
        fields = (line.partition(":") for line in reversed(lines) if not line.startswith((" ", "\t")))
        header = {key.lower(): single_line(value.strip()) for key, _, value in fields}
    return Source(header.get("name") or folder["name"], header.get("version") or folder["version"] or "unknown")


def _text(folder: re.Match[str], name: str) -> str:
    """Return the text of a file of metadata, empty if there is none."""
    try:
        return Path(folder[0], name).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return ""
