"""Going back to a checkpoint where training cannot go on, or is not worth it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ganforge.engine import checkpoint as checkpoints
from ganforge.errors import CheckpointError, CollapsedError, DivergedError

if TYPE_CHECKING:
    from ganforge.engine.trainer import Trainer

#: How often a run goes back before it gives up.
MOST_ROLLBACKS = 3
#: A collapse does not begin all at once: a checkpoint from so many steps before it was found to have begun is good.
COLLAPSING_STEPS = 50


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
    trainer.restore(checkpoint)
    trainer.health.remember(given_up)
    if processes.first:
        checkpoints.remove_later(trainer.run, trainer.step)
        trainer.writer.health(trainer.health)
    notice(
        f"{reason.message}; back to step {trainer.step}, on with {trainer.steps.rate_factor:g} of the learning rate "
        f"({trainer.rollbacks} of {MOST_ROLLBACKS} times)"
    )
