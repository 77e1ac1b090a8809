"""Batch norm over the images of all processes.

torch's SyncBatchNorm works on GPUs only and has no second derivative, which gradient penalties need.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Sum(torch.autograd.Function):
    """Add a tensor up over all processes; so is its gradient, and the gradient of that."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ANN401 - autograd's own
        total = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401
        summed: Tensor = _Sum.apply(gradients[0])
        return summed


class SyncedBatchNorm(nn.Module):
    """Normalise with the mean and variance of all processes' images; weights and buffers are those of `original`."""

    def __init__(self, original: _BatchNorm, count: int) -> None:
        super().__init__()
        self.eps, self.momentum, self.count = original.eps, original.momentum, count
        self.weight, self.bias = original.weight, original.bias
        for name, buffer in original.named_buffers():
            self.register_buffer(name, buffer)
        self.train(original.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return normalised maps, `(N, C, …)` as given."""
        shape = (1, -1) + (1,) * (images.ndim - 2)
        values = images.float() if images.dtype in {torch.bfloat16, torch.float16} else images
        running_mean, running_var = self._buffers.get("running_mean"), self._buffers.get("running_var")
        if self.training or running_mean is None or running_var is None:
            mean, variance = self._statistics(values, shape)
        else:
            mean, variance = running_mean, running_var
        normalised = (values - mean.view(shape)) * torch.rsqrt(variance.view(shape) + self.eps)
        if self.weight is not None:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(images.dtype)

    def _statistics(self, values: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each channel, `(C,)`; in training over all processes, and remembered."""
        others = [0, *range(2, values.ndim)]
        if not self.training:  # of this process's own: only one of them draws and scores
            return values.mean(others), values.var(others, unbiased=False)
        number = self.count * values.numel() // values.shape[1]
        sums: Tensor = _Sum.apply(values.sum(others))
        mean = sums / number
        squares: Tensor = _Sum.apply((values - mean.view(shape)).square().sum(others))
        variance = squares / number
        if self._buffers.get("running_mean") is not None:
            with torch.no_grad():
                self._remember(mean.detach(), squares.detach() / (number - 1))
        return mean, variance

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        tracked = self.get_buffer("num_batches_tracked")
        tracked += 1
        share = 1 / float(tracked) if self.momentum is None else self.momentum
        self.get_buffer("running_mean").lerp_(mean, share)
        self.get_buffer("running_var").lerp_(variance, share)


def synchronise(module: nn.Module, count: int) -> None:
    """Replace every batch norm within a module, in place, by one over `count` processes."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            setattr(module, name, SyncedBatchNorm(child, count))
        else:
            synchronise(child, count)
