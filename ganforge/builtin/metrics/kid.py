"""Kernel inception distance: an unbiased distance of distributions."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from ganforge.builtin.metrics.inputs import features_of, require_features, require_images
from ganforge.components import EvaluationContext, FeatureExtractor, Metric, MetricResult


class Kid(Metric):
    """Squared maximum mean discrepancy of features under the kernel (⟨x, y⟩/D + 1)³ (Bińkowski et al. 2018).

    The unbiased estimate is averaged over random subsets; the details hold their standard deviation. It may be slightly
    below 0 for equal distributions. It is a small difference of large numbers, so it is computed in float64.

    The paper's subsets have 1,000 images; smaller ones have the same mean and a larger deviation. A subset has at most
    half of the images: otherwise all subsets would be alike, and their deviation meaningless.
    """

    class Options(Metric.Options):
        """Options of the subsets."""

        subsets: PositiveInt = 100
        """Number of random subsets."""
        subset_size: Annotated[int, Field(ge=2)] = 500
        """Real images, and fakes, of a subset."""

    options: Options
    higher_is_better: ClassVar = {"kid": False}
    needs: ClassVar = frozenset({"features"})

    def check(self, *, num_samples: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError if a subset has more than half of the images."""
        require_features(extractor, score="kid")
        self._check_counts(num_samples)

    def _check_counts(self, *counts: int) -> None:
        size = self.options.subset_size
        require_images(2 * size, *counts, score="kid", because=f"twice a subset, and its option subset_size is {size}")

    def compute(self, context: EvaluationContext) -> MetricResult:
        """Return the mean over subsets."""
        real, fake = features_of(context, "real", score="kid"), features_of(context, "fake", score="kid")
        self._check_counts(len(real), len(fake))
        estimates = torch.tensor(
            [
                mmd_squared(self._subset(real, context.rng), self._subset(fake, context.rng))
                for _ in range(self.options.subsets)
            ],
            dtype=torch.float64,
        )
        return MetricResult({"kid": float(estimates.mean())}, {"deviation": float(estimates.std(correction=0))})

    def _subset(self, features: Tensor, rng: torch.Generator) -> Tensor:
        return features[torch.randperm(len(features), generator=rng)[: self.options.subset_size]]


def mmd_squared(real: Tensor, fake: Tensor) -> float:
    """Return the unbiased estimate of MMD² under (⟨x, y⟩/D + 1)³, in float64 (Gretton et al. 2012, eq. 3).

    It is the mean of k(x, x') over pairs of different real images, plus the same for fakes, minus 2 · mean of k(x, y).

    Args:
        real: `(N, D)`.
        fake: `(M, D)`.
    """
    real, fake = real.double(), fake.double()
    mixed = _kernel_sum(real, fake) / (len(real) * len(fake))
    return _mean_of_different(real) + _mean_of_different(fake) - 2 * mixed


def _mean_of_different(features: Tensor) -> float:
    count = len(features)
    with_themselves = float((features.square().sum(dim=1) / features.shape[1] + 1).pow(3).sum())
    return (_kernel_sum(features, features) - with_themselves) / (count * (count - 1))


def _kernel_sum(x: Tensor, y: Tensor) -> float:
    inner = (x @ y.T).div_(x.shape[1]).add_(1)
    return float(torch.dot(inner.square().flatten(), inner.flatten()))  # Σ t³, faster than a power
