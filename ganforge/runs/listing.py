"""List of runs: filtered, sorted, with scores.

Other files than run.json are read only for filters and orders that need them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ganforge.components.spec import SECTIONS
from ganforge.errors import ConfigError, RunDirectoryError, UsageError
from ganforge.runs.index import STATUSES, DiskUsage, RunSummary, disk_usage, find_runs
from ganforge.runs.query import TIMES, Filter
from ganforge.utils.format import format_count
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from ganforge.runs.score_table import Column
    from ganforge.schemas.rows import EvaluationRow

#: Key of the disk usage.
BYTES = "bytes"
#: Fields of run.json, by the names that users may type.
FIELDS = {spec.name: spec.name for spec in fields(RunSummary) if spec.name != "best"} | {
    "name": "name",
    "step": "steps",
    BYTES: BYTES,
}
#: Sections of settings, as dotted keys name them.
SETTING_SECTIONS = frozenset({*SECTIONS, "optimizer", "schedules"})
#: Keys that are sorted from the largest.
DESCENDING = frozenset({*TIMES, BYTES, "steps", "images_seen", "images_per_second", "elapsed_seconds"})
#: Start of a key that is a score in any case: `precision` is a key of run.json, too.
SCORE_PREFIX = "score."
#: Place of a key's values.
Place: TypeAlias = Literal["field", "setting", "score"]
#: Sort key of values of any types; smaller ones come first.
Rank = tuple[int, float, str]


@dataclass(frozen=True, slots=True)
class ListedRun:
    """Run of a list: its run.json, and scores by column, settings and disk usage if they are requested."""

    summary: RunSummary
    scores: Mapping[str, float]
    settings: Mapping[str, Any]
    usage: DiskUsage | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the run as `runs --json` prints it."""
        usage = {} if self.usage is None else {"bytes": self.usage.as_dict()}
        parts = {"scores": dict(self.scores), "settings": dict(self.settings)}
        return self.summary.as_dict() | {key: part for key, part in parts.items() if part} | usage


@dataclass(frozen=True, slots=True)
class Listing:
    """Runs in order.

    Attributes:
        columns: Columns of the requested scores.
        keys: Settings, and fields of a summary, that sort the runs or filter them by more than equality.
        count: Number of runs without the limit.
        notes: Lines for the reader.
    """

    runs: Sequence[ListedRun]
    columns: Sequence[str]
    keys: Sequence[str]
    count: int
    notes: Sequence[str]


def list_runs(
    folder: Path,
    *,
    where: Sequence[str] = (),
    status: Sequence[str] = (),
    sort: str = "updated",
    reverse: bool = False,
    limit: int | None = None,
    with_usage: bool = False,
) -> Listing:
    """Return the runs below a folder that match all filters, in order.

    Args:
        folder: The folder; runs may lie at any depth.
        where: Filters such as `loss=hinge`, `gen.base_channels=64`, `fid<20`.
        status: Accepted statuses; all by default.
        sort: Key of run.json, setting, score, or `bytes`. Times and counts are sorted from the largest, scores from the
            best, other values from the smallest. Runs without the value come last.
        reverse: Whether to reverse the order.
        limit: Maximum number of runs.
        with_usage: Whether each run gets its disk usage; also if `bytes` sorts or filters them.

    Raises:
        RunDirectoryError: The folder does not exist.
        UsageError: A filter is invalid, or no run has a key.
    """
    if not folder.is_dir():
        raise RunDirectoryError(f"no runs in {folder}: the folder does not exist", fix="ganforge run starts a run")
    filters = [Filter.parse(text) for text in where]
    for name in (*status, *(str(condition.value) for condition in filters if condition.key == "status")):
        if name not in STATUSES:
            raise UsageError(f"invalid status {name!r}{did_you_mean(name, STATUSES)}")
    located = [_locate(key) for key in (sort, *(condition.key for condition in filters))]
    reader = _RunReader(find_runs(folder), list(dict.fromkeys(score for kind, score in located if kind == "score")))
    runs = [run for run in reader.runs if not status or run.status in status]
    filters.sort(key=lambda condition: _locate(condition.key)[0] != "field")  # files are opened last
    for condition in filters:
        values = reader.values(runs, condition.key)
        condition.check(values)
        runs = [run for run, value in zip(runs, values, strict=True) if condition.matches(value)]
    values = reader.values(runs, sort)
    place, name = located[0]
    table = _ScoreTable(runs, reader)
    if place == "score":
        ranks = [table.ranks.get((run.path, name)) for run in runs]
    else:
        ranks = [None if value is None else _rank(value) for value in values]
    ordered = _sorted(runs, ranks, descending=(place == "field" and name in DESCENDING) != reverse)
    varied = [sort, *(condition.key for condition in filters if condition.sign != "=")]
    shown = dict.fromkeys(located for located in map(_locate, varied) if located[0] != "score")
    keys = [key for _, key in shown if key != BYTES]
    with_usage = with_usage or len(keys) < len(shown)
    listed = [
        ListedRun(
            run,
            table.values.get(run.path, {}),
            {key: reader.value(run, kind, key) for kind, key in shown if kind == "setting"},
            reader.usage(run.path) if with_usage else None,
        )
        for run in ordered[:limit]
    ]
    notes = [*table.notes(), *reader.problems]
    return Listing(listed, [column.name for column in table.columns], keys, len(ordered), notes)


def _locate(key: str) -> tuple[Place, str]:
    """Return the place of the values of a key, and their name there.

    A score is named `fid` or, next to another key of its name, `score.fid`.
    """
    if (field := FIELDS.get(key.replace("-", "_"))) is not None:
        return "field", field
    from ganforge.config import Experiment  # noqa: PLC0415 - a plain list needs no models

    section, dot, option = key.partition(".")
    section = section.replace("-", "_")
    if section in (SETTING_SECTIONS if dot else Experiment.model_fields):
        return "setting", section + dot + option
    return "score", key.removeprefix(SCORE_PREFIX)


def _sorted(runs: Sequence[RunSummary], ranks: Sequence[Rank | None], *, descending: bool) -> list[RunSummary]:
    ranked = [(rank, run) for rank, run in zip(ranks, runs, strict=True) if rank is not None]
    ranked.sort(key=lambda pair: pair[0], reverse=descending)
    return [run for _, run in ranked] + [run for rank, run in zip(ranks, runs, strict=True) if rank is None]


def _rank(value: object) -> Rank:
    """Return the sort key of a value; numbers come first."""
    if isinstance(value, int | float):
        return 0, value, ""
    return 1, 0, str(value)


class _RunReader:
    """Values of runs by key; each file is read once.

    Attributes:
        runs: All runs below the folder.
        scores: Requested scores.
        usage: Function that returns the disk usage of a path.
        problems: Lines about damaged files, each once.
    """

    def __init__(self, runs: Sequence[RunSummary], scores: Sequence[str]) -> None:
        self.runs, self.scores = runs, scores
        self.problems: dict[str, None] = {}
        self.usage, self._settings = cache(disk_usage), cache(_read_settings)
        self._rows: dict[str, Mapping[str, EvaluationRow]] = {}

    def rows(self, run: RunSummary) -> Mapping[str, EvaluationRow]:
        """Return the evaluation of the last step that has a score, of several the newest, by score.

        A finished run may lack scores that are not requested.
        """
        if run.path not in self._rows:
            from ganforge.schemas.rows import EVALUATIONS, newest_rows  # noqa: PLC0415 - a plain list needs no scores

            file, last_step = Path(run.path, "evaluation.jsonl"), run.steps or 0
            last: dict[str, EvaluationRow] = {}
            read = newest_rows(file, EVALUATIONS, lambda line: self.problems.setdefault(f"{run.path}: {line}"))
            with closing(read) as rows:
                for row in rows:
                    last |= {name: row for name in row.scores if name not in last or row.step > last[name].step}
                    complete = all(name in last and last[name].step >= last_step for name in self.scores)
                    if complete and run.status == "finished":
                        break  # earlier rows are of no later step
            self._rows[run.path] = last
        return self._rows[run.path]

    def values(self, runs: Sequence[RunSummary], key: str) -> list[Any]:
        """Return the value of each run, or None. Raises UsageError if no run has the key, not even a score of NaN."""
        place, name = _locate(key)
        values = [self.value(run, place, name) for run in runs]
        if place == "field" or any(value is not None for value in values) or not self.runs:
            return values
        if not any(self._has(run, place, name) for run in self.runs):
            from ganforge.config import Experiment  # noqa: PLC0415 - as in _locate

            known = {*FIELDS, *Experiment.model_fields, *self._known(place)}
            suggestion = did_you_mean(key, known)  # a list of all keys is too long
            if suggestion.endswith("?"):
                raise UsageError(f"no run has a {key!r}{suggestion}")
            is_name = place == "score" and name and "." not in name
            fix = f"if it is a score: ganforge evaluate RUN --metric {name}" if is_name else None
            raise UsageError(f"no run has a {key!r}", fix=fix)
        return values

    def value(self, run: RunSummary, place: Place, name: str) -> Any:  # noqa: ANN401 - settings have every type
        """Return the value of a run, or None."""
        if place == "setting":
            return self._settings(run.path).get(name)
        if place == "score":
            row = self.rows(run).get(name)
            return None if row is None else row.scores[name]
        return self.usage(run.path).total if name == BYTES else getattr(run, name)

    def _has(self, run: RunSummary, place: Place, name: str) -> bool:
        """Return whether a run has a value, also a score that is not finite."""
        return name in self.rows(run) if place == "score" else self.value(run, place, name) is not None

    def _known(self, place: Place) -> set[str]:
        settings = {key for run in self.runs for key in self._settings(run.path)} if place == "setting" else set()
        return settings.union(*map(self.rows, self.runs))


def _read_settings(path: str) -> Mapping[str, Any]:
    """Return the settings of a run; a damaged one has none."""
    from ganforge.config import read_document  # noqa: PLC0415 - a plain list needs none
    from ganforge.runs.settings import settings_of  # noqa: PLC0415 - as above

    try:
        return settings_of(read_document(Path(path, "run.toml")))
    except ConfigError:
        return {}


class _ScoreTable:
    """Scores of runs in columns; scores that are not comparable are in different columns.

    Attributes:
        columns: The columns.
        values: Scores of each run by column.
        ranks: Sort key of a run and a score: the best first, column by column.
    """

    def __init__(self, runs: Sequence[RunSummary], reader: _RunReader) -> None:
        self.columns: list[Column] = []
        self.values: dict[str, dict[str, float]] = {}
        self.ranks: dict[tuple[str, str], Rank] = {}
        self._other_steps: Counter[tuple[str, str]] = Counter()
        for score in reader.scores:
            self._add(runs, reader, score)

    def _add(self, runs: Sequence[RunSummary], reader: _RunReader, score: str) -> None:
        from ganforge.runs.score_table import columns  # noqa: PLC0415 - a plain list needs none

        rows = ((run.path, reader.rows(run).get(score)) for run in runs)
        steps = {run.path: run.steps or 0 for run in runs}
        finished = {run.path: run.status == "finished" for run in runs}
        for index, column in enumerate(columns(((path, [row]) for path, row in rows if row is not None), [score])):
            self.columns.append(column)
            for path in column.by_run:
                latest = column.latest(path)
                if latest is not None and latest.value is not None:
                    self.values.setdefault(path, {})[column.name] = latest.value
                    self.ranks[path, score] = (index, column.sort_key(latest.value), "")
                    if latest.step < steps[path]:
                        self._other_steps[score, "an earlier"] += 1
                    elif latest.step > steps[path] and finished[path]:
                        self._other_steps[score, "a later"] += 1

    def notes(self) -> list[str]:
        """Return the reasons for several columns of a score, and how many scores are of other weights or steps."""
        if not self.columns:
            return []
        from ganforge.runs.score_table import explain_split, explain_weights  # noqa: PLC0415 - as above

        steps = [
            f"{score} of {format_count(count, 'run')} is of {other} step than the last"
            for (score, other), count in self._other_steps.items()
        ]
        return [*explain_split(self.columns), *explain_weights(self.columns), *steps]
