"""A line chart's geometry: what a template draws as SVG, and a script reads where somebody points at it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ganforge.report.pages.axis import Axis
from ganforge.utils.format import number

#: A plot is this many units wide, whatever the screen, and this many pixels high.
WIDTH, HEIGHT = 1000, 220
COLOURS, DASHES = 6, 6
#: A line with so few points shows each of them.
MOST_MARKED = 40
PADDING = 0.06  # of the values' range, above and below
ENDS = 4.0  # per cent from an edge; a label that near grows inwards
LARGEST = 1e300
MOST_SPARSE = 150  # a line of more points is drawn thinner
DIGITS = 6

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """Hold a line: points in the order of x, with None for a gap.

    band: at each point the lowest and highest value that are likely, such as a 95% interval; None where there is none.
    """

    name: str
    points: Sequence[Point]
    band: Sequence[tuple[float, float] | None] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """Hold a level to compare with, such as a score's floor."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Hold what a chart shows; the macro `chart` draws it.

    title must differ from those of the page's other charts. y_label: what is measured, with its unit. note: a sentence
    below the title.
    """

    title: str
    series: Sequence[Series]
    y_label: str
    x_label: str = "step"
    references: Sequence[Reference] = ()
    note: str = ""

    def drawing(self) -> Drawing | None:
        """Return the chart's geometry, or None where it has no point at all."""
        series = [_clean(line) for line in self.series]
        values = [y for line in series for _, y in line.points if y is not None]
        if not values:
            return None
        values += [edge for line in series for pair in line.band if pair is not None for edge in pair]
        values += [reference.value for reference in self.references]
        x_axis = Axis.over([x for line in series for x, _ in line.points], padding=0).from_zero()
        y_axis = Axis.over(values, padding=PADDING)
        return Drawing(
            x_ticks=[Tick(100 * x_axis.share(at), text) for at, text in x_axis.ticks()],
            y_ticks=[Tick(HEIGHT * (1 - y_axis.share(at)), text) for at, text in y_axis.ticks()],
            lines=[_line(index, line, x_axis, y_axis) for index, line in enumerate(series)],
            references=[
                Level(item.name, item.value, HEIGHT * (1 - y_axis.share(item.value))) for item in self.references
            ],
            data={
                "label": self.x_label,
                "x": [x_axis.low, x_axis.high],
                "y": [y_axis.low, y_axis.high],
                "series": [_data(line) for line in series],
            },
        )


class Tick(NamedTuple):
    """Hold where a label stands, and what it says; `at` is in per cent along x, in pixels from the top along y."""

    at: float
    text: str

    @property
    def anchor(self) -> str:
        """How the text lies at its place, so that none leaves the plot."""
        return "start" if self.at < ENDS else "end" if self.at > 100 - ENDS else "middle"


class Level(NamedTuple):
    """Hold a horizontal line: its name, its value, and how many pixels from the top it lies."""

    name: str
    value: float
    y: float


@dataclass(frozen=True, slots=True)
class Line:
    """Hold how a series is drawn, and what its row in the table says.

    colour, dash: numbers of the style sheet's classes; together they tell 36 lines apart, also without colour. dense:
    it has so many points that a thick line would fill the plot. path, band: SVG path data. marks: places of single
    points, in per cent and pixels. A summary is a value and its x.
    """

    name: str
    colour: int
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
    """Hold a chart's geometry. data: what the script needs, as JSON can hold it."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    references: list[Level]
    data: dict[str, object]
    width: int = field(default=WIDTH, init=False)
    height: int = field(default=HEIGHT, init=False)


def _clean(series: Series) -> Series:
    """Return the series with everything that cannot be drawn as a gap."""
    points = [(x, y if y is not None and _drawable(y) else None) for x, y in series.points if _drawable(x)]
    band = [pair if pair is not None and all(map(_drawable, pair)) else None for pair in series.band]
    return Series(series.name, points, band if len(band) == len(points) else ())


def _drawable(value: float) -> bool:
    return math.isfinite(value) and abs(value) < LARGEST


def _line(index: int, series: Series, x_axis: Axis, y_axis: Axis) -> Line:
    def place(x: float, y: float) -> tuple[float, float]:
        return WIDTH * x_axis.share(x), HEIGHT * (1 - y_axis.share(y))

    known = [(x, y) for x, y in series.points if y is not None]
    pieces = list(_pieces(series.points))
    alone = [piece[0] for piece in pieces if len(piece) == 1]
    marked = known if len(known) <= MOST_MARKED else alone
    pairs = zip(series.points, series.band, strict=False)
    banded = [(x, pair) for (x, _), pair in pairs if pair is not None]
    outline = [place(x, pair[1]) for x, pair in banded] + [place(x, pair[0]) for x, pair in reversed(banded)]
    return Line(
        name=series.name,
        colour=index % COLOURS,
        dash=(index + index // COLOURS) % DASHES,
        dense=len(known) > MOST_SPARSE,
        path=" ".join(_path([place(x, y) for x, y in piece]) for piece in pieces if len(piece) > 1),
        band=_path(outline) + "Z" if outline else "",
        marks=[(round(place(x, y)[0] * 100 / WIDTH, 2), round(place(x, y)[1], 1)) for x, y in marked],
        last=_words(known[-1:]),
        lowest=_words(sorted(known, key=lambda point: point[1])[:1]),
        highest=_words(sorted(known, key=lambda point: -point[1])[:1]),
    )


def _pieces(points: Sequence[Point]) -> Iterator[list[tuple[float, float]]]:
    """Yield the parts of a line between its gaps."""
    piece: list[tuple[float, float]] = []
    for x, y in points:
        if y is not None:
            piece.append((x, y))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _words(points: Sequence[tuple[float, float]]) -> tuple[str, str]:
    return (number(float(points[0][1])), number(_whole(points[0][0]))) if points else ("none", "")


def _data(series: Series) -> dict[str, object]:
    return {
        "name": series.name,
        "x": [_whole(x) for x, _ in series.points],
        "y": [None if y is None else float(f"{y:.{DIGITS}g}") for _, y in series.points],
    }


def _whole(x: float) -> float:
    return int(x) if float(x).is_integer() else x
