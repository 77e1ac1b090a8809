"""Command `ganforge describe`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from ganforge.cli._options import (
    PRESETS,
    Json,
    NoPlugins,
    Plugins,
    complete_described,
    open_registry,
    parse_kind,
    unknown_component,
)
from ganforge.cli._output import out, print_json
from ganforge.cli._printer import escape, escape_lines
from ganforge.cli.list import component_facts, preset_facts
from ganforge.components.spec import FLAGS, KINDS
from ganforge.config.dotted import flatten
from ganforge.errors import PluginError, UsageError
from ganforge.plugins.presets import PresetEntry
from ganforge.plugins.registry import Entry, Registry
from ganforge.plugins.sources import find_named, shortest_name
from ganforge.utils.format import format_value
from ganforge.utils.tracebacks import summarize_exception


def describe(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] NAME", help="Component, with its kind if necessary.", autocompletion=complete_described
        ),
    ],
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """Describe a component: source, paper, recommended settings, and options with types and defaults; or a preset."""
    registry = open_registry(plugin, no_plugins=no_plugins)
    documents = [
        _describe_component(registry, entry) if isinstance(entry, Entry) else _describe_preset(registry, entry)
        for entry in _find_entries(registry, names)
    ]
    if json:
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    for document in documents:
        _print(document)


def _find_entries(registry: Registry, names: list[str]) -> list[Entry | PresetEntry]:
    """Return the component or preset of a kind and a name, or all of a name."""
    if len(names) > 1:
        try:
            kind, name = names
        except ValueError:
            raise UsageError(f"describe takes a kind and a name, not {len(names)} arguments") from None
        if kind.lower() in PRESETS:
            return [registry.find_preset(name)]
        return [registry.find(parse_kind(kind), name)]
    (name,) = names
    candidates = [*(registry.get(kind, name) for kind in KINDS), find_named(registry.presets, "preset", name)]
    entries = [entry for entry in candidates if entry is not None]
    if not entries:
        known = {registry.name_of(entry) for entry in registry.entries}
        known |= {shortest_name(entry, registry.presets) for entry in registry.presets}
        raise unknown_component(registry, "component", name, known)
    return entries


def _describe_preset(registry: Registry, entry: PresetEntry) -> dict[str, Any]:
    return preset_facts(registry, entry) | {"settings": dict(entry.settings())}


def _describe_component(registry: Registry, entry: Entry) -> dict[str, Any]:
    cls = registry.load(entry)
    try:
        schema: dict[str, Any] = cls.Options.model_json_schema()
    except Exception as error:  # pydantic refuses types without a JSON schema, which the plugin's author must change
        raise PluginError(f"{entry}: its options have no JSON schema: {summarize_exception(error)}") from error
    facts = component_facts(registry, entry)
    facts["requires"] = list(entry.component.requires)
    facts["recommended"] = dict(cls.recommended.items())
    facts["documentation"] = _description(cls.__doc__ or "") or None
    if entry.component.kind in {"loss", "term"}:
        facts["phases"] = list(cls.phases)
    facts["options"] = schema
    return facts


def _description(docstring: str) -> str:
    """Return a docstring on one line, without sections such as `Attributes:`."""
    return " ".join(re.split(r"\n\s*[A-Z][a-z]+:\s*\n", docstring)[0].split())


def _print(document: Mapping[str, Any]) -> None:
    console = out()
    title = f"[bold]{escape(document['name'])}[/] · {document['kind']} · "
    console.print(title + escape(f"{document['distribution']} {document['version']}"))
    prose = escape_lines(document.get("documentation") or document["summary"])
    console.print(prose, soft_wrap=not console.is_terminal)
    for label in ("paper", "target"):
        if document[label]:
            console.print(f"[dim]{label}[/]  {escape(document[label])}")
    if document["tags"]:
        console.print(f"[dim]tags[/]   {escape(', '.join(document['tags']))}")
    if document["kind"] == "preset":
        table = Table(
            "setting", "value", title=f"Settings of --preset {escape(document['name'])}", title_justify="left"
        )
        for key, value in flatten(document["settings"]):
            table.add_row(f"[bold]{escape(key)}[/]", escape(format_value(value)))
        console.print(table)
        return
    if "phases" in document:
        console.print(f"[dim]phases[/] {escape(', '.join(document['phases']))}")
    for key, value in document["recommended"].items():
        console.print(f"[dim]recommends[/] {escape(key)} = {escape(format_value(value))}")
    if not document["options"].get("properties"):
        console.print("[dim]no options[/]")
        return
    flag = next(flag for flag, kind in FLAGS.items() if kind == document["kind"])
    table = Table("option", "type", "default", "", title=f"Options, such as --{flag}.NAME VALUE", title_justify="left")
    required = document["options"].get("required", [])
    for name, schema in document["options"]["properties"].items():
        default = "[red]required[/]" if name in required else escape(format_value(schema.get("default", "none")))
        table.add_row(
            f"[bold]{escape(name)}[/]", escape(option_type(schema)), default, escape(schema.get("description", ""))
        )
    console.print(table)


def option_type(schema: Mapping[str, Any]) -> str:
    """Return the type of an option as text."""
    if "enum" in schema:
        return " | ".join(format_value(value) for value in schema["enum"])
    if "const" in schema:
        return format_value(schema["const"])
    if "anyOf" in schema:
        return " | ".join(option_type(part) for part in schema["anyOf"])
    text = str(schema.get("format") or schema.get("type", "value")).replace("null", "none")
    if text == "array":
        parts = schema.get("prefixItems") or [schema.get("items", {})]
        text = f"[{', '.join(option_type(part) for part in parts)}{'' if 'prefixItems' in schema else ', …'}]"
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in limits.items() if key in schema]
    return f"{text} {', '.join(bounds)}".rstrip()
