"""Loss scaling for float16, in which small gradients are zero otherwise.

References:
    Micikevicius et al. 2018, Mixed Precision Training, arXiv:1710.03740, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

from ganforge.training.precision import Precision

#: Prefixes of the columns in metrics.jsonl.
SCALE, OVERFLOWS = "loss_scale/", "overflows/"
#: Smallest scale. Gradients that are not finite at a smaller one have diverged; they did not overflow.
MIN_SCALE = 2.0**-14


class LossScaler:
    """Scaler of the loss of one phase: torch's `GradScaler`, with a count. It does nothing but in float16.

    Gradients that overflow skip the optimizer's step and halve the scale; 2,000 updates without overflow double it. The
    ranks agree, since they check gradients that were averaged.

    Attributes:
        enabled: True in float16.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        self.enabled = precision == "fp16"
        self._scaler = GradScaler(device.type, enabled=self.enabled)
        self._one = torch.ones((), device=device)
        self._overflows = torch.zeros((), device=device)

    def scale(self, loss: Tensor) -> Tensor:
        """Return the scaled loss, `()`, to compute gradients of."""
        return self._scaler.scale(loss)

    def step(self, optimizer: Optimizer, clip: Callable[[], None]) -> None:
        """Divide the gradients by the scale, clip them, and run the optimizer's step unless they overflowed."""
        if not self._has_scaled_gradients(optimizer):
            clip()
            optimizer.step()
            return
        self._scaler.unscale_(optimizer)
        clip()
        self._scaler.step(optimizer)
        self._adapt()

    def must_repeat(self, optimizer: Optimizer) -> bool:
        """Divide the gradients by the scale; return whether to compute them again, since they overflowed.

        An optimizer that evaluates the gradient itself cannot skip its step.
        """
        if not self._has_scaled_gradients(optimizer):
            return False
        before = self._scaler.get_scale()
        self._scaler.unscale_(optimizer)
        self._adapt()
        return MIN_SCALE <= self._scaler.get_scale() < before

    def stats(self, phase: str) -> dict[str, Tensor]:
        """Return the scale and the number of updates that overflowed, each `()`, by column."""
        if not self.enabled:
            return {}
        return {f"{SCALE}{phase}": self.scale(self._one), f"{OVERFLOWS}{phase}": self._overflows}

    def state_dict(self) -> dict[str, float | int]:
        """Return the state, as state.json holds it."""
        state = self._scaler.state_dict()
        counts = {"growth_tracker": state["_growth_tracker"], "overflows": int(self._overflows)}
        return {"scale": state["scale"], **counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        counts = {"scale": state["scale"], "_growth_tracker": state["growth_tracker"]}
        self._scaler.load_state_dict(self._scaler.state_dict() | counts)
        self._overflows = torch.full_like(self._overflows, state["overflows"])

    def _has_scaled_gradients(self, optimizer: Optimizer) -> bool:
        """Return whether there is something to unscale, which `GradScaler` requires."""
        groups = optimizer.param_groups
        return self.enabled and any(weight.grad is not None for group in groups for weight in group["params"])

    def _adapt(self) -> None:
        """Halve the scale after an overflow, and count it, without waiting for the device."""
        before = self.scale(self._one)
        self._scaler.update()
        self._overflows = self._overflows + (self.scale(self._one) < before)


def is_scaler_column(name: str) -> bool:
    """Return whether a column of metrics.jsonl exists in float16 only."""
    return name.startswith((SCALE, OVERFLOWS))
