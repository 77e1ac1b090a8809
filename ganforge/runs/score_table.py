"""Table of scores: comparable scores of runs in columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ganforge.evaluation.comparability import diff, higher_is_better
from ganforge.runs.statistics import Estimate, estimate
from ganforge.utils.files import number_in

ScoreProtocol = Mapping[str, Any]
ARROWS = {False: "↓", True: "↑", None: ""}


@dataclass(frozen=True, slots=True)
class ScoreValue:
    """One score of one run.

    Attributes:
        step: Evaluated step.
        value: The score, or None if it is not finite or its metric has failed.
        reference: Score of training images in place of the fakes, or None.
        error: Message of the metric that failed, or None.
    """

    step: int
    value: float | None
    reference: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Column:
    """Comparable scores.

    Attributes:
        name: Name of the score, with a number if there are several columns of it.
        score: Name of the score.
        higher_is_better: Direction of the score, if known.
        protocol: Protocol of the first evaluation.
        difference: Difference from the first column of the score, or None for that one.
        by_run: Scores of each run in the order of evaluation, by the run's name.
    """

    name: str
    score: str
    higher_is_better: bool | None
    protocol: ScoreProtocol
    difference: str | None
    by_run: Mapping[str, Sequence[ScoreValue]]

    def latest(self, run: str) -> ScoreValue | None:
        """Return a run's score of its last evaluated step; of several evaluations of that, the last."""
        return max(reversed(self.by_run.get(run, ())), key=lambda score: score.step, default=None)

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
    """Scores of a group's runs in a column.

    Attributes:
        estimate: Mean and interval.
        step: Step of all scores.
        values: Values that count, by the run's name.
        of: Number of seeds of the group.
    """

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

    protocol: ScoreProtocol
    owner: str
    by_run: dict[str, list[ScoreValue]] = field(default_factory=dict)


def valid_rows(rows: Iterable[Mapping[str, Any]], score: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the valid evaluations of a possibly edited file, with all scores or one of them."""
    for row in rows:
        scores = row.get("scores")
        if isinstance(scores, dict) and isinstance(row.get("protocol"), dict):
            names = scores if score is None else [score]
            selected = {name: scores[name] for name in names if name in scores and _is_score(scores[name])}
            yield {**row, "scores": selected, "step": int(number_in(row, "step"))}


def columns(runs: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]) -> list[Column]:
    """Return a column per score and protocol; of several protocols of a score, that of most runs comes first.

    Args:
        runs: Names, with the valid rows of evaluation.jsonl.
    """
    by_score: dict[str, list[_ProtocolGroup]] = {}
    for run, rows in runs:
        for row in rows:
            for score, value in row["scores"].items():
                group = _group_of(by_score.setdefault(score, []), row["protocol"], score, run)
                reference = _table(row.get("reference")).get(score)
                scored = ScoreValue(row["step"], finite(value), finite(reference), _error(row, score))
                group.by_run.setdefault(run, []).append(scored)
    table = []
    for score, groups in by_score.items():
        first, *others = sorted(groups, key=lambda group: -len(group.by_run))
        for number, group in enumerate([first, *others], start=1):
            name = score if not others else f"{score} ({number})"
            difference = None if group is first else _difference(score, first, group)
            direction = higher_is_better(group.protocol, score)
            table.append(Column(name, score, direction, group.protocol, difference, group.by_run))
    return table


def _error(row: Mapping[str, Any], score: str) -> str | None:
    """Return the error of the metric that gives a score, as an evaluation recorded it."""
    for name, metric in _table(row["protocol"].get("metrics")).items():
        if score in _table(_table(metric).get("higher_is_better")):
            error = _table(_table(row.get("details")).get(name)).get("error")
            return error if isinstance(error, str) else None
    return None


def _group_of(groups: list[_ProtocolGroup], protocol: ScoreProtocol, score: str, run: str) -> _ProtocolGroup:
    for group in groups:
        if not diff(group.protocol, protocol, score):
            return group
    groups.append(_ProtocolGroup(protocol, run))
    return groups[-1]


def _difference(score: str, first: _ProtocolGroup, group: _ProtocolGroup) -> str:
    runs = f"{first.owner} and {group.owner}" if first.owner != group.owner else group.owner
    return f"protocols of {runs} differ: {'; '.join(diff(first.protocol, group.protocol, score))}"


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


def cell(column: Column, runs: Sequence[str]) -> tuple[Cell | None, list[str]]:
    """Return a group's cell, and a line per run that does not count in it.

    All scores of a mean belong to one step, the last of any run.

    Args:
        column: Column of the cell.
        runs: Names of the group's runs, one for each seed.
    """
    latest = {run: column.latest(run) for run in runs}
    step = max((score.step for score in latest.values() if score is not None), default=None)
    if step is None:
        return None, []
    values: dict[str, float] = {}
    lines = []
    for run, score in latest.items():
        if score is None:
            lines.append(f"{column.name} of {run} is missing")
        elif score.step < step:
            lines.append(
                f"{column.name} of {run} is of step {score.step:,} and does not count: the others are of step {step:,}"
            )
        elif score.value is None:
            lines.append(
                f"{column.name} of {run} is {'not finite' if score.error is None else f'missing: {score.error}'}"
            )
        else:
            values[run] = score.value
    mean = estimate(list(values.values()))
    return (None if mean is None else Cell(mean, step, values, len(runs))), lines


def _is_score(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def finite(value: object) -> float | None:
    """Return a finite number as float, and None for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _table(content: object) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else {}
