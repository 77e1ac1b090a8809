"""Runs to compare: settings, evaluations, status."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganforge.config import read_document
from ganforge.errors import GanforgeError, RunDirectoryError
from ganforge.runs.index import current_status, find_runs
from ganforge.runs.settings import FREE, canonical, provenance, settings_of
from ganforge.schemas.manifest import AlertRecord
from ganforge.schemas.rows import EVALUATIONS, METRICS, EvaluationRow, MetricsRow, read_rows
from ganforge.training.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Run:
    """Run of a comparison.

    Attributes:
        steps: Trained steps, or None before the end.
        settings: run.toml as dotted keys, with the provenance of run.json.
        alerts: Health alerts.
    """

    directory: RunDirectory
    name: str
    status: str
    error: str | None
    seed: int
    steps: int | None
    settings: dict[str, Any]
    evaluations: list[EvaluationRow]
    alerts: list[AlertRecord]

    @property
    def identity(self) -> str:
        """Settings without those that are `FREE`, as text."""
        return canonical({key: value for key, value in self.settings.items() if key not in FREE})

    def rows(self) -> list[MetricsRow]:
        """Return the rows of metrics.jsonl. Raises OSError if it cannot be read."""
        return read_rows(self.directory.metrics, METRICS)


def find_directories(places: Iterable[Path]) -> list[Path]:
    """Return run directories: the places themselves, or all runs below them, each once.

    Raises:
        RunDirectoryError: A place does not exist, or has no runs.
    """
    paths: dict[Path, Path] = {}
    for place in places:
        if not place.is_dir():
            raise RunDirectoryError(f"{place} does not exist", fix="ganforge runs lists the existing runs")
        below = [Path(summary.path) for summary in find_runs(place)]
        if not below:
            raise RunDirectoryError(f"no runs in {place}", fix="ganforge run starts a run")
        for path in sorted(below):
            paths.setdefault(path.resolve(), path)
    return list(paths.values())


def read_runs(paths: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Return the readable runs, and a line per unreadable one and per file with damaged rows."""
    runs: list[Run] = []
    problems: list[str] = []
    for path in paths:
        try:
            runs.append(_read(RunDirectory.open(path), problems))
        except GanforgeError as error:
            problems.append(f"{path} is skipped: {error.message}")
        except (OSError, RecursionError) as error:
            problems.append(f"{path} is skipped: it cannot be read: {error}")
    return _named(runs), problems


def _read(directory: RunDirectory, problems: list[str]) -> Run:
    manifest, settings = directory.read_manifest(), settings_of(read_document(directory.config))
    status = current_status(directory.path, manifest.status)
    return Run(
        directory,
        name=directory.path.name,
        status=status,
        error=None if manifest.error is None else " ".join(manifest.error.split()),
        seed=manifest.seed,
        steps=None if status == "running" or manifest.summary is None else manifest.summary.steps,
        settings=settings | provenance(manifest),
        evaluations=read_rows(
            directory.evaluations, EVALUATIONS, lambda line: problems.append(f"{directory.path}: {line}")
        ),
        alerts=manifest.health,
    )


def _named(runs: list[Run]) -> list[Run]:
    """Name runs after their directories, with as many parent folders as make the names unique."""
    names = {id(run): run.directory.path.resolve().parts for run in runs}
    length = 1
    while length < max(map(len, names.values()), default=0):
        if len({parts[-length:] for parts in names.values()}) == len(runs):
            break
        length += 1
    return [replace(run, name="/".join(names[id(run)][-length:])) for run in runs]
