"""Comparison of run directories: groups by settings, columns of comparable scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ganforge.components.spec import SECTIONS
from ganforge.errors import RunDirectoryError, UsageError
from ganforge.report.comparison.curves import curves
from ganforge.report.comparison.records import Run, find_directories, read_runs
from ganforge.report.comparison.result import Comparison, Group
from ganforge.runs.score_table import Cell, Column, cell, columns, explain_split
from ganforge.runs.settings import differing, format_setting
from ganforge.runs.statistics import MIN_INTERVAL_COUNT
from ganforge.schemas.rows import METRICS, newest_rows
from ganforge.utils.suggest import did_you_mean

#: Settings to show if all runs share them.
SHARED_KEYS = ("gen", "disc", "loss", "data", "term", "augment", "epochs", "steps", "batch_size")
#: Descriptions of unfinished runs.
ENDS = {"running": "is running", "interrupted": "was interrupted", "diverged": "diverged", "failed": "failed"}


def compare(*runs: str | Path, metrics: Sequence[str] | None = None, sort: str | None = None) -> Comparison:
    """Compare runs.

    Args:
        runs: Run directories, or folders of runs at any depth.
        metrics: Scores to show; all by default.
        sort: Score whose best group comes first.

    Raises:
        RunDirectoryError: No run can be read.
        UsageError: No run has the score.
    """
    compared, problems = read_runs(find_directories(map(Path, runs)))
    if not compared:
        others = f"; and {len(problems) - 1:,} more" if len(problems) > 1 else ""
        raise RunDirectoryError(f"no run can be read: {problems[0]}{others}")
    table = _select(columns((run.name, run.evaluations) for run in compared), metrics)
    keys = differing([run.settings for run in compared])
    members = _gather(compared)
    groups, lines = [], []
    for label, group_runs in zip(_labels(members, keys), members, strict=True):
        group, group_lines = _group(label, group_runs, keys, table)
        groups.append(group)
        lines += group_lines
    charted = curves([(group.label, group.counted) for group in groups], table, lines)
    ordered, undecided = _sorted(groups, table, sort)
    return Comparison(
        shared={
            key: compared[0].settings[key] for key in SHARED_KEYS if key not in keys and compared[0].settings.get(key)
        },
        settings=keys,
        groups=ordered,
        columns=table,
        curves=charted,
        notes=[*problems, *_unfinished(compared), *_alerts(compared), *explain_split(table), *lines, *undecided],
    )


def _select(table: list[Column], metrics: Sequence[str] | None) -> list[Column]:
    if metrics is None:
        return table
    if not metrics:
        raise UsageError("no score is named", fix="name scores, such as fid,kid, or none for all")
    names = {column.score for column in table}
    for metric in metrics:
        if metric not in names:
            raise UsageError(
                f"no run has a score {metric!r}{did_you_mean(metric, names)}", fix="ganforge evaluate RUN scores a run"
            )
    return [column for metric in dict.fromkeys(metrics) for column in table if column.score == metric]


def _gather(runs: Iterable[Run]) -> list[list[Run]]:
    """Return groups of runs that differ only in `FREE` settings, each sorted by seed."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.identity, []).append(run)
    return [sorted(group, key=lambda run: (run.seed, run.name)) for group in groups.values()]


def _labels(groups: Sequence[Sequence[Run]], keys: Sequence[str]) -> list[str]:
    """Return a unique name for each group, of the settings that differ."""
    labels: dict[str, None] = {}
    for runs in groups:
        settings = runs[0].settings
        parts = [
            format_setting(settings[key]) if key in SECTIONS else f"{key}={format_setting(settings[key])}"
            for key in keys
            if key in settings and format_setting(settings[key])
        ]
        text = " · ".join(parts) or (
            runs[0].name if len(groups) > 1 or len(runs) == 1 else f"{runs[0].name} and others"
        )
        number = 2
        label = text
        while label in labels:
            label, number = f"{text} ({number})", number + 1
        labels[label] = None
    return list(labels)


def _group(label: str, runs: Sequence[Run], keys: Sequence[str], table: Sequence[Column]) -> tuple[Group, list[str]]:
    """Return a group, and lines about runs that do not count in it."""
    by_seed: dict[int, Run] = {}
    lines = []
    for run in sorted(runs, key=lambda run: -_progress(run, table)):  # the longest run of a seed first
        if run.seed in by_seed:
            lines.append(f"{run.name} repeats seed {run.seed} of {by_seed[run.seed].name}; each seed counts once")
        else:
            by_seed[run.seed] = run
    counted = [by_seed[seed] for seed in sorted(by_seed)]
    names = [run.name for run in counted]
    weights = {column.name: column.weights(names) for column in table}
    cells: dict[str, Cell] = {}
    remarks: dict[tuple[str, str], list[str]] = {}
    for column in table:
        group_cell, reasons = cell(column, names, weights[column.name])
        if group_cell is not None:
            cells[column.name] = group_cell
            for run in counted:
                if run.name in group_cell.values and (run.steps or 0) > group_cell.step:
                    reason = f"of step {group_cell.step:,}, earlier than the last"
                    remarks.setdefault((run.name, reason), []).append(column.name)
        for item in reasons.items():
            remarks.setdefault(item, []).append(column.name)
    for (name, reason), scores in remarks.items():
        lines.append(f"{', '.join(scores)} of {name} {'is' if len(scores) == 1 else 'are'} {reason}")
    settings: Mapping[str, Any] = {key: runs[0].settings[key] for key in keys if key in runs[0].settings}
    return Group(label, settings, runs, counted, cells, weights), lines


def _progress(run: Run, table: Sequence[Column]) -> int:
    return max((score.step for column in table if (score := column.latest(run.name)) is not None), default=-1)


def _unfinished(runs: Iterable[Run]) -> Iterator[str]:
    """Yield a line per unfinished run."""
    for run in runs:
        if run.status != "finished":
            end, step = ENDS.get(run.status, "has an unknown status"), run.steps
            if step is None:
                step = int(next(newest_rows(run.directory.metrics, METRICS), {"step": 0})["step"])
            reason = f": {run.error}" if run.error else ""
            yield f"{run.name} {end} at step {step:,}{reason}"


def _alerts(runs: Iterable[Run]) -> Iterator[str]:
    """Yield a line per health alert."""
    for run in runs:
        yield from (f"{run.name}: {alert.line()}" for alert in run.alerts)


def _sorted(groups: list[Group], table: Sequence[Column], sort: str | None) -> tuple[list[Group], list[str]]:
    """Return the groups, the best first, and a line per column whose means do not decide the order."""
    if sort is None:
        return groups, []
    sorted_by = [column for column in table if sort in {column.name, column.score}]
    if not sorted_by:
        names = {column.name for column in table}
        raise UsageError(f"no score {sort!r} to sort by{did_you_mean(sort, names)}")

    def rank(group: Group) -> list[tuple[bool, float]]:
        cells = [(column, group.cells.get(column.name)) for column in sorted_by]
        return [(cell is None, 0.0 if cell is None else column.sort_key(cell.estimate.mean)) for column, cell in cells]

    ordered = sorted(groups, key=rank)
    return ordered, _undecided(ordered, [column.name for column in sorted_by])


def _undecided(ordered: Sequence[Group], names: Sequence[str]) -> list[str]:
    """Return a line per column whose means do not decide the order; the first column of either orders neighbors."""
    reasons: dict[str, dict[str, None]] = {}
    for first, second in pairwise(ordered):
        column = next((name for name in names if name in first.cells or name in second.cells), None)
        if column is None or column not in first.cells or column not in second.cells:
            continue
        better, worse = first.cells[column].estimate, second.cells[column].estimate
        if better.overlaps(worse):
            few = min(better.count, worse.count) < MIN_INTERVAL_COUNT
            reason = f"a group has scores of fewer than {MIN_INTERVAL_COUNT} seeds" if few else "95% intervals overlap"
            reasons.setdefault(column, {})[reason] = None
    return [
        f"{column} does not decide the order: {' and '.join(column_reasons)}; train more seeds"
        for column, column_reasons in reasons.items()
    ]
