"""Names of what several plugins provide: bare if they are unique, else `distribution/name`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from ganforge.errors import UnknownComponentError
from ganforge.plugins.sources import Source, canonical


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
    """Return the item of a name, or None. Raises UnknownComponentError if the name is ambiguous.

    Args:
        items: The items to search.
        noun: Their noun, for the message.
        name: Bare name, or `distribution/name`; an underscore is a dash.
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
