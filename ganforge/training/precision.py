"""Devices, the precision of the networks (float32, TF32, bfloat16 or float16), and loss scaling.

References:
    Micikevicius et al. 2018, Mixed Precision Training, arXiv:1710.03740, section 3.2 (loss scaling).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

from ganforge.errors import ConfigError
from ganforge.training.flops import Flops

Precision = Literal["fp32", "tf32", "bf16", "fp16"]

#: Types of the networks' products under autocast.
LOW_PRECISION: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}

#: FLOPs of a step from which a precision is faster than those before it; measurements are in docs/performance.md.
MIN_FLOPS: dict[str, dict[Precision, float]] = {
    "cpu": {"bf16": 1e9},
    "cuda": {"tf32": 1e9, "bf16": 1e11, "fp16": 1e11},
}
#: Largest share of grouped convolutions in a step; on a processor they are slower in bfloat16.
MAX_GROUPED_SHARE = 0.1
#: Compute capability of the first GPUs that are faster in float16, Volta's.
FIRST_TENSOR_CORES = (7, 0)

#: Prefixes of the loss scaler's columns in metrics.jsonl.
SCALE, OVERFLOWS = "loss_scale/", "overflows/"
#: Smallest scale. Gradients that are not finite at a smaller one have diverged; they did not overflow.
MIN_SCALE = 2.0**-14


def supported_precisions(device: torch.device) -> list[Precision]:
    """Return the precisions of a device, float32 first."""
    if device.type == "cuda":
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)  # introduced TF32 and bfloat16
        return ["fp32", "tf32", "bf16", "fp16"] if ampere else ["fp32", "fp16"]
    return ["fp32", "bf16", "fp16"] if device.type == "cpu" else ["fp32"]


def choose_precision(device: torch.device, flops: Flops) -> tuple[Precision, str]:
    """Return the precision for the FLOPs of a step on a device, and the reason; no time is measured."""
    fast, hardware = _fast_precisions(device)
    if not fast:
        return "fp32", hardware
    reason = f"{hardware}, {flops.total / 1e9:.3g} GFLOPs a step"
    if device.type == "cpu" and flops.grouped > MAX_GROUPED_SHARE * flops.total:
        return "fp32", f"{reason}, {flops.grouped / flops.total:.0%} in grouped convolutions"
    chosen: Precision = "fp32"
    for precision, minimum in MIN_FLOPS[device.type].items():
        if precision in fast and flops.total >= minimum:
            chosen = precision
    return chosen, reason


def _fast_precisions(device: torch.device) -> tuple[Sequence[Precision], str]:
    """Return the precisions that a device has instructions for, and what the device is."""
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        hardware = f"CUDA compute capability {capability[0]}.{capability[1]}"
        if capability < FIRST_TENSOR_CORES:
            return (), f"{hardware}, without tensor cores"
        return ("tf32", "bf16") if "bf16" in supported_precisions(device) else ("fp16",), hardware
    # torch.cpu.get_capabilities is public, but newer than the oldest supported torch.
    if device.type == "cpu" and torch.cpu._is_amx_tile_supported():  # noqa: SLF001 - as above
        return ("bf16",), "AMX"
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():  # noqa: SLF001 - as above
        return ("bf16",), "AVX-512 bfloat16"
    return (), f"{device.type} without bfloat16 instructions"


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise ConfigError if a device does not support a precision."""
    supported = supported_precisions(device)
    if precision not in supported:
        raise ConfigError(
            f"precision {precision!r} is not available on {device}", fix=f"available: {', '.join(supported)}, auto"
        )


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context of the networks: autocast for `bf16` and `fp16`, else disabled."""
    return torch.autocast(device.type, dtype=LOW_PRECISION.get(precision), enabled=precision in LOW_PRECISION)


def choose_device(name: str, local_rank: int | None = None) -> torch.device:
    """Return the device of a name: `auto` (a GPU rather than the CPU), `cpu`, `cuda`, `cuda:1` or `mps`.

    With several ranks, `local_rank`, this rank's number on this machine, is that of its GPU regardless of the name.
    Raises ConfigError if this machine does not have the device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"no device {name!r}", fix="available: auto, cpu, cuda, cuda:1, mps") from None
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device.type == "cuda" and (device.index is None or local_rank is not None):
        device = torch.device("cuda", local_rank or 0)
    if (device.index or 0) >= counts.get(device.type, 0):
        missing = name if local_rank is None else str(device)
        raise ConfigError(f"this machine has no device {missing!r}", fix="pass --device cpu, or auto")
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and graphs use the current device
    return device


class LossScaler:
    """Scaler of the loss of one phase: torch's `GradScaler`, with a count. It does nothing but in float16.

    Without it, small gradients are zero. Gradients that overflow skip the optimizer's step and halve the scale; 2,000
    updates without overflow double it. The ranks agree, since they check gradients that were averaged.

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
