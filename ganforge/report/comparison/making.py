"""From run directories to a comparison."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganforge.components.spec import SECTIONS
from ganforge.errors import RunDirectoryError, UsageError
from ganforge.report.comparison.curves import curves
from ganforge.report.comparison.records import Run, find, read
from ganforge.report.comparison.result import Comparison, Group
from ganforge.runs.score_table import Cell, Column, cell, columns, why_columns_stand_apart
from ganforge.runs.settings import differing, in_words
from ganforge.utils.files import newest_rows, number_in
from ganforge.utils.suggest import did_you_mean

LONGEST_LABEL = 72
SHARED = ("gen", "disc", "loss", "data", "penalty", "augment", "epochs", "steps", "batch_size")
ENDS = {
    "running": "is running, or was killed,",
    "interrupted": "was interrupted",
    "diverged": "diverged",
    "failed": "failed",
}


def compare(
    *runs: str | Path, metrics: Sequence[str] | None = None, sort: str | None = None, with_curves: bool = True
) -> Comparison:
    """Set runs side by side.

    runs: run directories, or folders that runs lie in, at any depth. metrics: the scores to show, all by default. sort:
    a score; the best group comes first. with_curves: whether to read the losses, too. Raises RunDirectoryError where
    there is no run, UsageError for a score that none of them has.
    """
    found, problems = read(find(map(Path, runs)))
    if not found:
        raise RunDirectoryError("none of these runs can be read:\n" + "\n".join(problems))
    shown = _chosen(columns((run.name, run.evaluations) for run in found), metrics)
    keys = differing([run.settings for run in found])
    gathered = _gather(found)
    labels = _labels(gathered, keys)
    groups, lines = [], []
    for label, members in zip(labels, gathered, strict=True):
        group, said = _group(label, members, keys, shown)
        groups.append(group)
        lines += said
    return Comparison(
        shared=_shared(found, keys),
        settings=keys,
        groups=_sorted(groups, shown, sort),
        columns=shown,
        curves=curves([(group.label, group.counted) for group in groups], shown) if with_curves else [],
        notes=[*problems, *_ends(found), *_findings(found), *why_columns_stand_apart(shown), *lines],
    )


def _chosen(made: list[Column], metrics: Sequence[str] | None) -> list[Column]:
    if metrics is None:
        return made
    names = {column.score for column in made}
    for metric in metrics:
        if metric not in names:
            raise UsageError(
                f"no run has a score {metric!r}{did_you_mean(metric, names)}", fix="ganforge evaluate RUN scores a run"
            )
    return [column for metric in dict.fromkeys(metrics) for column in made if column.score == metric]


def _gather(runs: Iterable[Run]) -> list[list[Run]]:
    """Return the runs in groups that differ in their seed only, each group by seed."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.identity, []).append(run)
    return [sorted(group, key=lambda run: (run.seed, run.name)) for group in groups.values()]


def _labels(groups: Sequence[Sequence[Run]], keys: Sequence[str]) -> list[str]:
    """Return a short name for each group, each another."""
    labels: dict[str, None] = {}
    for runs in groups:
        settings = runs[0].settings
        words = [
            in_words(settings[key]) if key in SECTIONS else f"{key}={in_words(settings[key])}"
            for key in keys
            if key in settings and in_words(settings[key])
        ]
        text = " · ".join(words) or (
            runs[0].name if len(groups) > 1 or len(runs) == 1 else f"{runs[0].name} and others"
        )
        text = text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
        number = 2
        label = text
        while label in labels:
            label, number = f"{text} ({number})", number + 1
        labels[label] = None
    return list(labels)


def _group(label: str, runs: Sequence[Run], keys: Sequence[str], shown: Sequence[Column]) -> tuple[Group, list[str]]:
    """Return a group, and lines about what does not count in it."""
    by_seed: dict[int, Run] = {}
    lines = []
    for run in sorted(runs, key=lambda run: -_progress(run, shown)):  # of two with one seed, the one that came further
        if run.seed in by_seed:
            lines.append(f"{run.name} repeats seed {run.seed} of {by_seed[run.seed].name}; a seed counts once")
        else:
            by_seed[run.seed] = run
    counted = [by_seed[seed] for seed in sorted(by_seed)]
    cells: dict[str, Cell] = {}
    for column in shown:
        found, missing = cell(column, [run.name for run in counted])
        if found is not None:
            cells[column.name] = found
        lines += missing
    settings: Mapping[str, Any] = {key: runs[0].settings[key] for key in keys if key in runs[0].settings}
    return Group(label, settings, runs, counted, cells), lines


def _progress(run: Run, shown: Sequence[Column]) -> int:
    return max((score.step for column in shown if (score := column.latest(run.name)) is not None), default=-1)


def _ends(runs: Iterable[Run]) -> Iterator[str]:
    """Yield a line about each run that is not finished."""
    for run in runs:
        if run.status != "finished":
            end, step = ENDS.get(run.status, "has an unknown end"), run.steps
            if step is None:
                step = int(number_in(next(newest_rows(run.directory.metrics), {}), "step"))
            why = f": {run.error}" if run.error else ""
            yield f"{run.name} {end} at step {step:,}{why}"


def _findings(runs: Iterable[Run]) -> Iterator[str]:
    """Yield a line about each thing that was wrong with a run's health."""
    for run in runs:
        yield from (f"{run.name}: {finding.line()}" for finding in run.findings)


def _shared(runs: Sequence[Run], keys: Collection[str]) -> dict[str, Any]:
    """Return the components, the length and the batch that all runs have in common."""
    return {key: runs[0].settings[key] for key in SHARED if key not in keys and runs[0].settings.get(key)}


def _sorted(groups: list[Group], shown: Sequence[Column], sort: str | None) -> list[Group]:
    if sort is None:
        return groups
    wanted = [column for column in shown if sort in {column.name, column.score}]
    if not wanted:
        names = {column.name for column in shown}
        raise UsageError(f"there is no score {sort!r} to sort by{did_you_mean(sort, names)}")

    def place(group: Group) -> list[tuple[bool, float]]:
        cells = [(column, group.cells.get(column.name)) for column in wanted]
        return [
            (found is None, 0.0 if found is None else column.distance(found.estimate.mean)) for column, found in cells
        ]

    return sorted(groups, key=place)
