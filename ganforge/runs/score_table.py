"""Table of scores: comparable scores of runs in columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ganforge.evaluation.comparability import bounds, diff, higher_is_better
from ganforge.runs.statistics import Estimate, estimate
from ganforge.schemas.rows import EvaluationRow, Protocol
from ganforge.utils.format import format_count

ARROWS = {False: "↓", True: "↑", None: ""}


@dataclass(frozen=True, slots=True)
class ScoreValue:
    """One score of one run.

    Attributes:
        step: Evaluated step.
        value: The score, or None if it is not finite or its metric has failed.
        reference: Score of training images in place of the fakes, or None.
        deviation: Deviation of the score, or None.
        protocol: Protocol of the evaluation.
        error: Message of the metric that failed, or None.
    """

    step: int
    value: float | None
    reference: float | None
    deviation: float | None
    protocol: Protocol
    error: str | None = None

    @property
    def weights(self) -> str:
        """Weights that were scored: `generator`, or `generator_ema`."""
        return self.protocol.weights

    @property
    def spread(self) -> tuple[float, float] | None:
        """One deviation below and above the value, if both are known."""
        if self.value is None or self.deviation is None:
            return None
        return self.value - self.deviation, self.value + self.deviation


@dataclass(frozen=True, slots=True)
class Column:
    """Comparable scores.

    Attributes:
        name: Name of the score, with a number if there are several columns of it.
        score: Name of the score.
        higher_is_better: Direction of the score, if known.
        protocol: Protocol of the first evaluation.
        differs: Differences from the protocol of the first column of the score.
        difference: The same as a sentence, or None for the first column.
        by_run: Scores of each run in the order of evaluation, by the run's name.
    """

    name: str
    score: str
    higher_is_better: bool | None
    protocol: Protocol
    differs: Sequence[str]
    difference: str | None
    by_run: Mapping[str, Sequence[ScoreValue]]

    def latest(self, run: str, weights: str | None = None) -> ScoreValue | None:
        """Return a run's score of its last evaluated step, of any weights if None; of several of that, the last."""
        scores = (score for score in reversed(self.by_run.get(run, ())) if weights in {None, score.weights})
        return max(scores, key=lambda score: score.step, default=None)

    def weights(self, runs: Iterable[str]) -> str | None:
        """Return the weights that most runs have scores of at the last step of all, None without scores.

        A mean is over these only: raw weights and moving averages are different generators.
        """
        scores = {run: self.by_run.get(run, ()) for run in runs}
        last = max((score.step for values in scores.values() for score in values), default=None)
        kinds = (
            dict.fromkeys(score.weights for score in reversed(values) if score.step == last)
            for values in scores.values()
        )
        counts = Counter(weights for kind in kinds for weights in kind)
        return max(counts, key=counts.__getitem__, default=None)

    @property
    def reference(self) -> float | None:
        """Mean of the runs' references: scores of training images in place of the fakes."""
        latest = filter(None, map(self.latest, self.by_run))
        mean = estimate([score.reference for score in latest if score.reference is not None])
        return None if mean is None else mean.mean

    @property
    def heading(self) -> str:
        """Name with an arrow in the better direction."""
        return f"{self.name} {ARROWS[self.higher_is_better]}".strip()

    def sort_key(self, mean: float) -> float:
        """Return a number that is smaller for a better mean."""
        return -mean if self.higher_is_better else mean


@dataclass(frozen=True, slots=True)
class Cell:
    """Mean of a group's scores in a column, with their step, their values by run, and the group's number of seeds."""

    estimate: Estimate
    step: int
    values: Mapping[str, float]
    of: int

    def format(self) -> str:
        """Return `12.34 ± 0.56`, followed by the number of seeds if some are missing."""
        text = self.estimate.format()
        return text if self.estimate.count == self.of else f"{text} ({self.estimate.count} of {self.of})"


@dataclass(slots=True)
class _ProtocolGroup:
    """Comparable scores under construction."""

    protocol: Protocol
    owner: str
    by_run: dict[str, list[ScoreValue]] = field(default_factory=dict)


def columns(runs: Iterable[tuple[str, Sequence[EvaluationRow]]], scores: Sequence[str] = ()) -> list[Column]:
    """Return a column per score and protocol; of several protocols of a score, that of most runs comes first.

    Runs are names, with their rows of evaluation.jsonl; the scores are all by default.
    """
    by_score: dict[str, list[_ProtocolGroup]] = {}
    for run, rows in runs:
        for row in rows:
            for score, value in row.scores.items():
                if scores and score not in scores:
                    continue
                known = by_score.setdefault(score, [])
                group = next((group for group in known if not diff(group.protocol, row.protocol, score)), None)
                if group is None:
                    group = _ProtocolGroup(row.protocol, run)
                    known.append(group)
                reference, deviation = row.reference.get(score), deviation_of(row.details, row.protocol, score)
                score_value = ScoreValue(row.step, value, reference, deviation, row.protocol, _error(row, score))
                group.by_run.setdefault(run, []).append(score_value)
    table = []
    for score, groups in by_score.items():
        first, *others = sorted(groups, key=lambda group: -len(group.by_run))
        for number, group in enumerate([first, *others], start=1):
            name = score if not others else f"{score} ({number})"
            differs = [] if group is first else diff(first.protocol, group.protocol, score)
            difference = None if group is first else _difference(first, group, differs)
            direction = higher_is_better(group.protocol, score)
            table.append(Column(name, score, direction, group.protocol, differs, difference, group.by_run))
    return table


def _error(row: EvaluationRow, score: str) -> str | None:
    """Return the error of the metric that gives a score, as an evaluation recorded it."""
    name = next((name for name, metric in row.protocol.metrics.items() if score in metric.higher_is_better), None)
    details = None if name is None else row.details.get(name)
    error = details.get("error") if isinstance(details, dict) else None
    return error if isinstance(error, str) else None


def _difference(first: _ProtocolGroup, group: _ProtocolGroup, differs: Sequence[str]) -> str:
    runs = f"{first.owner} and {group.owner}" if first.owner != group.owner else group.owner
    return f"protocols of {runs} differ: {'; '.join(differs)}"


def explain_split(table: Sequence[Column]) -> list[str]:
    """Return a line per reason for separate columns; all scores of an evaluation usually share it."""
    names: dict[str, list[str]] = {}
    for column in table:
        if column.difference is not None:
            names.setdefault(column.difference, []).append(column.name)
    return [
        f"{', '.join(split)} {'is a separate column' if len(split) == 1 else 'are separate columns'}: {difference}"
        for difference, split in names.items()
    ]


def explain_weights(table: Sequence[Column]) -> list[str]:
    """Return lines about columns whose runs' last scores are of different weights: how many of each file of weights."""
    names: dict[str, list[str]] = {}
    for column in table:
        counts = Counter(score.weights for score in map(column.latest, column.by_run) if score is not None)
        if len(counts) > 1:
            parts = (f"{weights} in {format_count(count, 'run')}" for weights, count in counts.most_common())
            names.setdefault(", of ".join(parts), []).append(column.name)
    return [f"{', '.join(mixed)} {'is' if len(mixed) == 1 else 'are'} of {counted}" for counted, mixed in names.items()]


def cell(column: Column, runs: Sequence[str], weights: str | None) -> tuple[Cell | None, dict[str, str]]:
    """Return the cell of a group's runs, one for each seed, and those that do not count with the reason, as "missing".

    All scores of a mean belong to one step, the last of any run, and to the same weights, those of `column.weights`.
    """
    latest = {run: column.latest(run, weights) or column.latest(run) for run in runs}
    step = max((score.step for score in latest.values() if score is not None), default=None)
    if step is None:
        return None, {}
    values: dict[str, float] = {}
    omitted: dict[str, str] = {}
    for run, score in latest.items():
        if score is None:
            omitted[run] = "missing"
        elif score.step < step:
            omitted[run] = f"of step {score.step:,} and left out: the others are of step {step:,}"
        elif score.weights != weights:
            omitted[run] = f"of {score.weights} and left out: the others are of {weights}"
        elif score.value is None:
            omitted[run] = "not finite" if score.error is None else f"missing: {score.error}"
        else:
            values[run] = score.value
    mean = estimate(list(values.values()), bounds(column.protocol, column.score))
    return (None if mean is None else Cell(mean, step, values, len(runs))), omitted


def deviation_of(details: Mapping[str, object], protocol: Protocol, score: str) -> float | None:
    """Return the deviation of a metric's only or eponymous score, among details that have no schema, or None."""
    metrics = protocol.metrics.items()
    names = [name for name, metric in metrics if name == score or [*metric.higher_is_better] == [score]]
    own = details.get(names[0]) if names else None
    value = own.get("deviation") if isinstance(own, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None
