"""Thinning a long curve so that nothing is hidden: of each stretch the lowest and the highest point stay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

MOST_ROWS = 500


def thin(columns: Mapping[str, Sequence[float]], most: int = MOST_ROWS) -> list[int]:
    """Return which rows to draw: at most about `most`, in order, the first and the last among them.

    The rows are cut into equal stretches. In each one every column keeps the row of its lowest and of its highest
    value, and the first where it is not finite, so that peaks, dips and gaps are drawn where they are. columns: name →
    values, all of one length; NaN is a gap.
    """
    count = max(map(len, columns.values()), default=0)
    if count <= most:
        return list(range(count))
    stretches = max(most // (2 * len(columns)), 1)
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
