"""Commands of plugins, described without importing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganforge.components.spec import NAME, TARGET, is_line
from ganforge.plugins.sources import Source

if TYPE_CHECKING:
    from typer import Typer


@dataclass(frozen=True, slots=True)
class Command:
    """Command of a plugin.

    Attributes:
        name: Name that users type.
        target: `"package.module:function"`, or the function or `typer.Typer` itself.
        help: One line for `ganforge --help`.
        source: Source of the plugin.

    Raises:
        ValueError: A field is malformed.
    """

    name: str
    target: str | Callable[..., Any] | Typer
    help: str
    source: Source

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ValueError(f"command name {self.name!r} is not lower-case letters and digits joined by single dashes")
        if not (TARGET.fullmatch(self.target) if isinstance(self.target, str) else callable(self.target)):
            raise ValueError(
                f"target {self.target!r} of command {self.name!r} is neither 'package.module:function' nor a function "
                "nor a typer.Typer"
            )
        if not is_line(self.help):
            raise ValueError(f"help of command {self.name!r} is not one line of text: {self.help!r}")

    def __str__(self) -> str:
        return f"command {self.name!r} ({self.source})"


class CommandGroup:
    """Commands that a plugin adds to `ganforge`; the argument of `ganforge_commands`.

    Args:
        source: Source of the plugin.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._commands: dict[str, Command] = {}

    @property
    def commands(self) -> tuple[Command, ...]:
        """The added commands."""
        return tuple(self._commands.values())

    def add_command(self, name: str, target: str | Callable[..., Any] | Typer, *, help: str = "") -> None:  # noqa: A002 - as in Typer
        """Add a command. It is imported when a user calls it.

        Args:
            name: Name that users type: lower-case letters and digits, joined by single dashes.
            target: A function with Typer's annotations, or a `typer.Typer` with subcommands: best as
                `"package.module:name"`, else the object itself.
            help: One line for `ganforge --help`.

        Raises:
            ValueError: An argument is malformed, or the plugin has a command of this name already.
        """
        if name in self._commands:
            raise ValueError(f"command {name!r} is added twice")
        self._commands[name] = Command(name, target, help, self._source)
