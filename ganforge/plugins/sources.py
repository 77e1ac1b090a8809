"""Sources of components, bare and qualified names, and problems of plugins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ganforge.errors import UnknownComponentError

#: Distribution of the built-in components.
OWN_DISTRIBUTION = "ganforge"


def canonical(distribution: str) -> str:
    """Return the normalized name of a distribution (PEP 503); `packaging` would take a tenth of `--help`'s time."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@dataclass(frozen=True, slots=True)
class Source:
    """Distribution, or local file, that provides something.

    Attributes:
        distribution: Name of the distribution; file name of a local plugin, made printable.
        version: Installed version; `local` for a local plugin.
        path: Path of a local plugin, else None.
        sha256: Hash of a local plugin, else None.
        text: Code of a plugin without a file, which a run directory gets, else None.
    """

    distribution: str
    version: str
    path: Path | None = None
    sha256: str | None = None
    text: str | None = None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Reason why a plugin was skipped.

    Attributes:
        distribution: Name of its distribution.
        version: Version of its distribution.
        stage: Stage that failed: `metadata`, `import`, `hooks`, `components`, `presets`, `commands` or `api`.
        error: Error in one line.
        details: Traceback for `ganforge doctor`; empty if the error is enough.
    """

    distribution: str
    version: str
    stage: str
    error: str
    details: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the problem as `doctor --json` prints it."""
        return asdict(self)

    def __str__(self) -> str:
        return f"plugin {self.distribution} {self.version} is skipped ({self.stage}): {self.error}"


# Names: bare if they are unique, else `distribution/name`


class Named(Protocol):
    """Component, preset or command with its source."""

    @property
    def name(self) -> str:
        """Bare name."""

    @property
    def source(self) -> Source:
        """Source of the plugin."""


Item = TypeVar("Item", bound=Named)


def qualified_name(item: Named) -> str:
    """Return the name that is unambiguous even if two plugins provide an item of the same name."""
    return f"{item.source.distribution}/{item.name}"


def shortest_name(item: Item, items: Iterable[Item]) -> str:
    """Return the bare name of an item, if no other one of `items` has it, else its qualified name."""
    return item.name if sum(other.name == item.name for other in items) == 1 else qualified_name(item)


def find_named(items: Iterable[Item], noun: str, name: str) -> Item | None:
    """Return the item of a name, bare or `distribution/name`, where an underscore is a dash, or None.

    Raises:
        UnknownComponentError: The name is ambiguous; the message has the items' noun.
    """
    distribution, _, bare = name.rpartition("/")
    normalized = bare.replace("_", "-")
    matches = [
        item
        for item in items
        if item.name == normalized
        and (not distribution or canonical(distribution) == canonical(item.source.distribution))
    ]
    if len(matches) > 1:
        names = " or ".join(qualified_name(item) for item in matches)
        article = "an" if noun.startswith(("a", "o")) else "a"
        raise UnknownComponentError(f"{len(matches)} plugins provide {article} {noun} {bare!r}", fix=f"write {names}")
    return matches[0] if matches else None
