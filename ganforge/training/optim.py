"""Making optimisers from their options."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ganforge.config import OptimizerOptions

CLASSES: dict[str, Callable[..., Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
#: One fused pass over all weights instead of a dozen small ones; the same formula, rounded in another order.
FUSED = frozenset({"adam", "adamw", "sgd"})
FUSED_DEVICES = frozenset({"cpu", "cuda", "mps"})


def make_optimizer(
    options: OptimizerOptions, weights: Iterable[nn.Parameter], device: torch.device, *, recorded: bool = False
) -> Optimizer:
    """Return the optimiser that the options name, fused where torch has that.

    recorded: whether its step will be recorded on a GPU; its learning rate and its counts then lie there.
    """
    values: dict[str, Any] = options.formula()
    if options.name in FUSED and device.type in FUSED_DEVICES:
        values["fused"] = True
    if recorded:
        values["lr"] = torch.tensor(options.lr, device=device)
        if options.name != "sgd":
            values["capturable"] = True
    return CLASSES[options.name](weights, **values)
