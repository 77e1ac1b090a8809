"""Precision, recall, density and coverage: which images lie among the nearest neighbours of others."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from ganforge.builtin.metrics.inputs import features_of, require_features, require_images
from ganforge.builtin.metrics.pairwise import squared_distances
from ganforge.components import EvaluationContext, FeatureExtractor, Metric

#: The neighbours that the papers take: of these much is computed at once, since it costs little more than for one.
USUAL = (3, 5)


class Neighbourly(Metric):
    """Share what four metrics have in common: how many neighbours, and what is computed once for all of them."""

    class Options(Metric.Options):
        """Whose distance makes an image's neighbourhood."""

        neighbours: PositiveInt = 3
        """How many nearest neighbours an image's neighbourhood reaches to."""

    options: Options
    needs: ClassVar = frozenset({"features"})

    def check(self, *, count: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError where an image has fewer neighbours than are asked for."""
        (score,) = self.better
        require_features(extractor, score=score)
        self._check_counts(count)

    def _check_counts(self, *counts: int) -> None:
        (score,) = self.better
        k = self.options.neighbours
        require_images(k + 1, *counts, score=score, because=f"an image's neighbourhood reaches to {k} others")

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        """Return the score. Raises DataError where an image has fewer neighbours than are asked for."""
        (score,) = self.better
        real = features_of(context, context.real, score=score, what="real images")
        fake = features_of(context, context.fake, score=score, what="fakes")
        self._check_counts(len(real), len(fake))
        found = context.shared.get("neighbours")
        if not isinstance(found, Neighbours) or found.real is not real or found.fake is not fake:
            found = context.shared["neighbours"] = Neighbours(real, fake)
        return {score: self.score(found, self.options.neighbours)}

    @abstractmethod
    def score(self, neighbours: Neighbours, k: int) -> float:
        """Return the score for neighbourhoods of k."""


class Precision(Neighbourly):
    """The share of fakes that lie within the neighbourhood of a real image (Kynkäänniemi et al. 2019, k = 3)."""

    better: ClassVar = {"precision": "higher"}

    def score(self, neighbours: Neighbours, k: int) -> float:
        """Return the share of fakes."""
        return share(neighbours.crossing(k).fake_within_real)


class Recall(Neighbourly):
    """The share of real images that lie within the neighbourhood of a fake (Kynkäänniemi et al. 2019, k = 3)."""

    better: ClassVar = {"recall": "higher"}

    def score(self, neighbours: Neighbours, k: int) -> float:
        """Return the share of real images."""
        return share(neighbours.crossing(k).real_within_fake)


class Density(Neighbourly):
    """In how many real images' neighbourhoods a fake lies, over k, on average (Naeem et al. 2020, k = 5).

    About 1 for fakes of the same distribution; above it where they crowd into dense regions.
    """

    class Options(Neighbourly.Options):
        """Whose distance makes an image's neighbourhood."""

        neighbours: PositiveInt = 5
        """How many nearest neighbours an image's neighbourhood reaches to."""

    better: ClassVar = {"density": "higher"}

    def score(self, neighbours: Neighbours, k: int) -> float:
        """Return the mean over fakes."""
        return neighbours.crossing(k).pairs / (k * len(neighbours.fake))


class Coverage(Neighbourly):
    """The share of real images that have a fake in their neighbourhood (Naeem et al. 2020, k = 5)."""

    class Options(Neighbourly.Options):
        """Whose distance makes an image's neighbourhood."""

        neighbours: PositiveInt = 5
        """How many nearest neighbours an image's neighbourhood reaches to."""

    better: ClassVar = {"coverage": "higher"}

    def score(self, neighbours: Neighbours, k: int) -> float:
        """Return the share of real images."""
        return share(neighbours.crossing(k).real_with_fake)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Hold which images lie in which neighbourhoods.

    fake_within_real: for each fake, whether it lies within a real image's, `(M,)`. real_within_fake: the other way
    round, `(N,)`. real_with_fake: for each real image, whether a fake lies in its own, `(N,)`. pairs: how many pairs of
    a real image and a fake in its neighbourhood there are. The edge belongs to neighbourhoods in the first two, as in
    Kynkäänniemi et al., eq. 1; not in the others, as in the code of Naeem et al.
    """

    fake_within_real: Tensor
    real_within_fake: Tensor
    real_with_fake: Tensor
    pairs: int


class Neighbours:
    """Find who lies near whom among real images and fakes, once for all metrics, in blocks of bounded size.

    real: `(N, D)`; fake: `(M, D)`. The square of the distance to the k-th other image of its own kind is an image's
    radius.
    """

    def __init__(self, real: Tensor, fake: Tensor) -> None:
        self.real = real
        self.fake = fake
        self._most = 0
        self._nearest: tuple[Tensor, Tensor] = (real[:, :0], fake[:, :0])
        self._crossings: dict[int, Crossing] = {}

    def crossing(self, k: int) -> Crossing:
        """Return who lies in whose neighbourhood of k; k is below both N and M."""
        if k not in self._crossings:
            fewest = min(len(self.real), len(self.fake))
            missing = {k, *(usual for usual in USUAL if usual < fewest)} - self._crossings.keys()
            if k > self._most:
                self._most = max(missing)
                self._nearest = nearest_others(self.real, self._most), nearest_others(self.fake, self._most)
            self._cross(sorted(missing))
        return self._crossings[k]

    def _cross(self, ks: list[int]) -> None:
        """Compare every real image with every fake, once for all of several k."""
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
    """Return the squared distances of points, `(N, D)`, to the k nearest of the others, `(N, k)`, ascending."""
    found = torch.empty(len(points), k)
    for rows, squared in squared_distances(points, points):
        squared.diagonal(offset=rows.start).fill_(torch.inf)  # not to itself
        found[rows] = squared.topk(k, dim=1, largest=False, sorted=True).values
    return found


def share(true: Tensor) -> float:
    """Return the share of true among booleans, `(N,)`."""
    return float(true.double().mean())
