"""Fréchet distances between Gaussians fitted to features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganforge.builtin.metrics.inputs import features_of, require_features, require_images
from ganforge.components import EvaluationContext, FeatureExtractor, Metric, MetricResult
from ganforge.components.metrics import Bounds

#: Number of images whose features are converted to float64 and decomposed at once.
BLOCK = 4096
#: The smallest subset of fid-infinity: a share of all images, but at least a multiple of the feature size. Below that
#: the distance is not linear in 1/N.
MIN_SHARE, MIN_PER_FEATURE = 0.1, 5


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Mean of a Gaussian, `(D,)`, and factor of its covariance, `(D, D)`: Σ = factorᵀ·factor; float64."""

    mean: Tensor
    factor: Tensor


class Fid(Metric):
    """Fréchet distance between Gaussians fitted to the features of real images and of fakes (Heusel et al. 2017).

    FID = |μ_r - μ_f|² + tr(Σ_r + Σ_f - 2 (Σ_r Σ_f)^½), in float64, see `frechet_distance`. It depends on means and
    covariances only. It is biased upwards, the more the fewer images, so only equal counts can be compared.
    """

    higher_is_better: ClassVar = {"fid": False}
    needs: ClassVar = frozenset({"features"})

    def check(self, *, num_samples: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError unless there are more images than features: the covariance needs full rank."""
        _check_rank(num_samples, size=require_features(extractor, score="fid").size, score="fid")

    def bounds(self, extractor: FeatureExtractor | None) -> Mapping[str, Bounds]:
        """Return 0 and no upper bound."""
        return {"fid": (0.0, None)}

    def compute(self, context: EvaluationContext) -> MetricResult:
        """Return the distance."""
        real, fake = _both(context, score="fid")
        (real_gaussian,), (fake_gaussian,) = gaussians(real, [len(real)]), gaussians(fake, [len(fake)])
        return MetricResult({"fid": frechet_distance(real_gaussian, fake_gaussian)})


class FidInfinity(Metric):
    """FID extrapolated to infinitely many images (Chong & Forsyth 2020).

    FID's bias is proportional to 1/N. FID is computed for the first N real images and the first N fakes of a random
    order, for several N from a tenth of the images to all; a line is fitted over 1/N, and its value at 0 is the score.
    The paper keeps the statistics of 50,000 real images fixed; fewer real images add a bias as fakes do, so both grow
    with N here. The score may be slightly below 0.
    """

    class Options(Metric.Options):
        """Options of the line fit."""

        points: Annotated[int, Field(ge=3)] = 15
        """Number of image counts that FID is computed for."""

    options: Options
    higher_is_better: ClassVar = {"fid-infinity": False}
    needs: ClassVar = frozenset({"features"})

    def check(self, *, num_samples: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError for fewer than ten images per feature."""
        _check_line(num_samples, require_features(extractor, score="fid-infinity").size)

    def compute(self, context: EvaluationContext) -> MetricResult:
        """Return the line's value at 1/N = 0; the details hold its points."""
        real, fake = _both(context, score="fid-infinity")
        largest, size = min(len(real), len(fake)), real.shape[1]
        _check_line(largest, size)
        smallest = max(math.ceil(largest * MIN_SHARE), MIN_PER_FEATURE * size)
        steps = torch.linspace(smallest, largest, self.options.points, dtype=torch.float64)
        counts = [round(step) for step in steps.tolist()]
        real_gaussians, fake_gaussians = (
            gaussians(features[torch.randperm(len(features), generator=context.rng)[:largest]], counts)
            for features in (real, fake)
        )
        distances = [frechet_distance(*pair) for pair in zip(real_gaussians, fake_gaussians, strict=True)]
        score = intercept([1 / count for count in counts], distances)
        return MetricResult({"fid-infinity": score}, {"counts": counts, "fids": distances})


def _both(context: EvaluationContext, *, score: str) -> tuple[Tensor, Tensor]:
    real, fake = features_of(context, "real", score=score), features_of(context, "fake", score=score)
    _check_rank(len(real), len(fake), size=real.shape[1], score=score)
    return real, fake


def _check_rank(*counts: int, size: int, score: str) -> None:
    because = f"otherwise the covariance of its {size} features has no full rank"
    require_images(size + 1, *counts, score=score, because=because)


def _check_line(count: int, size: int) -> None:
    smallest = MIN_PER_FEATURE * size
    because = f"a line is fitted to FIDs of {smallest} images ({MIN_PER_FEATURE} per feature) and more"
    require_images(2 * smallest, count, score="fid-infinity", because=because)


def gaussians(features: Tensor, counts: Sequence[int]) -> Iterator[Gaussian]:
    """Yield the Gaussians fitted to the first `counts[0]`, `counts[1]`, … rows, in float64.

    A QR decomposition of the rows (1, x), a block at a time, holds both moments without squares: R's first row is
    √N·(1, μ), the rest a factor of the scatter matrix. Large means and linearly dependent features cost no digits, as
    they would in Σ x xᵀ - N μ μᵀ.

    Args:
        features: `(N, D)`, finite.
        counts: Ascending counts of rows, all above D.
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


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Return |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½).

    With Σ = FᵀF, tr (Σ₁ Σ₂)^½ is the sum of the singular values of F₁ F₂ᵀ. Unlike roots of the eigenvalues of Σ₁ Σ₂,
    they lose no digits for singular covariances, and the result is symmetric. Only rounding could make it negative.
    """
    means = (a.mean - b.mean).square().sum()
    traces = a.factor.square().sum() + b.factor.square().sum()
    root = torch.linalg.svdvals(a.factor @ b.factor.T).sum()
    return max(0.0, float(means + traces - 2 * root))


def intercept(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the value at 0 of the least-squares line through points."""
    table = torch.tensor([[1.0, value] for value in x], dtype=torch.float64)
    values = torch.tensor(y, dtype=torch.float64).unsqueeze(1)
    return float(torch.linalg.lstsq(table, values).solution[0])
