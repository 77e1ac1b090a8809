"""List of runs: filtered, sorted, with scores.

Other files than run.json are read only for filters and orders that need them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge.components.spec import SECTIONS
from ganforge.errors import ConfigError, RunDirectoryError, UsageError
from ganforge.runs.index import STATUSES, DiskUsage, RunSummary, disk_usage, find_runs
from ganforge.runs.query import TIMES, Filter
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
#: Sort key of values of any types; smaller ones come first.
Rank = tuple[int, float, str]


@dataclass(frozen=True, slots=True)
class ListedRun:
    """Run of a list: its run.json, and scores by column and disk usage if they are requested."""

    summary: RunSummary
    scores: Mapping[str, float]
    usage: DiskUsage | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the run as `runs --json` prints it."""
        usage = {} if self.usage is None else {"bytes": self.usage.as_dict()}
        return self.summary.as_dict() | ({"scores": dict(self.scores)} if self.scores else {}) | usage


@dataclass(frozen=True, slots=True)
class Listing:
    """Runs in order, the columns of requested scores, the number of runs without the limit, and lines for readers."""

    runs: Sequence[ListedRun]
    columns: Sequence[str]
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
        with_usage: Whether each run gets its disk usage.

    Raises:
        RunDirectoryError: The folder does not exist.
        UsageError: A filter is invalid, or no run has a key.
    """
    if not folder.is_dir():
        raise RunDirectoryError(f"no runs in {folder}: the folder does not exist", fix="ganforge run starts a run")
    for name in status:
        if name not in STATUSES:
            raise UsageError(f"invalid status {name!r}{did_you_mean(name, STATUSES)}")
    filters = [Filter.parse(text) for text in where]
    reader = _RunReader(find_runs(folder))
    runs = [run for run in reader.runs if not status or run.status in status]
    for condition in sorted(filters, key=lambda condition: _field(condition.key) is None):  # files are opened last
        values = reader.values(runs, condition.key)
        condition.check(values)
        runs = [run for run, value in zip(runs, values, strict=True) if condition.matches(value)]
    values = reader.values(runs, sort)
    keys = [sort, *(condition.key for condition in filters)]
    table = _ScoreTable(runs, reader, list(dict.fromkeys(map(_score, filter(reader.scores.__contains__, keys)))))
    if sort in reader.scores:
        ranks = [table.ranks.get((run.path, _score(sort))) for run in runs]
    else:
        ranks = [None if value is None else _rank(value) for value in values]
    ordered = _sorted(runs, ranks, descending=(_field(sort) in DESCENDING) != reverse)
    listed = [
        ListedRun(run, table.values.get(run.path, {}), reader.usage(run) if with_usage else None)
        for run in ordered[:limit]
    ]
    return Listing(listed, [column.name for column in table.columns], len(ordered), table.notes())


def _score(key: str) -> str:
    """Return the name of a score that a key names, such as `fid` or, next to another key of the name, `score.fid`."""
    return key.removeprefix(SCORE_PREFIX)


def _field(key: str) -> str | None:
    return FIELDS.get(key.replace("-", "_"))


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
        scores: Keys that are scores.
    """

    def __init__(self, runs: Sequence[RunSummary]) -> None:
        self.runs = runs
        self.scores: set[str] = set()
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._usage: dict[str, DiskUsage] = {}
        self._rows: dict[tuple[str, str], EvaluationRow | None] = {}

    def values(self, runs: Sequence[RunSummary], key: str) -> list[Any]:
        """Return the value of each run, or None.

        Raises:
            UsageError: No run below the folder has the key.
        """
        values = [self._value(run, key) for run in runs]
        if any(value is not None for value in values) or _field(key) is not None:
            return values
        if self.runs and not any(self._has(run, key) for run in self.runs):
            from ganforge.config import Experiment  # noqa: PLC0415 - as below

            known = {*FIELDS, *Experiment.model_fields, *self._known()}
            suggestion = did_you_mean(key, known)  # a list of all keys is too long
            raise UsageError(f"no run has a {key!r}{suggestion if suggestion.endswith('?') else ''}")
        return values

    def _has(self, run: RunSummary, key: str) -> bool:
        """Return whether a run has a key, also with a score that is not finite."""
        return self._value(run, key) is not None or (key in self.scores and self.row(run, _score(key)) is not None)

    def _value(self, run: RunSummary, key: str) -> Any:  # noqa: ANN401 - settings have every type
        name = _field(key)
        if name is not None:
            return self.usage(run).total if name == BYTES else getattr(run, name)
        first, dot, rest = key.partition(".")
        setting = first.replace("-", "_") + dot + rest
        if _is_setting(setting):
            return self._settings_of(run).get(setting)
        self.scores.add(key)
        row = self.row(run, _score(key))
        return None if row is None else row.scores[_score(key)]

    def usage(self, run: RunSummary) -> DiskUsage:
        """Return the disk usage of a run."""
        if run.path not in self._usage:
            self._usage[run.path] = disk_usage(run.path)
        return self._usage[run.path]

    def row(self, run: RunSummary, score: str) -> EvaluationRow | None:
        """Return the newest evaluation of a run that has a score, or None."""
        if (run.path, score) not in self._rows:
            self._rows[run.path, score] = next((row for row in _evaluations(run) if score in row.scores), None)
        return self._rows[run.path, score]

    def _settings_of(self, run: RunSummary) -> Mapping[str, Any]:
        from ganforge.config import read_document  # noqa: PLC0415 - a plain list needs none
        from ganforge.runs.settings import settings_of  # noqa: PLC0415 - as above

        if run.path not in self._settings:
            self._settings[run.path] = {}
            with suppress(ConfigError):  # a damaged run has no settings
                self._settings[run.path] = settings_of(read_document(Path(run.path, "run.toml")))
        return self._settings[run.path]

    def _known(self) -> set[str]:
        keys = {key for settings in self._settings.values() for key in settings}
        newest = (next(_evaluations(run), None) for run in self.runs)
        return keys.union(*(row.scores for row in newest if row is not None))


def _evaluations(run: RunSummary) -> Iterator[EvaluationRow]:
    """Yield a run's evaluations, the newest first."""
    from ganforge.schemas.rows import EVALUATIONS, newest_rows  # noqa: PLC0415 - a plain list needs no scores

    return newest_rows(Path(run.path, "evaluation.jsonl"), EVALUATIONS)


def _is_setting(key: str) -> bool:
    section, dot, _ = key.partition(".")
    if dot:
        return section in SETTING_SECTIONS
    from ganforge.config import Experiment  # noqa: PLC0415 - a plain list needs no models

    return key in Experiment.model_fields


class _ScoreTable:
    """Scores of runs in columns; scores that are not comparable are in different columns.

    Attributes:
        columns: The columns.
        values: Scores of each run by column.
        ranks: Sort key of a run and a score: the best first, column by column.
    """

    def __init__(self, runs: Sequence[RunSummary], reader: _RunReader, scores: Sequence[str]) -> None:
        self.columns: list[Column] = []
        self.values: dict[str, dict[str, float]] = {}
        self.ranks: dict[tuple[str, str], Rank] = {}
        self._earlier: Counter[str] = Counter()
        for score in scores:
            self._add(runs, reader, score)

    def _add(self, runs: Sequence[RunSummary], reader: _RunReader, score: str) -> None:
        from ganforge.runs.score_table import columns  # noqa: PLC0415 - a plain list needs none

        rows = ((run.path, reader.row(run, score)) for run in runs)
        steps = {run.path: run.steps or 0 for run in runs}
        for index, column in enumerate(columns(((path, [row]) for path, row in rows if row is not None), [score])):
            self.columns.append(column)
            for path in column.by_run:
                latest = column.latest(path)
                if latest is not None and latest.value is not None:
                    self.values.setdefault(path, {})[column.name] = latest.value
                    self.ranks[path, score] = (index, column.sort_key(latest.value), "")
                    self._earlier[score] += latest.step < steps[path]

    def notes(self) -> list[str]:
        """Return the reasons for several columns of one score, and how many scores are not of the last step."""
        if not self.columns:
            return []
        from ganforge.runs.score_table import explain_split  # noqa: PLC0415 - as above

        earlier = [
            f"{score} of {count:,} run{'' if count == 1 else 's'} is of an earlier step than the last"
            for score, count in self._earlier.items()
            if count
        ]
        return [*explain_split(self.columns), *earlier]
