"""Ranking of a sweep's configurations: comparable scores share a table, the best mean over seeds comes first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ganforge.evaluation.comparability import bounds, diff
from ganforge.runs.evaluate import DEFAULT_METRICS
from ganforge.runs.statistics import estimate
from ganforge.schemas.manifest import Manifest
from ganforge.schemas.rows import EvaluationRow, Protocol
from ganforge.sweep.config import SweepConfig
from ganforge.sweep.directory import SweepDirectory
from ganforge.sweep.leaderboard import (
    InapplicableConfig,
    Leaderboard,
    LeaderboardRow,
    LeaderboardTable,
    ScoreSummary,
    TrialAlert,
    UnscoredTrial,
)
from ganforge.sweep.scheduler import TrialResult
from ganforge.sweep.trials import Trial, TrialConfig

#: Keys of a protocol that describe one generator, and are left out of leaderboard.json.
RUN_KEYS = {"checkpoint", "seed", "versions"}


class _ScoredTrial(NamedTuple):
    trial: Trial
    row: EvaluationRow
    manifest: Manifest | None


def build_leaderboard(
    directory: SweepDirectory,
    sweep: SweepConfig,
    configs: Sequence[TrialConfig],
    results: Mapping[str, TrialResult],
) -> Leaderboard:
    """Return the leaderboard of a sweep, in an order that does not depend on the order of the runs.

    Trials without a result, by the name of the trial, are unfinished.
    """
    groups: list[list[_ScoredTrial]] = []
    unscored: list[UnscoredTrial] = []
    unfinished: list[str] = []
    health: list[TrialAlert] = []
    for config in configs:
        for seed in sweep.seeds if config.experiment is not None else ():
            trial = Trial(config, seed)
            result = results.get(trial.name)
            if result is None:
                unfinished.append(trial.name)
                continue
            manifest = directory.manifest(trial)
            health += [TrialAlert.of(trial.name, alert) for alert in (manifest.health if manifest else ())]
            if result.row is None:
                status, error = result.status, result.error
                unscored.append(
                    UnscoredTrial(run=trial.name, config=config.choices, seed=seed, status=status, error=error)
                )
                continue
            scored = _ScoredTrial(trial, result.row, manifest)
            group = next((group for group in groups if _are_comparable(group[0], scored)), None)
            if group is None:
                groups.append(group := [])
            group.append(scored)
    objective, seeds = None if sweep.search is None else sweep.search.objective, len(sweep.seeds)
    tables = tuple(_table(group, objective, seeds) for group in groups)
    metrics = DEFAULT_METRICS if sweep.scoring.metrics is None else sweep.scoring.metrics
    return Leaderboard(
        objective=objective,
        seeds=sweep.seeds,
        tables=tables,
        notes=tuple(dict.fromkeys(line for table in tables for line in table.notes(seeds, metrics))),
        unscored=tuple(unscored),
        health=tuple(health),
        unfinished=tuple(unfinished),
        inapplicable=tuple(
            InapplicableConfig(config=config.choices, reason=config.reason, fix=config.fix)
            for config in configs
            if config.experiment is None
        ),
    )


def _are_comparable(one: _ScoredTrial, other: _ScoredTrial) -> bool:
    protocols = one.row.protocol, other.row.protocol
    return not any(diff(*protocols, score) for protocol in protocols for score in _directions(protocol))


def _table(group: Sequence[_ScoredTrial], objective: str | None, seeds: int) -> LeaderboardTable:
    """Return the table of comparable scores, ranked by the objective or the first score."""
    protocol = group[0].row.protocol
    directions = _directions(protocol)
    score = objective if objective in directions else next(iter(directions), None)
    configs: dict[str, list[_ScoredTrial]] = {}
    for scored in group:
        configs.setdefault(scored.trial.config.name, []).append(scored)
    rows = [_row(trials, directions) for trials in configs.values()]
    return LeaderboardTable(
        protocol=protocol.model_dump(mode="json", exclude=RUN_KEYS),
        ranked_by=score,
        higher_is_better=directions,
        rows=rank(rows, score, seeds, higher_is_better=score is not None and directions[score]),
    )


def _row(trials: Sequence[_ScoredTrial], scores: Iterable[str]) -> LeaderboardRow:
    manifests = [scored.manifest for scored in trials if scored.manifest is not None]
    seconds = estimate([manifest.summary.elapsed_seconds for manifest in manifests if manifest.summary is not None])
    config, protocol = trials[0].trial.config, trials[0].row.protocol
    return LeaderboardRow(
        config=config.choices,
        name=config.name,
        seeds=tuple(scored.trial.seed for scored in trials),
        precision=tuple(sorted({manifest.precision for manifest in manifests})),
        scores={
            score: ScoreSummary.over([scored.row.scores.get(score) for scored in trials], bounds(protocol, score))
            for score in scores
        },
        elapsed_seconds=None if seconds is None else seconds.mean,
    )


def rank(
    rows: Iterable[LeaderboardRow], score: str | None, seeds: int, *, higher_is_better: bool
) -> tuple[LeaderboardRow, ...]:
    """Return rows sorted by the mean of a score, the best first, with their ranks.

    Rows without a finite value of every seed follow the others, and have no rank: a mean over the seeds that happened
    to succeed is not comparable.
    """

    def sort_key(row: LeaderboardRow) -> tuple[bool, float, str]:
        summary = None if score is None else row.scores[score]
        mean = math.inf if summary is None else -summary.mean if higher_is_better else summary.mean
        return row.count(score) < seeds, mean, row.label

    ordered = sorted(rows, key=sort_key)
    complete = [row.scores[score] for row in ordered if score is not None and row.count(score) == seeds]
    means = [summary.estimate for summary in complete if summary is not None]
    ranks = [
        (
            1 + sum(not mean.overlaps(other) for other in means[:place]),
            len(means) - sum(not mean.overlaps(other) for other in means[place + 1 :]),
        )
        for place, mean in enumerate(means)
    ]
    return tuple(
        row.model_copy(update={"rank": ranks[place] if place < len(ranks) else None})
        for place, row in enumerate(ordered)
    )


def _directions(protocol: Protocol) -> dict[str, bool]:
    """Return whether higher is better, by score, in the order of the metrics."""
    metrics = protocol.metrics.values()
    return {score: higher for metric in metrics for score, higher in metric.higher_is_better.items()}
