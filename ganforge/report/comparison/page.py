"""Page of a comparison: one file with tables, curves and samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ganforge.report import pages
from ganforge.report.comparison.curves import Curve
from ganforge.report.comparison.result import Comparison, Group
from ganforge.runs.settings import format_setting

TEMPLATES = "report/comparison/"
#: Lines of a chart, pictures of a page, and characters of their data URIs.
MAX_LINES, MAX_PICTURES, MAX_PICTURE_CHARACTERS = 12, 24, 3_000_000
#: Sizes of a picture, from the largest; the first one within the limit is used.
SIDES = (640, 320, 160)


def page(comparison: Comparison) -> str:
    """Render the page."""
    charts = [_chart(curve, comparison.groups[:MAX_LINES]) for curve in comparison.curves]
    return pages.render(
        f"{TEMPLATES}page.html.j2",
        comparison=comparison,
        format_setting=format_setting,
        charts=[chart for chart in charts if chart.drawing() is not None],
        max_lines=MAX_LINES,
        pictures=list(_pictures(comparison.groups)),
    )


def fragment(comparison: Comparison) -> str:
    """Render the table of scores and the notes, for a notebook."""
    return pages.render(f"{TEMPLATES}fragment.html.j2", comparison=comparison, format_setting=format_setting)


def _chart(curve: Curve, groups: Sequence[Group]) -> pages.Chart:
    series = []
    for group in groups:
        points = curve.lines.get(group.label, ())
        if points:
            bands = [None if point.low is None or point.high is None else (point.low, point.high) for point in points]
            means = [(float(point.step), point.mean) for point in points]
            series.append(pages.Series(group.label, means, bands if len(group.counted) > 1 else ()))
    column = curve.column
    if column is None:
        return pages.Chart(curve.name, series, y_label="")
    references = [] if column.reference is None else [pages.Reference("reference", column.reference)]
    better = {True: "higher is better", False: "lower is better", None: ""}[column.higher_is_better]
    return pages.Chart(curve.name, series, y_label=better, references=references)


def _pictures(groups: Sequence[Group]) -> Iterator[tuple[str, str, pages.Picture]]:
    """Yield label, run with step, and newest grid of samples of each group, up to the limits of a page."""
    max_characters = MAX_PICTURE_CHARACTERS // max(min(len(groups), MAX_PICTURES), 1)
    for group in groups[:MAX_PICTURES]:
        for run in group.runs:
            grids = sorted(run.directory.samples.glob("step-*.png"))
            if grids:
                with suppress(pages.PictureError):
                    picture = _embed(grids[-1], max_characters)
                    yield group.label, f"{run.name}, step {_step(grids[-1]):,}", picture
                    break


def _embed(grid: Path, max_characters: int) -> pages.Picture:
    """Return a grid at the largest size within the limit. Raises PictureError."""
    for side in SIDES:
        picture = pages.embed(grid, max_side=side, max_bytes=max_characters * 3 // 4)
        if len(picture.uri) <= max_characters:
            break
    return picture


def _step(grid: Path) -> int:
    digits = grid.stem.partition("-")[2]
    return int(digits) if digits.isdecimal() else 0
