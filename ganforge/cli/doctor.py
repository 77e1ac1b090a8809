"""Command `ganforge doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import typer
from rich.table import Table

from ganforge.cli._commands import all_commands, build
from ganforge.cli._options import Json, NoPlugins, Plugins
from ganforge.cli._output import PLUGIN_PROBLEMS, notice, out, print_json
from ganforge.cli._printer import escape, escape_lines
from ganforge.errors import GanforgeError
from ganforge.plugins.registry import Registry
from ganforge.plugins.sources import Problem, Source, qualified_name
from ganforge.utils.format import format_bytes
from ganforge.utils.tracebacks import author_traceback, single_line


def doctor(plugin: Plugins = None, no_plugins: NoPlugins = False, json: Json = False) -> None:
    """Show versions, hardware, precisions, plugins and their problems; exit 3 if a plugin was skipped."""
    registry = Registry.discover(plugin or [], no_plugins=no_plugins)
    document = _collect(registry)
    notice(*registry.plugins.warnings, *_clashes(registry))
    if json:
        print_json(document)
    else:
        _print(document)
    if document["problems"]:
        raise typer.Exit(PLUGIN_PROBLEMS)


def _clashes(registry: Registry) -> Iterator[str]:
    """Yield a line for each name that several commands have."""
    commands = all_commands(registry)
    for name in dict.fromkeys(command.name for command in commands):
        names = [qualified_name(command) for command in commands if command.name == name]
        if len(names) > 1:
            yield f"{len(names)} plugins provide a command {name!r}; write {' or '.join(names)}"


def _collect(registry: Registry) -> dict[str, Any]:
    from ganforge.runs.provenance import hardware, versions
    from ganforge.training.precision import choose_device, supported_precisions

    plugins = registry.plugins
    problems = [problem.as_dict() for problem in plugins.problems]
    loads: list[tuple[Source, str, Callable[[], object]]] = [
        *((entry.source, "component", partial(registry.load, entry)) for entry in registry.entries),
        *((command.source, "command", partial(build, command, command.name)) for command in registry.commands),
        *((preset.source, "preset", preset.settings) for preset in registry.presets),
    ]
    for source, stage, load in loads:  # what is broken fails when it is imported
        try:
            load()
        except Exception as error:  # noqa: BLE001 - shown as a problem
            problems.append(_problem(source, stage, error))
    lines: dict[Source, str] = {}
    for admitted, source in plugins.admitted:
        hook = plugins.implementations(admitted).get("ganforge_doctor")
        try:
            line = None if hook is None else hook.function()
        except Exception as error:  # noqa: BLE001 - as above
            problems.append(_problem(source, "doctor", error))
        else:
            lines |= {} if line is None else {source: single_line(str(line))}
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
                "commands": [command.name for command in plugins.commands if command.source == source],
                "presets": [preset.name for preset, owner in plugins.presets if owner == source],
                "listens": source in plugins.listeners,
                "line": lines.get(source),
            }
            for source in dict.fromkeys(source for _, source in plugins.admitted)
        ],
        "problems": problems,
    }


def _problem(source: Source, stage: str, error: Exception) -> dict[str, Any]:
    """Return an error of a component or command as a problem of its plugin."""
    text = error.message if isinstance(error, GanforgeError) else str(error)
    details = "" if error.__cause__ is None else author_traceback(error.__cause__)
    return Problem(source.distribution, source.version, stage, single_line(text), details).as_dict()


def _format_fact(name: str, value: Any) -> str:  # noqa: ANN401 - a fact about hardware has any type
    """Return a fact about hardware as text."""
    if name == "memory_bytes" and value:
        return format_bytes(value)
    if isinstance(value, Mapping):
        return f"{value['name']} ({_format_fact('memory_bytes', value['memory_bytes'])})"
    if isinstance(value, list):
        return ", ".join(_format_fact("", item) for item in value) or "none"
    return str(value)


def _provided(plugin: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each kind of components that a plugin has, for its commands and presets, and if it listens."""
    names: dict[str, list[str]] = {}
    for component in plugin["components"]:
        kind, _, name = component.partition("/")
        names.setdefault(kind, []).append(name)
    for kind, provided in (names | {"command": plugin["commands"], "preset": plugin["presets"]}).items():
        if provided:
            yield f"[dim]{kind}[/] {escape(', '.join(provided))}"
    if plugin["listens"]:
        yield "[dim]listens to runs[/]"


def _print(document: Mapping[str, Any]) -> None:
    console = out()
    facts = Table(show_header=False, title="This machine", title_justify="left")
    for name, version in document["versions"].items():
        facts.add_row(name, escape(version))
    for name, value in document["hardware"].items():
        facts.add_row(name.removesuffix("_bytes").replace("_", " "), escape(_format_fact(name, value)))
    console.print(facts)
    plugins = Table("plugin", "version", "provides", title="Plugins", title_justify="left")
    for plugin in document["plugins"]:
        plugins.add_row(escape(plugin["distribution"]), escape(plugin["version"]), "\n".join(_provided(plugin)))
    console.print(plugins)
    for plugin in document["plugins"]:
        if plugin["line"] is not None:
            console.print(f"{escape(plugin['distribution'])}: {escape(plugin['line'])}")
    if not document["problems"]:
        console.print("[green]no problems[/]")
    for problem in document["problems"]:
        where = f"{problem['distribution']} {problem['version']} ({problem['stage']})"
        console.print(f"[bold red]problem[/]: {escape(where)}: {escape(problem['error'])}")
        if problem["details"]:
            console.print(f"[dim]{escape_lines(problem['details'])}[/]")
