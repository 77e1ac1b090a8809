"""Command `ganforge list`."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, Any

import typer

from ganforge.cli._options import PRESETS, Json, NoPlugins, Plugins, complete_kind, open_registry, parse_kind
from ganforge.cli._output import print_json, results
from ganforge.components.spec import FLAGS, KINDS
from ganforge.plugins.presets import PresetEntry
from ganforge.plugins.registry import Entry, Registry
from ganforge.plugins.sources import OWN_DISTRIBUTION, Named, shortest_name
from ganforge.utils.text import printable

#: Minimum width of the summaries, on terminals of any width.
MIN_WIDTH = 20


def list_components(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]", help=f"Only one kind: {', '.join(KINDS)}, preset.", autocompletion=complete_kind
        ),
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
    results().writelines(format_rows(rows, shutil.get_terminal_size().columns if results().isatty() else None))


def format_rows(rows: list[dict[str, Any]], width: int | None) -> Iterator[str]:
    """Yield a heading for each kind of the sorted rows, then its names and summaries, within a width if there is one.

    The text is plain, since rich takes half as long again.
    """
    indent = max((len(row["name"]) for row in rows), default=0) + 4
    flags = {kind: flag for flag, kind in FLAGS.items()} | {"preset": "preset"}
    for number, (kind, group) in enumerate(groupby(rows, key=lambda row: str(row["kind"]))):
        yield "\n" * (number > 0)
        yield f"{kind} (--{flags[kind]})\n"
        for row in group:
            foreign = row["distribution"] != OWN_DISTRIBUTION
            text = f"{row['summary']} ({row['distribution']} {row['version']})" if foreign else row["summary"]
            text = printable(text)
            name, lines = f"  {row['name']}", [text]
            if width is not None:
                lines = textwrap.wrap(text, max(width - indent, MIN_WIDTH), break_on_hyphens=False)
            for line in lines or [""]:
                yield f"{name:{indent}}{line}".rstrip() + "\n"
                name = ""


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
