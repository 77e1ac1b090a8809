"""`ganforge check`."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ganforge.cli.options import Json, NoPlugins, Plugins, kind_meant, open_registry
from ganforge.cli.output import answering, out, print_json
from ganforge.errors import UnknownComponentError, UsageError
from ganforge.utils.suggest import nearest

if TYPE_CHECKING:
    from ganforge.components import ImageSpec
    from ganforge.plugins.registry import Entry, Registry
    from ganforge.testing import Report

NOT_CONFORMANT = 4
KIND_AND_NAME = 2
IMAGE = re.compile(r"(\d+)[x×](\d+)[x×](\d+)")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


@answering
def check(
    what: Annotated[
        list[str],
        typer.Argument(metavar="DISTRIBUTION|FILE|KIND NAME", help="All components of a plugin, or one component."),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="An option of the component, such as root=DIR.", show_default=False
        ),
    ] = None,
    image: Annotated[
        str | None, typer.Option(metavar="CxHxW", help="The image size that networks are examined at.")
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", metavar="CHECK=REASON", help="A check that must fail, and why.", show_default=False),
    ] = None,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """Examine components: does each keep what its interface promises? Exit 4 where one does not."""
    place = Path(what[0]) if len(what) == 1 and _is_path(what[0]) else None
    registry = open_registry([*(plugin or []), *([] if place is None else [place])], no_plugins=no_plugins)
    entries = _meant(registry, what, place)
    expected = dict(_pair(text) for text in expect or [])
    if len(entries) > 1 and (settings or expected):
        raise UsageError("--set and --expect are for one component", fix="name it: ganforge check KIND NAME")

    from ganforge.config import command_line_layer  # noqa: PLC0415 - `--help` needs none of it
    from ganforge.testing.conformance import examine  # noqa: PLC0415 - imports torch
    from ganforge.testing.fixture import open_subject  # noqa: PLC0415

    options = {key.replace("-", "_"): value for key, value in command_line_layer(settings or []).values.items()}
    shape = None if image is None else _shape(image)
    reports = []
    for entry in entries:
        report = examine(open_subject(registry, entry, options, shape), expected)
        reports.append(report)
        if not json:
            _print(report)
    if json:
        documents = [report.as_dict() for report in reports]
        print_json(documents[0] if len(documents) == 1 else documents)
    if not all(report.conformant for report in reports):
        raise typer.Exit(NOT_CONFORMANT)


def _is_path(text: str) -> bool:
    """Whether a word means a file or a folder; an installed plugin's project often lies in a folder of its name."""
    if text.endswith(".py") or "/" in text:
        return True
    try:
        distribution(text)
    except (PackageNotFoundError, ValueError):
        return Path(text).is_dir()
    return False


def _meant(registry: Registry, what: list[str], place: Path | None) -> list[Entry]:
    """Return the components that are meant. Raises UsageError and UnknownComponentError."""
    if len(what) > KIND_AND_NAME:
        raise UsageError(f"check takes a kind and a name, or a plugin, not {len(what)} words")
    if len(what) == KIND_AND_NAME:
        return [registry.find(kind_meant(what[0]), what[1])]
    if place is not None:
        found = [entry for entry in registry.entries if _lies_at(entry, place)]
        if not found:
            raise UsageError(f"{place} gives no components; it may listen to runs, which is not checked here")
        return found
    from ganforge.testing.parametrize import components_of  # noqa: PLC0415 - imports torch

    try:
        return components_of(registry, what[0])
    except UsageError as error:
        kinds = [entry.component.kind for entry in registry.entries if entry.component.name == what[0]]
        if kinds:
            raise UsageError(
                f"{what[0]!r} is a component; say of which kind", fix=f"ganforge check {kinds[0]} {what[0]}"
            ) from None
        near = nearest(what[0], {entry.source.distribution for entry in registry.entries})
        fix = registry.why_missing(near=near is not None)
        raise UnknownComponentError(error.message, fix=fix) from None


def _lies_at(entry: Entry, place: Path) -> bool:
    source = entry.source.path
    return source is not None and (source == place.resolve() or source.parent == place.resolve())


def _pair(text: str) -> tuple[str, str]:
    check, _, reason = text.partition("=")
    return check.strip(), reason.strip() or "expected on the command line"


def _shape(text: str) -> ImageSpec:
    from ganforge.components import ImageSpec  # noqa: PLC0415 - imports torch

    found = IMAGE.fullmatch(text)
    if found is None or "0" in found.groups():
        raise UsageError(f"--image {text!r} is no size", fix="write channels, height and width, such as 3x64x64")
    channels, height, width = map(int, found.groups())
    return ImageSpec(channels, height, width, num_classes=10)


def _print(report: Report) -> None:
    console = out()
    mark = "[green]✓[/]" if report.conformant else "[red]✗[/]"
    console.print(f"{mark} {escape(str(report))}", highlight=False)
    for failure in report.failed:
        console.print(f"  [red]failed[/] [bold]{escape(failure.check)}[/]: {escape(failure.reason)}", highlight=False)
        console.print(f"    [cyan]→[/] {escape(failure.fix)}", highlight=False)
    for words, reasons in (("failed as expected", report.expected_failures), ("skipped", report.skipped)):
        for name, reason in reasons.items():
            console.print(f"  [dim]{words} {escape(name)}: {escape(reason)}[/]", highlight=False)
