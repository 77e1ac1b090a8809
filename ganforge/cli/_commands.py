"""Commands of ganforge and of plugins, imported on first use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ganforge import __version__
from ganforge.cli._output import handle_errors
from ganforge.errors import PluginError
from ganforge.plugins.commands import Command
from ganforge.plugins.registry import Registry, import_target
from ganforge.plugins.sources import OWN_DISTRIBUTION, Source
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


class PlainCommand(TyperCommand):
    """Command whose help shows arguments as their metavars, and no types of flags."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - click's own, vendored by typer or not
        """Return the parts of the usage line."""
        arguments = (parameter for parameter in self.params if parameter.param_type_name == "argument")
        names = (argument.metavar or str(argument.name).upper() for argument in arguments)
        return [self.options_metavar or "", *names]

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write the help, without types of flags and arguments."""
        _hide_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


class PlainGroup(TyperGroup):
    """Group of commands whose help shows flags and arguments without types."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's own, vendored by typer or not
        """Write the help, without types of flags and arguments."""
        _hide_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


def all_commands(registry: Registry) -> list[Command]:
    """Return the commands of ganforge, then those of plugins."""
    own = [command for command in registry.commands if command.source.distribution == OWN_DISTRIBUTION]
    return [*CORE_COMMANDS, *own, *(command for command in registry.commands if command not in own)]


def summary(command: Command, name: str) -> TyperCommand:
    """Return a command for a list of commands, under a name that may be qualified, without importing it."""
    clash = "" if name == command.name else "; another plugin has a command of this name"
    if command.source.distribution == OWN_DISTRIBUTION:
        return TyperCommand(name, help=f"{command.help.removesuffix('.')}{clash}.")
    from ganforge.cli._printer import escape  # slow; only the list of commands needs it

    text = escape(f"{command.help} ({command.source}{clash})".lstrip())
    return TyperCommand(name, help=text, rich_help_panel=PLUGIN_PANEL)


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
            app = typer.Typer(rich_markup_mode="rich")
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
    """Give a built command, and its subcommands, ganforge's error messages and a help without types."""
    _hide_types(built.params)
    for subcommand in getattr(built, "commands", {}).values():
        _handle_errors(subcommand, command, name)
    if built.callback is not None:
        built.callback = handle_errors(built.callback, command, name)


def _hide_types(parameters: Iterable[Any]) -> None:
    """Show flags without `<bool>` and arguments without `<path>` in the help: their metavars name what they are."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
        elif parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None  # Typer's column of types
