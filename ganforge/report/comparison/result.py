"""What a comparison found, and its forms: a document, a table in a notebook, a file of numbers."""

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
from ganforge.runs.settings import in_words
from ganforge.utils.files import write_atomically

#: What a spreadsheet would take for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Group:
    """Hold runs that differ in their seed only.

    label: what tells the group from the others. settings: the values of the keys that differ between the groups.
    counted: one run for each seed. cells: by the column's name.
    """

    label: str
    settings: Mapping[str, Any]
    runs: Sequence[Run]
    counted: Sequence[Run]
    cells: Mapping[str, Cell]

    @property
    def seeds(self) -> list[int]:
        """The seeds, each once."""
        return [run.seed for run in self.counted]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Hold runs side by side; a notebook shows it as a table.

    shared: settings that all runs have in common. settings: the keys that differ. groups: in their order. columns:
    comparable scores. curves: losses, health and scores over the steps. notes: what a reader must know.
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
        """Return everything as JSON can hold it, as `compare --json` prints it."""
        return {
            "shared": dict(self.shared),
            "settings": list(self.settings),
            "columns": [
                {
                    "name": column.name,
                    "score": column.score,
                    "better": column.better,
                    "floor": column.floor,
                    "protocol": column.protocol,
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
                        column.name: {"step": score.step, "value": score.value, "floor": score.floor}
                        for column in self.columns
                        if (score := column.latest(run.name)) is not None
                    },
                }
                for run in group.runs
            ],
        }

    def csv(self) -> str:
        """Return a row for each run: its group, what differs, and its latest score in each column, with the step."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [column.name for column in self.columns]
        heads = [head for name in names for head in (name, f"{name}: step", f"{name}: floor")]
        settings = [f"{key} (setting)" if key in names else key for key in self.settings]
        writer.writerow(map(_cell, ["run", "group", "status", "seed", *settings, *heads]))
        for group in self.groups:
            for run in group.runs:
                values: list[object] = [str(run.directory.path), group.label, run.status, run.seed]
                values += [in_words(run.settings.get(key)) for key in self.settings]
                for column in self.columns:
                    score = column.latest(run.name)
                    values += [None] * 3 if score is None else [score.value, score.step, score.floor]
                writer.writerow(map(_cell, values))
        return text.getvalue()

    def html(self) -> str:
        """Return one self-contained page."""
        from ganforge.report.comparison.page import page  # noqa: PLC0415 - a table needs no templates

        return page(self)

    def save(self, path: str | Path) -> None:
        """Write the page to a file, or the numbers where it is called .csv. Raises OSError."""
        place = Path(path)
        write_atomically(place, self.csv() if place.suffix.lower() == ".csv" else self.html())

    def _repr_html_(self) -> str:
        from ganforge.report.comparison.page import fragment  # noqa: PLC0415 - as above

        return fragment(self)


def _cell(value: object) -> object:
    """Return a cell's content. A text that a spreadsheet would compute is marked as text."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return "" if value is None else value
