"""Scores in columns. Two stand in one column only where their protocols agree in what matters for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ganforge.evaluation.comparability import differences
from ganforge.runs.statistics import Estimate, estimate
from ganforge.utils.files import number_in

ScoreProtocol = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Score:
    """Hold one score of one run: after which step, its value and its floor; None where that is not finite."""

    step: int
    value: float | None
    floor: float | None


@dataclass(frozen=True, slots=True)
class Column:
    """Hold comparable scores.

    name: the score's, with a number where there are several columns of it. apart: what tells it from the first one.
    by_run: each run's scores, as they were taken, by the run's name.
    """

    name: str
    score: str
    better: Literal["lower", "higher"] | None
    protocol: ScoreProtocol
    apart: str | None
    by_run: Mapping[str, Sequence[Score]]

    def latest(self, run: str) -> Score | None:
        """Return a run's score after its last step that was scored; the last one where it was scored again."""
        return max(reversed(self.by_run.get(run, ())), key=lambda score: score.step, default=None)

    @property
    def floor(self) -> float | None:
        """The mean of the runs' floors: what images of the training split score in the place of fakes."""
        latest = filter(None, map(self.latest, self.by_run))
        found = estimate([score.floor for score in latest if score.floor is not None])
        return None if found is None else found.mean

    def distance(self, mean: float) -> float:
        """Return a number that is smaller for a better mean."""
        return -mean if self.better == "higher" else mean


@dataclass(frozen=True, slots=True)
class Cell:
    """Hold what a group's runs score in a column.

    values: of the runs that count, by name. of: how many seeds the group has.
    """

    estimate: Estimate
    step: int
    values: Mapping[str, float]
    of: int


@dataclass(slots=True)
class _Kind:
    """Collect scores that are comparable."""

    protocol: ScoreProtocol
    owner: str
    by_run: dict[str, list[Score]] = field(default_factory=dict)


def sound(rows: Iterable[Mapping[str, Any]], score: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the evaluations that are whole, or one score of each: a file edited by hand must not stop a comparison."""
    for row in rows:
        scores = row.get("scores")
        if isinstance(scores, dict) and isinstance(row.get("protocol"), dict):
            names = scores if score is None else [score]
            chosen = {name: scores[name] for name in names if name in scores and _is_score(scores[name])}
            yield {**row, "scores": chosen, "step": int(number_in(row, "step"))}


def columns(runs: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]) -> list[Column]:
    """Return a column for each kind of score; of several kinds of one score, the one that most runs have comes first.

    runs: names, with the sound rows of evaluation.jsonl.
    """
    kinds: dict[str, list[_Kind]] = {}
    for run, rows in runs:
        for row in rows:
            for score, value in row["scores"].items():
                kind = _kind_of(kinds.setdefault(score, []), row["protocol"], score, run)
                floor = _table(row.get("floor")).get(score)
                kind.by_run.setdefault(run, []).append(Score(row["step"], finite(value), finite(floor)))
    made = []
    for score, found in kinds.items():
        first, *others = sorted(found, key=lambda kind: -len(kind.by_run))
        names = _names(score, len(found))
        made.append(_column(score, next(names), first, None))
        made += [_column(score, name, kind, _why(score, first, kind)) for name, kind in zip(names, others, strict=True)]
    return made


def _column(score: str, name: str, kind: _Kind, apart: str | None) -> Column:
    return Column(name, score, _better(kind.protocol, score), kind.protocol, apart, kind.by_run)


def _names(score: str, count: int) -> Iterator[str]:
    """Yield `fid`, or `fid (1)`, `fid (2)` where it measures several things."""
    yield from [score] if count == 1 else (f"{score} ({number})" for number in range(1, count + 1))


def _kind_of(kinds: list[_Kind], protocol: ScoreProtocol, score: str, run: str) -> _Kind:
    for kind in kinds:
        if not differences(kind.protocol, protocol, score):
            return kind
    kinds.append(_Kind(protocol, run))
    return kinds[-1]


def why_columns_stand_apart(shown: Sequence[Column]) -> list[str]:
    """Return a line for each reason that columns stand apart for: usually all scores of an evaluation have the same."""
    names: dict[str, list[str]] = {}
    for column in shown:
        if column.apart is not None:
            names.setdefault(column.apart, []).append(column.name)
    return [
        f"{', '.join(apart)} {'is a column of its' if len(apart) == 1 else 'are columns of their'} own, since {reason}"
        for reason, apart in names.items()
    ]


def _why(score: str, first: _Kind, kind: _Kind) -> str:
    runs = f"{first.owner} and {kind.owner} measure" if first.owner != kind.owner else f"{kind.owner} measures"
    reasons = "; ".join(differences(first.protocol, kind.protocol, score))
    return f"what {runs} differs: {reasons}"


def _better(protocol: ScoreProtocol, score: str) -> Literal["lower", "higher"] | None:
    for metric in _table(protocol.get("metrics")).values():
        direction = _table(_table(metric).get("better")).get(score)
        if direction in {"lower", "higher"}:
            return direction  # type: ignore[no-any-return]
    return None


def cell(column: Column, runs: Sequence[str]) -> tuple[Cell | None, list[str]]:
    """Return a group's cell, and a line about each run that does not count in it.

    runs: the names of the group's, one for each seed. The scores of a mean are all of one step, the last that any of
    the runs has.
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
            lines.append(f"{column.name} of {run} is of step {score.step:,} and does not count beside step {step:,}")
        elif score.value is None:
            lines.append(f"{column.name} of {run} is not finite")
        else:
            values[run] = score.value
    found = estimate(list(values.values()))
    return (None if found is None else Cell(found, step, values, len(runs))), lines


def _is_score(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def finite(value: object) -> float | None:
    """Return a number that is finite as one, anything else as None; true and false are no numbers here."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _table(content: object) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else {}
