"""End of a training in Python: the trained run, or the error."""

from __future__ import annotations

from ganforge.config import Experiment
from ganforge.errors import DivergedError, TrainingError
from ganforge.plugins.registry import Registry
from ganforge.runs import ReportWriter
from ganforge.runs.distributed_launch import run_rank
from ganforge.runs.launch import ResumeOverrides, WarningsCallback, resume_run
from ganforge.runs.notebook import notebook_callback
from ganforge.runs.session import Outcome
from ganforge.runs.trained_run import TrainedRun
from ganforge.training.callbacks import Callback
from ganforge.training.distributed import DistContext, init_distributed
from ganforge.training.run_directory import RunDirectory


def resume_to_end(
    directory: RunDirectory,
    registry: Registry,
    overrides: ResumeOverrides,
    *,
    callback: Callback | None,
    progress: bool,
    report: ReportWriter | None,
) -> TrainedRun:
    """Resume a run and return it finished; arguments and errors are those of `TrainedRun.resume`."""

    def make_callback(experiment: Experiment) -> Callback:
        return notebook_callback(callback, epochs=experiment.epochs, progress=progress) or WarningsCallback()

    with init_distributed() as dist:
        if dist.is_main:
            outcome = resume_run(directory, registry, overrides, callback=make_callback, dist=dist, report=report)
        else:
            outcome = run_rank(registry, dist)
        wait_for_ranks(dist, outcome)
    return open_finished(outcome, registry, report)


def wait_for_ranks(dist: DistContext, outcome: Outcome) -> None:
    """Wait until all ranks have finished and the run is written; a rank may fail alone."""
    if outcome.status == "finished":
        dist.all_reduce_max(0)


def open_finished(outcome: Outcome, registry: Registry, report: ReportWriter | None = None) -> TrainedRun:
    """Return a finished run, or raise the error of an unfinished one, as `ganforge.train` describes."""
    if outcome.signal is not None:
        local = outcome.run.read_manifest().plugin_arguments[1::2]
        arguments = ", ".join([repr(str(outcome.run.path)), *([f"plugins={local}"] if local else [])])
        raise KeyboardInterrupt(f"saved at step {outcome.steps}; ganforge.resume({arguments}) continues")
    if outcome.status == "diverged":
        raise DivergedError(f"{outcome.run.path}: {outcome.error}", fix=outcome.fix)
    if outcome.status == "failed":
        raise TrainingError(f"{outcome.run.path}: {outcome.error}") from outcome.cause
    return TrainedRun(outcome.run, registry, report=report)
