"""How a comparison's numbers are written."""

from __future__ import annotations

from ganforge.runs.score_table import Cell, Column

ARROWS = {"lower": "↓", "higher": "↑", None: ""}


def heading(column: Column) -> str:
    """Return a column's name, with an arrow to where it is better."""
    return f"{column.name} {ARROWS[column.better]}".strip()


def measured(cell: Cell | None) -> str:
    """Return `12.34 ± 0.56`, the mean with as many decimals as its margin; the number of seeds, if some are missing."""
    if cell is None:
        return ""
    text = cell.estimate.in_words()
    return text if cell.estimate.count == cell.of else f"{text} ({cell.estimate.count} of {cell.of})"
