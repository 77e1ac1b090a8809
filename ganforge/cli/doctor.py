"""Command `ganforge doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from ganforge.cli._options import Json, NoPlugins, Plugins
from ganforge.cli._output import handle_errors, notice, out, print_json
from ganforge.plugins.registry import Registry
from ganforge.utils.format import format_bytes
from ganforge.utils.tracebacks import author_traceback, single_line

PLUGIN_PROBLEMS = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


@handle_errors
def doctor(plugin: Plugins = None, no_plugins: NoPlugins = False, json: Json = False) -> None:
    """Show versions, hardware, precisions, plugins and their problems; exit 3 if a plugin was skipped."""
    registry = Registry.discover(plugin or [], no_plugins=no_plugins)
    document = _collect(registry)
    for warning in registry.plugins.warnings:
        notice(warning)
    if json:
        print_json(document)
    else:
        _print(document)
    if document["problems"]:
        raise typer.Exit(PLUGIN_PROBLEMS)


def _collect(registry: Registry) -> dict[str, Any]:
    from ganforge.runs.provenance import hardware, versions  # noqa: PLC0415 - imports torch
    from ganforge.training.precision import choose_device, supported_precisions  # noqa: PLC0415 - imports torch

    plugins = registry.plugins
    problems = [problem.as_dict() for problem in plugins.problems]
    for entry in registry.entries:  # a broken component fails when it is imported
        try:
            registry.load(entry)
        except Exception as error:  # noqa: BLE001 - shown as a problem
            source = entry.source
            origin = {"distribution": source.distribution, "version": source.version, "stage": "component"}
            details = "" if error.__cause__ is None else author_traceback(error.__cause__)
            problems.append({**origin, "error": single_line(str(error)), "details": details})
    device = choose_device("auto")
    return {
        "versions": versions(),
        "hardware": {**hardware(device).model_dump(), "precisions": supported_precisions(device)},
        "plugins": [
            {
                "distribution": source.distribution,
                "version": source.version,
                "path": None if source.path is None else str(source.path),
                "sha256": source.sha256,
                "components": [
                    f"{entry.component.kind}/{entry.component.name}"
                    for entry in registry.entries
                    if entry.source == source
                ],
                "listens": source in plugins.listeners,
            }
            for source in dict.fromkeys(source for _, source in plugins.admitted)
        ],
        "problems": problems,
    }


def _format_fact(name: str, value: Any) -> str:  # noqa: ANN401 - a fact about hardware has any type
    """Return a fact about hardware as text."""
    if name == "memory_bytes" and value:
        return format_bytes(value)
    if isinstance(value, Mapping):
        return f"{value['name']} ({_format_fact('memory_bytes', value['memory_bytes'])})"
    if isinstance(value, list):
        return ", ".join(_format_fact("", item) for item in value) or "none"
    return str(value)


def _print(document: Mapping[str, Any]) -> None:
    console = out()
    facts = Table(show_header=False, title="This machine", title_justify="left")
    for name, version in document["versions"].items():
        facts.add_row(name, escape(version))
    for name, value in document["hardware"].items():
        facts.add_row(name.removesuffix("_bytes").replace("_", " "), escape(_format_fact(name, value)))
    console.print(facts)
    plugins = Table("plugin", "version", "components", "listens to runs", title="Plugins", title_justify="left")
    for plugin in document["plugins"]:
        listens = "yes" if plugin["listens"] else ""
        plugins.add_row(
            escape(plugin["distribution"]), escape(plugin["version"]), ", ".join(plugin["components"]), listens
        )
    console.print(plugins)
    if not document["problems"]:
        console.print("[green]no problems[/]")
    for problem in document["problems"]:
        where = f"{problem['distribution']} {problem['version']} ({problem['stage']})"
        console.print(f"[bold red]problem[/]: {escape(where)}: {escape(problem['error'])}", highlight=False)
        if problem["details"]:
            console.print(f"[dim]{escape(problem['details'])}[/]", highlight=False)
