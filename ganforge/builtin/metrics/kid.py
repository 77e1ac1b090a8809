"""A distance of distributions that is unbiased, whatever the number of images."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from ganforge.builtin.metrics.inputs import features_of, require_features, require_images
from ganforge.components import EvaluationContext, FeatureExtractor, Metric


class Kid(Metric):
    """Squared maximum mean discrepancy of features under the kernel (⟨x, y⟩/D + 1)³ (Bińkowski et al. 2018).

    The unbiased estimate is averaged over random subsets; their standard deviation stands in the details. It may be
    slightly below 0 where the distributions are equal. It is a small difference of large numbers: in float64.

    The paper's subsets have 1,000; smaller ones have the same mean, and deviate more. A subset has at most half of the
    images: all would be alike otherwise, and their deviation would say nothing.
    """

    class Options(Metric.Options):
        """How many subsets are averaged, and how large they are."""

        subsets: PositiveInt = 100
        """How many random subsets are averaged."""
        subset_size: Annotated[int, Field(ge=2)] = 500
        """How many real images, and fakes, a subset has."""

    options: Options
    better: ClassVar = {"kid": "lower"}
    needs: ClassVar = frozenset({"features"})

    def check(self, *, count: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError where a subset has more than half of the images."""
        require_features(extractor, score="kid")
        self._check_counts(count)

    def _check_counts(self, *counts: int) -> None:
        size = self.options.subset_size
        because = f"twice as many as a subset has, and its option subset_size is {size}"
        require_images(2 * size, *counts, score="kid", because=because)

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        """Return the mean over subsets. Raises DataError where one has more than half of the images."""
        real = features_of(context, context.real, score="kid", what="real images")
        fake = features_of(context, context.fake, score="kid", what="fakes")
        self._check_counts(len(real), len(fake))
        estimates = torch.tensor(
            [
                mmd_squared(self._subset(real, context.rng), self._subset(fake, context.rng))
                for _ in range(self.options.subsets)
            ],
            dtype=torch.float64,
        )
        context.details["kid"] = {"deviation": float(estimates.std(correction=0))}
        return {"kid": float(estimates.mean())}

    def _subset(self, features: Tensor, rng: torch.Generator) -> Tensor:
        return features[torch.randperm(len(features), generator=rng)[: self.options.subset_size]]


def mmd_squared(real: Tensor, fake: Tensor) -> float:
    """Return the unbiased estimate of MMD² under (⟨x, y⟩/D + 1)³, from features `(N, D)` and `(M, D)`, in float64.

    mean of k(x, x') over pairs of different real images + the same of fakes - 2 · mean of k(x, y) (Gretton et al. 2012,
    eq. 3).
    """
    real, fake = real.double(), fake.double()
    mixed = _kernel_sum(real, fake) / (len(real) * len(fake))
    return _mean_of_different(real) + _mean_of_different(fake) - 2 * mixed


def _mean_of_different(features: Tensor) -> float:
    count = len(features)
    with_themselves = float((features.square().sum(dim=1) / features.shape[1] + 1).pow(3).sum())
    return (_kernel_sum(features, features) - with_themselves) / (count * (count - 1))


def _kernel_sum(one: Tensor, other: Tensor) -> float:
    inner = (one @ other.T).div_(one.shape[1]).add_(1)
    return float(torch.dot(inner.square().flatten(), inner.flatten()))  # Σ t³, faster than a power
