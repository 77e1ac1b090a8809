"""Make new images from weighted pixels of old ones, with the same gradients every time.

torch's own grid_sample does not do here. Its normalised coordinates round, so that the identity is not exact. On a GPU
its gradient is summed in any order, so that two runs differ. And it has no second derivative.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

#: Gradients are summed as whole multiples of this fraction of the largest in the image: finer than float32 holds.
FINEST = 2.0**-40


def resample(images: Tensor, rows: Tensor, columns: Tensor, weights: Tensor) -> Tensor:
    """Return images whose every pixel is a weighted sum of K pixels: Σₖ weights[k] · images[rows[k], columns[k]].

    images: `(N, C, H, W)`. rows, columns: int64 within the image, and weights: each `(K, N, H', W')`; the result is
    `(N, C, H', W')`. Differentiable in the images, as often as one likes.
    """
    count, channels, _, width = images.shape
    height, new_width = rows.shape[2:]
    places = (rows * width + columns).flatten(2)
    pixels: Tensor = _Collect.apply(images.flatten(2), places, weights.flatten(2))
    return pixels.view(count, channels, height, new_width)


class _Collect(Function):
    """Sum weighted pixels: from `(N, C, P)` to `(N, C, Q)`, with places and weights `(K, N, Q)`."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, places: Tensor, weights: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(places, weights)
        ctx.size = pixels.shape[2]
        found = [
            pixels.gather(2, place.unsqueeze(1).expand(-1, pixels.shape[1], -1)) * weight.unsqueeze(1)
            for place, weight in zip(places, weights, strict=True)
        ]
        return torch.stack(found).sum(0) if len(found) > 1 else found[0]

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        places, weights = ctx.saved_tensors
        return _Distribute.apply(slopes, places, weights, ctx.size), None, None


class _Distribute(Function):
    """Do the transpose of `_Collect`: from `(N, C, Q)` to `(N, C, P)`.

    Several numbers meet in one place, and a GPU adds them in any order. As whole numbers they have the same sum in all.
    """

    @staticmethod
    def forward(ctx: Any, slopes: Tensor, places: Tensor, weights: Tensor, size: int) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(places, weights)
        count, channels, _ = slopes.shape
        # Not finite stays not finite: what is divided and multiplied by it at the end is.
        largest = slopes.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(slopes.dtype).tiny)
        relative = slopes / largest / FINEST
        total = torch.zeros(count, channels, size, dtype=torch.int64, device=slopes.device)
        for place, weight in zip(places, weights, strict=True):
            parts = (relative * weight.unsqueeze(1)).round().to(torch.int64)
            total.scatter_add_(2, place.unsqueeze(1).expand(-1, channels, -1), parts)
        return total.to(slopes.dtype) * FINEST * largest

    @staticmethod
    def backward(ctx: Any, curves: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        places, weights = ctx.saved_tensors
        return _Collect.apply(curves, places, weights), None, None, None
