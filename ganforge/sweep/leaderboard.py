"""Leaderboard of a sweep, as leaderboard.json and leaderboard.md hold it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from ganforge.runs.score_table import ARROWS
from ganforge.runs.statistics import MIN_INTERVAL_COUNT, Estimate, estimate
from ganforge.schemas.manifest import AlertRecord
from ganforge.sweep.config import Document
from ganforge.sweep.trials import Choices, format_choice, format_choices
from ganforge.utils.files import write_atomically
from ganforge.utils.text import printable

CAPTION = "Mean over seeds ± half of Student's 95% interval; in brackets: cut at the score's bounds, or two seeds"
#: Column of the precision that the machine chose; `precision` is a score.
PRECISION_COLUMN = "trained in"


class ScoreSummary(Document):
    """Mean and interval of a score's finite values, see `Estimate`, and the value of each seed."""

    mean: float
    low: float | None
    high: float | None
    count: int
    values: tuple[float | None, ...]

    @classmethod
    def over(cls, values: Sequence[float | None], bounds: tuple[float, float]) -> ScoreSummary | None:
        """Return the summary of a score's values within its bounds, or None without a finite one."""
        mean = estimate([value for value in values if value is not None and math.isfinite(value)], bounds)
        return None if mean is None else cls(**mean.as_dict(), values=tuple(values))

    @property
    def estimate(self) -> Estimate:
        """Mean with its interval."""
        return Estimate(self.mean, self.low, self.high, self.count)


class LeaderboardRow(Document):
    """Scores of a configuration.

    Attributes:
        rank: Best and worst rank that the intervals leave; None without a score of every seed.
        seeds: Seeds with scores.
        elapsed_seconds: Mean training time.
    """

    config: Choices
    name: str
    rank: tuple[int, int] | None = None
    seeds: tuple[int, ...]
    precision: tuple[str, ...]
    scores: dict[str, ScoreSummary | None]
    elapsed_seconds: float | None

    @property
    def label(self) -> str:
        """Choices as text."""
        return format_choices(self.config)

    def text(self, key: str) -> str:
        """Return a choice, or the precision, as a table shows it."""
        if key in self.config:
            return format_choice(self.config[key])
        return ", ".join(self.precision) or "–" if key == PRECISION_COLUMN else "–"

    def score_text(self, score: str, seeds: int) -> str:
        """Return a mean with its interval, followed by the number of seeds if some of all `seeds` are missing."""
        summary = self.scores[score]
        if summary is None:
            return "–"
        return summary.estimate.format() + ("" if summary.count == seeds else f" ({summary.count} of {seeds})")

    def count(self, score: str | None) -> int:
        """Return the number of seeds with a finite score."""
        summary = None if score is None else self.scores[score]
        return 0 if summary is None else summary.count


class LeaderboardTable(Document):
    """Table of comparable scores: their protocols agree in everything that matters.

    Attributes:
        protocol: Protocol of the scores, without the keys that describe one generator.
        higher_is_better: Direction of each score, in the order of the metrics.
        rows: Rows, the best first; those without a score of every seed come last.
    """

    protocol: dict[str, Any]
    ranked_by: str | None
    higher_is_better: dict[str, bool]
    rows: tuple[LeaderboardRow, ...]

    @property
    def title(self) -> str:
        """Data, number of images, split and features."""
        protocol, features = self.protocol, (self.protocol.get("features") or {}).get("name")
        suffix = "" if features is None else f" · features {features}"
        return f"{protocol['data']} · {protocol['fake_images']:,} fakes · {protocol['split']} split{suffix}"

    def varied(self) -> list[str]:
        """Return the choices that differ between rows, and the precision if it does; all choices of a single row."""
        keys = list(dict.fromkeys(key for row in self.rows for key in row.config))
        if len(self.rows) == 1:
            return keys
        different = [key for key in [*keys, PRECISION_COLUMN] if len({row.text(key) for row in self.rows}) > 1]
        return different or keys

    def cells(self, seeds: int) -> list[list[str]]:
        """Return the heads and the rows of the table as text, for a sweep of a number of seeds."""
        keys = self.varied()
        settings = [f"{key} (setting)" if key in self.higher_is_better else key for key in keys]
        scores = [f"{score} {ARROWS[higher]}" for score, higher in self.higher_is_better.items()]
        lines = [["rank", *settings, "seeds", *scores]]
        for row in self.rows:
            rank = "–" if row.rank is None else "–".join(map(str, dict.fromkeys(row.rank)))
            count = row.count(self.ranked_by)
            counted = str(count) if count == seeds else f"{count} of {seeds}"
            means = [row.score_text(score, seeds) for score in self.higher_is_better]
            lines.append([rank, *map(row.text, keys), counted, *means])
        return lines

    def notes(self, seeds: int, metrics: Sequence[str]) -> list[str]:
        """Return lines about undecided ranks, missing seeds and those of the requested metrics that are missing."""
        lines = [
            f"{metric} is left out: ganforge evaluate skipped it; the logs in trials/ have the reason"
            for metric in metrics
            if metric not in self.protocol["metrics"]
        ]
        if any(row.rank is not None and row.rank[0] != row.rank[1] for row in self.rows):
            reason = "the 95% intervals overlap" if seeds >= MIN_INTERVAL_COUNT else "two seeds or one do not decide"
            lines.append(f"ranks such as 1–2 are undecided by {self.ranked_by}: {reason}")
        for row in self.rows:
            if row.rank is None and self.ranked_by is not None:
                scored = len(row.seeds)
                finite = f"{self.ranked_by} is finite for {row.count(self.ranked_by)} of {seeds} seeds"
                reason = f"{scored} of {seeds} seeds scored" if scored < seeds else finite
                lines.append(f"{row.label} has no rank: {reason}")
        return lines


class UnscoredTrial(Document):
    """Trial without scores."""

    run: str
    config: Choices
    seed: int
    status: Literal["scored", "diverged", "failed", "unscored"]
    error: str | None


class TrialAlert(Document):
    """Health alert of a trial."""

    run: str
    alert: str
    period: str
    message: str
    hint: str

    @classmethod
    def of(cls, run: str, alert: AlertRecord) -> TrialAlert:
        """Return the alert of a run."""
        return cls(run=run, alert=alert.alert, period=alert.period, message=alert.message, hint=alert.hint)

    def line(self) -> str:
        """Return the alert as one line."""
        return f"{self.alert} {self.period}: {self.message}"


class InapplicableConfig(Document):
    """Configuration that does not fit."""

    config: Choices
    reason: str | None
    fix: str | None


class Leaderboard(Document):
    """Content of leaderboard.json; `objective` is the score that a search improves."""

    objective: str | None
    seeds: tuple[int, ...]
    tables: tuple[LeaderboardTable, ...]
    notes: tuple[str, ...]
    unscored: tuple[UnscoredTrial, ...]
    health: tuple[TrialAlert, ...]
    unfinished: tuple[str, ...]
    inapplicable: tuple[InapplicableConfig, ...]

    def as_markdown(self) -> str:
        """Return the text of leaderboard.md."""
        lines = ["# Leaderboard", ""]
        for table in self.tables:
            heads, *rows = table.cells(len(self.seeds))
            lines += [f"## {printable(table.title)}", "", *map(_markdown_row, [heads, ["---"] * len(heads), *rows]), ""]
        if self.tables:
            lines += [f"{CAPTION}. ↓: lower is better, ↑: higher.", ""]
        sections = {
            "Notes": self.notes,
            "Health": [f"`{alert.run}`: {alert.line()}" for alert in self.health],
            "Without scores": [f"`{trial.run}`: {trial.status}: {trial.error}" for trial in self.unscored],
            "Unfinished": [f"`{name}`" for name in self.unfinished],
            "Not applicable": [f"{format_choices(item.config)}: {item.reason}" for item in self.inapplicable],
        }
        for title, items in sections.items():
            if items:
                lines += [f"## {title}", "", *(f"- {printable(item)}" for item in items), ""]
        return "\n".join(lines)

    def write(self, folder: Path) -> None:
        """Write leaderboard.json and leaderboard.md. Raises OSError."""
        self.write_json(folder / "leaderboard.json")
        write_atomically(folder / "leaderboard.md", self.as_markdown())


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(printable(cell).replace('|', '∣') for cell in cells)} |"
