"""Leaderboard of a sweep: for each configuration the mean over seeds with its interval, the best first."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ganforge.evaluation.comparability import diff
from ganforge.report.health import AlertRow, alert_rows
from ganforge.runs.score_table import ARROWS
from ganforge.runs.statistics import Estimate, estimate
from ganforge.schemas.manifest import Manifest
from ganforge.schemas.rows import Protocol
from ganforge.sweep.config import SweepConfig
from ganforge.sweep.directory import SweepDirectory
from ganforge.sweep.scheduler import TrialResult
from ganforge.sweep.trials import Trial, TrialConfig, format_choice, format_choices
from ganforge.utils.files import write_atomically

#: Keys of a protocol that describe one generator, and are left out of leaderboard.json.
RUN_KEYS = {"checkpoint", "seed", "versions"}

#: Column of the precision that the machine chose; `precision` is a score.
PRECISION_COLUMN = "trained in"


@dataclass(slots=True)
class LeaderboardRow:
    """Scores of a configuration.

    Attributes:
        config: The configuration.
        seeds: Seeds with scores.
        values: Score of each seed, by name.
        seconds: Training times.
        precisions: Precisions of the runs.
    """

    config: TrialConfig
    seeds: list[int] = field(default_factory=list)
    values: dict[str, list[float | None]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    precisions: set[str] = field(default_factory=set)

    def add(self, seed: int, scores: Mapping[str, float | None], manifest: Manifest | None) -> None:
        """Add the scores of a seed, and time and precision of its run.json."""
        self.seeds.append(seed)
        for name, value in scores.items():
            self.values.setdefault(name, []).append(value)
        if manifest is not None:
            self.precisions.add(manifest.precision)
            self.seconds += [] if manifest.summary is None else [manifest.summary.elapsed_seconds]

    def estimate(self, score: str) -> Estimate | None:
        """Return mean and interval of a score over the seeds with a finite value."""
        return estimate([value for value in self.values.get(score, []) if value is not None and math.isfinite(value)])

    def text(self, key: str) -> str:
        """Return a choice, or the precision, as a table shows it."""
        if key in self.config.choices:
            return format_choice(self.config.choices[key])
        return ", ".join(sorted(self.precisions)) or "–" if key == PRECISION_COLUMN else "–"

    def as_dict(self, scores: Iterable[str]) -> dict[str, Any]:
        """Return the row of leaderboard.json."""
        estimates = {score: self.estimate(score) for score in scores}
        seconds = estimate(self.seconds)
        return {
            "config": self.config.choices,
            "name": self.config.name,
            "seeds": self.seeds,
            "precision": sorted(self.precisions),
            "scores": {
                score: None if mean is None else mean.as_dict() | {"values": self.values[score]}
                for score, mean in estimates.items()
            },
            "elapsed_seconds": None if seconds is None else seconds.mean,
        }


@dataclass(slots=True)
class LeaderboardTable:
    """Table of comparable scores: their protocols agree in everything that matters."""

    protocol: Protocol
    rows: list[LeaderboardRow] = field(default_factory=list)

    @property
    def directions(self) -> dict[str, bool]:
        """True for each score of which a higher value is better, in the order of the metrics."""
        metrics = self.protocol.metrics.values()
        return {score: higher for metric in metrics for score, higher in metric.higher_is_better.items()}

    def accepts(self, protocol: Protocol) -> bool:
        """Return whether scores with a protocol are comparable to those of the table."""
        scores = {score for metric in protocol.metrics.values() for score in metric.higher_is_better}
        return not any(diff(self.protocol, protocol, score) for score in {*scores, *self.directions})

    def ranked(self, by: str | None = None) -> list[LeaderboardRow]:
        """Return the rows sorted by the mean of a score, the best first; by default of the first score."""
        score = by if by in self.directions else next(iter(self.directions), None)
        sign = -1 if score is not None and self.directions[score] else 1

        def sort_key(row: LeaderboardRow) -> tuple[float, str]:
            mean = None if score is None else row.estimate(score)
            return (math.inf if mean is None else sign * mean.mean, row.config.label)

        return sorted(self.rows, key=sort_key)

    @property
    def title(self) -> str:
        """Data, number of images, split and features."""
        protocol = self.protocol
        suffix = "" if protocol.features is None else f" · features {protocol.features.name}"
        return f"{protocol.data} · {protocol.fake_images:,} fakes · {protocol.split} split{suffix}"

    def varied(self) -> list[str]:
        """Return the choices that differ between rows, and the precision if it does; all choices of a single row."""
        keys = list(dict.fromkeys(key for row in self.rows for key in row.config.choices))
        if len(self.rows) == 1:
            return keys
        different = [key for key in [*keys, PRECISION_COLUMN] if len({row.text(key) for row in self.rows}) > 1]
        return different or keys


@dataclass(slots=True)
class Leaderboard:
    """Leaderboard of a sweep.

    Attributes:
        objective: Score that ranks the rows; None for the first.
        tables: Tables of scores.
        unscored: Results without scores.
        unfinished: Trials without a result.
        inapplicable: Configurations that do not fit.
        alerts: Health alerts of the trials.
    """

    objective: str | None
    tables: list[LeaderboardTable]
    unscored: list[TrialResult]
    unfinished: list[Trial]
    inapplicable: list[TrialConfig]
    alerts: list[tuple[Trial, AlertRow]]

    def as_dict(self) -> dict[str, Any]:
        """Return the document of leaderboard.json."""
        return {
            "objective": self.objective,
            "tables": [
                {
                    "protocol": table.protocol.model_dump(mode="json", exclude=RUN_KEYS),
                    "higher_is_better": table.directions,
                    "rows": [row.as_dict(table.directions) for row in table.ranked(self.objective)],
                }
                for table in self.tables
            ],
            "unscored": [
                {
                    "run": result.trial.name,
                    "config": result.trial.config.choices,
                    "seed": result.trial.seed,
                    "status": result.status,
                    "error": result.error,
                }
                for result in self.unscored
            ],
            "health": [
                {
                    "run": trial.name,
                    "alert": alert.name,
                    "period": alert.period,
                    "message": alert.message,
                    "hint": alert.hint,
                }
                for trial, alert in self.alerts
            ],
            "unfinished": [trial.name for trial in self.unfinished],
            "inapplicable": [
                {"config": config.choices, "reason": config.reason, "fix": config.fix} for config in self.inapplicable
            ],
        }

    def as_markdown(self) -> str:
        """Return the text of leaderboard.md."""
        lines = ["# Leaderboard", ""]
        for table in self.tables:
            keys, scores = table.varied(), table.directions
            heads = [*keys, "seeds", *(f"{score} {ARROWS[higher]}" for score, higher in scores.items())]
            lines += [f"## {table.title}", "", _markdown_row(heads), _markdown_row(["---"] * len(heads))]
            for row in table.ranked(self.objective):
                means = [format_estimate(row.estimate(score)) for score in scores]
                lines.append(_markdown_row([*(row.text(key) for key in keys), str(len(row.seeds)), *means]))
            lines.append("")
        if self.tables:
            lines += ["Mean over seeds ± half of Student's 95% interval. ↓: lower is better, ↑: higher.", ""]
        sections = {
            "Health": [f"`{trial.name}`: {alert.line()}" for trial, alert in self.alerts],
            "Without scores": [f"`{result.trial.name}`: {result.status}: {result.error}" for result in self.unscored],
            "Unfinished": [f"`{trial.name}`" for trial in self.unfinished],
            "Not applicable": [f"{format_choices(config.choices)}: {config.reason}" for config in self.inapplicable],
        }
        for title, items in sections.items():
            if items:
                lines += [f"## {title}", "", *(f"- {item}" for item in items), ""]
        return "\n".join(lines)

    def write(self, directory: SweepDirectory) -> None:
        """Write leaderboard.json and leaderboard.md. Raises OSError."""
        document = json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"
        write_atomically(directory.path / "leaderboard.json", document)
        write_atomically(directory.path / "leaderboard.md", self.as_markdown())


def build_leaderboard(
    directory: SweepDirectory,
    sweep: SweepConfig,
    configs: Sequence[TrialConfig],
    results: Mapping[str, TrialResult],
) -> Leaderboard:
    """Return the leaderboard of a sweep, in an order that does not depend on the order of the runs.

    Args:
        directory: Folder of the sweep.
        sweep: Configuration of the sweep.
        configs: Configurations.
        results: Result by name of the trial; trials without one are unfinished.
    """
    tables: list[LeaderboardTable] = []
    unscored: list[TrialResult] = []
    unfinished: list[Trial] = []
    alerts: list[tuple[Trial, AlertRow]] = []
    for config in configs:
        for seed in sweep.seeds if config.experiment is not None else ():
            trial = Trial(config, seed)
            result = results.get(trial.name)
            if result is None:
                unfinished.append(trial)
                continue
            manifest = directory.manifest(trial)
            alerts += [(trial, alert) for alert in alert_rows(manifest)]
            if result.row is None:
                unscored.append(result)
            else:
                _row(tables, config, result.row.protocol).add(seed, result.row.scores, manifest)
    inapplicable = [config for config in configs if config.experiment is None]
    objective = None if sweep.search is None else sweep.search.objective
    return Leaderboard(objective, tables, unscored, unfinished, inapplicable, alerts)


def _row(tables: list[LeaderboardTable], config: TrialConfig, protocol: Protocol) -> LeaderboardRow:
    """Return the row of a configuration in the first table that accepts a protocol; add them if necessary."""
    table = next((table for table in tables if table.accepts(protocol)), None)
    if table is None:
        table = LeaderboardTable(protocol)
        tables.append(table)
    row = next((row for row in table.rows if row.config is config), None)
    if row is None:
        row = LeaderboardRow(config)
        table.rows.append(row)
    return row


def format_estimate(value: Estimate | None) -> str:
    """Return a mean with its interval as text, or `–` for None."""
    return "–" if value is None else value.format()


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"
