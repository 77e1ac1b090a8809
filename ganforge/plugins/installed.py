"""Installed plugins, each once, even if other distributions are damaged."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint, distributions

from ganforge.plugins.sources import OWN_DISTRIBUTION, Problem, Source, canonical
from ganforge.utils.tracebacks import single_line, summarize_exception

GROUP = "ganforge"

InstalledPlugin = tuple[EntryPoint, Source]


def installed_plugins() -> tuple[list[InstalledPlugin], list[Problem]]:
    """Return the plugins, sorted by name, and a problem for each distribution with unreadable entry points.

    Python's own loop parses the entry points of all distributions, and ends at the first damaged one.
    """
    plugins: list[InstalledPlugin] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for distribution in distributions():
        name = canonical(_folder(distribution).partition("-")[0])
        if name in seen:
            continue  # it is on the path twice
        seen.add(name)
        try:
            if f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or ""):
                plugins += _plugins_of(distribution)
        except Exception as error:  # noqa: BLE001 - damaged text raises anything in Python's parser
            source = _source(distribution)
            text = f"its entry_points.txt cannot be read: {summarize_exception(error)}"
            problems.append(Problem(source.distribution, source.version, "metadata", text))
    return _sorted(plugins), problems


def own_plugins() -> tuple[list[InstalledPlugin], list[Problem]]:
    """Return ganforge's own plugins, without a look at other distributions."""
    return _sorted(_plugins_of(Distribution.from_name(OWN_DISTRIBUTION))), []


def _plugins_of(distribution: Distribution) -> list[InstalledPlugin]:
    source = _source(distribution)
    return [(entry_point, source) for entry_point in distribution.entry_points.select(group=GROUP)]


def _sorted(plugins: Iterable[InstalledPlugin]) -> list[InstalledPlugin]:
    return sorted(plugins, key=lambda plugin: (plugin[1].distribution, plugin[0].name))


def _folder(distribution: Distribution) -> str:
    """Return the name of a distribution's metadata folder, such as torch-2.10.0; reading METADATA takes longer."""
    stem, suffix = os.path.splitext(os.path.basename(str(getattr(distribution, "_path", ""))))  # noqa: PTH119, PTH122 - slow
    return stem if suffix in {".dist-info", ".egg-info"} else _header(distribution).get("name") or "unknown"


def _source(distribution: Distribution) -> Source:
    """Return a distribution's name and version, from the name of its folder if METADATA lacks them."""
    name, _, version = _folder(distribution).partition("-")
    header = _header(distribution)
    return Source(header.get("name") or name, header.get("version") or version or "unknown")


def _header(distribution: Distribution) -> dict[str, str]:
    """Return the fields of METADATA in lower case; Python's parser of e-mails takes a millisecond for each file."""
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except Exception:  # noqa: BLE001 - the effect of a damaged file depends on Python's version
        return {}
    lines = text.partition("\n\n")[0].splitlines()
    fields = (line.partition(":") for line in reversed(lines) if not line.startswith((" ", "\t")))
    return {key.lower(): single_line(value.strip()) for key, _, value in fields}
