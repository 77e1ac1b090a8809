"""Start and resumption of runs; run.json records how each one ended, and Python gets the finished run or an error."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ganforge.config import Experiment, to_document
from ganforge.config.reload import reload, relocate
from ganforge.errors import DivergedError, RunDirectoryError, TrainingError
from ganforge.plugins.events.sender import EventSender
from ganforge.plugins.registry import Registry
from ganforge.runs import ReportWriter
from ganforge.runs.manifest import check_same, component_sources, first_manifest
from ganforge.runs.notebook import notebook_callback
from ganforge.runs.provenance import command, versions
from ganforge.runs.session import (
    SIGNAL_ECHO_SECONDS,
    Outcome,
    RankSetup,
    make_trainer,
    restore_newest,
    run_rank,
    train_to_end,
)
from ganforge.runs.setup import Prepared, prepare
from ganforge.runs.trained_run import TrainedRun
from ganforge.runs.training_scores import make_scorer, score_at_end
from ganforge.schemas.manifest import ResumedSession
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Callback, TrainerContext
from ganforge.training.distributed import SINGLE_PROCESS, DistContext, init_distributed
from ganforge.training.precision import choose_device, supported_precisions
from ganforge.training.run_directory import RunDirectory, RunLock, now
from ganforge.utils.files import error_reason, write_atomically
from ganforge.utils.signals import Interruption


@dataclass(frozen=True, slots=True)
class ResumeOverrides:
    """Settings that may be overridden on resume: length, device, data workers, and where the data is."""

    epochs: int | None = None
    steps: int | None = None
    device: str | None = None
    workers: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


NO_OVERRIDES = ResumeOverrides()


class WarningsCallback(Callback):
    """Callback that turns messages into Python warnings at the line of the user's code."""

    def on_message(self, message: str) -> None:
        """Warn."""
        frame, level = sys._getframe(), 1  # noqa: SLF001 - Python 3.11 has no skip_file_prefixes
        while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "ganforge":
            frame, level = frame.f_back, level + 1
        warnings.warn(message, stacklevel=level)


def start_run(
    prepared: Prepared,
    *,
    out: Path | None = None,
    callback: Callback | None = None,
    report: ReportWriter | None = None,
) -> Outcome:
    """Create a run directory, by default in runs/, and train. Raises RunDirectoryError if nothing can be written."""
    experiment = prepared.resolved.experiment
    names = (getattr(experiment, section).name.replace("/", "-") for section in ("gen", "disc", "loss", "data"))
    run = RunDirectory.create(out, "-".join(names))
    callback = callback or WarningsCallback()
    with ExitStack() as stack:
        try:
            stack.enter_context(RunLock(run))
            run.write_experiment(experiment)
            for source in component_sources(prepared.resolved):
                if source.text is not None:
                    write_atomically(run.classes, source.text)
            run.write_manifest(first_manifest(prepared))
        except BaseException as error:
            shutil.rmtree(run.path, ignore_errors=True)  # half a run directory is useless
            if isinstance(error, OSError):
                raise RunDirectoryError(f"{run.path} cannot be written: {error_reason(error)}") from None
            raise
        _report_notices(prepared, callback)
        return _train(prepared, run, callback, report, restore=False)


def resume_run(
    run: RunDirectory,
    registry: Registry,
    overrides: ResumeOverrides = NO_OVERRIDES,
    *,
    callback: Callable[[Experiment], Callback] | None = None,
    dist: DistContext = SINGLE_PROCESS,
    report: ReportWriter | None = None,
) -> Outcome:
    """Resume a run from its newest valid checkpoint; `callback` gets the experiment with its overrides.

    Raises:
        RunDirectoryError: The run is in use or finished, or its data has changed.
        CheckpointError: All checkpoints are damaged.
    """
    with RunLock(run):
        run.check_no_links()
        run.create_folders()
        experiment = _override(run.read_experiment(), overrides)
        manifest = run.read_manifest()
        callbacks = WarningsCallback() if callback is None else callback(experiment)
        initialize = not checkpoints.steps(run)  # a checkpoint has the weights
        resolved = relocate(reload(experiment, registry, manifest), overrides.data)
        prepared = prepare(resolved, registry, dist=dist, initialize=initialize)
        if (overrides.epochs or overrides.steps) is not None and any(
            item.entry.component.name != "constant" for item in prepared.resolved.schedules.values()
        ):
            prepared.resolved.notices.append("schedules now end at the new last step, so learning rates change")
        _report_notices(prepared, callbacks)
        changed = check_same(run, manifest, prepared, callbacks)
        checkpoints.remove_temporary_files(run)
        return _train(prepared, run, callbacks, report, restore=True, changed=changed)


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


def _report_notices(prepared: Prepared, callback: Callback) -> None:
    for notice in prepared.resolved.notices:
        callback.on_message(notice)


def _override(experiment: Experiment, overrides: ResumeOverrides) -> Experiment:
    """Return the experiment with overrides; on another device, acceleration is chosen again."""
    update: dict[str, object] = {}
    if overrides.epochs is not None and overrides.steps is not None:
        raise RunDirectoryError("give epochs or steps, not both")
    if overrides.epochs is not None or overrides.steps is not None:
        update |= {"epochs": overrides.epochs, "steps": overrides.steps}
    if overrides.workers is not None:
        update["workers"] = overrides.workers
    if overrides.device is not None:
        available = supported_precisions(choose_device(overrides.device))
        precision = experiment.precision if experiment.precision in available else "fp32"
        update |= {"device": overrides.device, "precision": precision}
        update |= {key: "auto" for key in ("compile", "cuda_graphs") if getattr(experiment, key) != "off"}
    return Experiment.model_validate({**experiment.model_dump(), **update})


def _train(
    prepared: Prepared,
    run: RunDirectory,
    callback: Callback,
    report: ReportWriter | None,
    *,
    restore: bool,
    changed: Sequence[str] = (),
) -> Outcome:
    """Train in a locked run directory, and record the end."""
    experiment = prepared.resolved.experiment
    registry = prepared.registry
    plugins = registry.plugins
    distributed = prepared.dist.world_size > 1
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption(echo_seconds=SIGNAL_ECHO_SECONDS if distributed else 0.0))
        relay = stack.enter_context(
            EventSender(
                listening=bool(plugins.listeners),
                local=[source.path for _, source in plugins.admitted if source.path is not None],
                no_plugins=registry.no_plugins,
                log=run.path / "listeners.log",
                notice=callback.on_message,
            )
        )
        context = TrainerContext(callback, relay.send)
        if experiment.evaluate_every and prepared.dist.is_main:
            context.evaluate = make_scorer(prepared, callback.on_message)
        manifest, fingerprint = run.read_manifest(), prepared.gan.info.fingerprint
        prepared.dist.broadcast_object(RankSetup(run, to_document(experiment), manifest, fingerprint, restore))
        try:
            trainer = make_trainer(prepared, run, context)
        except Exception as error:
            if not restore:
                run.update_manifest(status="failed", error=f"{type(error).__name__}: {error}")
                _write_report(run, callback, report)
            raise
        if restore:
            try:
                restore_newest(trainer, run, callback)
                run.write_experiment(experiment)
                session = ResumedSession(
                    at=now(),
                    step=trainer.step,
                    command=command(),
                    versions=versions(),
                    changed=list(changed),
                    processes=prepared.dist.world_size,
                )
                machine = {"device": str(prepared.device), "precision": prepared.precision}
                earlier = run.read_manifest().resumed
                run.update_manifest(status="running", **machine, resumed=[*earlier, session])
            except OSError as error:
                raise TrainingError(
                    f"{run.path} cannot be written: {error}",
                    fix="nothing is lost; free some space, and resume the run again",
                ) from None
        information = {
            "path": str(run.path.resolve()),
            "experiment": to_document(experiment),
            "manifest": run.read_manifest().as_dict(),
        }
        relay.send("started", run=information, step=trainer.step)
        outcome, interrupt = train_to_end(trainer, run, interruption)
        callback.on_train_end(outcome.status)
        if outcome.status == "finished":
            scores = score_at_end(run, prepared, outcome.images_seen, callback.on_message, interruption)
            outcome = replace(outcome, scores=scores)
        _write_report(run, callback, report)
        relay.send("finished", status=outcome.status, error=outcome.error)
        if interrupt is not None:
            raise interrupt
    return outcome


def _write_report(run: RunDirectory, callback: Callback, report: ReportWriter | None) -> None:
    """Write report.html; a failure is reported and does not harm the run."""
    if report is None:
        return
    try:
        report(run.path)
    except Exception as error:  # noqa: BLE001 - the run is complete without a report
        reason = " ".join(str(error).split()) or type(error).__name__
        callback.on_message(f"report.html could not be written: {reason}")
