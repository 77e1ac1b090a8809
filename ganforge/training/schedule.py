"""Learning rates as a function of the step alone, so that a resumed run has the same ones."""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim import Optimizer

from ganforge.config import OptimizerOptions


def learning_rate(options: OptimizerOptions, *, step: int, total_steps: int) -> float:
    """Return the learning rate of the update of step `step`, counted from 0, of `total_steps`.

    It grows linearly over the warm-up; from the share `decay_from` of the training on it falls to 0, linearly or along
    half a cosine (Loshchilov & Hutter 2016, eq. 5, without restarts).
    """
    warmth = min(1.0, (step + 1) / options.warmup_steps) if options.warmup_steps else 1.0
    passed = (step / total_steps - options.decay_from) / (1 - options.decay_from)
    fallen = min(max(passed, 0.0), 1.0)
    if options.schedule == "linear":
        return options.lr * warmth * (1 - fallen)
    if options.schedule == "cosine":
        return options.lr * warmth * (1 + math.cos(math.pi * fallen)) / 2
    return options.lr * warmth


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Give an optimiser a learning rate; one that lies on the device, for a recorded update, is filled there."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
