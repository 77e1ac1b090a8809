"""Command `ganforge list`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ganforge.cli._options import PRESETS, Json, NoPlugins, Plugins, open_registry, parse_kind
from ganforge.cli._output import out, print_json
from ganforge.components.spec import KINDS
from ganforge.plugins.names import Named, shortest_name
from ganforge.plugins.presets import PresetEntry
from ganforge.plugins.registry import Entry, Registry


def list_components(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help=f"Only one kind: {', '.join(KINDS)}, preset.")
    ] = None,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """List the installed components and presets with their distributions."""
    only_presets = kind is not None and kind.lower() in PRESETS
    kinds = () if only_presets else KINDS if kind is None else (parse_kind(kind),)
    registry = open_registry(plugin, no_plugins=no_plugins)
    rows = [component_facts(registry, entry) for each in kinds for entry in registry.of_kind(each)]
    if only_presets or kind is None:
        rows += [preset_facts(registry, entry) for entry in registry.presets]
    if json:
        print_json(rows)
        return
    table = Table("kind", "name", "summary", "from")
    for row in rows:
        source = f"{row['distribution']} {row['version']}"
        table.add_row(row["kind"], f"[bold]{escape(row['name'])}[/]", escape(row["summary"]), escape(source))
    out().print(table)


def component_facts(registry: Registry, entry: Entry) -> dict[str, Any]:
    """Return the facts about a component that need no import of its class."""
    component = entry.component
    facts = {"target": component.target_text, "paper": component.paper, "tags": list(component.tags)}
    return _facts(component.kind, registry.name_of(entry), component.summary, entry) | facts


def preset_facts(registry: Registry, entry: PresetEntry) -> dict[str, Any]:
    """Return the facts about a preset, with the keys of a component's."""
    preset = entry.preset
    facts: dict[str, Any] = {"target": None, "paper": preset.paper, "tags": []}
    return _facts("preset", shortest_name(entry, registry.presets), preset.summary, entry) | facts


def _facts(kind: str, name: str, summary: str, entry: Named) -> dict[str, Any]:
    """Return the facts that every entry has, and its problem if another plugin has its name."""
    source = entry.source
    facts = {
        "kind": kind,
        "name": name,
        "summary": summary,
        "distribution": source.distribution,
        "version": source.version,
    }
    if name != entry.name:
        facts["problem"] = f"another plugin has a {kind} of this name; write {name}"
    return facts
