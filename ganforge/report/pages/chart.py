"""Line charts: geometry for the SVG of a template and the script of a page, and thinning of long curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ganforge.report.pages.axis import Axis
from ganforge.utils.format import format_number
from ganforge.utils.text import printable

#: Width of a plot in SVG units, and height in pixels.
WIDTH, HEIGHT = 1000, 220
COLORS, DASHES = 6, 6
#: Largest number of points with marks.
MAX_MARKED = 40
#: Space above and below, as a share of the range of the values.
PADDING = 0.06
MAX_VALUE = 1e300
#: Largest number of points of a line of full width.
MAX_SPARSE = 150
DIGITS = 6
#: Rows of a thinned curve.
MAX_ROWS = 500

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """Line of a chart.

    Attributes:
        name: Name in the legend.
        points: (x, y) in the order of x; y is None in a gap.
        band: Interval of likely values at each point, such as a 95% interval, or None.
    """

    name: str
    points: Sequence[Point]
    band: Sequence[tuple[float, float] | None] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """Level to compare with, such as the reference of a score."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Content of a chart; the macro `chart` draws it.

    Attributes:
        title: Title, unique in its page.
        series: Lines.
        y_label: Measure, with its unit.
        x_label: Measure of the x axis.
        references: Horizontal lines.
        note: Sentence below the title.
    """

    title: str
    series: Sequence[Series]
    y_label: str
    x_label: str = "step"
    references: Sequence[Reference] = ()
    note: str = ""

    def drawing(self) -> Drawing | None:
        """Return the geometry, or None for a chart without points."""
        series = [_clean(line) for line in self.series]
        values = [y for line in series for _, y in line.points if y is not None]
        if not values:
            return None
        values += [edge for line in series for pair in line.band if pair is not None for edge in pair]
        values += [reference.value for reference in self.references]
        x_axis = Axis.over([x for line in series for x, _ in line.points], padding=0).from_zero()
        y_axis = Axis.over(values, padding=PADDING)
        lines = [_line(index, line, x_axis, y_axis) for index, line in enumerate(series)]
        data = {
            "label": self.x_label,
            "x": [x_axis.low, x_axis.high],
            "y": [y_axis.low, y_axis.high],
            "series": [_data(line) for line in series],
        }
        return Drawing(x_axis, y_axis, lines, data)


@dataclass(frozen=True, slots=True)
class Line:
    """Geometry of a series, and its row in the table.

    Attributes:
        name: Name in the legend.
        color: Class of the style sheet; color and dash together distinguish 36 lines.
        dash: Class of the style sheet.
        dense: Whether a thick line would fill the plot.
        path: SVG path data of the line.
        band: SVG path data of the band.
        marks: Positions of single points, in per cent and pixels.
        last: Last value and its x.
        lowest: Lowest value and its x.
        highest: Highest value and its x.
    """

    name: str
    color: int
    dash: int
    dense: bool
    path: str
    band: str
    marks: list[tuple[float, float]]
    last: tuple[str, str]
    lowest: tuple[str, str]
    highest: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Geometry of a chart, and the JSON of its script."""

    x_axis: Axis
    y_axis: Axis
    lines: list[Line]
    data: Mapping[str, object]
    width: ClassVar[int] = WIDTH
    height: ClassVar[int] = HEIGHT

    def y(self, value: float) -> float:
        """Return the position of a value in pixels from the top."""
        return HEIGHT * (1 - self.y_axis.share(value))


def _clean(series: Series) -> Series:
    """Return the series with gaps in place of values that cannot be drawn."""
    points = [(x, y if y is not None and _drawable(y) else None) for x, y in series.points if _drawable(x)]
    band = [pair if pair is not None and all(map(_drawable, pair)) else None for pair in series.band]
    return Series(printable(series.name), points, band if len(band) == len(points) else ())


def _drawable(value: float) -> bool:
    return math.isfinite(value) and abs(value) < MAX_VALUE


def _line(index: int, series: Series, x_axis: Axis, y_axis: Axis) -> Line:
    def place(x: float, y: float) -> tuple[float, float]:
        return WIDTH * x_axis.share(x), HEIGHT * (1 - y_axis.share(y))

    known = [(x, y) for x, y in series.points if y is not None]
    pieces = list(_pieces(series.points))
    marked = known if len(known) <= MAX_MARKED else [piece[0] for piece in pieces if len(piece) == 1]
    banded = [(x, pair) for (x, _), pair in zip(series.points, series.band, strict=False) if pair is not None]
    outline = [place(x, high) for x, (_, high) in banded] + [place(x, low) for x, (low, _) in reversed(banded)]
    return Line(
        name=series.name,
        color=index % COLORS,
        dash=(index + index // COLORS) % DASHES,
        dense=len(known) > MAX_SPARSE,
        path=" ".join(_path(itertools.starmap(place, piece)) for piece in pieces if len(piece) > 1),
        band=_path(outline) + "Z" if outline else "",
        marks=[(round(x * 100 / WIDTH, 2), round(y, 1)) for x, y in itertools.starmap(place, marked)],
        last=_summary(known[-1:]),
        lowest=_summary(sorted(known, key=lambda point: point[1])[:1]),
        highest=_summary(sorted(known, key=lambda point: -point[1])[:1]),
    )


def _pieces(points: Sequence[Point]) -> Iterator[list[tuple[float, float]]]:
    """Yield the parts of a line between gaps."""
    for is_gap, piece in itertools.groupby(points, key=lambda point: point[1] is None):
        if not is_gap:
            yield [(x, y) for x, y in piece if y is not None]


def _path(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _summary(points: Sequence[tuple[float, float]]) -> tuple[str, str]:
    return (format_number(float(points[0][1])), format_number(_whole(points[0][0]))) if points else ("none", "")


def _data(series: Series) -> dict[str, object]:
    return {
        "name": series.name,
        "x": [_whole(x) for x, _ in series.points],
        "y": [None if y is None else float(f"{y:.{DIGITS}g}") for _, y in series.points],
    }


def _whole(x: float) -> float:
    return int(x) if float(x).is_integer() else x


def thin(columns: Mapping[str, Sequence[float]], limit: int = MAX_ROWS) -> list[int]:
    """Return the rows to draw, in order, including the first and the last.

    In each of several equal stretches, a column keeps its lowest value, its highest value, and its first value that is
    not finite. Peaks, dips and gaps stay at their places.

    Args:
        columns: Values by name, of equal length; NaN is a gap.
        limit: Approximate maximum number of rows.
    """
    count = max(map(len, columns.values()), default=0)
    if count <= limit:
        return list(range(count))
    stretches = max(limit // (2 * len(columns)), 1)
    kept = {0, count - 1}
    for stretch in range(stretches):
        rows = range(stretch * count // stretches, (stretch + 1) * count // stretches)
        for values in columns.values():
            finite = [row for row in rows if math.isfinite(values[row])]
            if finite:
                kept |= {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)}
            if len(finite) < len(rows):
                kept.add(next(row for row in rows if not math.isfinite(values[row])))
    return sorted(kept)
