"""Fréchet distances between Gaussians that are fitted to features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganforge.builtin.metrics.inputs import features_of, require_features, require_images
from ganforge.components import EvaluationContext, FeatureExtractor, Metric

#: How many images' features are turned into float64 and decomposed at once.
BLOCK = 4096
#: The smallest subset of fid-infinity: a share of all images, but at least so many times the feature size. Below that
#: the distance is not linear in 1/N.
SMALLEST_SHARE, SMALLEST_PER_FEATURE = 0.1, 5


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Hold a Gaussian's mean, `(D,)`, and a factor of its covariance, `(D, D)`: Σ = factorᵀ·factor; float64."""

    mean: Tensor
    factor: Tensor


class Fid(Metric):
    """Fréchet distance between Gaussians fitted to the features of real images and of fakes (Heusel et al. 2017).

    FID = |μ_r - μ_f|² + tr(Σ_r + Σ_f - 2 (Σ_r Σ_f)^½), in float64, see `frechet_distance`. It sees means and
    covariances alone. It is biased: with few images it is too large, so that only equal counts may be compared.
    """

    better: ClassVar = {"fid": "lower"}
    needs: ClassVar = frozenset({"features"})

    def check(self, *, count: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError unless there are more images than features: a covariance would have no full rank."""
        _check_rank(count, size=require_features(extractor, score="fid").size, score="fid")

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        """Return the distance. Raises DataError where there are not more images than features."""
        real, fake = _both(context, score="fid")
        (one,), (other,) = gaussians(real, [len(real)]), gaussians(fake, [len(fake)])
        return {"fid": frechet_distance(one, other)}


class FidInfinity(Metric):
    """The FID that infinitely many images would have (Chong & Forsyth 2020).

    FID's bias is in proportion to 1/N. So FID is computed for the first N real images and the first N fakes of a random
    order, for several N from a tenth of the images to all; a line is fitted over 1/N, and its value at 0 is the score.
    The paper keeps the statistics of the real images fixed, since it has 50,000 of them; few of them bring a bias as
    the fakes do, and so both grow with N here. The score may be slightly below 0.
    """

    class Options(Metric.Options):
        """How the line is fitted."""

        points: Annotated[int, Field(ge=3)] = 15
        """For how many counts of images FID is computed."""

    options: Options
    better: ClassVar = {"fid-infinity": "lower"}
    needs: ClassVar = frozenset({"features"})

    def check(self, *, count: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError for fewer images than a line over 1/N needs, ten for each feature."""
        _check_line(count, require_features(extractor, score="fid-infinity").size)

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        """Return the line's value at 1/N = 0; details hold its points. Raises DataError for too few images."""
        real, fake = _both(context, score="fid-infinity")
        most, size = min(len(real), len(fake)), real.shape[1]
        _check_line(most, size)
        least = max(math.ceil(most * SMALLEST_SHARE), SMALLEST_PER_FEATURE * size)
        steps = torch.linspace(least, most, self.options.points, dtype=torch.float64)
        counts = [round(step) for step in steps.tolist()]
        of_real, of_fake = (
            gaussians(features[torch.randperm(len(features), generator=context.rng)[:most]], counts)
            for features in (real, fake)
        )
        distances = [frechet_distance(one, other) for one, other in zip(of_real, of_fake, strict=True)]
        context.details["fid-infinity"] = {"counts": counts, "fids": distances}
        return {"fid-infinity": intercept([1 / count for count in counts], distances)}


def _both(context: EvaluationContext, *, score: str) -> tuple[Tensor, Tensor]:
    real = features_of(context, context.real, score=score, what="real images")
    fake = features_of(context, context.fake, score=score, what="fakes")
    _check_rank(len(real), len(fake), size=real.shape[1], score=score)
    return real, fake


def _check_rank(*counts: int, size: int, score: str) -> None:
    because = f"no covariance of its {size} features has full rank otherwise"
    require_images(size + 1, *counts, score=score, because=because)


def _check_line(count: int, size: int) -> None:
    least = SMALLEST_PER_FEATURE * size
    because = f"a line is fitted to FIDs of {least} images, {SMALLEST_PER_FEATURE} for each feature, and of more"
    require_images(2 * least, count, score="fid-infinity", because=because)


def gaussians(features: Tensor, counts: Sequence[int]) -> Iterator[Gaussian]:
    """Yield the Gaussians fitted to the first `counts[0]`, `counts[1]`, … rows, in float64.

    features: `(N, D)`, finite; counts ascend, and are above D. A QR decomposition of the rows (1, x), a block at a
    time, holds both moments without squaring anything: R's first row is √N·(1, μ), the rest a factor of the scatter.
    Neither large means nor features that depend on each other cost digits, as they do where Σ x xᵀ - N μ μᵀ is
    computed.
    """
    width = features.shape[1] + 1
    triangle = features.new_zeros(0, width, dtype=torch.float64)
    done = 0
    for count in counts:
        while done < count:
            rows = features[done : min(done + BLOCK, count)].double()
            block = torch.cat([rows.new_ones(len(rows), 1), rows], dim=1)
            triangle = torch.linalg.qr(torch.cat([triangle, block]), mode="r").R
            done += len(rows)
        yield Gaussian(triangle[0, 1:] / triangle[0, 0], triangle[1:, 1:] / math.sqrt(count - 1))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """Return |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½).

    With Σ = FᵀF, tr (Σ₁ Σ₂)^½ is the sum of the singular values of F₁ F₂ᵀ. Unlike roots of the eigenvalues of Σ₁ Σ₂,
    these lose nothing where a covariance is singular, and it is the same either way round. Rounding alone could take
    the result below 0, which it never is.
    """
    apart = (one.mean - other.mean).square().sum()
    spread = one.factor.square().sum() + other.factor.square().sum()
    shared = torch.linalg.svdvals(one.factor @ other.factor.T).sum()
    return max(0.0, float(apart + spread - 2 * shared))


def intercept(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the value at 0 of the line that least squares fit to points."""
    table = torch.tensor([[1.0, value] for value in x], dtype=torch.float64)
    values = torch.tensor(y, dtype=torch.float64).unsqueeze(1)
    return float(torch.linalg.lstsq(table, values).solution[0])
