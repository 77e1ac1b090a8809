"""Folder of a sweep.

| in runs/sweep-3f2a9c81 | content |
| --- | --- |
| sweep.toml | configuration of the sweep |
| plan.json | configurations of the trials, as prepared on this machine for all seeds |
| NAME-seed0/ | run directory |
| trials/ | for each run: the configuration it was started with, its log, its lock |
| leaderboard.json, .md | result |
| search.journal | trials of a search |
"""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from filelock import FileLock
from pydantic import model_validator

from ganforge.config import to_document, write_document
from ganforge.errors import ConfigError, RunDirectoryError, UsageError
from ganforge.runs.evaluate import DEFAULT_NUM_SAMPLES
from ganforge.schemas.manifest import Manifest
from ganforge.schemas.rows import EVALUATIONS, METRICS, EvaluationRow, newest_rows
from ganforge.sweep.config import FILE, Document, EvalSpec, SweepConfig
from ganforge.sweep.locks import TrialLock, acquire_lock
from ganforge.sweep.trials import PlanEntry, Trial, TrialConfig, differences, settings_of
from ganforge.training.run_directory import DEFAULT_FOLDER, RunDirectory
from ganforge.utils.files import error_reason, write_atomically

#: State of a trial's run: absent, to resume, or at its end.
State = Literal["new", "unfinished", "finished", "diverged"]
#: Share of a trial that counts as done before its scores are there.
MAX_PROGRESS = 0.99
#: Files of a sweep whose sweep.toml could not be written.
REMAINS = (set[str](), {".lock"}, {".lock", "trials"})
#: Files of a run that has not started yet.
FIRST_FILES = re.compile(r"\.lock|run\.toml|\.run\.(toml|json)\.\d+\.tmp")


class Plan(Document):
    """Content of plan.json."""

    configs: tuple[PlanEntry, ...]

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        experiments = {entry.name: entry.experiment for entry in self.configs}
        for entry in self.configs:
            if entry.experiment != experiments[entry.name]:
                raise ValueError(f"two configurations have the name {entry.name!r}")
        return self


@dataclass(frozen=True, slots=True)
class SweepDirectory:
    """Files of a sweep."""

    path: Path

    @classmethod
    def locate(cls, out: Path | None, config: SweepConfig) -> Self:
        """Return the folder of a sweep, without creating it.

        Raises:
            UsageError: It holds another sweep.
            RunDirectoryError: It holds something else, or cannot be created.
        """
        path = DEFAULT_FOLDER / f"sweep-{config.digest}" if out is None else out
        directory = cls(path)
        if (path / FILE).is_file():
            conflict = config.conflict_with(SweepConfig.read(path))
            if conflict is not None:
                raise UsageError(
                    f"{path} holds another sweep: {conflict}",
                    fix="choose another --out; a sweep can be extended by seeds, values and configurations only",
                )
        elif directory.trials.is_dir() and directory.plan.exists():
            pass  # a damaged sweep.toml was removed, as `SweepConfig.read` recommends
        elif path.exists() and (not path.is_dir() or {file.name for file in path.iterdir()} not in REMAINS):
            raise RunDirectoryError(f"{path} exists already and is not a sweep", fix="choose another --out")
        else:
            RunDirectory.check_new(path if not path.is_dir() else path / FILE)
        return directory

    @property
    def trials(self) -> Path:
        """Folder of configurations, logs and locks."""
        return self.path / "trials"

    @property
    def plan(self) -> Path:
        """File plan.json."""
        return self.path / "plan.json"

    @property
    def journal(self) -> Path:
        """Default storage of a search."""
        return self.path / "search.journal"

    def lock(self) -> FileLock:
        """Return the lock of the files that all processes of the sweep change; this process may acquire it again."""
        return FileLock(self.path / ".lock", is_singleton=True)

    def write(self, sweep: SweepConfig) -> None:
        """Create the folder and write sweep.toml. Raises RunDirectoryError if it cannot be written."""
        with self._blamed():
            self.trials.mkdir(parents=True, exist_ok=True)
            with self.lock():
                sweep.write(self.path)

    def add(self, configs: Iterable[TrialConfig]) -> list[TrialConfig]:
        """Add configurations to plan.json, and return all; existing entries of the same settings replace them.

        Entries of plan.json take precedence in what a machine decides.

        Raises:
            RunDirectoryError: The file cannot be written.
        """
        with self._blamed(), self.lock():
            plan, _ = self.read_plan()
            valid = [_same_settings(plan.get(config.key, config), config) for config in configs]
            plan |= {config.key: config for config in valid if config.experiment is not None}
            Plan(configs=tuple(config.entry() for config in plan.values())).write_json(self.plan)
        return valid

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Raise RunDirectoryError for an OSError."""
        try:
            yield
        except OSError as error:
            path = Path(error.filename or self.path)
            path = path if path.exists() else self.path  # not a temporary file in it
            raise RunDirectoryError(f"{path} cannot be written: {error_reason(error)}") from None

    def read_plan(self) -> tuple[dict[str, TrialConfig], list[str]]:
        """Return the configurations of plan.json by key, and a line if it is damaged: they are then planned again."""
        try:
            configs = [entry.config() for entry in Plan.read_json(self.plan).configs]
        except OSError:
            return {}, []
        except ConfigError as error:
            return {}, [f"{error.message}; the configurations are planned again"]
        return {config.key: config for config in configs}, []

    def run(self, trial: Trial) -> RunDirectory:
        """Return the run directory of a trial, which may not exist yet."""
        return RunDirectory(self.path / trial.name)

    def lock_trial(self, trial: Trial) -> TrialLock | None:
        """Return the lock of a trial, or None if another process holds it."""
        return acquire_lock(self.trials / f"{trial.name}.lock")

    def write_config(self, trial: Trial) -> Path:
        """Write the configuration that a trial is started with, and return its path. Raises OSError.

        The run is not scored at its end, since the sweep scores it.
        """
        path = self.trials / f"{trial.name}.toml"
        experiment = trial.experiment.model_copy(update={"evaluate": None})
        write_atomically(path, write_document(to_document(experiment)))
        return path

    def state(self, trial: Trial) -> State:
        """Return the state of a trial's run.

        A run of fewer steps than its trial's is unfinished, although run.json may have another status.

        Raises:
            ConfigError: run.toml is damaged.
            RunDirectoryError: run.toml is that of another trial, or was changed.
        """
        run = self.run(trial)
        if not run.manifest.is_file():
            return "new"
        if run.config.is_file() and (changed := differences(run.read_experiment(), trial.experiment)):
            raise RunDirectoryError(
                f"{run.config} has other settings than the trial: {changed}; move the folder away to train another"
            )
        manifest = self.manifest(trial)
        if manifest is None or (
            manifest.status == "finished" and run.config.is_file() and _has_steps_left(manifest, trial)
        ):
            return "unfinished"
        status = manifest.status
        return status if status == "finished" or status == "diverged" else "unfinished"  # noqa: PLR1714 - mypy narrows

    def manifest(self, trial: Trial) -> Manifest | None:
        """Return a trial's run.json, or None if it is missing or damaged."""
        try:
            return self.run(trial).read_manifest()
        except RunDirectoryError:
            return None

    def progress(self, trial: Trial) -> float:
        """Return the share of a trial's training that is done, from 0 to `MAX_PROGRESS`, by its newest row."""
        row = next(newest_rows(self.run(trial).metrics, METRICS), None)
        if row is None:
            return 0.0
        experiment = trial.experiment
        done, total = row["step"], experiment.steps
        if total is None:
            done, total = row.get("epoch", 0), experiment.epochs
        share = 0.0 if total is None else done / total
        return min(share, MAX_PROGRESS) if share >= 0 else 0.0  # a damaged row may have any number

    def make_room(self, trial: Trial) -> Path | None:
        """Clear the path of a new run, and return the new name of a folder whose run.json is lost.

        The remains of a run that did not start are removed; the caller holds the lock of the trial. Raises OSError.
        """
        path = self.run(trial).path
        if not path.is_dir():
            return None
        files = (file.relative_to(path) for file in path.rglob("*") if file.is_symlink() or not file.is_dir())
        if all(FIRST_FILES.fullmatch(str(file)) for file in files):
            shutil.rmtree(path)
            return None
        return rename_damaged(path)

    def scores(self, trial: Trial, scoring: EvalSpec) -> EvaluationRow | None:
        """Return the row of evaluation.jsonl with the requested scores of a finished trial, or None."""
        manifest = self.manifest(trial)
        if manifest is None or manifest.summary is None:
            return None
        matches = [
            row
            for row in newest_rows(self.run(trial).evaluations, EVALUATIONS)
            if row.step == manifest.summary.steps and _matches(row, trial, manifest.data.sizes, scoring)
        ]
        names = set(scoring.metrics or ())  # rows of other evaluations may have further metrics
        return min(matches, key=lambda row: len(row.protocol.metrics.keys() - names), default=None)


def _same_settings(earlier: TrialConfig, config: TrialConfig) -> TrialConfig:
    """Return an earlier configuration if it differs in nothing but what a machine decides or finds, else the other."""
    if earlier.experiment is None or config.experiment is None:
        return config
    keys = {key for key in settings_of(config.experiment) if not key.startswith("data.")}
    return config if differences(earlier.experiment, config.experiment, keys) else earlier


def _has_steps_left(manifest: Manifest, trial: Trial) -> bool:
    """Return whether a run lacks steps of its trial, by its run.json."""
    steps = 0 if manifest.summary is None else manifest.summary.steps
    return steps < trial.experiment.total_steps(manifest.data.sizes.get("train", 0))


def rename_damaged(path: Path) -> Path:
    """Rename a file or folder to its first free name with `.damaged-N`, and return it. Raises OSError."""
    candidates = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    return path.rename(next(candidate for candidate in candidates if not candidate.exists()))


def _matches(row: EvaluationRow, trial: Trial, sizes: Mapping[str, int], scoring: EvalSpec) -> bool:
    """Return whether a row is that of `ganforge evaluate` for a trial."""
    protocol = row.protocol
    split = "test" if "test" in sizes else "train"
    count = scoring.num_samples or min(DEFAULT_NUM_SAMPLES, sizes[split])
    weights = "generator" if trial.experiment.ema_halflife_images is None else "generator_ema"
    if scoring.metrics is None:
        has_metrics = row.source == "evaluate" and row.requested_metrics is None
    else:
        has_metrics = set(scoring.metrics) <= protocol.metrics.keys()
    return (
        has_metrics
        and (protocol.features is None or protocol.features.name == trial.experiment.features.name)
        and (protocol.split, protocol.fake_images, protocol.real_images) == (split, count, count)
        and (protocol.seed, protocol.weights) == (trial.seed, weights)
    )
