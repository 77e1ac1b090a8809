"""The plugins that are installed, each once, whatever state other distributions are in."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import PurePath

from packaging.utils import canonicalize_name

from ganforge.plugins.sources import Problem, Source, explain

GROUP = "ganforge"

Installed = tuple[EntryPoint, Source]


def installed() -> tuple[list[Installed], list[Problem]]:
    """Return the plugins in the order of their names, and the distributions whose metadata cannot be read."""
    try:
        return _each_once(entry_points(group=GROUP)), []
    except Exception:  # noqa: BLE001 - one damaged distribution ends Python's own loop; ours names it
        return _one_by_one()


def _each_once(found: Iterable[EntryPoint]) -> list[Installed]:
    """Keep the first of each distribution and name; a distribution may stand on the path twice."""
    first: dict[tuple[str, str], Installed] = {}
    for entry_point in found:
        source = Source("unknown", "unknown") if entry_point.dist is None else _source(entry_point.dist)
        first.setdefault((source.distribution, entry_point.name), (entry_point, source))
    return [first[key] for key in sorted(first)]


def _one_by_one() -> tuple[list[Installed], list[Problem]]:
    seen: set[str] = set()
    found: list[EntryPoint] = []
    problems: list[Problem] = []
    for distribution in distributions():
        source = _source(distribution)
        name = canonicalize_name(source.distribution)
        if name not in seen:
            seen.add(name)
            try:
                found.extend(distribution.entry_points.select(group=GROUP))
            except Exception as error:  # noqa: BLE001 - whatever damaged text does to Python's parser
                if _concerns_us(distribution):
                    text = f"its entry_points.txt cannot be read: {explain(error)}"
                    problems.append(Problem(source.distribution, source.version, "metadata", text))
    return _each_once(found), problems


def _concerns_us(distribution: Distribution) -> bool:
    """Whether damaged entry points may have been ours; other people's damage is not for ganforge to report."""
    try:
        return f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    except ValueError:
        return True  # not even text


def _source(distribution: Distribution) -> Source:
    """Return a distribution's name and version; where METADATA lacks them, its folder's name tells."""
    folder = PurePath(str(getattr(distribution, "_path", "unknown")))
    name, _, version = folder.stem.partition("-")
    return Source(_field(distribution, "name") or name, _field(distribution, "version") or version or "unknown")


def _field(distribution: Distribution, field: str) -> str | None:
    try:
        value = getattr(distribution, field)
    except Exception:  # noqa: BLE001 - what a missing file or field does depends on Python's version
        return None
    return value if isinstance(value, str) and value else None
