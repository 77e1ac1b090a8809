"""Curves of losses, health and scores: a line per group, the mean over its seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ganforge.report.comparison.records import Run
from ganforge.runs.score_table import Column
from ganforge.utils.chart import thin
from ganforge.utils.files import error_reason

#: Columns that come first, and prefixes of further ones.
LOSSES = ("loss/discriminator", "loss/generator")
PREFIXES = ("loss/", "term/", "prob/", "health/")
MAX_POINTS = 300


class Point(NamedTuple):
    """Mean, lowest and highest value of the seeds at a step; None if no value is finite."""

    step: int
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over the steps.

    Attributes:
        name: Name of the quantity.
        column: Column of its scores, or None for a column of metrics.jsonl.
        lines: Points by the group's label.
    """

    name: str
    column: Column | None
    lines: Mapping[str, Sequence[Point]]

    def as_dict(self) -> dict[str, Any]:
        """Return the curve as JSON."""
        return {
            "name": self.name,
            "lines": {label: [[point.step, point.mean] for point in points] for label, points in self.lines.items()},
        }


def curves(groups: Sequence[tuple[str, Sequence[Run]]], columns: Sequence[Column], problems: list[str]) -> list[Curve]:
    """Return the curves of losses, terms, probabilities and health, and of scores of several steps.

    A line about each file of rows that cannot be read is added to `problems`.
    """
    by_curve: dict[str, dict[str, Sequence[Point]]] = {name: {} for name in LOSSES}
    for label, runs in groups:
        by_name: dict[str, list[Iterable[tuple[int, float | None]]]] = defaultdict(list)
        for run in runs:
            try:
                rows = run.rows()
            except OSError as error:
                problems.append(f"{run.directory.metrics} cannot be read: {error_reason(error)}; it has no curves")
                continue
            names = dict.fromkeys(key for row in rows for key in row if key.startswith(PREFIXES))
            for name in names:
                by_name[name].append([(int(row["step"]), _finite(row[name])) for row in rows if name in row])
        for name, series in by_name.items():
            by_curve.setdefault(name, {})[label] = _mean(series)
    charted = [Curve(name, None, lines) for name, lines in by_curve.items() if lines]
    for column in columns:
        lines = {}
        for label, runs in groups:
            weights = column.weights(run.name for run in runs)
            series = [
                [(score.step, score.value) for score in column.by_run.get(run.name, ()) if score.weights == weights]
                for run in runs
            ]
            points = _mean(series)
            if points:
                lines[label] = points
        if any(len(points) > 1 for points in lines.values()):
            charted.append(Curve(column.name, column, lines))
    return charted


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _mean(series: Iterable[Iterable[tuple[int, float | None]]]) -> list[Point]:
    """Return the thinned mean of several lines; values that are not finite are gaps."""
    values: dict[int, list[float]] = defaultdict(list)
    for line in series:
        for step, value in dict(line).items():  # the last score of a step counts
            values[step] += [] if value is None else [value]
    points = [
        Point(step, math.fsum(value / len(known) for value in known), min(known), max(known))
        if known
        else Point(step, None, None, None)
        for step, known in sorted(values.items())
    ]
    heights = [math.nan if point.mean is None else point.mean for point in points]
    return [points[row] for row in thin({"mean": heights}, MAX_POINTS)]
