"""Commands, loaded lazily, and the entry point of the command line."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ganforge import __version__
from ganforge.cli._output import TRACEBACK
from ganforge.utils.suggest import did_you_mean

#: Module of `ganforge.cli` that registers each command.
COMMANDS = {
    "run": "run",
    "resume": "run",
    "list": "list",
    "describe": "describe",
    "runs": "runs",
    "compare": "compare",
    "sample": "sample",
    "evaluate": "evaluate",
    "report": "report",
    "sweep": "sweep",
    "doctor": "doctor",
    "new-plugin": "new_plugin",
    "check": "check",
    "bench": "bench",
}
#: Present names of renamed commands, for the error message.
RENAMED = {"matrix": "sweep"}


class LazyGroup(TyperGroup):
    """Group of commands whose modules are imported on first use.

    The modules import no torch, so that `--help` of every command is fast.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - click's own, vendored by typer or not
        """Return the names of all commands in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - as above
        """Return a command, or None for an unknown name."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            commands = typer.Typer(rich_markup_mode="rich")
            import_module(f"ganforge.cli.{COMMANDS[cmd_name]}").register(commands)
            self.commands.update(typer.main.get_group(commands).commands)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as above
        """Return the command that the arguments name; exit with the nearest name for an unknown one."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"invalid command {name!r}{did_you_mean(RENAMED.get(name, name), COMMANDS)}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="ganforge",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--traceback, anywhere, shows the origin of an error.",
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer's callback
    if value:
        typer.echo(f"ganforge {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Name a generator, a discriminator, a loss and data; train, resume, sample and compare."""


def main() -> None:
    """Run the command line of this process."""
    if sys.stdout is None:  # closed by the parent process; output is discarded
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until this process ends
    arguments = [argument for argument in sys.argv[1:] if argument != "--traceback"]
    if len(arguments) < len(sys.argv) - 1:
        os.environ[TRACEBACK] = "1"
    app(arguments)
