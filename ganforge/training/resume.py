"""Checkpoints of a trainer: save, resume after an interruption, roll back after a divergence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from ganforge.errors import CheckpointError, CollapsedError, DivergedError
from ganforge.training import checkpoint as checkpoints
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.precision import is_scaler_column
from ganforge.training.state import digest, first_not_finite_weight, load_state, state_tensors, synchronized_tensors
from ganforge.training.stats import column
from ganforge.training.timing import ThroughputMeter
from ganforge.utils.schema import excerpt

if TYPE_CHECKING:
    from ganforge.training.trainer import Trainer

#: Rollbacks before a run ends.
MAX_ROLLBACKS = 3
#: Steps in which a collapse develops before it is detected; checkpoints from before them are good.
COLLAPSING_STEPS = 50


def save_checkpoint(trainer: Trainer) -> None:
    """Save a checkpoint of the current step.

    Raises DivergedError for a weight that is not finite, TrainingError if weights differ between ranks, and OSError.
    """
    tensors = state_tensors(trainer.train_state)
    bad = first_not_finite_weight(tensors)
    if trainer.dist.all_reduce_max(bad is not None):
        raise trainer.not_finite_error(trainer.step, f"{bad or 'a weight of another rank'} is not finite")
    if trainer.dist.world_size > 1:
        what = "weights, or the state of a term (it must change in after_step),"
        trainer.dist.assert_equal_across_ranks(digest(synchronized_tensors(trainer.gan)), what)
    state = trainer.state()
    if trainer.dist.is_main:
        keep = trainer.experiment.keep_checkpoints
        trainer.writer.checkpoint(Checkpoint(tensors, state), keep=keep, best=trainer.best)
    trainer.saved_step = trainer.step


def load_checkpoint(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Load a checkpoint, and remove the rows and pictures after it. Raises CheckpointError."""
    load_state(trainer.train_state, checkpoint)
    _load_scalers(trainer, checkpoint)
    trainer.batch = None
    for rebuild in trainer.gan_step.on_restore:
        rebuild()
    trainer.step = trainer.saved_step = checkpoint.step
    trainer.rollbacks = max(trainer.rollbacks, checkpoint.state["rollbacks"])
    trainer.gan_step.schedules.lr_scale = 0.5**trainer.rollbacks
    _check_columns(trainer, checkpoint)
    trainer.gan_step.last_stats = {
        name: torch.tensor(value, device=trainer.device)
        for name, value in checkpoint.state["last_stats"].items()
        if trainer.precision == "fp16" or not is_scaler_column(name)
    }
    trainer.health.load_state_dict(checkpoint.state["health"])
    _restore_best(trainer, checkpoint.state["best"])
    if trainer.ema is not None:
        trainer.ema.generator.stage(trainer.step)
    if trainer.dist.is_main:
        trainer.writer.truncate_after(trainer.step)


def _load_scalers(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Restore the loss scalers of float16, unless the run continues in another precision."""
    phases, scalers = trainer.gan_step.phases, checkpoint.state["scalers"]
    if scalers and scalers.keys() != phases.keys():
        raise CheckpointError(f"scalers: {excerpt(', '.join(scalers))}; required: {', '.join(phases)}")
    for name, state in scalers.items():
        if phases[name].scaler.enabled:
            phases[name].scaler.load_state_dict(state)


def _check_columns(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Raise CheckpointError if a checkpoint has the columns of other terms."""
    gan_step, columns = trainer.gan_step, checkpoint.state["last_stats"]
    known = {
        column(name, term, phase): term.options.every
        for name, term in gan_step.terms.items()
        for phase in (term.phases or gan_step.phases)
    }
    unknown = [name for name in columns if name.startswith(("term/", "loss/")) and name not in known]
    missing = [name for name, every in known.items() if every == 1 and name.startswith("loss/") and name not in columns]
    if unknown or (missing and checkpoint.step > 0):
        verb, name = ("has", unknown[0]) if unknown else ("lacks", missing[0])
        raise CheckpointError(f"the checkpoint is of other terms: it {verb} {excerpt(name)}")


def _restore_best(trainer: Trainer, best: dict[str, Any] | None) -> None:
    """Restore the best score, unless its checkpoint was removed after a better one that is discarded now."""
    kept = best is not None and trainer.dist.is_main and best["step"] in checkpoints.steps(trainer.run)
    trainer.best = best if trainer.dist.broadcast_object(kept) else None
    if best is not None and trainer.best is None:
        trainer.context.callback.on_message(
            f"best checkpoint (step {best['step']:,}) no longer exists; best-score tracking restarts"
        )


def restore_counters(trainer: Trainer) -> None:
    """Restore the losses, the elapsed time and a lacking evaluation from the rows of the interrupted process."""
    rows, evaluations = trainer.writer.rows() if trainer.dist.is_main else ([], [])
    scored = any(row.source == "training" and row.step == trainer.step for row in evaluations)
    trainer.lacks_scores = trainer.dist.broadcast_object(trainer.step > 0 and trainer.is_scored and not scored)
    last = rows[-1] if rows else {"step": 0}
    trainer.budget.restore(evaluations)
    late = sum(row.seconds for row in evaluations if row.source == "training" and row.step >= last["step"])
    trainer.losses |= {name.removeprefix("loss/"): last[name] for name in last if name.startswith("loss/")}
    if rows or late:
        trainer.meter = ThroughputMeter(last.get("elapsed_seconds", 0.0) + late)


def roll_back(trainer: Trainer, reason: DivergedError) -> None:
    """Load the last checkpoint, or after a collapse the last one well before it, and halve the learning rate.

    Raises the reason itself if the setting is `stop`, DivergedError after too many rollbacks, and CheckpointError
    without a valid checkpoint.
    """
    experiment, dist = trainer.experiment, trainer.dist
    since = reason.since_step if isinstance(reason, CollapsedError) else None
    if (experiment.on_nan if since is None else experiment.on_collapse) == "stop":
        raise reason
    if trainer.rollbacks == MAX_ROLLBACKS:
        message = f"{reason.message}, after {MAX_ROLLBACKS} rollbacks"
        raise DivergedError(message, fix=reason.fix) from reason
    notice = trainer.context.callback.on_message
    before = math.inf if since is None else since - COLLAPSING_STEPS
    loaded = checkpoints.load_newest(trainer.run, notice, before=before) if dist.is_main else None
    checkpoint = dist.broadcast_object(loaded)
    if checkpoint is None:
        raise CheckpointError(f"{trainer.run.path} has no checkpoint for a rollback") from reason
    trainer.rollbacks += 1
    trainer.metrics.reset()
    discarded = trainer.health.resolved_at(trainer.step)
    load_checkpoint(trainer, checkpoint)
    trainer.health.keep_alerts(discarded)
    if dist.is_main:
        checkpoints.remove_later(trainer.run, trainer.step)
        trainer.writer.health(trainer.health)
    notice(
        f"{reason.message}; rolled back to step {trainer.step}, with {trainer.gan_step.schedules.lr_scale:g} of the "
        f"learning rate (rollback {trainer.rollbacks} of {MAX_ROLLBACKS})"
    )
