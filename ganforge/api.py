"""Python interface: `ganforge.train`, `ganforge.resume` and `ganforge.load`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from ganforge.config import Experiment
from ganforge.config.classes import name_classes
from ganforge.config.keywords import ExperimentSettings
from ganforge.config.layers import experiment_layer, preset_layer
from ganforge.config.resolve import resolve
from ganforge.errors import DivergedError, TrainingError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.report import report_run
from ganforge.runs.distributed_launch import run_rank
from ganforge.runs.launch import ResumeOverrides, resume_run, start_run
from ganforge.runs.session import Outcome
from ganforge.runs.setup import prepare
from ganforge.runs.sources import open_source
from ganforge.runs.trained_run import TrainedRun
from ganforge.training.callbacks import Callback
from ganforge.training.distributed import DistContext, init_distributed
from ganforge.training.run_directory import RunDirectory


def train(
    experiment: Experiment | None = None,
    *,
    preset: str | Sequence[str] = (),
    out: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    callback: Callback | None = None,
    **settings: Unpack[ExperimentSettings],
) -> TrainedRun:
    """Train and return the finished run: `train(gen="dcgan", data="mnist", steps=500)`.

    Args:
        experiment: Settings as an object; by default every setting has its default.
        preset: Names of presets, such as "quick", below all other settings; later ones win.
        out: The run directory, which must not exist; by default a new one in runs/.
        plugins: Local plugin files.
        callback: In-process callbacks.
        settings: Settings of `Experiment`, above those of `experiment`.

    Raises:
        GanforgeError: A setting, the data or a component is invalid.
        DivergedError: The training diverged; the run directory remains.
        TrainingError: The training failed; the run directory remains.
        KeyboardInterrupt: The user interrupted it; a checkpoint was saved, and `ganforge.resume` continues.
    """
    if experiment is not None and not isinstance(experiment, Experiment):
        raise UsageError(
            f"the experiment is a {type(experiment).__name__}, not a ganforge.Experiment",
            fix='pass settings by keyword: ganforge.train(gen="dcgan", steps=500), or ganforge.train(**settings)',
        )
    experiments = [part for part in (experiment, Experiment(**settings)) if part is not None]
    experiments, registry = name_classes(experiments, _discover(plugins))
    layers = [preset_layer(name, registry) for name in ([preset] if isinstance(preset, str) else preset)]
    layers += [experiment_layer(part) for part in experiments]
    place = None if out is None else Path(out)
    RunDirectory.check_new(place)
    with init_distributed() as dist:
        if dist.is_main:
            prepared = prepare(resolve(layers, registry), registry, dist=dist)
            outcome = start_run(prepared, out=place, callback=callback, report=report_run)
        else:
            outcome = run_rank(registry, dist)
        _wait(dist, outcome)
    return open_finished(outcome, registry)


def resume(
    run: str | Path,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    plugins: Sequence[str | Path] = (),
    callback: Callback | None = None,
) -> TrainedRun:
    """Resume a run exactly at its newest checkpoint, and return it finished. Raises the errors of `train`.

    Args:
        run: The run directory.
        epochs: Epochs in total, to extend the training.
        steps: Steps in total, to extend the training.
        device: Another device than before.
        workers: Another number of worker processes that read streamed data.
        plugins: Local plugin files.
        callback: In-process callbacks.
    """
    registry = _discover(plugins)
    make_callback = None if callback is None else lambda _: callback
    overrides = ResumeOverrides(epochs=epochs, steps=steps, device=device, workers=workers)
    with init_distributed() as dist:
        if dist.is_main:
            directory = RunDirectory.open(Path(run))
            outcome = resume_run(directory, registry, overrides, callback=make_callback, dist=dist, report=report_run)
        else:
            outcome = run_rank(registry, dist)
        _wait(dist, outcome)
    return open_finished(outcome, registry)


def load(source: str | Path, *, plugins: Sequence[str | Path] = ()) -> TrainedRun:
    """Open a trained run: a run directory, a bundle of `ganforge export`, or a run on the Hugging Face Hub.

    Args:
        source: The run directory, the bundle, `hub:OWNER/NAME`, optionally with `@REVISION`, or `zoo:NAME`, a small
            generator that ganforge-zoo ships.
        plugins: Local plugin files of the run.

    Raises:
        RunDirectoryError: The run does not exist, or the bundle is invalid or damaged.
        GanforgeError: The Hub has no such run, or cannot be reached.
    """
    registry = Registry.discover([Path(plugin) for plugin in plugins])
    return TrainedRun(open_source(source), registry, report=report_run)


def _wait(dist: DistContext, outcome: Outcome) -> None:
    """Wait until all ranks have finished and the run is written; a rank may fail alone."""
    if outcome.status == "finished":
        dist.all_reduce_max(0)


def _discover(plugins: Sequence[str | Path]) -> Registry:
    registry = Registry.discover([Path(plugin) for plugin in plugins])
    for problem in registry.plugins.problems:
        warnings.warn(str(problem), stacklevel=3)
    return registry


def open_finished(outcome: Outcome, registry: Registry) -> TrainedRun:
    """Return a finished run, or raise the error of an unfinished one, as `train` describes."""
    if outcome.signal is not None:
        raise KeyboardInterrupt(f"saved at step {outcome.steps}; ganforge.resume({str(outcome.run.path)!r}) continues")
    if outcome.status == "diverged":
        raise DivergedError(f"{outcome.run.path}: {outcome.error}", fix=outcome.fix)
    if outcome.status == "failed":
        raise TrainingError(f"{outcome.run.path}: {outcome.error}") from outcome.cause
    return TrainedRun(outcome.run, registry, report=report_run)
