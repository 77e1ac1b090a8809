"""A curve in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*#@"


def sparkline(
    points: Sequence[tuple[float, float | None]],
    *,
    x: tuple[float, float],
    y: tuple[float, float],
    width: int,
    ascii_only: bool = False,
) -> str:
    """Return a curve as `width` characters, each as high as the mean of its points, or as the line between two.

    points: (x, y) in the order of x; y is None in a gap, which is a space. x, y: the lowest and the
    highest value that are shown.
    """
    levels = ASCII if ascii_only else BLOCKS
    cells: list[list[float]] = [[] for _ in range(width)]
    for start, end in pairwise([*points, (math.inf, None)]):
        if start[1] is None:
            continue
        first = _cell(start[0], x, width)
        cells[first].append(start[1])
        if end[1] is not None:
            last = _cell(end[0], x, width)
            for cell in range(first + 1, last):
                share = (cell - first) / (last - first)
                cells[cell].append(start[1] * (1 - share) + end[1] * share)
    means = [sum(values) / len(values) if values else None for values in cells]
    return "".join(" " if mean is None else levels[_cell(mean, y, len(levels))] for mean in means)


def _cell(value: float, ends: tuple[float, float], count: int) -> int:
    """Return in which of `count` equal parts between two ends a value lies."""
    low, high = ends
    if high <= low:
        return 0
    return min(max(int((value - low) / (high - low) * count), 0), count - 1)
