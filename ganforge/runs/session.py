"""Training of a rank: its trainer, its checkpoint and its outcome. The main rank decides and writes."""

from __future__ import annotations

import math
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from ganforge.config import from_document
from ganforge.config.reload import reload
from ganforge.errors import DataError, DivergedError, GanforgeError, RunDirectoryError, TrainingError
from ganforge.plugins.registry import Registry
from ganforge.runs.evaluate import RunScores
from ganforge.runs.setup import Prepared, prepare
from ganforge.schemas.manifest import Manifest
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Callback, TrainerContext
from ganforge.training.distributed import DistContext
from ganforge.training.memory import is_out_of_memory
from ganforge.training.resume import load_checkpoint, restore_counters
from ganforge.training.run_directory import RunDirectory
from ganforge.training.trainer import Trainer
from ganforge.training.trial_steps import out_of_memory_error
from ganforge.utils.files import OutputError
from ganforge.utils.signals import Interruption
from ganforge.utils.tracebacks import summarize_exception

#: torchrun forwards signals that a terminal has already sent to all ranks.
SIGNAL_ECHO_SECONDS = 10.0
#: Time for the main rank to print its error before torchrun ends it.
ERROR_GRACE_SECONDS = 2.0


class MainProcessExited(TrainingError):  # noqa: N818 - the error itself is the main rank's
    """Exit of the main rank before the training; it has reported the reason."""


@dataclass(frozen=True, slots=True)
class RankSetup:
    """Run that the main rank broadcasts to the others."""

    run: RunDirectory
    document: dict[str, Any]
    manifest: Manifest
    fingerprint: str
    restore: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a run.

    Attributes:
        evaluation_seconds: Part of `elapsed_seconds` that evaluations took.
        error: Reason of a divergence or failure, with a known remedy (`fix`) and its exception (`cause`).
        health: Alerts, as in run.json.
        scores: Scores at the end, if they were computed; see `training_scores`.
    """

    run: RunDirectory
    status: str
    steps: int
    images_seen: int
    images_per_second: float | None
    elapsed_seconds: float
    losses: dict[str, float]
    evaluation_seconds: float = 0.0
    signal: signal.Signals | None = None
    error: str | None = None
    fix: str | None = None
    cause: BaseException | None = None
    health: list[dict[str, Any]] = field(default_factory=list)
    scores: RunScores | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the document that `run --json` prints."""
        document = {"run": str(self.run.path), "status": self.status, **self.summary(), "health": self.health}
        document |= {} if self.error is None else {"error": self.error}
        return document | ({} if self.scores is None else {"scores": self.scores.scores})

    def summary(self) -> dict[str, Any]:
        """Return the summary in run.json."""
        return {
            "steps": self.steps,
            "images_seen": self.images_seen,
            "images_per_second": self.images_per_second,
            "elapsed_seconds": self.elapsed_seconds,
            "losses": {name: value if math.isfinite(value) else None for name, value in self.losses.items()},
            "evaluation_seconds": self.evaluation_seconds,
        }


def make_trainer(prepared: Prepared, run: RunDirectory, context: TrainerContext) -> Trainer:
    """Return the trainer of a checked experiment."""
    return Trainer(
        prepared.gan,
        run,
        device=prepared.device,
        precision=prepared.precision,
        context=context,
        dist=prepared.dist,
    )


def restore_newest(trainer: Trainer, run: RunDirectory, callback: Callback) -> None:
    """Restore the newest valid checkpoint on all ranks. Raises CheckpointError or RunDirectoryError."""
    dist = trainer.dist
    checkpoint = dist.broadcast_object(checkpoints.load_newest(run, callback.on_message) if dist.is_main else None)
    if checkpoint is None:
        if dist.is_main:
            trainer.writer.truncate_after(0)
        callback.on_message(f"{run.path} has no checkpoint yet; it restarts from its first step")
        return
    load_checkpoint(trainer, checkpoint)
    restore_counters(trainer)
    # the best score decides no bit
    before, current = checkpoint.state, trainer.state() | {"best": checkpoint.state["best"]}
    changed = [f"{key} {before.get(key)} → {value}" for key, value in current.items() if before.get(key) != value]
    if changed:
        callback.on_message(
            f"changed since this checkpoint was saved: {', '.join(changed)}; the results may have other bits"
        )
    if trainer.step >= trainer.total_steps and not trainer.lacks_scores:
        raise RunDirectoryError(
            f"{run.path} is finished: it has trained {trainer.step} of {trainer.total_steps} steps",
            fix=f"train it further: --steps {trainer.step + 1} or more, or --epochs",
        )


def train_to_end(
    trainer: Trainer, run: RunDirectory, interruption: Interruption
) -> tuple[Outcome, BaseException | None]:
    """Train, and record the status in run.json. Returns the exception of a second signal, for the caller to raise."""
    interrupt: BaseException | None = None
    cause: BaseException | None = None
    error: str | None = None
    fix: str | None = None
    status = "failed"
    try:
        trainer.train(interruption)
        unfinished = trainer.step < trainer.total_steps or trainer.lacks_scores
        status = "interrupted" if unfinished else "finished"
    except DivergedError as exception:
        status, error, fix, cause = "diverged", exception.message, exception.fix, exception
    except OutputError as exception:
        error, cause = f"a file could not be written: {exception}", exception
    except GanforgeError as exception:
        error, fix, cause = exception.message, exception.fix, exception
    except KeyboardInterrupt as exception:
        status, interrupt = "interrupted", exception
        error = "stopped immediately, without a checkpoint of the last step"
    except BaseException as exception:  # noqa: BLE001 - a component's own error; it is recorded and reported
        error, cause = f"step {trainer.step + 1}: {summarize_exception(exception)}", exception
        if is_out_of_memory(exception):
            shortage = out_of_memory_error(
                exception,
                trainer.gan,
                trainer.device,
                trainer.precision,
                step=trainer.step + 1,
                dist=trainer.dist,
            )
            error, fix = shortage.message, shortage.fix
    outcome = Outcome(
        run=run,
        status=status,
        steps=trainer.step,
        images_seen=trainer.images_seen,
        images_per_second=trainer.meter.images_per_second,
        elapsed_seconds=trainer.meter.elapsed_seconds,
        losses=trainer.losses,
        evaluation_seconds=trainer.budget.seconds,
        signal=interruption.received if status == "interrupted" else None,
        error=error,
        fix=fix,
        cause=cause,
        health=trainer.health.report(),
    )
    if not trainer.dist.is_main:
        return outcome, interrupt
    try:
        summary = {**outcome.summary(), "best": trainer.best}
        run.update_manifest(status=status, error=error, summary=summary, health=outcome.health)
    except (OSError, GanforgeError) as exception:
        trainer.context.callback.on_message(f"run.json could not be updated: {exception}")
    return outcome, interrupt


def run_rank(registry: Registry, dist: DistContext) -> Outcome:
    """Train on a rank other than the main one.

    Raises MainProcessExited, and DataError for other data than the main rank's.
    """
    setup = _receive_setup(dist)
    experiment = from_document(setup.document)
    prepared = prepare(reload(experiment, registry, setup.manifest), registry, dist=dist)
    fingerprint = prepared.gan.info.fingerprint
    if fingerprint != setup.fingerprint:
        raise DataError(
            f"rank {dist.rank} has other data than the main rank: fingerprint {fingerprint[:12]}, not "
            f"{setup.fingerprint[:12]}",
            fix="provide the same data on all machines",
        )
    with Interruption(echo_seconds=SIGNAL_ECHO_SECONDS) as interruption:
        trainer = make_trainer(prepared, setup.run, TrainerContext())
        if setup.restore:
            restore_newest(trainer, setup.run, Callback())
        outcome, interrupt = train_to_end(trainer, setup.run, interruption)
    if interrupt is not None:
        raise interrupt
    return outcome


def _receive_setup(dist: DistContext) -> RankSetup:
    try:
        setup: RankSetup | None = dist.broadcast_object(None)
    except TrainingError:
        time.sleep(ERROR_GRACE_SECONDS)
        raise MainProcessExited("the main process has exited and reported the reason") from None
    assert setup is not None, "the main rank broadcasts a setup, or exits"  # noqa: S101
    return setup
