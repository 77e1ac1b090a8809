"""How a comparison's numbers are written."""

from __future__ import annotations

import math

from ganforge.experiments.columns import Cell, Column
from ganforge.words import number

ARROWS = {"lower": "↓", "higher": "↑", None: ""}
DIGITS = 2  # of the margin that count


def heading(column: Column) -> str:
    """Return a column's name, with an arrow to where it is better."""
    return f"{column.name} {ARROWS[column.better]}".strip()


def measured(cell: Cell | None) -> str:
    """Return `12.34 ± 0.56`, the mean with as many decimals as its margin; the number of seeds, if some are missing."""
    if cell is None:
        return ""
    mean, margin = cell.estimate.mean, cell.estimate.margin
    if not margin or not math.isfinite(margin):
        text = number(mean)
    else:
        decimals = max(DIGITS - 1 - math.floor(math.log10(margin)), 0)
        text = f"{mean:,.{decimals}f} ± {margin:,.{decimals}f}"
    return text if cell.estimate.count == cell.of else f"{text} ({cell.estimate.count} of {cell.of})"
