"""A run as it is compared: its settings, its evaluations, how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganforge.config import read_document
from ganforge.errors import GanforgeError, RunDirectoryError
from ganforge.report.health import Finding, findings
from ganforge.runs.index import catalogue
from ganforge.runs.score_table import sound
from ganforge.runs.settings import SEED, canonical, provenance, settings_of
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import read_rows


@dataclass(frozen=True, slots=True)
class Run:
    """Hold a run.

    steps: how far it came, None while it has not ended. settings: run.toml as dotted keys, with what run.json adds.
    findings: what watching its health has found.
    """

    directory: RunDirectory
    name: str
    status: str
    error: str | None
    seed: int
    steps: int | None
    settings: dict[str, Any]
    evaluations: list[dict[str, Any]]
    findings: list[Finding]

    @property
    def identity(self) -> str:
        """What is equal for runs that differ in their seed only."""
        return canonical({key: value for key, value in self.settings.items() if key != SEED})

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of metrics.jsonl."""
        return read_rows(self.directory.metrics)


def find(places: Iterable[Path]) -> list[Path]:
    """Return the run directories that are given, or lie below a given folder, each once.

    Raises RunDirectoryError for a place that is not there, or holds no run.
    """
    found: dict[Path, Path] = {}
    for place in places:
        if not place.is_dir():
            raise RunDirectoryError(f"{place} does not exist", fix="ganforge runs lists the runs that there are")
        below = [Path(summary.path) for summary in catalogue(place)]
        if not below:
            raise RunDirectoryError(f"there are no runs in {place}", fix="ganforge run makes one")
        for path in sorted(below):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def read(paths: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Return the runs that can be read, and a line about each one that cannot."""
    runs, problems = [], []
    for path in paths:
        try:
            runs.append(_read(RunDirectory.open(path)))
        except GanforgeError as error:
            problems.append(f"{path} is left out: {error.message}")
        except (OSError, RecursionError) as error:
            problems.append(f"{path} is left out: it cannot be read: {error}")
    return _named(runs), problems


def _read(directory: RunDirectory) -> Run:
    manifest, settings = directory.read_manifest(), settings_of(read_document(directory.config))
    seed, error = settings.get(SEED), manifest.get("error")
    if not isinstance(seed, int):
        raise RunDirectoryError(f"{directory.config} has no seed")
    return Run(
        directory,
        name=directory.path.name,
        status=str(manifest.get("status", "damaged")),
        error=None if error is None else " ".join(str(error).split()),
        seed=seed,
        steps=None if manifest.get("status") == "running" else _steps(manifest.get("summary")),
        settings=settings | provenance(manifest),
        evaluations=list(sound(read_rows(directory.evaluations))),
        findings=findings(manifest.get("health")),
    )


def _steps(summary: object) -> int | None:
    """Return how far a run came, where it has ended."""
    steps = summary.get("steps") if isinstance(summary, dict) else None
    return steps if isinstance(steps, int) and not isinstance(steps, bool) else None


def _named(runs: list[Run]) -> list[Run]:
    """Call each run as its directory is called, with as much of the path before it as tells it from the others."""
    names = {id(run): run.directory.path.resolve().parts for run in runs}
    length = 1
    while length < max(map(len, names.values()), default=0):
        if len({parts[-length:] for parts in names.values()}) == len(runs):
            break
        length += 1
    return [replace(run, name="/".join(names[id(run)][-length:])) for run in runs]
