"""Generate docs/commands.md from the command line: `python docs/scripts/make_commands.py`.

The page has names, flags, metavars, defaults and help texts, but no help screens, which depend on the width of the
terminal and the version of typer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from generated import DOCS, inserted, table

from ganforge.cli.app import app

PAGE = DOCS / "commands.md"
NAME = "make_commands.py"
#: Name of values without a metavar, which are all numbers.
NUMBER = "N"


def render() -> str:
    """Return the page's generated part."""
    root: Any = typer.main.get_command(app)  # click's Group; typer may bring its own copy of click
    return "\n\n".join(_command(name, root.get_command(None, name)) for name in root.list_commands(None))


def _command(name: str, command: Any) -> str:  # noqa: ANN401 - as above
    subcommands = getattr(command, "commands", None)
    if subcommands is not None:
        sections = [_command(f"{name} {word}", subcommand) for word, subcommand in subcommands.items()]
        return "\n\n".join([f"## `{name}`\n\n{command.help}", *(f"#{section}" for section in sections)])
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [option for option in command.params if option.param_type_name == "option" and not option.hidden]
    usage = " ".join(["ganforge", name, *["[OPTIONS]"] * bool(options), *map(_metavar, arguments)])
    rows: list[tuple[str, ...]] = [(f"`{_metavar(argument)}`", _sentence(argument)) for argument in arguments]
    rows += [(_flags(option), _sentence(option)) for option in options]
    return f"## `{name}`\n\n{command.help}\n\n```text\n{usage}\n```\n\n{table(('', 'meaning'), rows)}"


def _metavar(parameter: Any) -> str:  # noqa: ANN401 - a click Parameter
    return str(parameter.metavar or NUMBER)


def _flags(option: Any) -> str:  # noqa: ANN401 - a click Option
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {_metavar(option)}"
    return ", ".join(f"`{name}{value if name.startswith('--') else ''}`" for name in names)


def _sentence(parameter: Any) -> str:  # noqa: ANN401 - a click Parameter
    """Return the help text, with the default if it is a number or a text."""
    default = parameter.default
    shown = isinstance(default, int | str | Path) and not isinstance(default, bool)
    return f"{parameter.help} Default: `{default}`." if shown else str(parameter.help)


if __name__ == "__main__":
    PAGE.write_text(inserted(PAGE, NAME, render()), encoding="utf-8")
    print(f"{PAGE} is current")
