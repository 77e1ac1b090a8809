"""Command `ganforge compare`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ganforge.cli._completion import split_names
from ganforge.cli._options import Force, Json
from ganforge.cli._output import check_output_path, notice, out, print_json, results, writing
from ganforge.cli._printer import escape, print_table
from ganforge.errors import UsageError
from ganforge.runs.settings import format_setting
from ganforge.utils.files import write_atomically
from ganforge.utils.format import format_count, format_number

if TYPE_CHECKING:
    from rich.console import Console

    from ganforge.report.comparison import Comparison
    from ganforge.report.comparison.curves import Curve

SPARKLINE_WIDTH, MIN_SPARKLINE_WIDTH = 24, 8
#: Characters of the table of curves next to names, labels and sparklines: frames and the last values.
CURVES_FRAME = 22
#: Longest label as a divisor of the terminal's width.
MAX_LABEL_SHARE = 3
BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.-=+*#@"
STDOUT = "-"


def compare(
    paths: Annotated[
        list[Path], typer.Argument(metavar="RUN|DIR...", help="Run directories, or folders of runs, at any depth.")
    ],
    metric: Annotated[
        str | None, typer.Option(metavar="SCORE,SCORE", help="Show these scores only, in this order.")
    ] = None,
    sort: Annotated[str | None, typer.Option(metavar="SCORE", help="Sort by this score, the best first.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page with curves and samples.")
    ] = None,
    csv: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Also write a row per run; - prints nothing else.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compare runs: differing settings, scores with mean and 95% interval over seeds, curves, samples."""
    if html is not None and str(html) == STDOUT:
        raise UsageError("--html writes to files only", fix="--html comparison.html")
    if json and csv == STDOUT:
        raise UsageError("--json and --csv - both print to stdout", fix="name a file for --csv")
    files = [path for path in (html, None if csv in {None, STDOUT} else Path(str(csv))) if path is not None]
    for path in files:
        check_output_path(path, force=force)
    from ganforge.report.comparison import compare as compare_runs  # imports Pillow

    names = None if metric is None else split_names([metric])
    comparison = compare_runs(*paths, metrics=names, sort=sort)
    for path in files:
        with writing(path):
            write_atomically(path, comparison.html() if path is html else comparison.csv())
    if csv == STDOUT:
        results().write(comparison.csv())
    elif json:
        print_json(comparison.as_dict())
    else:
        _print(comparison)
        for path in files:
            out().print(f"written: [bold]{escape(path)}[/]")


def _print(comparison: Comparison) -> None:
    console = out()
    runs = sum(len(group.runs) for group in comparison.groups)
    shared = ", ".join(f"{key} {format_setting(value)}" for key, value in comparison.shared.items())
    console.print(
        f"{format_count(runs, 'run')} in {format_count(len(comparison.groups), 'group')}"
        + escape(f"; all with {shared}" if shared else "")
    )
    labels = _labels(comparison, console)
    _print_scores(comparison, labels, console)
    curves = [curve for curve in comparison.curves if not curve.name.startswith("health/")]
    if curves:
        console.print(_curves(comparison, curves, labels, console))
    notice(*comparison.notes)


def _labels(comparison: Comparison, console: Console) -> dict[str, str]:
    """Return how tables name each group: numbers if labels leave scores no room on a terminal, with a line for each."""
    labels = [group.label for group in comparison.groups]
    if not console.is_terminal or max(map(len, labels)) <= console.width // MAX_LABEL_SHARE:
        return dict(zip(labels, labels, strict=True))
    for number, label in enumerate(labels, start=1):
        console.print(f"[bold]{number}[/]  {escape(label)}")
    return {label: str(number) for number, label in enumerate(labels, start=1)}


def _print_scores(comparison: Comparison, labels: Mapping[str, str], console: Console) -> None:
    """Print a line per group; columns without room are named, never cut."""
    heads = ["runs", "seeds", *(column.heading for column in comparison.columns)]
    rows = [
        [labels[group.label], str(len(group.seeds)), *(group.format_score(column) for column in comparison.columns)]
        for group in comparison.groups
    ]
    references = ["" if column.reference is None else format_number(column.reference) for column in comparison.columns]
    if any(references):
        rows.append(["reference", "", *references])
    more = "a wider terminal, --metric, --html or --csv show them"
    print_table(console, heads, rows, numbers=range(1, len(heads)), more=more)


def _curves(comparison: Comparison, curves: Sequence[Curve], labels: Mapping[str, str], console: Console) -> Table:
    table = Table("curve", "runs", "over the steps", "last")
    table.columns[-1].justify = "right"
    longest = max(len(curve.name) for curve in curves) + max(map(len, ("runs", *labels.values())))
    width = max(MIN_SPARKLINE_WIDTH, min(SPARKLINE_WIDTH, console.width - CURVES_FRAME - longest))
    for curve in curves:
        table.add_section()
        lines = {label: [(float(point.step), point.mean) for point in points] for label, points in curve.lines.items()}
        steps = [step for line in lines.values() for step, _ in line]
        values = [value for line in lines.values() for _, value in line if value is not None]
        if not values:
            continue
        for index, group in enumerate(group for group in comparison.groups if group.label in lines):
            line = lines[group.label]
            blocks = sparkline(
                line,
                x=(min(steps), max(steps)),
                y=(min(values), max(values)),
                width=width,
                ascii_only=console.options.ascii_only,
            )
            last = next((value for _, value in reversed(line) if value is not None), None)
            name = escape(curve.name) if index == 0 else ""
            table.add_row(name, escape(labels[group.label]), blocks, format_number(last))
    return table


def sparkline(
    points: Sequence[tuple[float, float | None]],
    *,
    x: tuple[float, float],
    y: tuple[float, float],
    width: int,
    ascii_only: bool = False,
) -> str:
    """Return a curve within ranges of x and y as `width` characters.

    The points are in the order of x; y is None in a gap, which is a space. A character is as high as the mean of its
    points, or as the straight line through it.
    """
    levels = ASCII_BLOCKS if ascii_only else BLOCKS
    cells: list[list[float]] = [[] for _ in range(width)]
    for start, end in pairwise([*points, (math.inf, None)]):
        if start[1] is None:
            continue
        first = _bin(start[0], x, width)
        cells[first].append(start[1])
        if end[1] is not None:
            last = _bin(end[0], x, width)
            for cell in range(first + 1, last):
                fraction = (cell - first) / (last - first)
                cells[cell].append(start[1] * (1 - fraction) + end[1] * fraction)
    means = [sum(values) / len(values) if values else None for values in cells]
    return "".join(" " if mean is None else levels[_bin(mean, y, len(levels))] for mean in means)


def _bin(value: float, limits: tuple[float, float], count: int) -> int:
    """Return the index of a value's bin, of `count` equal bins between two limits."""
    low, high = limits
    if high <= low:
        return 0
    return min(max(int((value - low) / (high - low) * count), 0), count - 1)
