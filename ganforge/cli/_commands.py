"""Commands of ganforge and of plugins, imported on first use."""

from __future__ import annotations

from typing import Any

import typer

from ganforge import __version__
from ganforge.cli._classes import PlainCommand
from ganforge.cli._output import handle_errors
from ganforge.errors import PluginError
from ganforge.plugins.commands import Command
from ganforge.plugins.registry import Registry, import_target
from ganforge.plugins.sources import OWN_DISTRIBUTION, Source
from ganforge.utils.text import printable
from ganforge.utils.tracebacks import summarize_exception

PLUGIN_PANEL = "Plugins"

#: Commands that ganforge has without any plugin: function or app in `ganforge.cli`, and help. Their modules import no
#: torch, so that their own help is fast.
CORE = {
    "run": ("run:app", "Train a generator and a discriminator, after a check that all components fit."),
    "resume": ("run:resume", "Resume a run exactly where it stopped; --epochs or --steps extend it."),
    "list": ("list:list_components", "List the installed components and presets with their distributions."),
    "describe": (
        "describe:describe",
        "Describe a component: source, paper, recommended settings, and options with types and defaults; or a preset.",
    ),
    "runs": ("runs:runs", "List runs with components, progress and status, the newest first."),
    "compare": (
        "compare:compare",
        "Compare runs: differing settings, scores with mean and 95% interval over seeds, curves, samples.",
    ),
    "sample": ("sample:app", "Draw images from a run's generator, by default as a grid in the run directory."),
    "evaluate": (
        "evaluate:app",
        "Score a generator, or images, against real ones, with a protocol of everything that the scores depend on.",
    ),
    "doctor": (
        "doctor:doctor",
        "Show versions, hardware, precisions, plugins and their problems; exit 3 if a plugin was skipped.",
    ),
    "new-plugin": (
        "new_plugin:new_plugin",
        "Write the project of a new plugin, which can be installed, trained and tested at once.",
    ),
    "check": (
        "check:check",
        "Check components against the requirements of their interfaces; exit 4 if one violates them.",
    ),
}
_OWN = Source(OWN_DISTRIBUTION, __version__)
CORE_COMMANDS = tuple(Command(name, f"ganforge.cli.{target}", text, _OWN) for name, (target, text) in CORE.items())


def all_commands(registry: Registry) -> list[Command]:
    """Return the commands of ganforge, then those of plugins."""
    own = [command for command in registry.commands if command.source.distribution == OWN_DISTRIBUTION]
    return [*CORE_COMMANDS, *own, *(command for command in registry.commands if command not in own)]


def summary(command: Command, name: str) -> PlainCommand:
    """Return a command for a list of commands, under a name that may be qualified, without importing it."""
    clash = "" if name == command.name else "; another plugin has a command of this name"
    if command.source.distribution == OWN_DISTRIBUTION:
        return PlainCommand(name, help=f"{command.help.removesuffix('.')}{clash}.")
    text = printable(f"{command.help} ({command.source}{clash})".lstrip())
    return PlainCommand(name, help=text, rich_help_panel=PLUGIN_PANEL)


def build(command: Command, name: str) -> Any:  # noqa: ANN401 - click's own, vendored by typer or not
    """Import a command, and return it for the parser, under the name that the user gave.

    Raises:
        PluginError: It cannot be imported, or is not a command.
    """
    fix = "ganforge doctor has details; its author must correct it"
    target: Any = command.target
    if isinstance(target, str):
        target = import_target(command, command.source, target, fix=fix)
    try:
        if isinstance(target, typer.Typer):
            app = target
        else:
            app = typer.Typer()
            app.command(cls=PlainCommand, help=None if target.__doc__ else command.help)(target)
        built: Any = typer.main.get_group(app)
    except Exception as error:  # Typer raises anything for a function that it does not understand
        reason = summarize_exception(error)
        raise PluginError(f"{command} is not a command of Typer: {reason}", fix=fix) from error
    if len(app.registered_commands) == 1 and not (app.registered_callback or app.registered_groups):
        (built,) = built.commands.values()
    built.name = name
    _handle_errors(built, command, name)
    return built


def _handle_errors(built: Any, command: Command, name: str) -> None:  # noqa: ANN401 - as above
    """Give a built command, and its subcommands, ganforge's error messages."""
    for subcommand in getattr(built, "commands", {}).values():
        _handle_errors(subcommand, command, name)
    if built.callback is not None:
        built.callback = handle_errors(built.callback, command, name)
