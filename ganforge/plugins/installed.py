"""Installed plugins, each once, even if other distributions are damaged."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import PurePath

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
    path = PurePath(str(getattr(distribution, "_path", "")))
    return path.stem if path.suffix in {".dist-info", ".egg-info"} else _field(distribution, "name") or "unknown"


def _source(distribution: Distribution) -> Source:
    """Return a distribution's name and version, from the name of its folder if METADATA lacks them."""
    name, _, version = _folder(distribution).partition("-")
    return Source(_field(distribution, "name") or name, _field(distribution, "version") or version or "unknown")


def _field(distribution: Distribution, field: str) -> str | None:
    try:
        value = getattr(distribution, field)
    except Exception:  # noqa: BLE001 - the effect of a missing file or field depends on Python's version
        return None
    return single_line(value) if isinstance(value, str) and value else None
