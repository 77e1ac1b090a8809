"""Start and resumption of runs; run.json records how each one ended."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge.config import Experiment, to_document
from ganforge.config.reload import reload
from ganforge.errors import RunDirectoryError, TrainingError
from ganforge.evaluation.evaluator import Evaluator
from ganforge.evaluation.validation import score_directions, scored_split
from ganforge.plugins.events.sender import EventSender
from ganforge.plugins.registry import Registry
from ganforge.runs import ReportWriter
from ganforge.runs.distributed_launch import SIGNAL_ECHO_SECONDS, RankSetup
from ganforge.runs.final_score import score_at_end
from ganforge.runs.manifest import check_same, component_sources, first_manifest
from ganforge.runs.provenance import command, versions
from ganforge.runs.session import Outcome, make_trainer, restore_newest, train_to_end
from ganforge.runs.setup import Prepared, prepare
from ganforge.schemas.manifest import ResumedSession
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Callback, EvaluationResult, TrainerContext
from ganforge.training.distributed import SINGLE_PROCESS, DistContext
from ganforge.training.precision import choose_device, supported_precisions
from ganforge.training.run_directory import RunDirectory, RunLock, now
from ganforge.utils.files import write_atomically
from ganforge.utils.signals import Interruption

if TYPE_CHECKING:
    from ganforge.components import Generator


@dataclass(frozen=True, slots=True)
class ResumeOverrides:
    """Settings that may be overridden on resume: length, device, data workers."""

    epochs: int | None = None
    steps: int | None = None
    device: str | None = None
    workers: int | None = None


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
    """Create a run directory, by default a new one in runs/, and train.

    Raises:
        RunDirectoryError: The directory cannot be created; nothing was written.
    """
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
                raise RunDirectoryError(f"{run.path} cannot be written: {error.strerror or error}") from None
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
        run.create_folders()
        experiment = _override(run.read_experiment(), overrides)
        manifest = run.read_manifest()
        callbacks = WarningsCallback() if callback is None else callback(experiment)
        initialize = not checkpoints.steps(run)  # a checkpoint has the weights
        prepared = prepare(reload(experiment, registry, manifest), registry, dist=dist, initialize=initialize)
        if (overrides.epochs or overrides.steps) is not None and any(
            item.entry.component.name != "constant" for item in prepared.resolved.schedules.values()
        ):
            prepared.resolved.notices.append("schedules now end at the new last step, so learning rates change")
        _report_notices(prepared, callbacks)
        changed = check_same(run, manifest, prepared, callbacks)
        checkpoints.remove_temporary_files(run)
        return _train(prepared, run, callbacks, report, restore=True, changed=changed)


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
            context.evaluate = _evaluator(prepared, callback.on_message)
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
            scores = score_at_end(run, prepared, registry, outcome.images_seen, callback.on_message)
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


def _evaluator(prepared: Prepared, notice: Callable[[str], None]) -> Callable[[Generator], EvaluationResult]:
    """Return a function that scores a generator with the experiment's metrics.

    The scores of a metric that raises are missing; the training continues.
    """
    gan, experiment = prepared.gan, prepared.resolved.experiment
    directions = score_directions(gan)
    metric = experiment.best_metric or next(iter(directions))
    evaluator = Evaluator(
        gan,
        num_samples=experiment.num_samples,
        split=scored_split(gan),
        seed=experiment.seed,
        weights="generator" if experiment.ema_halflife_images is None else "generator_ema",
        keep_going=True,
        notice=notice,
    )

    def score(generator: Generator) -> EvaluationResult:
        evaluation = evaluator.evaluate(generator, gan.latent)
        return EvaluationResult(evaluation.row(), evaluation.pictures, metric, directions[metric])

    return score
