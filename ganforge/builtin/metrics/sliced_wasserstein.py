"""Sliced Wasserstein distance of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from ganforge.components import EvaluationContext, FeatureExtractor, Metric, MetricResult
from ganforge.components.metrics import Bounds, Source
from ganforge.errors import DataError


class SlicedWasserstein(Metric):
    """Mean 2-Wasserstein distance of pixels along random directions.

    SW₂² = mean over unit directions θ of W₂²(⟨θ, real⟩, ⟨θ, fake⟩); in one dimension W₂² is the mean squared difference
    of the sorted values (Rabin et al. 2011). Pixels are scaled to [0, 1] and the result multiplied by √(C·H·W), which
    makes it a root mean square over the whole image. It measures brightness and coarse shape, not readable digits.
    Memory grows with directions · (images + pixels of one image).
    """

    class Options(Metric.Options):
        """Options of the estimate."""

        directions: PositiveInt = 512
        """Number of random directions."""

    options: Options
    higher_is_better: ClassVar = {"sliced-wasserstein": False}

    def bounds(self, extractor: FeatureExtractor | None) -> Mapping[str, Bounds]:
        """Return 0 and no upper bound."""
        return {"sliced-wasserstein": (0.0, None)}

    def compute(self, context: EvaluationContext) -> MetricResult:
        """Return the score over as many real images as there are fakes."""
        fake_size = next(context.batches("fake"))[0].numel()
        theta = torch.randn(fake_size, self.options.directions, generator=context.rng)
        theta = theta / theta.norm(dim=0)
        real, fake = (self._projected(context, source, theta) for source in ("real", "fake"))
        if len(real) < len(fake):
            raise DataError(f"sliced-wasserstein compares equal counts: {len(fake)} fakes, but {len(real)} real images")
        squared = wasserstein2_squared(real[: len(fake)], fake)
        return MetricResult({"sliced-wasserstein": float((squared.mean() * fake_size).sqrt())})

    @staticmethod
    def _projected(context: EvaluationContext, source: Source, theta: Tensor) -> Tensor:
        """Return each image's coordinate along each direction, `(N, D)`."""
        return torch.cat([batch.flatten(1).float().div(255) @ theta for batch in context.batches(source)])


def wasserstein2_squared(real: Tensor, fake: Tensor) -> Tensor:
    """Return W₂² of each column's values, `(D,)`, for two samples of equal size, `(N, D)`."""
    return (real.sort(dim=0).values - fake.sort(dim=0).values).square().mean(dim=0)
