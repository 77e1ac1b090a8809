"""One process's training: its trainer, where it goes on from, and how it ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

from ganforge.errors import DivergedError, GanforgeError, RunDirectoryError
from ganforge.plugins.sources import explain
from ganforge.runs.setup import Prepared
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Observer
from ganforge.training.choosing import out_of_memory
from ganforge.training.memory import is_out_of_memory
from ganforge.training.resume import count_on, restore
from ganforge.training.run_directory import RunDirectory
from ganforge.training.services import Services
from ganforge.training.signals import Interruption
from ganforge.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold how a run ended.

    signal: what interrupted it, or None. error: why it diverged or failed, or None; fix: what helps, where that is
    known; cause: the exception behind it. evaluation_seconds: of elapsed_seconds, what evaluations took.
    health: what was found wrong with the training, as run.json tells it.
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
    cause: Exception | None = None
    health: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as `run --json` prints it."""
        document = {"run": str(self.run.path), "status": self.status, **self.summary(), "health": self.health}
        return document | ({} if self.error is None else {"error": self.error})

    def summary(self) -> dict[str, Any]:
        """Return what run.json keeps of it."""
        return {
            "steps": self.steps,
            "images_seen": self.images_seen,
            "images_per_second": self.images_per_second,
            "elapsed_seconds": self.elapsed_seconds,
            "losses": self.losses,
            "evaluation_seconds": self.evaluation_seconds,
        }


def make_trainer(prepared: Prepared, run: RunDirectory, services: Services) -> Trainer:
    """Return the trainer of what was prepared."""
    return Trainer(
        prepared.gan,
        run,
        device=prepared.device,
        precision=prepared.precision,
        services=services,
        processes=prepared.processes,
    )


def restore_newest(trainer: Trainer, run: RunDirectory, observer: Observer) -> None:
    """Go on from the newest valid checkpoint. Raises CheckpointError, and RunDirectoryError for a finished run."""
    processes = trainer.processes
    checkpoint = processes.share(checkpoints.load_newest(run, observer.noticed) if processes.first else None)
    if checkpoint is None:
        if processes.first:
            trainer.writer.forget_after(0)
        observer.noticed(f"{run.path} has no checkpoint yet; it starts from its first step again")
        return
    restore(trainer, checkpoint)
    count_on(trainer)
    before, here = checkpoint.state, trainer.state() | {"best": checkpoint.state["best"]}  # which decides no bit
    changed = [f"{key} {before.get(key)} → {value}" for key, value in here.items() if before.get(key) != value]
    if changed:
        observer.noticed(f"changed since this checkpoint was made: {', '.join(changed)}; it may go on to other bits")
    if trainer.step >= trainer.total_steps:
        raise RunDirectoryError(
            f"{run.path} is finished: it has trained {trainer.step} steps, and {trainer.total_steps} were asked for",
            fix="pass --epochs or --steps to train it further",
        )


def run_to_its_end(
    trainer: Trainer, run: RunDirectory, interruption: Interruption
) -> tuple[Outcome, BaseException | None]:
    """Train; turn however it ends into a status in run.json. Return what a second signal raised, to be raised on."""
    stopped: BaseException | None = None
    cause: Exception | None = None
    error: str | None = None
    fix: str | None = None
    status = "failed"
    try:
        trainer.train(interruption)
        status = "finished" if trainer.step >= trainer.total_steps else "interrupted"
    except DivergedError as reason:
        status, error, fix, cause = "diverged", reason.message, reason.fix, reason
    except OSError as reason:
        error, cause = f"a file could not be written: {reason}", reason
    except GanforgeError as reason:
        error, fix, cause = reason.message, reason.fix, reason
    except Exception as reason:  # noqa: BLE001 - a component's own error; it is recorded and reported
        error, cause = f"step {trainer.step + 1}: {explain(reason)}", reason
        if is_out_of_memory(reason):
            found = out_of_memory(
                reason,
                trainer.gan,
                trainer.device,
                [trainer.precision],
                step=trainer.step + 1,
                processes=trainer.processes,
            )
            error, fix = found.message, found.fix
    except (KeyboardInterrupt, SystemExit) as reason:
        if interruption.received is None and isinstance(reason, SystemExit):
            error = f"step {trainer.step + 1}: a component called sys.exit({reason.code})"
        else:
            status, stopped = "interrupted", reason
            error = "stopped at once, without a checkpoint of the last step"
    outcome = Outcome(
        run=run,
        status=status,
        steps=trainer.step,
        images_seen=trainer.images_seen,
        images_per_second=trainer.stopwatch.images_per_second,
        elapsed_seconds=trainer.stopwatch.elapsed_seconds,
        losses=trainer.losses,
        evaluation_seconds=trainer.budget.seconds,
        signal=interruption.received if status == "interrupted" else None,
        error=error,
        fix=fix,
        cause=cause,
        health=trainer.health.report(),
    )
    if not trainer.processes.first:
        return outcome, stopped
    try:
        summary = {**outcome.summary(), "best": trainer.best}
        run.update_manifest(status=status, error=error, summary=summary, health=outcome.health)
    except (OSError, GanforgeError) as reason:
        trainer.services.observer.noticed(f"run.json could not be updated: {reason}")
    return outcome, stopped
