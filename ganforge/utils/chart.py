"""Line charts: geometry for the SVG of a template and the script of a page, and thinning of long curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

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
#: Points that the smoothed line of a thinned curve starts from.
MAX_MEANS = 250
#: Weight of the last value in a smoothed line, TensorBoard's default.
SMOOTHING = 0.6

#: Approximate number of labels of an axis.
TICKS = 5
#: Share of its end below which the start of an axis is moved to 0.
NEAR_ZERO = 0.3

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Axis:
    """Range of an axis."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float], padding: float) -> Axis:
        """Return an axis over at least one value, padded by a share of the range on either side; it is never empty."""
        low, high = min(values), max(values)
        space = (high - low) * padding
        if high <= low:
            space = abs(low) * 0.5 or 0.5
        return cls(low - space, high + space)

    def from_zero(self) -> Axis:
        """Return the axis, started at 0 if it nearly starts there."""
        return Axis(0, self.high) if 0 <= self.low < NEAR_ZERO * self.high else self

    def share(self, value: float) -> float:
        """Return the position of a value, from 0 at the start of the axis to 1 at its end."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Yield a few round values in the range, with their labels."""
        rough = (self.high - self.low) / TICKS
        magnitude = 10.0 ** math.floor(math.log10(rough))
        step = magnitude * next(factor for factor in (1, 2, 5, 10) if factor * magnitude >= rough * 0.999)
        decimals = max(-math.floor(math.log10(step) + 1e-9), 0)
        large = max(abs(self.low), abs(self.high))
        for index in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1):
            value = index * step
            plain = large < 1e6 and decimals <= 4  # noqa: PLR2004 - the width of the labels
            yield value, f"{value:,.{decimals}f}" if plain else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Series:
    """Line of a chart.

    Attributes:
        points: (x, y) in the order of x; y is None in a gap.
        band: Interval of likely values at each point, such as a 95% interval, or None.
        trend: Points that a smoothed line starts from, or empty for a line that is not smoothed.
    """

    name: str
    points: Sequence[Point]
    band: Sequence[tuple[float, float] | None] = ()
    trend: Sequence[Point] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """Level to compare with, such as the reference of a score."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Content of a chart, which the macro `chart` draws, with horizontal lines of reference and a note below the title.

    The title is unique in its page; labels are measures with their units.
    """

    title: str
    series: Sequence[Series]
    y_label: str
    x_label: str = "step"
    references: Sequence[Reference] = ()
    note: str = ""

    @property
    def is_smoothed(self) -> bool:
        """True if a line is smoothed."""
        return any(series.trend for series in self.series)

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
    """Geometry of a series, and its row in the table: the last, lowest and highest value, each with its x.

    Attributes:
        color: Class of the style sheet; color and dash together distinguish 36 lines.
        dense: Whether a thick line would fill the plot.
        path: SVG path data of the line, as in `trend`, the smoothed line or "", and `band`.
        marks: Positions of single points, in per cent and pixels.
    """

    name: str
    color: int
    dash: int
    dense: bool
    path: str
    trend: str
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
    points, trend = (
        [(x, y if y is not None and _drawable(y) else None) for x, y in line if _drawable(x)]
        for line in (series.points, series.trend)
    )
    band = [pair if pair is not None and all(map(_drawable, pair)) else None for pair in series.band]
    return Series(printable(series.name), points, band if len(band) == len(points) else (), trend)


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
        path=_paths(place, pieces),
        trend=_paths(place, _pieces(smoothed(series.trend))),
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


def _paths(place: Callable[[float, float], tuple[float, float]], pieces: Iterable[list[tuple[float, float]]]) -> str:
    return " ".join(_path(itertools.starmap(place, piece)) for piece in pieces if len(piece) > 1)


def _path(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _summary(points: Sequence[tuple[float, float]]) -> tuple[str, str]:
    return (format_number(float(points[0][1])), format_number(_whole(points[0][0]))) if points else ("none", "")


def _data(series: Series) -> dict[str, object]:
    data: dict[str, object] = {"name": series.name, **_numbers(series.points)}
    if series.trend:  # often the points themselves
        data["trend"] = None if series.trend == series.points else _numbers(series.trend)
    return data


def _numbers(points: Sequence[Point]) -> dict[str, object]:
    return {
        "x": [_whole(x) for x, _ in points],
        "y": [None if y is None else float(f"{y:.{DIGITS}g}") for _, y in points],
    }


def _whole(x: float) -> float:
    return int(x) if float(x).is_integer() else x


def smoothed(points: Sequence[Point], weight: float = SMOOTHING) -> list[Point]:
    """Return the debiased exponential moving average of a line, as TensorBoard smooths; gaps stay.

    After n values the average is divided by 1 - weightⁿ, so that it does not start at 0 (Kingma & Ba 2015). `weight` is
    that of the earlier values, at least 0 and below 1.
    """
    average, correction, line = 0.0, 0.0, list[Point]()
    for x, y in points:
        if y is not None:
            average, correction = weight * average + (1 - weight) * y, weight * correction + (1 - weight)
        line.append((x, None if y is None else average / correction))
    return line


def stretch_means(x: Sequence[float], y: Sequence[float], limit: int = MAX_MEANS) -> list[Point]:
    """Return the means of `limit` equal stretches of a long line, without values that are not finite."""
    points: list[Point] = []
    for rows in _stretches(len(x), limit):
        finite = [row for row in rows if _drawable(y[row]) and _drawable(x[row])]
        middle = math.fsum(x[row] for row in finite) / len(finite) if finite else x[rows[0]]
        points.append((middle, math.fsum(y[row] for row in finite) / len(finite) if finite else None))
    return points


def _stretches(count: int, number: int) -> Iterator[range]:
    return (range(index * count // number, (index + 1) * count // number) for index in range(number))


def thin(columns: Mapping[str, Sequence[float]], limit: int = MAX_ROWS) -> list[int]:
    """Return the rows to draw, in order, including the first and the last.

    In each of several equal stretches, a column keeps its lowest value, its highest value, and its first value that is
    not finite. Peaks, dips and gaps stay at their places. There are about `limit` rows; NaN is a gap.
    """
    count = max(map(len, columns.values()), default=0)
    if count <= limit:
        return list(range(count))
    kept = {0, count - 1}
    for rows in _stretches(count, max(limit // (2 * len(columns)), 1)):
        for values in columns.values():
            finite = [row for row in rows if math.isfinite(values[row])]
            if finite:
                kept |= {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)}
            if len(finite) < len(rows):
                kept.add(next(row for row in rows if not math.isfinite(values[row])))
    return sorted(kept)
