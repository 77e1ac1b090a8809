"""Classes of commands and groups: help as plain text, and parsing that imports pydantic only for values that need it.

rich's help takes as long as all the rest of `ganforge --help`, and pydantic as long as all of `ganforge list`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

Row = tuple[str, str]


class PlainCommand(TyperCommand):
    """Command with plain help, which shows arguments as their metavars."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(*args, **{**options, "rich_markup_mode": None})

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - click's own, vendored by typer or not
        """Return the parts of the usage line."""
        arguments = (parameter for parameter in self.params if parameter.param_type_name == "argument")
        return [self.options_metavar or "", *map(_argument_name, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write the sections of the help."""
        _write_sections(formatter, self.help_sections(ctx))

    def help_sections(self, ctx: Any) -> dict[str, list[Row]]:  # noqa: ANN401 - as above
        """Return the sections of the help by their headings: names and texts."""
        return _parameter_sections(self.get_params(ctx), ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as above
        """Parse the arguments."""
        _convert_lazily(self.get_params(ctx))
        return super().parse_args(ctx, args)


class PlainGroup(TyperGroup):
    """Group of commands with plain help, which shows the whole text of each command."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(**{**options, "rich_markup_mode": None})

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write the sections of the help."""
        sections = _parameter_sections(self.get_params(ctx), ctx)
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            sections.setdefault(command.rich_help_panel or "Commands", []).append((name, command.help or ""))
        _write_sections(formatter, sections)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as above
        """Parse the arguments before the command."""
        _convert_lazily(self.get_params(ctx))
        return super().parse_args(ctx, args)


@dataclass(frozen=True)
class _LazyConversion:
    """Conversion of one parameter's values, for which typer prepares pydantic unless they are missing or text."""

    prepare: Callable[[], Any]

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401 - as above
        """Return a value as the type of its parameter."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        descriptor = param.type_descriptor
        if isinstance(value, str) and descriptor.annotation is str and descriptor.parameter_info.parser is None:
            return value
        return self.prepare().coerce(value, param=param, ctx=ctx)


def _convert_lazily(parameters: Iterable[Any]) -> None:
    for parameter in parameters:
        if hasattr(parameter, "get_runtime_param"):  # older versions of typer do without pydantic
            parameter.get_runtime_param = partial(_LazyConversion, parameter.get_runtime_param)


def _parameter_sections(parameters: Iterable[Any], ctx: Any) -> dict[str, list[Row]]:  # noqa: ANN401 - as above
    sections: dict[str, list[Row]] = {"Arguments": [], "Options": []}
    for parameter in parameters:
        record: Row | None = parameter.get_help_record(ctx)
        if record is not None and parameter.param_type_name == "argument":
            sections["Arguments"].append((_argument_name(parameter), record[1]))
        elif record is not None:
            sections["Options"].append(record)
    return sections


def _argument_name(argument: Any) -> str:  # noqa: ANN401 - as above
    return str(argument.metavar or str(argument.name).upper())


def _write_sections(formatter: Any, sections: dict[str, list[Row]]) -> None:  # noqa: ANN401 - as above
    for heading, rows in sections.items():
        if rows:
            formatter.write_paragraph()
            formatter.write(typer.style(f"{heading}:\n", bold=True))
            formatter.indent()
            formatter.write_dl(rows)
            formatter.dedent()
