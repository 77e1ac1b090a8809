"""`ganforge compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ganforge.cli.lines import Lines, safe
from ganforge.cli.options import Json
from ganforge.cli.output import answering, check_place, notice, out, print_json, results
from ganforge.cli.sparkline import sparkline
from ganforge.errors import UsageError
from ganforge.utils.format import number

if TYPE_CHECKING:
    from rich.console import Console

    from ganforge.report.comparison import Comparison
    from ganforge.report.comparison.curves import Curve

WIDTH = 24  # of a curve
STDOUT = "-"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


@answering
def compare(
    places: Annotated[
        list[Path], typer.Argument(metavar="RUN|DIR...", help="Run directories, or folders of runs, at any depth.")
    ],
    metrics: Annotated[
        str | None, typer.Option(metavar="SCORE,SCORE", help="Show these scores only, in this order.")
    ] = None,
    sort: Annotated[str | None, typer.Option(metavar="SCORE", help="The best of this score comes first.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one page with curves and samples, too.")
    ] = None,
    csv: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write a row for each run, too; - prints that alone.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    json: Json = False,
) -> None:
    """Set runs side by side: what differs, scores with mean and 95% interval over seeds, curves, samples."""
    if html is not None and str(html) == STDOUT:
        raise UsageError("a page is written to a file", fix="--html comparison.html")
    if json and csv == STDOUT:
        raise UsageError("--json and --csv - both print to stdout", fix="give --csv a file")
    files = [place for place in (html, None if csv in {None, STDOUT} else Path(str(csv))) if place is not None]
    for place in files:
        check_place(place, force=force)
    from ganforge.report.comparison import compare as compared  # noqa: PLC0415 - `--help` needs none of it

    chosen = None if metrics is None else [word.strip() for word in metrics.split(",") if word.strip()]
    comparison = compared(*places, metrics=chosen, sort=sort)
    for place in files:
        _write(place, comparison.html() if place is html else comparison.csv())
    if csv == STDOUT:
        results().write(comparison.csv())
    elif json:
        print_json(comparison.as_dict())
    else:
        _print(comparison)
        for place in files:
            out().print(f"written: [bold]{escape(str(place))}[/]", highlight=False)


def _write(place: Path, text: str) -> None:
    from ganforge.utils.files import write_atomically  # noqa: PLC0415 - as above

    try:
        write_atomically(place, text.encode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror or error}") from None


def _print(comparison: Comparison) -> None:
    from ganforge.runs.settings import in_words  # noqa: PLC0415 - as above

    console = out()
    runs = sum(len(group.runs) for group in comparison.groups)
    shared = ", ".join(f"{key} {in_words(value)}" for key, value in comparison.shared.items())
    console.print(
        f"{_count(runs, 'run')} in {_count(len(comparison.groups), 'group')}"
        + _text(f"; all with {shared}" if shared else ""),
        highlight=False,
    )
    _print_scores(comparison, console)
    curves = [curve for curve in comparison.curves if not curve.name.startswith("health/")]
    if curves:
        console.print(_curves(comparison, curves, console))
    for line in comparison.notes:
        notice(safe(line))


def _print_scores(comparison: Comparison, console: Console) -> None:
    """Print a line for each group, and name the scores that have no room; a score is never cut."""
    from ganforge.report.comparison.words import heading, measured  # noqa: PLC0415 - as above

    heads = ["runs", "seeds", *(heading(column) for column in comparison.columns)]
    rows = [
        [group.label, str(len(group.seeds)), *(measured(group.cells.get(column.name)) for column in comparison.columns)]
        for group in comparison.groups
    ]
    floors = ["" if column.floor is None else number(column.floor) for column in comparison.columns]
    if any(floors):
        rows.append(["floor", "", *floors])
    table = Lines(heads, rows, frozenset(range(1, len(heads))))
    text, left_out = table.render(console.width if console.is_terminal else None)
    console.print(Text(text.rstrip()), soft_wrap=True)
    if left_out:
        notice(f"no room for {', '.join(left_out)}: a wider terminal, --metrics, --html or --csv show them")


def _curves(comparison: Comparison, curves: Sequence[Curve], console: Console) -> Table:
    table = Table("curve", "runs", "over the steps", "last")
    table.columns[-1].justify = "right"
    for curve in curves:
        table.add_section()
        lines = {label: [(float(point.step), point.mean) for point in points] for label, points in curve.lines.items()}
        steps = [step for line in lines.values() for step, _ in line]
        values = [value for line in lines.values() for _, value in line if value is not None]
        if not values:
            continue
        for index, group in enumerate(group for group in comparison.groups if group.label in lines):
            line = lines[group.label]
            drawn = sparkline(
                line,
                x=(min(steps), max(steps)),
                y=(min(values), max(values)),
                width=WIDTH,
                ascii_only=console.options.ascii_only,
            )
            last = next((value for _, value in reversed(line) if value is not None), None)
            table.add_row(_text(curve.name) if index == 0 else "", _text(group.label), drawn, number(last))
    return table


def _text(text: str) -> str:
    """Return a text that neither rich nor the terminal takes for a command."""
    return escape(safe(text))


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
