"""What a matrix has come to: for each combination a mean over seeds with its interval, the best first."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ganforge.evaluation.comparability import differences
from ganforge.report.health import Finding, findings
from ganforge.runs.statistics import Estimate, estimate
from ganforge.sweep.config import Request
from ganforge.sweep.directory import MatrixDirectory
from ganforge.sweep.scheduler import Result
from ganforge.sweep.trials import Cell, Combination, label, shown
from ganforge.utils.files import number_in, write_atomically

#: What a protocol says of one generator alone, and not of how it was scored.
OF_ONE = frozenset({"checkpoint", "seed", "versions"})
ARROWS = {"lower": "↓", "higher": "↑"}
#: The column of the precision that the machine chose; `precision` is a score, too.
TRAINED_IN = "trained in"


@dataclass(slots=True)
class Row:
    """Hold one combination: the seeds that were scored, their scores by name, and how they trained."""

    combination: Combination
    seeds: list[int] = field(default_factory=list)
    values: dict[str, list[float | None]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    precisions: set[str] = field(default_factory=set)

    def add(self, seed: int, scores: Mapping[str, float | None], manifest: Mapping[str, Any]) -> None:
        """Add one seed's scores, and what its run.json says. A score that was not finite is no part of a mean."""
        self.seeds.append(seed)
        for name, value in scores.items():
            self.values.setdefault(name, []).append(value)
        seconds = number_in(manifest.get("summary", {}), "elapsed_seconds")
        self.seconds += [seconds] if seconds else []
        self.precisions |= {str(manifest["precision"])} if manifest.get("precision") else set()

    def estimate(self, score: str) -> Estimate | None:
        """Return a score's mean and interval over the seeds that have it."""
        return estimate([value for value in self.values.get(score, []) if value is not None and math.isfinite(value)])

    def word(self, key: str) -> str:
        """Return one of its choices, or the precision, as a table shows it."""
        if key in self.combination.choices:
            return shown(self.combination.choices[key])
        return ", ".join(sorted(self.precisions)) or "–" if key == TRAINED_IN else "–"

    def as_dict(self, directions: Mapping[str, str]) -> dict[str, Any]:
        """Return it as leaderboard.json has it."""
        scores = {}
        for score in directions:
            found = self.estimate(score)
            scores[score] = None if found is None else found.as_dict() | {"values": self.values[score]}
        seconds = estimate(self.seconds)
        return {
            "combination": self.combination.choices,
            "name": self.combination.name,
            "seeds": self.seeds,
            "precision": sorted(self.precisions),
            "scores": scores,
            "elapsed_seconds": None if seconds is None else seconds.mean,
        }


@dataclass(slots=True)
class Table:
    """Hold rows whose scores may be compared: their protocols agree in everything that matters."""

    protocol: dict[str, Any]
    rows: list[Row] = field(default_factory=list)

    @property
    def directions(self) -> dict[str, str]:
        """For each score, in the order of the metrics, which direction is better."""
        metrics: Mapping[str, Any] = self.protocol["metrics"]
        return {score: better for metric in metrics.values() for score, better in metric["better"].items()}

    def takes(self, protocol: Mapping[str, Any]) -> bool:
        """Whether scores with this protocol may stand here."""
        scores = {score for metric in protocol["metrics"].values() for score in metric["better"]}
        return not any(differences(self.protocol, protocol, score) for score in {*scores, *self.directions})

    def ranked(self, by: str | None = None) -> list[Row]:
        """Return the rows, the best mean of a score first; of the first one, unless it is named."""
        score = by if by in self.directions else next(iter(self.directions), None)
        sign = -1 if score is not None and self.directions[score] == "higher" else 1

        def order(row: Row) -> tuple[float, str]:
            found = None if score is None else row.estimate(score)
            return (math.inf if found is None else sign * found.mean, row.combination.label)

        return sorted(self.rows, key=order)

    @property
    def title(self) -> str:
        """Say what was scored, and how."""
        protocol, features = self.protocol, (self.protocol.get("features") or {}).get("name")
        described = "" if features is None else f" · features {features}"
        return f"{protocol['data']} · {protocol['fake_images']:,} fakes · {protocol['split']} split{described}"

    def varied(self) -> list[str]:
        """Return the choices in which the rows differ, the machine's precision among them; of one row, all its own."""
        keys = list(dict.fromkeys(key for row in self.rows for key in row.combination.choices))
        if len(self.rows) == 1:
            return keys
        different = [key for key in [*keys, TRAINED_IN] if len({row.word(key) for row in self.rows}) > 1]
        return different or keys


@dataclass(slots=True)
class Leaderboard:
    """Hold all tables, and what stands in none: cells that failed, are open, or do not fit.

    findings: what watching the health of a cell's training has found.
    """

    objective: str | None
    tables: list[Table]
    unscored: list[Result]
    open_cells: list[Cell]
    inapplicable: list[Combination]
    findings: list[tuple[Cell, Finding]]

    def as_dict(self) -> dict[str, Any]:
        """Return it as `matrix --json` prints it."""
        return {
            "objective": self.objective,
            "tables": [
                {
                    "protocol": {key: value for key, value in table.protocol.items() if key not in OF_ONE},
                    "scores": table.directions,
                    "rows": [row.as_dict(table.directions) for row in table.ranked(self.objective)],
                }
                for table in self.tables
            ],
            "unscored": [
                {
                    "run": result.cell.name,
                    "combination": result.cell.combination.choices,
                    "seed": result.cell.seed,
                    "status": result.status,
                    "error": result.error,
                }
                for result in self.unscored
            ],
            "health": [
                {
                    "run": cell.name,
                    "finding": found.name,
                    "when": found.when,
                    "words": found.words,
                    "helps": found.helps,
                }
                for cell, found in self.findings
            ],
            "open": [cell.name for cell in self.open_cells],
            "inapplicable": [
                {"combination": one.choices, "reason": one.reason, "fix": one.fix} for one in self.inapplicable
            ],
        }

    def as_markdown(self) -> str:
        """Return it as leaderboard.md has it."""
        lines = ["# Leaderboard", ""]
        for table in self.tables:
            keys, scores = table.varied(), table.directions
            heads = [*keys, "seeds", *(f"{score} {ARROWS[better]}" for score, better in scores.items())]
            lines += [f"## {table.title}", "", _markdown_row(heads), _markdown_row(["---"] * len(heads))]
            for row in table.ranked(self.objective):
                numbers = [written(row.estimate(score)) for score in scores]
                lines.append(_markdown_row([*(row.word(key) for key in keys), str(len(row.seeds)), *numbers]))
            lines.append("")
        if self.tables:
            lines += ["Mean over seeds ± half of Student's 95% interval. ↓: lower is better, ↑: higher.", ""]
        rest = {
            "Health": [f"`{cell.name}`: {finding.line()}" for cell, finding in self.findings],
            "Without scores": [f"`{result.cell.name}`: {result.status}: {result.error}" for result in self.unscored],
            "Still open": [f"`{cell.name}`" for cell in self.open_cells],
            "Not applicable": [f"{label(one.choices)}: {one.reason}" for one in self.inapplicable],
        }
        for title, items in rest.items():
            if items:
                lines += [f"## {title}", "", *(f"- {item}" for item in items), ""]
        return "\n".join(lines)

    def write(self, directory: MatrixDirectory) -> None:
        """Write leaderboard.json and leaderboard.md. Raises OSError."""
        document = json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"
        write_atomically(directory.path / "leaderboard.json", document)
        write_atomically(directory.path / "leaderboard.md", self.as_markdown())


def leaderboard(
    directory: MatrixDirectory,
    request: Request,
    combinations: Sequence[Combination],
    results: Mapping[str, Result],
) -> Leaderboard:
    """Return what the cells have come to, in an order that does not depend on when each was run.

    results: by the cells' names; what is not among them is open.
    """
    tables: list[Table] = []
    unscored: list[Result] = []
    open_cells: list[Cell] = []
    found: list[tuple[Cell, Finding]] = []
    for one in combinations:
        for seed in request.seeds if one.experiment is not None else ():
            cell = Cell(one, seed)
            result = results.get(cell.name)
            if result is None:
                open_cells.append(cell)
                continue
            manifest = directory.manifest(cell)
            found += [(cell, finding) for finding in findings(manifest.get("health"))]
            if result.row is None:
                unscored.append(result)
            else:
                _row(tables, one, result.row["protocol"]).add(seed, result.row["scores"], manifest)
    inapplicable = [one for one in combinations if one.experiment is None]
    objective = None if request.search is None else request.search.objective
    return Leaderboard(objective, tables, unscored, open_cells, inapplicable, found)


def _row(tables: list[Table], combination: Combination, protocol: dict[str, Any]) -> Row:
    """Return the row that a cell's scores belong to: of its combination, in the first table that takes them."""
    table = next((table for table in tables if table.takes(protocol)), None)
    if table is None:
        table = Table(protocol)
        tables.append(table)
    row = next((row for row in table.rows if row.combination is combination), None)
    if row is None:
        row = Row(combination)
        table.rows.append(row)
    return row


def written(found: Estimate | None) -> str:
    """Write a mean with its interval, and `–` where there is none."""
    return "–" if found is None else found.in_words()


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"
