"""Write docs/commands.md from the command line itself: `python docs/scripts/make_commands.py`.

Only names, flags, metavars, defaults and help texts are taken over, never a drawn help screen: that depends on the
terminal's width and on typer's version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from generated import DOCS, inserted, table

from ganforge.cli.app import app

PAGE = DOCS / "commands.md"
NAME = "make_commands.py"
#: What a value is called that has no metavar of its own: all of these are numbers.
NUMBER = "N"


def render() -> str:
    """Return the page's generated part."""
    root: Any = typer.main.get_command(app)  # click's Group; typer may bring its own copy of click
    return "\n\n".join(_command(name, command) for name, command in root.commands.items())


def _command(name: str, command: Any) -> str:  # noqa: ANN401 - as above
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join(["ganforge", name, *["[OPTIONS]"] * bool(options), *map(_metavar, arguments)])
    rows = [(f"`{_metavar(argument)}`", _sentence(argument)) for argument in arguments]
    rows += [(_flags(option), _sentence(option)) for option in options]
    return f"## `{name}`\n\n{command.help}\n\n```text\n{usage}\n```\n\n{table(('', 'what it means'), rows)}"


def _metavar(parameter: Any) -> str:  # noqa: ANN401 - a click Parameter
    return str(parameter.metavar or NUMBER)


def _flags(option: Any) -> str:  # noqa: ANN401 - a click Option
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {_metavar(option)}"
    return ", ".join(f"`{name}{value if name.startswith('--') else ''}`" for name in names)


def _sentence(parameter: Any) -> str:  # noqa: ANN401 - a click Parameter
    """Return the help text, with the default where there is one that says something."""
    default = parameter.default
    shown = isinstance(default, int | str | Path) and not isinstance(default, bool)
    return f"{parameter.help} Default: `{default}`." if shown else str(parameter.help)


if __name__ == "__main__":
    PAGE.write_text(inserted(PAGE, NAME, render()), encoding="utf-8")
    print(f"{PAGE} is current")
