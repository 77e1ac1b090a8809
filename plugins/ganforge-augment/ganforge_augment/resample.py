"""Weighted sums of pixels, with gradients that are the same in every run.

torch's own grid_sample does not do here: its normalized coordinates round, so that the identity is not exact; on a GPU
its gradient is summed in any order, so that two runs differ; and it has no second derivative.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

#: Gradients are summed as whole multiples of this fraction of the image's largest: finer than float32's precision.
FINEST = 2.0**-40


def resample(images: Tensor, rows: Tensor, columns: Tensor, weights: Tensor) -> Tensor:
    """Return images whose pixels are weighted sums of K pixels: Σₖ weights[k] · images[rows[k], columns[k]].

    Differentiable in the images any number of times.

    Args:
        images: `(N, C, H, W)`.
        rows: Rows within the images, `(K, N, H', W')` int64.
        columns: Columns within the images, `(K, N, H', W')` int64.
        weights: `(K, N, H', W')`.

    Returns:
        Images, `(N, C, H', W')`.
    """
    count, channels, _, width = images.shape
    height, new_width = rows.shape[2:]
    places = (rows * width + columns).flatten(2)
    pixels: Tensor = _Gather.apply(images.flatten(2), places, weights.flatten(2))
    return pixels.view(count, channels, height, new_width)


class _Gather(Function):
    """Weighted sum of pixels: from `(N, C, P)` to `(N, C, Q)`, with places and weights `(K, N, Q)`."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, places: Tensor, weights: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(places, weights)
        ctx.size = pixels.shape[2]
        parts = [
            pixels.gather(2, place.unsqueeze(1).expand(-1, pixels.shape[1], -1)) * weight.unsqueeze(1)
            for place, weight in zip(places, weights, strict=True)
        ]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 - torch's context
        places, weights = ctx.saved_tensors
        return _Scatter.apply(gradients, places, weights, ctx.size), None, None


class _Scatter(Function):
    """Transpose of `_Gather`: from `(N, C, Q)` to `(N, C, P)`.

    Several numbers are added in one place, on a GPU in any order. Whole numbers have the same sum in every order.
    """

    @staticmethod
    def forward(ctx: Any, gradients: Tensor, places: Tensor, weights: Tensor, size: int) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(places, weights)
        count, channels, _ = gradients.shape
        # Numbers that are not finite stay so: they are divided and finally multiplied by the largest.
        largest = gradients.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(gradients.dtype).tiny)
        relative = gradients / largest / FINEST
        total = torch.zeros(count, channels, size, dtype=torch.int64, device=gradients.device)
        for place, weight in zip(places, weights, strict=True):
            parts = (relative * weight.unsqueeze(1)).round().to(torch.int64)
            total.scatter_add_(2, place.unsqueeze(1).expand(-1, channels, -1), parts)
        return total.to(gradients.dtype) * FINEST * largest

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401 - torch's context
        places, weights = ctx.saved_tensors
        return _Gather.apply(gradients, places, weights), None, None, None
