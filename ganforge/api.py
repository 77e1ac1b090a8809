"""Training from Python: `ganforge.train` and `ganforge.resume`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from ganforge.config import Experiment
from ganforge.config.layers import experiment_layer
from ganforge.config.resolve import resolve
from ganforge.errors import DivergedError, TrainingError
from ganforge.plugins.registry import Registry
from ganforge.runs.distributed_launch import follow
from ganforge.runs.launch import Changes, go_on, start
from ganforge.runs.session import Outcome
from ganforge.runs.setup import prepare
from ganforge.runs.trained import TrainedRun
from ganforge.training.callbacks import Observer
from ganforge.training.distributed import Processes, joined
from ganforge.training.run_directory import RunDirectory


def train(
    experiment: Experiment | None = None,
    *,
    out: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    observer: Observer | None = None,
) -> TrainedRun:
    """Train an experiment and return the run, ready to be sampled.

    experiment: what is left out of it takes the defaults. out: the run directory, which must not exist; a fresh one in
    runs/ by default. plugins: local plugin files. Raises GanforgeError's subclasses as their names say; DivergedError
    and TrainingError leave a run directory behind that can be looked at. KeyboardInterrupt is raised after a checkpoint
    was saved, so that `ganforge.resume` goes on.
    """
    registry = _discover(plugins)
    layers = [] if experiment is None else [experiment_layer(experiment)]
    place = None if out is None else Path(out)
    RunDirectory.check_new(place)
    with joined() as processes:
        if processes.first:
            prepared = prepare(resolve(layers, registry), registry, processes=processes)
            outcome = start(prepared, out=place, observer=observer)
        else:
            outcome = follow(registry, processes)
        _wait(processes, outcome)
    return opened(outcome, registry)


def resume(
    run: str | Path,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    plugins: Sequence[str | Path] = (),
    observer: Observer | None = None,
) -> TrainedRun:
    """Go on with a run exactly where it stopped, or to more epochs or steps, and return it. Raises as `train` does.

    device, workers: where it trains, and how many processes read streamed data, where that shall be otherwise now.
    """
    registry = _discover(plugins)
    watcher = None if observer is None else lambda _: observer
    changes = Changes(epochs=epochs, steps=steps, device=device, workers=workers)
    with joined() as processes:
        if processes.first:
            outcome = go_on(RunDirectory.open(Path(run)), registry, changes, observer=watcher, processes=processes)
        else:
            outcome = follow(registry, processes)
        _wait(processes, outcome)
    return opened(outcome, registry)


def _wait(processes: Processes, outcome: Outcome) -> None:
    """Let nobody look at a finished run before it is written; another end may be one process's alone."""
    if outcome.status == "finished":
        processes.highest(0)


def _discover(plugins: Sequence[str | Path]) -> Registry:
    registry = Registry.discover([Path(plugin) for plugin in plugins])
    for problem in registry.plugins.problems:
        warnings.warn(str(problem), stacklevel=3)
    return registry


def opened(outcome: Outcome, registry: Registry) -> TrainedRun:
    """Return a run that finished, ready to be sampled. Raises what a run that did not finish means in Python."""
    if outcome.signal is not None:
        raise KeyboardInterrupt(f"saved at step {outcome.steps}; ganforge.resume({str(outcome.run.path)!r}) goes on")
    if outcome.status == "diverged":
        raise DivergedError(f"{outcome.run.path}: {outcome.error}", fix=outcome.fix)
    if outcome.status == "failed":
        raise TrainingError(f"{outcome.run.path}: {outcome.error}") from outcome.cause
    return TrainedRun(outcome.run, registry)
