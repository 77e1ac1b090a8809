"""Charts as SVG files that need no style sheet, readable on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from ganforge.utils.chart import HEIGHT as PLOT_HEIGHT
from ganforge.utils.chart import WIDTH as PLOT_WIDTH
from ganforge.utils.chart import Chart, Drawing, Line
from ganforge.utils.text import printable

WIDTH, HEIGHT = 640, 290
#: Edges of the plot.
LEFT, RIGHT, TOP, BOTTOM = 58, 628, 42, 246
#: Middle tones, with a contrast of at least 3 to white and to black.
PALETTE = ("#2f86d6", "#d2691e", "#1f9468", "#a660c2", "#978019", "#d3447c")
QUIET = "#808080"
#: Room of a character in the legend, and of its swatch.
CHARACTER, SWATCH = 6.6, 26


def to_svg(chart: Chart) -> str:
    """Return a chart as an SVG image; a chart without points has its title alone."""
    drawing = chart.drawing()
    title = escape(printable(chart.title))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img"',
        f' aria-label="{title}" font-family="system-ui, sans-serif" font-size="12" fill="{QUIET}">',
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="600">{title}</text>',
        *([] if drawing is None else _parts(drawing, chart)),
        "</svg>",
    ]
    return "".join(parts)


def _parts(drawing: Drawing, chart: Chart) -> Iterator[str]:
    for value, label in drawing.y_axis.ticks():
        y = TOP + (BOTTOM - TOP) * (1 - drawing.y_axis.share(value))
        yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{QUIET}" stroke-opacity=".25"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    for value, label in drawing.x_axis.ticks():
        x = LEFT + (RIGHT - LEFT) * drawing.x_axis.share(value)
        anchor = "end" if x > RIGHT - CHARACTER * len(label) / 2 else "middle"  # a label stays within the image
        yield f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="{anchor}">{label}</text>'
    yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}" stroke="{QUIET}"/>'
    yield f'<text x="{RIGHT}" y="{BOTTOM + 36}" text-anchor="end">{escape(printable(chart.x_label))}</text>'
    scale = f"translate({LEFT} {TOP}) scale({(RIGHT - LEFT) / PLOT_WIDTH:.4f} {(BOTTOM - TOP) / PLOT_HEIGHT:.4f})"
    yield f'<g transform="{scale}" fill="none" stroke-linejoin="round">'
    for line in drawing.lines:
        yield _path(line, line.path, 1.2 if line.dense else 2, opacity=0.35 if line.trend else 1)
    for line in drawing.lines:
        if line.trend:
            yield _path(line, line.trend, 2)
    yield "</g>"
    for line in drawing.lines:
        for percent, y in line.marks:
            x = LEFT + (RIGHT - LEFT) * percent / 100
            height = TOP + (BOTTOM - TOP) * y / PLOT_HEIGHT
            yield f'<circle cx="{x:.1f}" cy="{height:.1f}" r="2.5" fill="{PALETTE[line.color]}"/>'
    x = float(LEFT)
    for line in drawing.lines:
        yield f'<path d="M{x:.0f} {BOTTOM + 32}h18" stroke="{PALETTE[line.color]}" stroke-width="3"/>'
        yield f'<text x="{x + SWATCH:.0f}" y="{BOTTOM + 36}">{escape(line.name)}</text>'
        x += SWATCH + CHARACTER * len(line.name) + 14


def _path(line: Line, path: str, width: float, opacity: float = 1) -> str:
    return (
        f'<path d="{path}" stroke="{PALETTE[line.color]}" stroke-width="{width}" stroke-opacity="{opacity}" '
        'vector-effect="non-scaling-stroke"/>'
    )
