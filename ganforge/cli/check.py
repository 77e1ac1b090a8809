"""Command `ganforge check`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganforge.cli._options import (
    Json,
    NoPlugins,
    Plugins,
    complete_checked,
    open_registry,
    parse_kind,
    unknown_component,
)
from ganforge.cli._output import out, print_json
from ganforge.cli._printer import escape
from ganforge.config import command_line_layer
from ganforge.errors import UsageError
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from ganforge.components import ImageSpec
    from ganforge.plugins.registry import Entry, Registry
    from ganforge.testing import Report

NOT_CONFORMANT = 4
IMAGE = re.compile(r"(\d+)[x×](\d+)[x×](\d+)")


def check(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="DISTRIBUTION|FILE|[KIND] NAME",
            help="Plugin with all its components, or a name.",
            autocompletion=complete_checked,
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="[NAME.]KEY=VALUE", help="Option of a component, such as root=DIR.", show_default=False
        ),
    ] = None,
    image: Annotated[str | None, typer.Option(metavar="CxHxW", help="Image size of the networks.")] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect", metavar="[NAME.]CHECK=REASON", help="Check that must fail, and the reason.", show_default=False
        ),
    ] = None,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """Check components against the requirements of their interfaces; exit 4 if one violates them."""
    path = Path(names[0]) if len(names) == 1 and _is_path(names[0]) else None
    registry = open_registry([*(plugin or []), *([] if path is None else [path])], no_plugins=no_plugins)
    entries = _find_entries(registry, names, path)

    from ganforge.testing.conformance import examine
    from ganforge.testing.fixture import SIZES, open_fixture

    options = _options(registry, entries, settings or [])
    expected = _expected(entries, expect or [])
    sizes = SIZES if image is None else (_size(image),)
    reports = []
    for number, entry in enumerate(entries):
        report = examine(open_fixture(registry, entry, options[number], sizes=sizes), expected[number])
        reports.append(report)
        if not json:
            _print(report)
    if json:
        documents = [report.as_dict() for report in reports]
        print_json(documents[0] if len(documents) == 1 else documents)
    if not all(report.conformant for report in reports):
        raise typer.Exit(NOT_CONFORMANT)


def _is_path(text: str) -> bool:
    """Return whether an argument is a path; the project folder of an installed plugin often has the same name."""
    if text.endswith(".py") or "/" in text:
        return True
    try:
        distribution(text)
    except (PackageNotFoundError, ValueError):
        return Path(text).is_dir()
    return False


def _find_entries(registry: Registry, names: list[str], path: Path | None) -> list[Entry]:
    """Return the components of the arguments. Raises UsageError and UnknownComponentError."""
    if path is not None:
        entries = [entry for entry in registry.entries if _is_from(entry, path.resolve())]
        if not entries:
            raise UsageError(f"{path} provides no components; plugins that only listen to runs are not checked")
        return entries
    if len(names) > 1:
        try:
            kind, name = names
        except ValueError:
            raise UsageError(f"check takes a kind and a name, or a plugin, not {len(names)} arguments") from None
        return [registry.find(parse_kind(kind), name)]
    from ganforge.testing.parametrize import components_of

    try:
        return components_of(registry, names[0])
    except UsageError:
        named = [entry for entry in registry.entries if entry.component.name == names[0]]
        if named:
            return named
        known = {name for entry in registry.entries for name in (entry.source.distribution, entry.component.name)}
        raise unknown_component(registry, "components of", names[0], known) from None


def _is_from(entry: Entry, path: Path) -> bool:
    """Return whether a component is from a file, or from a file of a folder."""
    source = entry.source.path
    return source is not None and path in {source, source.parent}


def _options(registry: Registry, entries: list[Entry], settings: list[str]) -> list[dict[str, Any]]:
    """Return the options of each component: those with its name, and those without a name that it has.

    Raises:
        UsageError: An option belongs to none of several components.
    """
    values = {key.replace("-", "_"): value for key, value in command_line_layer(settings).values.items()}
    known = [set(registry.load(entry).Options.model_fields) for entry in entries]
    options: list[dict[str, Any]] = [{} for _ in entries]
    for key, value in values.items():
        matches = [number for number, entry in enumerate(entries) if entry.component.name.replace("-", "_") == key]
        if matches and isinstance(value, Mapping):
            for number in matches:
                options[number] |= value
            continue
        owners = [number for number, fields in enumerate(known) if key in fields or len(entries) == 1]
        if not owners:
            raise UsageError(f"--set {key}: no component has this option{did_you_mean(key, set().union(*known))}")
        for number in owners:
            options[number][key] = value
    return options


def _expected(entries: list[Entry], texts: list[str]) -> list[dict[str, str]]:
    """Return the reasons by expected failure of each component.

    Raises:
        UsageError: No component has the check, or several have it and none is named.
    """
    from ganforge.testing.conformance import checks_of

    known = [[check.name for check in checks_of(entry.component.kind)] for entry in entries]
    expected: list[dict[str, str]] = [{} for _ in entries]
    for text in texts:
        key, _, reason = text.partition("=")
        component, _, name = key.strip().rpartition(".")
        chosen = [number for number, entry in enumerate(entries) if component in {"", entry.component.name}]
        owners = [number for number in chosen if name in known[number]]
        if not owners:
            of = f"of a {entries[chosen[0]].component.kind}" if len(chosen) == 1 else "of these components"
            raise UsageError(
                f"no check {name!r} {of}{did_you_mean(name, {check for number in chosen for check in known[number]})}"
            )
        if len(owners) > 1:
            names = [entries[number].component.name for number in owners]
            raise UsageError(
                f"{', '.join(names)} have a check {name!r}", fix=f"choose one: --expect {names[0]}.{name}=REASON"
            )
        expected[owners[0]][name] = reason.strip() or "expected on the command line"
    return expected


def _size(text: str) -> ImageSpec:
    from ganforge.components import ImageSpec

    match = IMAGE.fullmatch(text)
    if match is None or "0" in match.groups():
        raise UsageError(f"invalid --image {text!r}", fix="write channels, height and width, such as 3x64x64")
    channels, height, width = map(int, match.groups())
    return ImageSpec(channels, height, width)


def _print(report: Report) -> None:
    console = out()
    mark = "[green]✓[/]" if report.conformant else "[red]✗[/]"
    console.print(f"{mark} {escape(report)}")
    for failure in report.failed:
        console.print(f"  [red]failed[/] [bold]{escape(failure.check)}[/]: {escape(failure.reason)}")
        console.print(f"    [cyan]→[/] {escape(failure.fix)}")
    for outcome, reasons in (("failed as expected", report.expected_failures), ("skipped", report.skipped)):
        for name, reason in reasons.items():
            console.print(f"  [dim]{outcome} {escape(name)}: {escape(reason)}[/]")
    for reason in dict.fromkeys(report.not_run.values()):
        names = ", ".join(name for name, own in report.not_run.items() if own == reason)
        console.print(f"  [dim]{escape(reason)}: {escape(names)}[/]")
