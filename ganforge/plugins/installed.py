"""Installed plugins, each once, even if other distributions are damaged."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import PurePath

from packaging.utils import canonicalize_name

from ganforge.plugins.sources import OWN_DISTRIBUTION, Problem, Source
from ganforge.utils.tracebacks import summarize_exception

GROUP = "ganforge"

InstalledPlugin = tuple[EntryPoint, Source]


def installed_plugins() -> tuple[list[InstalledPlugin], list[Problem]]:
    """Return the plugins, sorted by name, and a problem for each distribution with unreadable entry points."""
    try:
        return _unique(entry_points(group=GROUP)), []
    except Exception:  # noqa: BLE001 - one damaged distribution ends Python's own loop; ours names it
        return _one_by_one()


def own_plugins() -> tuple[list[InstalledPlugin], list[Problem]]:
    """Return ganforge's own plugins, without a look at other distributions."""
    return _unique(Distribution.from_name(OWN_DISTRIBUTION).entry_points.select(group=GROUP)), []


def _unique(candidates: Iterable[EntryPoint]) -> list[InstalledPlugin]:
    """Keep the first entry point of each distribution and name; a distribution may be on the path twice."""
    first: dict[tuple[str, str], InstalledPlugin] = {}
    for entry_point in candidates:
        source = Source("unknown", "unknown") if entry_point.dist is None else _source(entry_point.dist)
        first.setdefault((source.distribution, entry_point.name), (entry_point, source))
    return [first[key] for key in sorted(first)]


def _one_by_one() -> tuple[list[InstalledPlugin], list[Problem]]:
    seen: set[str] = set()
    candidates: list[EntryPoint] = []
    problems: list[Problem] = []
    for distribution in distributions():
        source = _source(distribution)
        name = canonicalize_name(source.distribution)
        if name not in seen:
            seen.add(name)
            try:
                candidates.extend(distribution.entry_points.select(group=GROUP))
            except Exception as error:  # noqa: BLE001 - damaged text raises anything in Python's parser
                if _may_have_plugins(distribution):
                    text = f"its entry_points.txt cannot be read: {summarize_exception(error)}"
                    problems.append(Problem(source.distribution, source.version, "metadata", text))
    return _unique(candidates), problems


def _may_have_plugins(distribution: Distribution) -> bool:
    """Return whether damaged entry points may include ganforge's; damage of other distributions is not reported."""
    try:
        return f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    except ValueError:
        return True  # not even text


def _source(distribution: Distribution) -> Source:
    """Return a distribution's name and version, from the name of its folder if METADATA lacks them."""
    folder = PurePath(str(getattr(distribution, "_path", "unknown")))
    name, _, version = folder.stem.partition("-")
    return Source(_field(distribution, "name") or name, _field(distribution, "version") or version or "unknown")


def _field(distribution: Distribution, field: str) -> str | None:
    try:
        value = getattr(distribution, field)
    except Exception:  # noqa: BLE001 - the effect of a missing file or field depends on Python's version
        return None
    return value if isinstance(value, str) and value else None
