"""Going on from a checkpoint: after an interruption, and where training cannot go on, or is not worth it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from ganforge.errors import CheckpointError, CollapsedError, DivergedError
from ganforge.training import checkpoint as checkpoints
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.checkpoint_io import shown
from ganforge.training.evaluation_budget import evaluation_seconds
from ganforge.training.metrics_buffer import Stopwatch
from ganforge.training.state import restore_parts
from ganforge.utils.files import number_in

if TYPE_CHECKING:
    from ganforge.training.trainer import Trainer

#: How often a run goes back before it gives up.
MOST_ROLLBACKS = 3
#: A collapse does not begin all at once: a checkpoint from so many steps before it was found to have begun is good.
COLLAPSING_STEPS = 50


def restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Go on from a checkpoint; what was written after it is removed, to be made again. Raises CheckpointError."""
    restore_parts(trainer.parts, checkpoint)
    trainer.batch = None
    for forget in trainer.steps.when_restored:
        forget()
    trainer.step = trainer.saved_step = checkpoint.step
    trainer.rollbacks = max(trainer.rollbacks, checkpoint.state["rollbacks"])
    trainer.steps.rate_factor = 0.5**trainer.rollbacks
    judged, names = checkpoint.state["judged"], trainer.steps.columns[:-1]
    if judged.keys() != set(names):
        raise CheckpointError(f"this checkpoint is of other penalties: it has {shown(', '.join(judged)) or 'none'}")
    trainer.steps.judged.copy_(torch.tensor([judged[name] for name in names]))
    trainer.health.restore(checkpoint.state["health"])
    _restore_best(trainer, checkpoint.state["best"])
    if trainer.processes.first:
        trainer.writer.forget_after(trainer.step)


def _restore_best(trainer: Trainer, best: dict[str, Any] | None) -> None:
    """Take over the best checkpoint so far, unless it is gone: one that is given up now may have replaced it."""
    kept = best is not None and trainer.processes.first and best["step"] in checkpoints.steps(trainer.run)
    trainer.best = best if trainer.processes.share(kept) else None
    if best is not None and trainer.best is None:
        told = f"the best checkpoint so far, of step {best['step']:,}, is there no more; the next score begins anew"
        trainer.services.observer.noticed(told)


def count_on(trainer: Trainer) -> None:
    """Take the losses and the seconds from the rows of the process that this one goes on after."""
    rows, evaluations = trainer.writer.rows() if trainer.processes.first else ([], [])
    last: dict[str, Any] = rows[-1] if rows else {}
    trainer.budget.restore(evaluations)
    late = evaluation_seconds(row for row in evaluations if number_in(row, "step") >= number_in(last, "step"))
    if rows:
        trainer.losses = {name.removeprefix("loss/"): last[name] for name in last if name.startswith("loss/")}
    if rows or late:
        trainer.stopwatch = Stopwatch(number_in(last, "elapsed_seconds") + late)


def roll_back(trainer: Trainer, reason: DivergedError) -> None:
    """Go back to the last checkpoint with half the learning rate, or raise the reason where that is not wanted.

    After a collapse, it is the last one from well before that began.
    """
    experiment, processes = trainer.experiment, trainer.processes
    since = reason.since_step if isinstance(reason, CollapsedError) else None
    if (experiment.on_nan if since is None else experiment.on_collapse) == "stop":
        raise reason
    if trainer.rollbacks == MOST_ROLLBACKS:
        message = f"{reason.message}, after going back {MOST_ROLLBACKS} times"
        raise DivergedError(message, fix=reason.fix) from reason
    notice = trainer.services.observer.noticed
    before = math.inf if since is None else since - COLLAPSING_STEPS
    found = checkpoints.load_newest(trainer.run, notice, before=before) if processes.first else None
    checkpoint = processes.share(found)
    if checkpoint is None:
        raise CheckpointError(f"{trainer.run.path} has no checkpoint to go back to") from reason
    trainer.rollbacks += 1
    trainer.ledger.forget()
    given_up = trainer.health.given_up(trainer.step)
    restore(trainer, checkpoint)
    trainer.health.remember(given_up)
    if processes.first:
        checkpoints.remove_later(trainer.run, trainer.step)
        trainer.writer.health(trainer.health)
    notice(
        f"{reason.message}; back to step {trainer.step}, on with {trainer.steps.rate_factor:g} of the learning rate "
        f"({trainer.rollbacks} of {MOST_ROLLBACKS} times)"
    )
