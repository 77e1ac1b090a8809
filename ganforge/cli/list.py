"""Command `ganforge list`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ganforge.cli._options import Json, NoPlugins, Plugins, open_registry, parse_kind
from ganforge.cli._output import handle_errors, out, print_json
from ganforge.components.spec import KINDS
from ganforge.plugins.registry import Entry, Registry


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("list")(list_components)


@handle_errors
def list_components(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help=f"Only one kind: {', '.join(KINDS)}.")] = None,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """List the installed components with their distributions."""
    registry = open_registry(plugin, no_plugins=no_plugins)
    kinds = KINDS if kind is None else (parse_kind(kind),)
    entries = [entry for each in kinds for entry in registry.of_kind(each)]
    if json:
        print_json([component_facts(registry, entry) for entry in entries])
        return
    table = Table("kind", "name", "summary", "from")
    for entry in entries:
        component = entry.component
        name = f"[bold]{escape(registry.name_of(entry))}[/]"
        table.add_row(component.kind, name, escape(component.summary), escape(str(entry.source)))
    out().print(table)


def component_facts(registry: Registry, entry: Entry) -> dict[str, Any]:
    """Return the facts about a component that need no import of its class."""
    component, source = entry.component, entry.source
    facts: dict[str, Any] = {
        "kind": component.kind,
        "name": registry.name_of(entry),
        "summary": component.summary,
        "distribution": source.distribution,
        "version": source.version,
        "target": component.target_text,
        "paper": component.paper,
        "tags": list(component.tags),
    }
    if (component.kind, component.name) in registry.clashes:
        facts["problem"] = f"another plugin has a {component.kind} of this name; write {entry.qualified_name}"
    return facts
