"""Numbers that a training step logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from ganforge.components import TrainStep

#: Numbers by column of metrics.jsonl, each `()` on the device.
Stats: TypeAlias = dict[str, Tensor]

#: Minimum variance of real images in ratios; a smaller one means that all images are equal.
MIN_VARIANCE = 1e-12


def discriminator_stats(step: TrainStep) -> Stats:
    """Return mean outputs of the discriminator, if computed, and the fakes' diversity relative to real images."""
    stats: Stats = {}
    with torch.no_grad():
        for source, output in (("real", step._real_output), ("fake", step._fake_output)):  # noqa: SLF001
            if output is not None:
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
