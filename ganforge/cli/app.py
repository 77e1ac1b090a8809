"""Entry point of the command line: the group of all commands, and its options."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from ganforge import __version__
from ganforge.cli._classes import PlainGroup
from ganforge.cli._commands import CORE_COMMANDS, all_commands, build, summary
from ganforge.cli._output import (
    CLICK_ERROR,
    PLUGIN_PROBLEMS,
    TRACEBACK,
    notice,
    print_argument_error,
    print_error,
)
from ganforge.cli._stdout import STDERR, reserve_stdout
from ganforge.errors import GanforgeError, PluginError, UsageError
from ganforge.plugins import Policy, discover
from ganforge.plugins.commands import Command
from ganforge.plugins.registry import Registry
from ganforge.plugins.sources import OWN_DISTRIBUTION, find_named, shortest_name
from ganforge.utils.suggest import did_you_mean, nearest

#: Commands that users try, and the right ones.
RENAMED = {
    "matrix": "sweep",
    "train": "run",
    "fit": "run",
    "eval": "evaluate",
    "generate": "sample",
    "info": "doctor",
    "version": "--version",
    "help": "--help",
}
#: Limits of the size of a terminal, in characters, that environment variables may give.
MIN_SIZE, MAX_SIZE = 10, 10_000
#: Time in which threads, processes and exit functions of components end after a command.
EXIT_SECONDS = 20.0
#: Keys of the context's metadata: whether commands are only listed, and the plugins of the root's options.
LISTING, REGISTRY = "ganforge.listing", "ganforge.registry"


class LazyGroup(PlainGroup):
    """Group of commands whose modules are imported when they are called.

    ganforge's own commands are found without a look at other distributions.
    """

    def main(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - click's own, vendored by typer or not
        """Run the command line, and exit; errors in arguments are printed as all others."""
        try:
            code = super().main(*args, **options | {"standalone_mode": False})
        except CLICK_ERROR as error:
            code = print_argument_error(error)
        except GanforgeError as error:
            code = print_error(error)
        except typer.Abort:  # the end of the input at a prompt
            code = print_error(KeyboardInterrupt())
        sys.exit(_flush_results(code if isinstance(code, int) else 0))

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - as above
        """Return the names of all commands in the order of the help."""
        return list(_listed(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - as above
        """Return a command, or None for an unknown name. Raises GanforgeError for an ambiguous or a broken one."""
        if ctx is not None and LISTING in ctx.meta:
            return summary(_listed(ctx)[cmd_name], cmd_name)
        command = _find(ctx, cmd_name)
        return None if command is None else build(command, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write the help, for which no command is imported."""
        ctx.meta[LISTING] = True
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:  # noqa: ANN401 - as above
        """Complete the names of commands, for which none is imported."""
        ctx.meta[LISTING] = True
        completions: list[Any] = super().shell_complete(ctx, incomplete)
        return completions

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as above
        """Return the command that the arguments name, and its arguments; exit with one message if it has a problem."""
        name, *rest = args
        try:
            command = _find(ctx, name)
        except GanforgeError as error:
            return _fail(ctx, error, error.exit_code)
        if command is None:
            return super().resolve_command(ctx, args) if ctx.resilient_parsing else _fail_unknown(ctx, name)
        try:
            built = build(command, name)
        except PluginError as error:
            return _fail(ctx, error, PLUGIN_PROBLEMS)
        if command.source.distribution == OWN_DISTRIBUTION:
            subcommand = getattr(built, "commands", {}).get(rest[0]) if rest else None
            position = 0 if subcommand is None else 1
            rest[position:position] = _root_options(ctx, subcommand or built)
        return name, built, rest


def _flush_results(code: int) -> int:
    """Write the rest of the results, and return the exit code; a rest that cannot be written is discarded."""
    if sys.stdout.closed:  # by a command of a plugin
        return code
    try:
        sys.stdout.flush()
    except OSError as error:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return code or (1 if isinstance(error, BrokenPipeError) else print_error(error))
    return code


def _fail(ctx: Any, error: GanforgeError, code: int) -> Any:  # noqa: ANN401 - as above
    """Exit with an error; do nothing while a shell completes."""
    if ctx.resilient_parsing:
        return None, None, []
    print_error(error)
    raise typer.Exit(code)


def _fail_unknown(ctx: Any, name: str) -> Any:  # noqa: ANN401 - as above
    """Exit with the nearest name, and the plugins that may provide the command."""
    registry = _registry(ctx)
    present, names = RENAMED.get(name, name), {command.name for command in all_commands(registry)}
    near = did_you_mean(present, names | {present} if name in RENAMED else names)
    fix = registry.fix_for_missing(near=nearest(present, names) is not None or name in RENAMED)
    return _fail(ctx, UsageError(f"invalid command {name!r}{near}", fix=fix), UsageError.exit_code)


def _registry(ctx: Any) -> Registry:  # noqa: ANN401 - as above
    """Return what the plugins of the root's options provide."""
    if ctx is None:
        return Registry.discover()
    if REGISTRY not in ctx.meta:
        options = ctx.params
        ctx.meta[REGISTRY] = Registry.discover(options.get("plugin") or [], no_plugins=options.get("no_plugins", False))
    registry: Registry = ctx.meta[REGISTRY]
    return registry


def _listed(ctx: Any) -> dict[str, Command]:  # noqa: ANN401 - as above
    """Return the commands by their shortest unambiguous names; without plugins if these are an error."""
    try:
        commands = all_commands(_registry(ctx))
    except GanforgeError:  # a broken plugin in a strict environment; other commands report it
        commands = [*CORE_COMMANDS]
    return {shortest_name(command, commands): command for command in commands}


def _find(ctx: Any, name: str) -> Command | None:  # noqa: ANN401 - as above
    """Return the command of a name, or None. Raises GanforgeError if the name is ambiguous."""
    for own in (lambda: CORE_COMMANDS, lambda: discover(Policy.from_environment(), own_only=True).commands):
        command = next((command for command in own() if command.name == name), None)
        if command is not None:
            return command
    return find_named(all_commands(_registry(ctx)), "command", name)


def _root_options(ctx: Any, command: Any) -> list[str]:  # noqa: ANN401 - as above
    """Return the root's options about plugins that a command has, too."""
    names = {parameter.name for parameter in command.params}
    plugins = ctx.params.get("plugin") or [] if "plugin" in names else []
    no_plugins = ["--no-plugins"] if "no_plugins" in names and ctx.params.get("no_plugins") else []
    return [argument for path in plugins for argument in ("--plugin", str(path))] + no_plugins


app = typer.Typer(
    name="ganforge",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
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
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            "--plugin", metavar="FILE|DIR", is_eager=True, help="Load a local plugin with commands; repeatable."
        ),
    ] = None,
    no_plugins: Annotated[
        bool, typer.Option("--no-plugins", is_eager=True, help="Load no plugins but ganforge's own.")
    ] = False,
) -> None:
    """Name a generator, a discriminator, a loss and data; train, resume, sample and compare."""


def main() -> None:
    """Run the command line of this process."""
    # The next opened file would become the output of native libraries if the parent process closed that.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process; output is discarded
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until this process ends
    for stream in (sys.stdout, sys.stderr):  # a letter that a terminal does not have is escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    reserve_stdout()
    for name in ("COLUMNS", "LINES"):
        size = os.environ.get(name, "")
        if not (size.isascii() and size.isdecimal() and MIN_SIZE <= int(size[:9]) <= MAX_SIZE):
            os.environ.pop(name, None)  # rich fails for an absurd size of the terminal, or prints nothing
    arguments = [argument for argument in sys.argv[1:] if argument != "--traceback"]
    if len(arguments) < len(sys.argv) - 1:
        os.environ[TRACEBACK] = "1"
    os.environ["PYTHONSAFEPATH"] = "1"  # child processes import no module of the current folder
    try:
        Path.cwd()
    except FileNotFoundError:  # torch would end the process
        sys.exit(print_error(UsageError("the current folder no longer exists", fix="change to another: cd ~")))
    with _ending_in_time():
        app(arguments)


@contextmanager
def _ending_in_time() -> Iterator[None]:
    """End this process after a command although a thread, process or exit function of a component never ends."""
    code = 0

    def end() -> None:
        if threading.main_thread().is_alive():  # a caller has caught the exit
            return
        with suppress(Exception):  # the streams may be closed
            notice("a thread, process or exit function of a component did not end with the command; it was stopped")
            sys.stdout.flush()
        multiprocessing = sys.modules.get("multiprocessing")  # slow to import
        for child in () if multiprocessing is None else multiprocessing.active_children():
            child.kill()
        os._exit(code)

    try:
        yield
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)  # a text is an error
        timer = threading.Timer(EXIT_SECONDS, end)
        timer.daemon = True
        with suppress(RuntimeError):  # no thread can be started
            timer.start()
        raise
