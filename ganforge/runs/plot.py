"""Charts of a run's metrics, for notebooks and files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganforge.errors import UsageError
from ganforge.utils.chart import Chart, Series, stretch_means, thin
from ganforge.utils.files import write_atomically
from ganforge.utils.suggest import did_you_mean
from ganforge.utils.svg import to_svg

LOSSES = "loss/"


@dataclass(frozen=True, slots=True)
class Plot:
    """Line chart over the steps of a training, shown by a notebook as a picture.

    Attributes:
        svg: The picture.
    """

    svg: str

    def __repr__(self) -> str:
        return f"<Plot, {len(self.svg):,} bytes of SVG>"

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write the picture as SVG. Raises OSError."""
        write_atomically(Path(path), self.svg)


def plot_rows(rows: Sequence[Mapping[str, float]], columns: Sequence[str] = ()) -> Plot:
    """Return a chart of columns of metrics.jsonl, of the losses by default. Raises UsageError for an unknown column."""
    available = sorted({name for row in rows for name in row} - {"step"})
    names = list(columns) or [name for name in available if name.startswith(LOSSES)]
    for name in names:
        if name not in available:
            raise UsageError(f"no column {name!r} in metrics.jsonl{did_you_mean(name, available)}")
    values = {name: [row.get(name, math.nan) for row in rows] for name in names}
    kept = thin(values)
    shared = names[0].partition("/")[0] + "/" if len({name.partition("/")[0] for name in names}) == 1 else ""
    steps, series = [row["step"] for row in rows], []
    for name in names:
        points = [(steps[index], values[name][index]) for index in kept]
        trend = points if len(kept) == len(rows) else stretch_means(steps, values[name])
        series.append(Series(name.removeprefix(shared), points, trend=trend))
    title = "Losses" if shared == LOSSES or not names else ", ".join(names)
    return Plot(to_svg(Chart(title, series, "value")))
