"""Batch norm over the images of all ranks.

torch's SyncBatchNorm works on GPUs only and has no second derivative, which gradient penalties need.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


class AllReduceSum(torch.autograd.Function):
    """Sum of a tensor over all ranks; its gradient is the sum of the ranks' gradients, to any order.

    `torch.distributed.nn.functional.all_reduce` does the same, but is deprecated, and its replacement is private.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ANN401, D102 - of autograd
        total = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401, D102 - of autograd
        total: Tensor = AllReduceSum.apply(gradients[0])
        return total


class SyncedBatchNorm(nn.Module):
    """Batch norm with the mean and variance of all ranks' images; it shares weights and buffers with `original`."""

    def __init__(self, original: _BatchNorm, world_size: int) -> None:
        super().__init__()
        self.eps, self.momentum, self.world_size = original.eps, original.momentum, world_size
        self.weight, self.bias = original.weight, original.bias
        for name, buffer in original.named_buffers():
            self.register_buffer(name, buffer)
        self.train(original.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return normalized feature maps, `(N, C, …)`, in the shape and type of the input."""
        shape = (1, -1) + (1,) * (images.ndim - 2)
        values = images.float() if images.dtype in {torch.bfloat16, torch.float16} else images
        running_mean, running_var = self._buffers.get("running_mean"), self._buffers.get("running_var")
        if self.training or running_mean is None or running_var is None:
            mean, variance = self._batch_statistics(values, shape)
        else:
            mean, variance = running_mean, running_var
        normalized = (values - mean.view(shape)) * torch.rsqrt(variance.view(shape) + self.eps)
        if self.weight is not None:
            normalized = normalized * self.weight.view(shape) + self.bias.view(shape)
        return normalized.to(images.dtype)

    def _batch_statistics(self, values: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each channel, `(C,)`; in training over all ranks, with running averages."""
        dims = [0, *range(2, values.ndim)]
        if not self.training:  # of this rank alone: only the main rank samples and evaluates
            return values.mean(dims), values.var(dims, unbiased=False)
        count = self.world_size * values.numel() // values.shape[1]
        total: Tensor = AllReduceSum.apply(values.sum(dims))
        mean = total / count
        squares: Tensor = AllReduceSum.apply((values - mean.view(shape)).square().sum(dims))
        variance = squares / count
        if self._buffers.get("running_mean") is not None:
            with torch.no_grad():
                self._update_running_statistics(mean.detach(), squares.detach() / (count - 1))
        return mean, variance

    def _update_running_statistics(self, mean: Tensor, variance: Tensor) -> None:
        num_batches = self.get_buffer("num_batches_tracked")
        num_batches += 1
        weight = 1 / float(num_batches) if self.momentum is None else self.momentum
        self.get_buffer("running_mean").lerp_(mean, weight)
        self.get_buffer("running_var").lerp_(variance, weight)


def convert_sync_batchnorm(module: nn.Module, world_size: int) -> None:
    """Replace every batch norm within a module, in place, by one over all ranks."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            setattr(module, name, SyncedBatchNorm(child, world_size))
        else:
            convert_sync_batchnorm(child, world_size)
