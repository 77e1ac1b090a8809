"""List of all components, for Python and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import get_args

from ganforge.components.spec import Component, Kind
from ganforge.errors import UsageError
from ganforge.plugins.registry import Registry
from ganforge.utils.suggest import did_you_mean
from ganforge.utils.text import printable

HEADINGS = ("kind", "name", "summary")


class ComponentList(list[Component]):
    """List of components, printed as a table."""

    def _rows(self) -> list[tuple[str, str, str]]:
        return [(str(item.kind), item.name, printable(item.summary)) for item in self]

    def __repr__(self) -> str:
        rows = [HEADINGS, *self._rows()]
        kind, name = (max(len(row[column]) for row in rows) for column in (0, 1))
        return "\n".join(f"{row[0]:{kind}}  {row[1]:{name}}  {row[2]}".rstrip() for row in rows)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{heading}</th>" for heading in HEADINGS)
        body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in self._rows())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def list_components(kind: Kind | None = None, *, plugins: Sequence[str | Path] = ()) -> ComponentList:
    """Return the components of all installed plugins, sorted by kind and name; nothing of theirs is imported.

    Args:
        kind: One kind, such as "loss"; all by default.
        plugins: Local plugin files, whose components are listed, too.

    Raises:
        UsageError: The kind does not exist.
        PluginError: A local plugin is broken.
    """
    kinds: tuple[Kind, ...] = get_args(Kind)
    if kind is not None and kind not in kinds:
        raise UsageError(f"invalid kind {kind!r}{did_you_mean(kind, kinds)}")
    registry = Registry.discover([Path(plugin) for plugin in plugins])
    return ComponentList(
        entry.component for item in (kinds if kind is None else (kind,)) for entry in registry.of_kind(item)
    )
