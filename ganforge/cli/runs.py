"""Command `ganforge runs`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import COLOR_SYSTEMS, Console
from rich.style import Style

from ganforge.cli._options import Json
from ganforge.cli._output import notice, out, results
from ganforge.cli._printer import format_table
from ganforge.runs.index import DiskUsage
from ganforge.runs.listing import BYTES, ListedRun, Listing, list_runs
from ganforge.runs.query import TIMES
from ganforge.utils.format import format_bytes, format_number
from ganforge.utils.text import printable_json

STATUS_STYLES = {"finished": "green", "running": "cyan", "interrupted": "yellow"}
HEADS = ("run", "status", "steps", "gen", "disc", "loss", "data", "seed", "images/s", "updated")
USAGE_HEADS = ("run", "status", "total", "checkpoints", "samples", "other", "steps", "updated")
#: Fields of a summary that the columns have in any case.
FIELDS = frozenset({"path", "name", "images_per_second", *HEADS})
USAGE_FIELDS = frozenset({"path", "name", *USAGE_HEADS})
NUMBERS = frozenset({"steps", "seed", "images/s", "checkpoints", "samples", "other", "total"})
#: Length of a time to the minute.
TIME_LENGTH = len("2026-01-01 00:00")


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder of runs, at any depth.")] = Path("runs"),
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            "-w",
            metavar="FILTER",
            help="Only runs that match: loss=hinge, gen.base_channels=64, steps>=1000, fid<20; may be repeated.",
        ),
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option(metavar="STATUS", help="Only runs with this status; may be repeated.")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Sort key: name, created, updated, step, images_per_second, bytes, a setting, or a score (updated; "
            "bytes with --du).",
        ),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Reverse the order.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="The first N only.")] = None,
    du: Annotated[
        bool, typer.Option("--du", help="Show the disk usage of each run and of all, the largest first.")
    ] = False,
    json: Json = False,
) -> None:
    """List runs with components, progress and status, the newest first."""
    if sort is None:
        sort = BYTES if du else "updated"
    listing = list_runs(
        folder, where=where or [], status=status or [], sort=sort, reverse=reverse, limit=limit, with_usage=du
    )
    notice(*listing.notes)
    if json:
        _print_json(listing)
    elif not listing.runs:
        notice("no matching runs" if where or status else "no runs")
    else:
        _print(listing)
        if len(listing.runs) < listing.count:
            notice(f"{len(listing.runs):,} of {listing.count:,} runs")


def _print_json(listing: Listing) -> None:
    """Print one document with a run on each line; indentation would take four times as long."""
    rows = (printable_json(run.as_dict()) for run in listing.runs)
    results().write("[\n" + ",\n".join(rows) + "\n]\n")
    results().flush()


def _print(listing: Listing) -> None:
    """Print a table, and the sum of the disk usage if it is known."""
    console = out()
    usages = [run.usage for run in listing.runs if run.usage is not None]
    names, fields = (USAGE_HEADS, USAGE_FIELDS) if usages else (HEADS, FIELDS)
    keys = [key for key in listing.keys if key not in fields]
    heads = [*names[:3], *keys, *listing.columns, *names[3:]]
    numbers = {index for index, head in enumerate(heads) if head in {*NUMBERS, *listing.columns}}
    rows = [cells(run, listing.columns, keys) for run in listing.runs]
    if usages:
        total, *others = _sizes(sum(usages, DiskUsage()))
        rows.append(["all", "", total, *("" for _ in (*keys, *listing.columns)), *others, "", ""])
    width = console.width if console.is_terminal else None
    text, omitted = format_table(heads, rows, numbers=numbers, width=width, paint=_painter(console))
    results().write(text)
    results().flush()
    if omitted:
        notice(f"no room for {', '.join(omitted)}; --json has everything")


def cells(run: ListedRun, columns: Sequence[str], keys: Sequence[str] = ()) -> list[str]:
    """Return the cells of a run, in the order of the heads."""
    summary = run.summary
    components = (summary.gen, summary.disc, summary.loss, summary.data, summary.seed)
    speed = _number(summary.images_per_second, ",.0f")
    described = [*("" if value is None else str(value) for value in components), speed]
    scores = (run.scores.get(column) for column in columns)
    steps = _number(summary.steps, ",.0f")
    first, *others = [steps, *described] if run.usage is None else [*_sizes(run.usage), steps]
    return [
        summary.path,
        summary.status,
        first,
        *(_value(run, key) for key in keys),
        *("" if score is None else format_number(score) for score in scores),
        *others,
        _time(summary.updated),
    ]


def _value(run: ListedRun, key: str) -> str:
    """Return the value of a setting or a field as text."""
    if key in run.settings:
        from ganforge.runs.settings import format_setting  # a plain list needs no models

        return format_setting(run.settings[key])
    value = getattr(run.summary, key)
    return _time(value) if key in TIMES else _number(value, ",.0f")


def _time(value: object) -> str:
    return str(value or "")[:TIME_LENGTH].replace("T", " ")


def _sizes(usage: DiskUsage) -> list[str]:
    return [format_bytes(size) for size in (usage.total, usage.checkpoints, usage.samples, usage.other)]


def _number(value: object, form: str) -> str:
    """Return a number as text; other values of a damaged manifest are shown unchanged."""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return format(value, form)
    return "" if value is None else str(value)


def _painter(console: Console) -> Callable[[str], str]:
    """Return a function that colors a status, on a terminal with colors."""
    if not console.is_terminal or console.no_color or console.color_system is None:
        return str
    colors = COLOR_SYSTEMS[console.color_system]
    return lambda cell: Style.parse(STATUS_STYLES.get(cell.strip(), "red")).render(cell, color_system=colors)
