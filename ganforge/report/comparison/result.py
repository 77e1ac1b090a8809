"""Result of a comparison: as JSON, as a table in a notebook, as CSV, as a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganforge.report.comparison.curves import Curve
from ganforge.report.comparison.records import Run
from ganforge.report.pages.page import render
from ganforge.report.pages.pictures import Picture, PictureError, embed
from ganforge.runs.score_table import Cell, Column, ScoreValue
from ganforge.runs.settings import format_setting
from ganforge.utils.chart import Chart, Reference, Series
from ganforge.utils.files import write_atomically
from ganforge.utils.text import printable

#: First characters of a formula in a spreadsheet.
FORMULA_PREFIXES = ("=", "+", "-", "@")
#: Lines of a chart, pictures of a page, and characters of their data URIs.
MAX_LINES, MAX_PICTURES, MAX_PICTURE_CHARACTERS = 12, 24, 3_000_000
#: Sizes of a picture, from the largest; the first one within the limit is used.
SIDES = (640, 320, 160)


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that differ only in `FREE` settings, such as the seed.

    Attributes:
        settings: Values of the keys that differ between groups.
        counted: One run per seed.
        cells: Scores by the column's name.
        weights: Weights that the mean is over, None without scores, by the column's name.
    """

    label: str
    settings: Mapping[str, Any]
    runs: Sequence[Run]
    counted: Sequence[Run]
    cells: Mapping[str, Cell]
    weights: Mapping[str, str | None]

    @property
    def seeds(self) -> list[int]:
        """Distinct seeds."""
        return [run.seed for run in self.counted]

    def latest(self, column: Column, run: Run) -> ScoreValue | None:
        """Return a run's last score in a column: of the weights that the mean is over, if the run has such a score."""
        return column.latest(run.name, self.weights[column.name]) or column.latest(run.name)

    def format_score(self, column: Column) -> str:
        """Return the score in a column as text, empty if it is missing."""
        cell = self.cells.get(column.name)
        return "" if cell is None else cell.format()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of runs, shown by a notebook as a table.

    Attributes:
        shared: Settings that all runs have in common.
        settings: Keys that differ.
        curves: Losses, health and scores over the steps.
        notes: Lines for the reader.
    """

    shared: Mapping[str, Any]
    settings: Sequence[str]
    groups: Sequence[Group]
    columns: Sequence[Column]
    curves: Sequence[Curve]
    notes: Sequence[str]

    def __repr__(self) -> str:
        runs = sum(len(group.runs) for group in self.groups)
        return f"<ganforge comparison of {runs} runs in {len(self.groups)} groups>"

    def as_dict(self) -> dict[str, Any]:
        """Return the document that `compare --json` prints."""
        return {
            "shared": dict(self.shared),
            "settings": list(self.settings),
            "columns": [
                {
                    "name": column.name,
                    "score": column.score,
                    "higher_is_better": column.higher_is_better,
                    "reference": column.reference,
                    "protocol": column.protocol.model_dump(mode="json"),
                }
                for column in self.columns
            ],
            "groups": [self._group(group) for group in self.groups],
            "curves": [curve.as_dict() for curve in self.curves],
            "notes": list(self.notes),
        }

    def _group(self, group: Group) -> dict[str, Any]:
        return {
            "label": group.label,
            "settings": dict(group.settings),
            "seeds": group.seeds,
            "scores": {
                name: cell.estimate.as_dict() | {"step": cell.step, "of": cell.of} for name, cell in group.cells.items()
            },
            "runs": [
                {
                    "run": str(run.directory.path),
                    "status": run.status,
                    "seed": run.seed,
                    "scores": {
                        column.name: {
                            "step": score.step,
                            "value": score.value,
                            "reference": score.reference,
                            "weights": score.weights,
                        }
                        for column in self.columns
                        if (score := group.latest(column, run)) is not None
                    },
                }
                for run in group.runs
            ],
        }

    def setting_heading(self, key: str) -> str:
        """Return the heading of a setting, which differs from that of a score of the same name."""
        return f"{key} (setting)" if key in {column.name for column in self.columns} else key

    def csv(self) -> str:
        """Return CSV with a row per run: group, differing settings, latest scores with their steps and weights."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [column.name for column in self.columns]
        heads = [head for name in names for head in (name, f"{name}: step", f"{name}: reference", f"{name}: weights")]
        writer.writerow(
            map(_cell, ["run", "group", "status", "seed", *map(self.setting_heading, self.settings), *heads])
        )
        for group in self.groups:
            for run in group.runs:
                values: list[object] = [str(run.directory.path), group.label, run.status, run.seed]
                values += [format_setting(run.settings.get(key)) for key in self.settings]
                for column in self.columns:
                    score = group.latest(column, run)
                    parts = () if score is None else (score.value, score.step, score.reference, score.weights)
                    values += parts or [None] * 4
                writer.writerow(map(_cell, values))
        return text.getvalue()

    def html(self) -> str:
        """Return one self-contained page."""
        charts = [_chart(curve, self.groups[:MAX_LINES]) for curve in self.curves]
        return render(
            "report/comparison/page.html.j2",
            comparison=self,
            format_setting=format_setting,
            charts=[chart for chart in charts if chart.drawing() is not None],
            max_lines=MAX_LINES,
            pictures=list(_pictures(self.groups)),
        )

    def save(self, path: str | Path) -> None:
        """Write the page to a file, or CSV if its suffix is .csv. Raises OSError."""
        place = Path(path)
        write_atomically(place, self.csv() if place.suffix.lower() == ".csv" else self.html())

    def _repr_html_(self) -> str:
        return render("report/comparison/fragment.html.j2", comparison=self, format_setting=format_setting)


def _cell(value: object) -> object:
    """Return the content of a cell; formulas are quoted."""
    if isinstance(value, str):
        text = printable(value)
        return f"'{text}" if text.startswith(FORMULA_PREFIXES) else text
    return "" if value is None else value


def _chart(curve: Curve, groups: Sequence[Group]) -> Chart:
    series = []
    for group in groups:
        points = curve.lines.get(group.label, ())
        if points:
            bands = [None if point.low is None or point.high is None else (point.low, point.high) for point in points]
            means = [(float(point.step), point.mean) for point in points]
            series.append(Series(group.label, means, bands if len(group.counted) > 1 else ()))
    column = curve.column
    if column is None:
        return Chart(curve.name, series, y_label="")
    references = [] if column.reference is None else [Reference("reference", column.reference)]
    better = {True: "higher is better", False: "lower is better", None: ""}[column.higher_is_better]
    return Chart(curve.name, series, y_label=better, references=references)


def _pictures(groups: Sequence[Group]) -> Iterator[tuple[str, str, Picture]]:
    """Yield label, run with step, and newest grid of samples of each group, up to the limits of a page."""
    max_characters = MAX_PICTURE_CHARACTERS // max(min(len(groups), MAX_PICTURES), 1)
    for group in groups[:MAX_PICTURES]:
        for run in group.runs:
            grids = sorted(run.directory.samples.glob("step-*.png"))
            if grids:
                with suppress(PictureError):
                    digits = grids[-1].stem.removeprefix("step-")
                    step = int(digits) if digits.isdecimal() else 0
                    yield group.label, f"{run.name}, step {step:,}", _embed(grids[-1], max_characters)
                    break


def _embed(grid: Path, max_characters: int) -> Picture:
    """Return a grid at the largest size within the limit. Raises PictureError."""
    for side in SIDES:
        picture = embed(grid, max_side=side, max_bytes=max_characters * 3 // 4)
        if len(picture.uri) <= max_characters:
            break
    return picture
