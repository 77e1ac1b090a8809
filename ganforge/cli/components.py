"""`ganforge list` and `ganforge describe`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ganforge.cli.options import Json, NoPlugins, Plugins, kind_meant, open_registry
from ganforge.cli.output import answering, describe_value, out, print_json
from ganforge.components.spec import KINDS, SECTIONS
from ganforge.errors import PluginError, UnknownComponentError, UsageError
from ganforge.plugins.sources import explain
from ganforge.utils.suggest import did_you_mean, nearest

if TYPE_CHECKING:
    from ganforge.plugins.registry import Entry, Registry


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list")(list_components)
    app.command("describe")(describe)


@answering
def list_components(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help=f"Only one kind: {', '.join(KINDS)}.")] = None,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """List the components that are installed, with the distribution that each comes from."""
    registry = open_registry(plugin, no_plugins=no_plugins)
    kinds = KINDS if kind is None else (kind_meant(kind),)
    entries = [entry for each in kinds for entry in registry.of_kind(each)]
    if json:
        print_json([_facts(registry, entry) for entry in entries])
        return
    table = Table("kind", "name", "summary", "from")
    for entry in entries:
        component = entry.component
        name = f"[bold]{escape(registry.name_of(entry))}[/]"
        table.add_row(component.kind, name, escape(component.summary), escape(str(entry.source)))
    out().print(table)


@answering
def describe(
    names: Annotated[list[str], typer.Argument(metavar="[KIND] NAME", help="A component, and its kind where needed.")],
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """Describe a component: its source, paper, what it recommends, and its options with types and defaults."""
    registry = open_registry(plugin, no_plugins=no_plugins)
    entries = _matching(registry, names)
    documents = [_described(registry, entry) for entry in entries]
    if json:
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    for document in documents:
        _print_description(document)


def _matching(registry: Registry, names: list[str]) -> list[Entry]:
    """Return the one component that is meant; all of one name, where only a name is given."""
    if len(names) > 2:  # noqa: PLR2004 - a kind and a name
        raise UsageError(f"describe takes a kind and a name, not {len(names)} words")
    if len(names) == 2:  # noqa: PLR2004
        return [registry.find(kind_meant(names[0]), names[1])]
    (name,) = names
    found = [entry for kind in KINDS if (entry := registry.get(kind, name)) is not None]
    if not found:
        everything = {registry.name_of(entry) for entry in registry.entries}
        fix = registry.why_missing(near=nearest(name, everything) is not None)
        raise UnknownComponentError(f"no component {name!r}{did_you_mean(name, everything)}", fix=fix)
    return found


def _facts(registry: Registry, entry: Entry) -> dict[str, Any]:
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
        facts["problem"] = f"another plugin gives a {component.kind} of this name; say {entry.qualified_name}"
    return facts


def _described(registry: Registry, entry: Entry) -> dict[str, Any]:
    cls = registry.load(entry)
    facts = _facts(registry, entry)
    facts["requires"] = list(entry.component.requires)
    facts["recommended"] = {key: value for key, value in cls.recommended.items()}  # noqa: C416 - any mapping
    facts["documentation"] = " ".join((cls.__doc__ or "").split()) or None
    facts["options"] = _schema(entry, cls)
    return facts


def _schema(entry: Entry, cls: type[Any]) -> dict[str, Any]:
    try:
        schema: dict[str, Any] = cls.Options.model_json_schema()
    except Exception as error:  # what pydantic says of a type that JSON cannot express is the author's to read
        raise PluginError(f"{entry}: its options cannot be described: {explain(error)}") from error
    return schema


def _print_description(document: Mapping[str, Any]) -> None:
    console = out()
    title = f"[bold]{escape(document['name'])}[/] · {document['kind']} · "
    console.print(title + escape(f"{document['distribution']} {document['version']}"), highlight=False)
    console.print(escape(document["documentation"] or document["summary"]), highlight=False)
    for label in ("paper", "target"):
        if document[label]:
            console.print(f"[dim]{label}[/]  {escape(document[label])}", highlight=False)
    if document["tags"]:
        console.print(f"[dim]tags[/]   {escape(', '.join(document['tags']))}", highlight=False)
    for key, value in document["recommended"].items():
        console.print(f"[dim]recommends[/] {escape(key)} = {escape(describe_value(value))}", highlight=False)
    if not document["options"].get("properties"):
        console.print("[dim]no options[/]", highlight=False)
        return
    flag = next(flag for flag, kind in SECTIONS.items() if kind == document["kind"])
    table = Table("option", "type", "default", "", title=f"Options, such as --{flag}.NAME VALUE", title_justify="left")
    required = document["options"].get("required", [])
    for name, schema in document["options"]["properties"].items():
        default = "[red]required[/]" if name in required else escape(describe_value(schema.get("default", "none")))
        table.add_row(
            f"[bold]{escape(name)}[/]", escape(option_type(schema)), default, escape(schema.get("description", ""))
        )
    console.print(table)


def option_type(schema: Mapping[str, Any]) -> str:
    """Return an option's type in words."""
    if "enum" in schema:
        return " | ".join(describe_value(value) for value in schema["enum"])
    if "const" in schema:
        return describe_value(schema["const"])
    if "anyOf" in schema:
        return " | ".join(option_type(part) for part in schema["anyOf"])
    words = str(schema.get("format") or schema.get("type", "value")).replace("null", "none")
    if words == "array":
        parts = schema.get("prefixItems") or [schema.get("items", {})]
        words = f"[{', '.join(option_type(part) for part in parts)}{'' if 'prefixItems' in schema else ', …'}]"
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in limits.items() if key in schema]
    return f"{words} {', '.join(bounds)}".rstrip()
