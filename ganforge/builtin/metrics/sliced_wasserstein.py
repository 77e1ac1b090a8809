"""A score for any images that needs no trained features."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from ganforge.components import EvaluationContext, Metric
from ganforge.errors import DataError


class SlicedWasserstein(Metric):
    """Average 2-Wasserstein distances of pixels along random directions.

    SW₂² = mean over unit directions θ of W₂²(⟨θ, real⟩, ⟨θ, fake⟩); in one dimension W₂² is the mean squared difference
    of the sorted values (Rabin et al. 2011). Pixels are scaled to [0, 1] and the result multiplied by √(C·H·W), which
    makes it a root mean square over the whole image. It sees brightness and coarse shape, not whether a digit can be
    read.
    """

    class Options(Metric.Options):
        """How exact the score is."""

        directions: PositiveInt = 512
        """How many random directions are averaged."""

    options: Options
    better: ClassVar = {"sliced-wasserstein": "lower"}

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        """Return the score over as many real images as there are fakes. Raises DataError where fewer are real."""
        real, fake = (images.flatten(1).float().div(255) for images in (context.real, context.fake))
        if len(real) < len(fake):
            raise DataError(f"sliced-wasserstein compares equal counts: {len(fake)} fakes, but {len(real)} real images")
        size = real.shape[1]
        theta = torch.randn(size, self.options.directions, generator=context.rng)
        theta = theta / theta.norm(dim=0)
        squared = wasserstein2_squared(real[: len(fake)] @ theta, fake @ theta)
        return {"sliced-wasserstein": float((squared.mean() * size).sqrt())}


def wasserstein2_squared(real: Tensor, fake: Tensor) -> Tensor:
    """Return W₂² of each column's values, `(D,)`, for two samples of equal size, `(N, D)`."""
    return (real.sort(dim=0).values - fake.sort(dim=0).values).square().mean(dim=0)
