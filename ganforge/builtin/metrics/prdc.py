"""Precision, recall, density and coverage: nearest neighbors of images in feature space."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from ganforge.builtin.metrics.inputs import features_of, require_features, require_images
from ganforge.builtin.metrics.pairwise import squared_distances
from ganforge.components import EvaluationContext, FeatureExtractor, Metric, MetricResult
from ganforge.components.metrics import Bounds

#: Numbers of neighbors in the papers, computed together because one more costs little.
USUAL = (3, 5)


class NeighborMetric(Metric):
    """Base of the four metrics: number of neighbors, and distances that are computed once for all of them."""

    class Options(Metric.Options):
        """Options of the neighborhoods."""

        neighbors: PositiveInt = 3
        """Number of nearest neighbors within an image's neighborhood."""

    options: Options
    needs: ClassVar = frozenset({"features"})

    def check(self, *, num_samples: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError if there are fewer other images than neighbors."""
        (score,) = self.higher_is_better
        require_features(extractor, score=score)
        self._check_counts(num_samples)

    def _check_counts(self, *counts: int) -> None:
        (score,) = self.higher_is_better
        k = self.options.neighbors
        require_images(k + 1, *counts, score=score, because=f"an image's neighborhood reaches to {k} others")

    def bounds(self, extractor: FeatureExtractor | None) -> Mapping[str, Bounds]:
        """Return 0 and 1."""
        return dict.fromkeys(self.higher_is_better, (0.0, 1.0))

    def compute(self, context: EvaluationContext) -> MetricResult:
        """Return the score."""
        (score,) = self.higher_is_better
        real, fake = features_of(context, "real", score=score), features_of(context, "fake", score=score)
        self._check_counts(len(real), len(fake))
        neighbors = context.shared.get("neighbors")
        if not isinstance(neighbors, Neighbors) or neighbors.real is not real or neighbors.fake is not fake:
            neighbors = context.shared["neighbors"] = Neighbors(real, fake)
        return MetricResult({score: self.score(neighbors, self.options.neighbors)})

    @abstractmethod
    def score(self, neighbors: Neighbors, k: int) -> float:
        """Return the score for neighborhoods of k."""


class Precision(NeighborMetric):
    """Share of fakes within the neighborhood of a real image (Kynkäänniemi et al. 2019, k = 3)."""

    higher_is_better: ClassVar = {"precision": True}

    def score(self, neighbors: Neighbors, k: int) -> float:
        """Return the share of fakes."""
        return share(neighbors.crossing(k).fake_within_real)


class Recall(NeighborMetric):
    """Share of real images within the neighborhood of a fake (Kynkäänniemi et al. 2019, k = 3)."""

    higher_is_better: ClassVar = {"recall": True}

    def score(self, neighbors: Neighbors, k: int) -> float:
        """Return the share of real images."""
        return share(neighbors.crossing(k).real_within_fake)


class Density(NeighborMetric):
    """Number of real images whose neighborhood has a fake in it, over k, mean over fakes (Naeem et al. 2020, k = 5).

    About 1 for fakes of the same distribution; larger if they crowd into dense regions.
    """

    class Options(NeighborMetric.Options):
        """Options of the neighborhoods."""

        neighbors: PositiveInt = 5
        """Number of nearest neighbors within an image's neighborhood."""

    higher_is_better: ClassVar = {"density": True}

    def bounds(self, extractor: FeatureExtractor | None) -> Mapping[str, Bounds]:
        """Return 0 and no upper bound."""
        return {"density": (0.0, None)}

    def score(self, neighbors: Neighbors, k: int) -> float:
        """Return the mean over fakes."""
        return neighbors.crossing(k).pairs / (k * len(neighbors.fake))


class Coverage(NeighborMetric):
    """Share of real images with a fake in their neighborhood (Naeem et al. 2020, k = 5)."""

    class Options(Density.Options):
        """Options of the neighborhoods."""

    higher_is_better: ClassVar = {"coverage": True}

    def score(self, neighbors: Neighbors, k: int) -> float:
        """Return the share of real images."""
        return share(neighbors.crossing(k).real_with_fake)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Membership of images in neighborhoods.

    An edge belongs to the neighborhood in the first two fields, as in Kynkäänniemi et al., eq. 1; not in the others, as
    in the code of Naeem et al.

    Attributes:
        fake_within_real: Whether each fake lies within a real image's neighborhood, `(M,)`.
        real_within_fake: Whether each real image lies within a fake's neighborhood, `(N,)`.
        real_with_fake: Whether a fake lies within each real image's neighborhood, `(N,)`.
        pairs: Number of pairs of a real image and a fake within its neighborhood.
    """

    fake_within_real: Tensor
    real_within_fake: Tensor
    real_with_fake: Tensor
    pairs: int


class Neighbors:
    """Nearest neighbors among real images, `(N, D)`, and fakes, `(M, D)`, found once for all metrics, in blocks.

    The radius of an image is its distance to the k-th nearest other image of the same set.
    """

    def __init__(self, real: Tensor, fake: Tensor) -> None:
        self.real = real
        self.fake = fake
        self._computed = 0
        self._nearest: tuple[Tensor, Tensor] = (real[:, :0], fake[:, :0])
        self._crossings: dict[int, Crossing] = {}

    def crossing(self, k: int) -> Crossing:
        """Return the membership in neighborhoods of k, which is below both N and M."""
        if k not in self._crossings:
            smaller = min(len(self.real), len(self.fake))
            missing = {k, *(usual for usual in USUAL if usual < smaller)} - self._crossings.keys()
            if k > self._computed:
                self._computed = max(missing)
                self._nearest = nearest_others(self.real, self._computed), nearest_others(self.fake, self._computed)
            self._cross(sorted(missing))
        return self._crossings[k]

    def _cross(self, ks: list[int]) -> None:
        """Compare every real image with every fake, once for several k."""
        near_real, near_fake = self._nearest
        fake_within_real = torch.zeros(len(ks), len(self.fake), dtype=torch.bool)
        real_within_fake = torch.zeros(len(ks), len(self.real), dtype=torch.bool)
        nearest_fake = torch.zeros(len(self.real))
        pairs = [0] * len(ks)
        for rows, squared in squared_distances(self.real, self.fake):
            nearest_fake[rows] = squared.amin(dim=1)
            for number, k in enumerate(ks):
                radii = near_real[rows, k - 1 : k]
                fake_within_real[number] |= (squared <= radii).any(dim=0)
                real_within_fake[number, rows] = (squared <= near_fake[:, k - 1]).any(dim=1)
                pairs[number] += int((squared < radii).count_nonzero())
        for number, k in enumerate(ks):
            reached = nearest_fake < near_real[:, k - 1]
            self._crossings[k] = Crossing(fake_within_real[number], real_within_fake[number], reached, pairs[number])


def nearest_others(points: Tensor, k: int) -> Tensor:
    """Return squared distances of points, `(N, D)`, to the k nearest other points, `(N, k)`, ascending."""
    nearest = torch.empty(len(points), k)
    for rows, squared in squared_distances(points, points):
        squared.diagonal(offset=rows.start).fill_(torch.inf)  # not to itself
        nearest[rows] = squared.topk(k, dim=1, largest=False, sorted=True).values
    return nearest


def share(true: Tensor) -> float:
    """Return the share of true among booleans, `(N,)`."""
    return float(true.double().mean())
