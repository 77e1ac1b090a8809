"""Numbers that a training step logs, and their buffer on the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from ganforge.components import LossTerm, TrainStep
from ganforge.training.distributed import SINGLE_PROCESS, DistContext
from ganforge.training.precision import MIN_SCALE, SCALE

#: Numbers by column of metrics.jsonl, each `()` on the device.
Stats: TypeAlias = dict[str, Tensor]

#: Minimum variance of real images in ratios; a smaller one means that all images are equal.
MIN_VARIANCE = 1e-12
#: Steps between two flushes, at which the CPU waits for the device.
FLUSH_EVERY = 10


def long_name(phase: str) -> str:
    """Return the name of a phase in columns and random streams."""
    return {"disc": "discriminator", "gen": "generator"}.get(phase, phase)


def column(name: str, term: LossTerm, phase: str) -> str:
    """Return the column of a term in metrics.jsonl."""
    if name == "loss":
        return f"loss/{long_name(phase)}"
    return f"term/{name}/{phase}" if len(term.phases) > 1 else f"term/{name}"


def discriminator_stats(step: TrainStep) -> Stats:
    """Return mean outputs of the discriminator, if computed, and the fakes' diversity relative to real images."""
    stats: Stats = {}
    with torch.no_grad():
        for real, output in sorted(step._outputs.items(), reverse=True):  # noqa: SLF001
            source = "real" if real else "fake"
            stats[f"logits/{source}"] = output.logits.detach().mean()
            stats[f"prob/{source}"] = output.logits.detach().sigmoid().mean()
        if step.fake.shape == step.real.shape:
            stats["health/diversity"] = pixel_variance(step.fake) / pixel_variance(step.real).clamp_min(MIN_VARIANCE)
    return stats


def pixel_variance(images: Tensor) -> Tensor:
    """Return the variance of images around their mean, summed over pixels, `()`: half the mean squared distance of two.

    The mean of squares minus the square of the mean is ten times as fast as `torch.var`, and its relative rounding
    error of a millionth is small enough for a warning.
    """
    return (images.square().sum() / len(images) - images.mean(0).square().sum()).clamp_min(0)


def log_into(stats: Stats, device: torch.device) -> Callable[[str, Tensor | float], None]:
    """Return the `log` function of a `TrainStep`: it stores values as detached `()` float32 tensors on the device."""

    def log(column: str, value: Tensor | float) -> None:
        if isinstance(value, Tensor):
            stats[column] = value.detach().float().reshape(())
        else:
            stats[column] = torch.full((), float(value), device=device)  # a CUDA graph allows no copy from the host

    return log


def mean_stats(parts: Sequence[Stats]) -> Stats:
    """Return the mean of each number over the parts of a batch."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: torch.stack([stats[name] for stats in parts]).mean() for name in parts[0]}


class MetricsBuffer:
    """Buffer of metrics on the device, which are read several steps at a time."""

    def __init__(self, dist: DistContext = SINGLE_PROCESS) -> None:
        self._dist = dist
        self._rows: list[tuple[int, tuple[str, ...], Tensor]] = []

    def record(self, step: int, stats: Mapping[str, Tensor]) -> None:
        """Store the metrics of a step, each `()`, without waiting for the device."""
        self._rows.append((step, tuple(stats), torch.stack([value.float() for value in stats.values()])))

    def flush(self) -> dict[int, dict[str, float]]:
        """Wait for the device, and return the rows since the last flush by step, averaged over all ranks."""
        if not self._rows:
            return {}
        flat = torch.cat([values for _, _, values in self._rows])
        self._dist.all_reduce_mean([flat])
        numbers = iter(flat.tolist())
        rows = {step: {name: next(numbers) for name in names} for step, names, _ in self._rows}
        self._rows.clear()
        return rows

    def reset(self) -> None:
        """Drop all rows, as a rollback does."""
        self._rows.clear()


def first_not_finite(rows: dict[int, dict[str, float]]) -> tuple[int, str] | None:
    """Return the first step with a number that is not finite, and a message; None if there is none.

    A loss scale below the smallest one means gradients that are not finite at any.
    """
    for step, row in rows.items():
        for name, value in row.items():
            if not math.isfinite(value):
                return step, f"{name} is not a finite number"
            if name.startswith(SCALE) and value < MIN_SCALE:
                return step, f"gradients of {name.removeprefix(SCALE)} are not finite, at any loss scale"
    return None
