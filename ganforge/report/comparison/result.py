"""Result of a comparison: as JSON, as a table in a notebook, as CSV, as a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganforge.report.comparison.curves import Curve
from ganforge.report.comparison.records import Run
from ganforge.runs.score_table import Cell, Column
from ganforge.runs.settings import format_setting
from ganforge.utils.files import write_atomically
from ganforge.utils.text import printable

#: First characters of a formula in a spreadsheet.
FORMULA_PREFIXES = ("=", "+", "-", "@")


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that differ only in their seed.

    Attributes:
        settings: Values of the keys that differ between groups.
        counted: One run per seed.
        cells: Scores by the column's name.
    """

    label: str
    settings: Mapping[str, Any]
    runs: Sequence[Run]
    counted: Sequence[Run]
    cells: Mapping[str, Cell]

    @property
    def seeds(self) -> list[int]:
        """Distinct seeds."""
        return [run.seed for run in self.counted]

    def format_score(self, column: Column) -> str:
        """Return the score in a column as text, empty if it is missing."""
        cell = self.cells.get(column.name)
        return "" if cell is None else cell.format()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of runs, shown by a notebook as a table.

    Attributes:
        shared: Settings that all runs have in common.
        settings: Keys that differ.
        curves: Losses, health and scores over the steps.
        notes: Lines for the reader.
    """

    shared: Mapping[str, Any]
    settings: Sequence[str]
    groups: Sequence[Group]
    columns: Sequence[Column]
    curves: Sequence[Curve]
    notes: Sequence[str]

    def __repr__(self) -> str:
        runs = sum(len(group.runs) for group in self.groups)
        return f"<ganforge comparison of {runs} runs in {len(self.groups)} groups>"

    def as_dict(self) -> dict[str, Any]:
        """Return the document that `compare --json` prints."""
        return {
            "shared": dict(self.shared),
            "settings": list(self.settings),
            "columns": [
                {
                    "name": column.name,
                    "score": column.score,
                    "higher_is_better": column.higher_is_better,
                    "reference": column.reference,
                    "protocol": column.protocol.model_dump(mode="json"),
                }
                for column in self.columns
            ],
            "groups": [self._group(group) for group in self.groups],
            "curves": [curve.as_dict() for curve in self.curves],
            "notes": list(self.notes),
        }

    def _group(self, group: Group) -> dict[str, Any]:
        return {
            "label": group.label,
            "settings": dict(group.settings),
            "seeds": group.seeds,
            "scores": {
                name: cell.estimate.as_dict() | {"step": cell.step, "of": cell.of} for name, cell in group.cells.items()
            },
            "runs": [
                {
                    "run": str(run.directory.path),
                    "status": run.status,
                    "seed": run.seed,
                    "scores": {
                        column.name: {"step": score.step, "value": score.value, "reference": score.reference}
                        for column in self.columns
                        if (score := column.latest(run.name)) is not None
                    },
                }
                for run in group.runs
            ],
        }

    def setting_heading(self, key: str) -> str:
        """Return the heading of a setting, which differs from that of a score of the same name."""
        return f"{key} (setting)" if key in {column.name for column in self.columns} else key

    def csv(self) -> str:
        """Return CSV with a row per run: group, differing settings, latest scores with their steps."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [column.name for column in self.columns]
        heads = [head for name in names for head in (name, f"{name}: step", f"{name}: reference")]
        writer.writerow(
            map(_cell, ["run", "group", "status", "seed", *map(self.setting_heading, self.settings), *heads])
        )
        for group in self.groups:
            for run in group.runs:
                values: list[object] = [str(run.directory.path), group.label, run.status, run.seed]
                values += [format_setting(run.settings.get(key)) for key in self.settings]
                for column in self.columns:
                    score = column.latest(run.name)
                    values += [None] * 3 if score is None else [score.value, score.step, score.reference]
                writer.writerow(map(_cell, values))
        return text.getvalue()

    def html(self) -> str:
        """Return one self-contained page."""
        from ganforge.report.comparison.page import page  # noqa: PLC0415 - a table needs no templates

        return page(self)

    def save(self, path: str | Path) -> None:
        """Write the page to a file, or CSV if its suffix is .csv. Raises OSError."""
        place = Path(path)
        write_atomically(place, self.csv() if place.suffix.lower() == ".csv" else self.html())

    def _repr_html_(self) -> str:
        from ganforge.report.comparison.page import fragment  # noqa: PLC0415 - as above

        return fragment(self)


def _cell(value: object) -> object:
    """Return the content of a cell; formulas are quoted."""
    if isinstance(value, str):
        text = printable(value)
        return f"'{text}" if text.startswith(FORMULA_PREFIXES) else text
    return "" if value is None else value
