"""A comparison as a page: one file with its tables, curves and samples, and nothing to fetch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ganforge.report import pages
from ganforge.report.comparison.curves import Curve
from ganforge.report.comparison.result import Comparison, Group
from ganforge.report.comparison.words import heading, measured
from ganforge.runs.settings import in_words

TEMPLATES = "report/comparison/"
MOST_LINES = 12  # in a chart
MOST_PICTURES = 24
CHARACTERS_OF_PICTURES = 3_000_000
SIDES = (640, 320, 160)  # the largest that leaves room for the others is taken


def page(comparison: Comparison) -> str:
    """Return the page."""
    charts = [_chart(curve, comparison.groups[:MOST_LINES]) for curve in comparison.curves]
    return pages.render(
        f"{TEMPLATES}page.html.j2",
        **_words(comparison),
        charts=[chart for chart in charts if chart.drawing() is not None],
        most_lines=MOST_LINES,
        pictures=list(_pictures(comparison.groups)),
    )


def fragment(comparison: Comparison) -> str:
    """Return the table of scores and the notes alone, as a notebook shows them."""
    return pages.render(f"{TEMPLATES}fragment.html.j2", **_words(comparison))


def _words(comparison: Comparison) -> dict[str, object]:
    return {"comparison": comparison, "in_words": in_words, "heading": heading, "measured": measured}


def _chart(curve: Curve, groups: Sequence[Group]) -> pages.Chart:
    series = []
    for group in groups:
        points = curve.lines.get(group.label, ())
        if points:
            bands = [None if point.low is None or point.high is None else (point.low, point.high) for point in points]
            means = [(float(point.step), point.mean) for point in points]
            series.append(pages.Series(group.label, means, bands if len(group.counted) > 1 else ()))
    column = curve.column
    floor = [] if column is None or column.floor is None else [pages.Reference("floor", column.floor)]
    better = "" if column is None or column.better is None else f"{column.better} is better"
    return pages.Chart(curve.name, series, y_label=better, references=floor)


def _pictures(groups: Sequence[Group]) -> Iterator[tuple[str, str, pages.Picture]]:
    """Yield each group's label, the run and step, and its newest grid of samples, for as many as a page holds."""
    shown = groups[:MOST_PICTURES]
    for group in shown:
        for run in group.runs:
            grids = sorted(run.directory.samples.glob("step-*.png"))
            if grids:
                with suppress(pages.PictureError):
                    picture = _embedded(grids[-1], CHARACTERS_OF_PICTURES // len(shown))
                    yield group.label, f"{run.name}, step {_step(grids[-1]):,}", picture
                    break


def _embedded(grid: Path, most_characters: int) -> pages.Picture:
    """Return a grid as large as it may be. Raises PictureError."""
    for side in SIDES:
        picture = pages.embed(grid, most_side=side, most_bytes=most_characters * 3 // 4)
        if len(picture.uri) <= most_characters:
            break
    return picture


def _step(grid: Path) -> int:
    digits = grid.stem.partition("-")[2]
    return int(digits) if digits.isdecimal() else 0
