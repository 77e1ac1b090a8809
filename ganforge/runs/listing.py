"""List of runs: filtered, sorted, with scores.

Other files than run.json are read only for filters and orders that need them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge.components.spec import SECTIONS
from ganforge.errors import RunDirectoryError, UsageError
from ganforge.runs.index import STATUSES, RunSummary, find_runs
from ganforge.runs.query import TIMES, Filter
from ganforge.utils.files import newest_rows, read_at_once
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from ganforge.runs.score_table import Column

#: Fields of run.json, by the names that users may type.
FIELDS = {spec.name: spec.name for spec in fields(RunSummary) if spec.name != "best"} | {
    "name": "name",
    "step": "steps",
}
#: Sections of settings, as dotted keys name them.
SETTING_SECTIONS = frozenset({*SECTIONS, "optimizer", "schedules"})
#: Keys that are sorted from the largest.
DESCENDING = frozenset({*TIMES, "steps", "images_seen", "images_per_second", "elapsed_seconds"})
#: Sort key of values of any types; smaller ones come first.
Rank = tuple[int, float, str]


@dataclass(frozen=True, slots=True)
class ListedRun:
    """Run of a list.

    Attributes:
        summary: Its run.json.
        scores: Requested scores by column.
    """

    summary: RunSummary
    scores: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the run as `runs --json` prints it."""
        return self.summary.as_dict() | ({"scores": dict(self.scores)} if self.scores else {})


@dataclass(frozen=True, slots=True)
class Listing:
    """List of runs.

    Attributes:
        runs: The runs, in order.
        columns: Columns of requested scores.
        count: Number of runs without the limit.
        notes: Lines for the reader.
    """

    runs: Sequence[ListedRun]
    columns: Sequence[str]
    count: int
    notes: Sequence[str]


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the garbage collector, a sixth of the time for a list of 10,000 runs."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@gc_paused()
def list_runs(
    folder: Path,
    *,
    where: Sequence[str] = (),
    status: Sequence[str] = (),
    sort: str = "updated",
    reverse: bool = False,
    limit: int | None = None,
) -> Listing:
    """Return the runs below a folder that match all filters, in order.

    Args:
        folder: The folder; runs may lie at any depth.
        where: Filters such as `loss=hinge`, `gen.base_channels=64`, `fid<20`.
        status: Accepted statuses; all by default.
        sort: Key of run.json, setting, or score. Times and counts are sorted from the largest, scores from the best,
            other values from the smallest. Runs without the value come last.
        reverse: Whether to reverse the order.
        limit: Maximum number of runs.

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
    runs = [run for run in find_runs(folder) if not status or run.status in status]
    reader = _RunReader()
    for condition in sorted(filters, key=lambda condition: _field(condition.key) is None):  # files are opened last
        values = reader.values(runs, condition.key)
        runs = [run for run, value in zip(runs, values, strict=True) if condition.matches(value)]
    values = reader.values(runs, sort)
    scores = dict.fromkeys(key for key in [sort, *(condition.key for condition in filters)] if key in reader.scores)
    table = _ScoreTable(runs, reader, list(scores))
    if sort in reader.scores:
        ranks = [table.rank(run, sort) for run in runs]
    else:
        ranks = [None if value is None else _rank(value) for value in values]
    ordered = _sorted(runs, ranks, descending=(_field(sort) in DESCENDING) != reverse)
    listed = [ListedRun(run, table.values.get(run.path, {})) for run in ordered[:limit]]
    return Listing(listed, [column.name for column in table.columns], len(ordered), table.notes())


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
        scores: Keys that are scores.
    """

    def __init__(self) -> None:
        self.scores: set[str] = set()
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._rows: dict[tuple[str, str], Mapping[str, Any]] = {}

    def values(self, runs: Sequence[RunSummary], key: str) -> list[Any]:
        """Return the value of each run, or None.

        Raises:
            UsageError: No run has the key.
        """
        name = _field(key)
        if name is not None:
            return [getattr(run, name) for run in runs]
        first, dot, rest = key.partition(".")
        setting = first.replace("-", "_") + dot + rest
        if _is_setting(setting):
            values = [self._settings_of(run).get(setting) for run in runs]
        else:
            self.scores.add(key)
            values = [self.row(run, key).get("scores", {}).get(key) for run in runs]
        if runs and all(value is None for value in values):
            from ganforge.config import Experiment  # noqa: PLC0415 - as below

            known = {*FIELDS, *Experiment.model_fields, *self._known(runs)}
            suggestion = did_you_mean(key, known)  # a list of all keys is too long
            raise UsageError(f"no run has a {key!r}{suggestion if suggestion.endswith('?') else ''}")
        return values

    def row(self, run: RunSummary, score: str) -> Mapping[str, Any]:
        """Return the newest evaluation of a run that has a score, or an empty one."""
        if (run.path, score) not in self._rows:
            rows = newest_rows(f"{run.path}/evaluation.jsonl")
            scored = (row for row in rows if isinstance(row.get("scores"), dict) and score in row["scores"])
            self._rows[run.path, score] = next(scored, {})
        return self._rows[run.path, score]

    def _settings_of(self, run: RunSummary) -> Mapping[str, Any]:
        from ganforge.runs.settings import settings_in  # noqa: PLC0415 - a plain list needs none

        if run.path not in self._settings:
            self._settings[run.path] = {}
            with suppress(OSError, ValueError):  # a damaged run has no settings
                self._settings[run.path] = settings_in(read_at_once(f"{run.path}/run.toml").decode())
        return self._settings[run.path]

    def _known(self, runs: Sequence[RunSummary]) -> set[str]:
        keys = {key for settings in self._settings.values() for key in settings}
        rows = (next(newest_rows(f"{run.path}/evaluation.jsonl"), {}) for run in runs)
        return keys.union(*(row["scores"] for row in rows if isinstance(row.get("scores"), dict)))


def _is_setting(key: str) -> bool:
    section, dot, _ = key.partition(".")
    if dot:
        return section in SETTING_SECTIONS
    from ganforge.config import Experiment  # noqa: PLC0415 - a plain list needs no models

    return key in Experiment.model_fields


class _ScoreTable:
    """Scores of runs in columns; scores that are not comparable are in different columns."""

    def __init__(self, runs: Sequence[RunSummary], reader: _RunReader, scores: Sequence[str]) -> None:
        self.columns: list[Column] = []
        self.values: dict[str, dict[str, float]] = {}
        self._ranks: dict[tuple[str, str], Rank] = {}
        for score in scores:
            self._add(runs, reader, score)

    def _add(self, runs: Sequence[RunSummary], reader: _RunReader, score: str) -> None:
        from ganforge.runs.score_table import columns, valid_rows  # noqa: PLC0415 - a plain list needs none

        for index, column in enumerate(
            columns((run.path, list(valid_rows([reader.row(run, score)], score))) for run in runs)
        ):
            self.columns.append(column)
            for path in column.by_run:
                latest = column.latest(path)
                if latest is not None and latest.value is not None:
                    self.values.setdefault(path, {})[column.name] = latest.value
                    self._ranks[path, score] = (index, column.sort_key(latest.value), "")

    def rank(self, run: RunSummary, score: str) -> Rank | None:
        """Return the sort key of a run: the best first, column by column."""
        return self._ranks.get((run.path, score))

    def notes(self) -> list[str]:
        """Return the reasons for several columns of one score."""
        if not self.columns:
            return []
        from ganforge.runs.score_table import explain_split  # noqa: PLC0415 - as above

        return explain_split(self.columns)
