"""`ganforge runs`."""

from __future__ import annotations

import json as json_text
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli.lines import Lines
from ganforge.cli.options import Json
from ganforge.cli.output import answering, notice, out, results
from ganforge.utils.format import number

if TYPE_CHECKING:
    from rich.console import Console

    from ganforge.runs.listing import Listed, Listing

STATUS_STYLES = {"finished": "green", "running": "cyan", "interrupted": "yellow"}
HEADS = ("run", "status", "steps", "gen", "disc", "loss", "data", "seed", "images/s", "updated")
MINUTES = 16  # characters of a time, to the minute


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("runs")(runs)


@answering
def runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to look, at any depth.")] = Path("runs"),
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            "-w",
            metavar="CONDITION",
            help="Only runs of which this is true: loss=hinge, gen.base_channels=64, steps>=1000, fid<20; may be "
            "repeated.",
        ),
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option(metavar="STATUS", help="Only runs that ended so, or run; may be repeated.")
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            metavar="KEY", help="What decides the order: name, created, step, images_per_second, a setting, a score."
        ),
    ] = "updated",
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The other way round.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="The first N only.")] = None,
    json: Json = False,
) -> None:
    """List runs: what they train, how far they came, how they ended. The newest come first."""
    from ganforge.runs.listing import list_runs, no_search_for_cycles  # noqa: PLC0415 - `--help` needs none of it

    with no_search_for_cycles():
        listing = list_runs(folder, where=where or [], status=status or [], sort=sort, reverse=reverse, limit=limit)
        for line in listing.notes:
            notice(line)
        if json:
            _print_json(listing)
        elif not listing.runs:
            notice("no run fulfils that" if where or status else "no runs")
        else:
            _print(listing)
            if len(listing.runs) < listing.count:
                notice(f"{len(listing.runs):,} of {listing.count:,} runs")


def _print_json(listing: Listing) -> None:
    """Print one document with a run on each line: indented ones take four times as long to write."""
    rows = (json_text.dumps(run.as_dict(), ensure_ascii=False) for run in listing.runs)
    results().write("[\n" + ",\n".join(rows) + "\n]\n")
    results().flush()


def _print(listing: Listing) -> None:
    console = out()
    heads = [*HEADS[:3], *listing.columns, *HEADS[3:]]
    numbers = {index for index, head in enumerate(heads) if head in {"steps", "seed", "images/s", *listing.columns}}
    lines = Lines(heads, [cells(run, listing.columns) for run in listing.runs], frozenset(numbers))
    text, left_out = lines.render(console.width if console.is_terminal else None, _painter(console))
    results().write(text)
    results().flush()
    if left_out:
        notice(f"no room for {', '.join(left_out)}; --json has everything")


def cells(run: Listed, columns: Sequence[str]) -> list[str]:
    """Return the cells of a run's line, in the order of the heads."""
    summary = run.summary
    words = (summary.gen, summary.disc, summary.loss, summary.data, summary.seed)
    scores = (run.scores.get(column) for column in columns)
    return [
        summary.path,
        summary.status,
        _number(summary.steps, ",.0f"),
        *("" if score is None else number(score) for score in scores),
        *("" if word is None else str(word) for word in words),
        _number(summary.images_per_second, ",.0f"),
        str(summary.updated or "")[:MINUTES].replace("T", " "),
    ]


def _number(value: object, form: str) -> str:
    """Return a number as people read it, and what else a damaged manifest holds as it stands."""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return format(value, form)
    return "" if value is None else str(value)


def _painter(console: Console) -> Callable[[str], str]:
    """Return what gives a status its colour, where the terminal has colours."""
    if not console.is_terminal or console.no_color or console.color_system is None:
        return str
    painted: dict[str, str] = {}

    def paint(cell: str) -> str:
        if cell not in painted:
            with console.capture() as captured:
                console.print(cell, style=STATUS_STYLES.get(cell.strip(), "red"), end="", markup=False, highlight=False)
            painted[cell] = captured.get()
        return painted[cell]

    return paint
