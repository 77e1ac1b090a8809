"""A list of runs: which of them, in which order. What run.json does not hold is read only where it is asked for."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge.components.spec import SECTIONS
from ganforge.errors import RunDirectoryError, UsageError
from ganforge.runs.index import STATUSES, RunSummary, catalogue
from ganforge.runs.query import TIMES, Condition
from ganforge.utils.files import newest_rows, read_at_once
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from ganforge.runs.score_table import Column

#: What run.json says, by what people call it.
FIELDS = {spec.name: spec.name for spec in fields(RunSummary) if spec.name != "best"} | {
    "name": "name",
    "step": "steps",
}
#: What runs are sorted by; a smaller one comes first.
Rank = tuple[int, float, str]
LARGEST_FIRST = frozenset({*TIMES, "steps", "images_seen", "images_per_second", "elapsed_seconds"})


@dataclass(frozen=True, slots=True)
class Listed:
    """Hold a run of the list. scores: those that were asked for, by their column."""

    summary: RunSummary
    scores: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return it as `runs --json` prints it."""
        return self.summary.as_dict() | ({"scores": dict(self.scores)} if self.scores else {})


@dataclass(frozen=True, slots=True)
class Listing:
    """Hold the runs that were asked for. columns: of scores. count: how many runs there are without the limit."""

    runs: Sequence[Listed]
    columns: Sequence[str]
    count: int
    notes: Sequence[str]


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """Keep Python from looking for cycles among many thousand tables that have none, a sixth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@no_search_for_cycles()
def list_runs(
    folder: Path,
    *,
    where: Sequence[str] = (),
    status: Sequence[str] = (),
    sort: str = "updated",
    reverse: bool = False,
    limit: int | None = None,
) -> Listing:
    """Return the runs below a folder that fulfil every condition, in order.

    where: conditions such as `loss=hinge`, `gen.base_channels=64`, `fid<20`. status: any of these. sort: a key of
    run.json, a setting, or a score. Times and counts go from the largest, scores from the best, all else from the
    smallest; runs that have no such value come last. Raises RunDirectoryError where there is no such folder, UsageError
    for a key that no run has.
    """
    if not folder.is_dir():
        raise RunDirectoryError(
            f"there are no runs in {folder}: no such folder", fix="ganforge run makes the first one"
        )
    for word in status:
        if word not in STATUSES:
            raise UsageError(f"no status {word!r}{did_you_mean(word, STATUSES)}")
    conditions = [Condition.parse(text) for text in where]
    runs = [run for run in catalogue(folder) if not status or run.status in status]
    reader = _Reader()
    for condition in sorted(conditions, key=lambda condition: _field(condition.key) is None):  # files are opened last
        values = reader.values(runs, condition.key)
        runs = [run for run, value in zip(runs, values, strict=True) if condition.holds(value)]
    values = reader.values(runs, sort)
    scores = dict.fromkeys(key for key in [sort, *(condition.key for condition in conditions)] if key in reader.scores)
    table = _ScoreTable(runs, reader, list(scores))
    if sort in reader.scores:
        ranks = [table.rank(run, sort) for run in runs]
    else:
        ranks = [None if value is None else _rank(value) for value in values]
    ordered = _ordered(runs, ranks, largest_first=_field(sort) in LARGEST_FIRST, reverse=reverse)
    shown = [Listed(run, table.values.get(run.path, {})) for run in ordered[:limit]]
    names, notes = [column.name for column in table.columns], table.notes()
    return Listing(shown, names, len(ordered), notes)


def _field(key: str) -> str | None:
    return FIELDS.get(key.replace("-", "_"))


def _ordered(
    runs: Sequence[RunSummary], ranks: Sequence[Any], *, largest_first: bool, reverse: bool
) -> list[RunSummary]:
    ranked = [(rank, run) for rank, run in zip(ranks, runs, strict=True) if rank is not None]
    ranked.sort(key=lambda pair: pair[0], reverse=largest_first != reverse)
    return [run for _, run in ranked] + [run for rank, run in zip(ranks, runs, strict=True) if rank is None]


def _rank(value: object) -> Rank:
    """Return what values of any types are sorted by: numbers first."""
    if isinstance(value, int | float):
        return 0, value, ""
    return 1, 0, str(value)


class _Reader:
    """Look up what was asked for, each file once. scores: the keys that turned out to be scores."""

    def __init__(self) -> None:
        self.scores: set[str] = set()
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._rows: dict[tuple[str, str], Mapping[str, Any]] = {}

    def values(self, runs: Sequence[RunSummary], key: str) -> list[Any]:
        """Return the runs' values, None where one has none. Raises UsageError for a key that no run has."""
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
            raise UsageError(f"none of these runs has a {key!r}{_near(key, known)}")
        return values

    def row(self, run: RunSummary, score: str) -> Mapping[str, Any]:
        """Return a run's newest evaluation that has a score; an empty one where there is none."""
        if (run.path, score) not in self._rows:
            rows = newest_rows(f"{run.path}/evaluation.jsonl")
            having = (row for row in rows if isinstance(row.get("scores"), dict) and score in row["scores"])
            self._rows[run.path, score] = next(having, {})
        return self._rows[run.path, score]

    def _settings_of(self, run: RunSummary) -> Mapping[str, Any]:
        from ganforge.runs.settings import settings_in  # noqa: PLC0415 - a plain list needs none

        if run.path not in self._settings:
            self._settings[run.path] = {}
            with suppress(OSError, ValueError):  # a run that cannot be read has no settings
                self._settings[run.path] = settings_in(read_at_once(f"{run.path}/run.toml").decode())
        return self._settings[run.path]

    def _known(self, runs: Sequence[RunSummary]) -> set[str]:
        keys = {key for settings in self._settings.values() for key in settings}
        rows = (next(newest_rows(f"{run.path}/evaluation.jsonl"), {}) for run in runs)
        return keys.union(*(row["scores"] for row in rows if isinstance(row.get("scores"), dict)))


def _is_setting(key: str) -> bool:
    section, dot, _ = key.partition(".")
    if dot:
        return section in {*SECTIONS, "optimizer"}
    from ganforge.config import Experiment  # noqa: PLC0415 - a plain list needs no models

    return key in Experiment.model_fields


def _near(key: str, known: set[str]) -> str:
    """Return the nearest of many words, not all of them."""
    words = did_you_mean(key, known)
    return words if words.endswith("?") else ""


class _ScoreTable:
    """Put scores into columns, so that none stands beside one that measures something else."""

    def __init__(self, runs: Sequence[RunSummary], reader: _Reader, scores: Sequence[str]) -> None:
        self.columns: list[Column] = []
        self.values: dict[str, dict[str, float]] = {}
        self._ranks: dict[tuple[str, str], Rank] = {}
        for score in scores:
            self._add(runs, reader, score)

    def _add(self, runs: Sequence[RunSummary], reader: _Reader, score: str) -> None:
        from ganforge.runs.score_table import columns, sound  # noqa: PLC0415 - a plain list needs none

        for index, column in enumerate(
            columns((run.path, list(sound([reader.row(run, score)], score))) for run in runs)
        ):
            self.columns.append(column)
            for path in column.by_run:
                latest = column.latest(path)
                if latest is not None and latest.value is not None:
                    self.values.setdefault(path, {})[column.name] = latest.value
                    self._ranks[path, score] = (index, column.distance(latest.value), "")

    def rank(self, run: RunSummary, score: str) -> Rank | None:
        """Return what runs are sorted by: the better, the earlier, column after column."""
        return self._ranks.get((run.path, score))

    def notes(self) -> list[str]:
        """Return why there are several columns of a score."""
        if not self.columns:
            return []
        from ganforge.runs.score_table import why_columns_stand_apart  # noqa: PLC0415 - as above

        return why_columns_stand_apart(self.columns)
