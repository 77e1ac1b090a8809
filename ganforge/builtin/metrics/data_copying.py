"""Data-copying test: fakes that are copies of training images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from ganforge.builtin.metrics.inputs import features_of, require_features
from ganforge.builtin.metrics.pairwise import squared_distances
from ganforge.components import EvaluationContext, FeatureExtractor, Metric, MetricResult
from ganforge.components.metrics import Bounds, Source
from ganforge.errors import DataError
from ganforge.utils.images import grid, visible_channels

#: Pairs in a row of the picture.
COLUMNS = 8


class DataCopying(Metric):
    """Distance of fakes to the training images, compared with real images that were not trained on.

    data-copying: probability that a fake is farther from its nearest training image than a test image is from its own;
    ties count half. 0.5 for fakes as new as test images, 0 for copies; above 0.5 fakes are far from all images, which
    is not better. copies: share of fakes that are nearer to a training image than 99% of the test images; 0.01 for
    fakes as new as those. After the data-copying test of Meehan et al. 2020, over the whole feature space. The picture
    shows the fakes that are nearest, above their training images; the details hold the share of fakes that equal a
    training image pixel by pixel.
    """

    class Options(Metric.Options):
        """Options of the threshold for copies, and of the picture."""

        nearer_than: Annotated[float, Field(gt=0, lt=1)] = 0.99
        """Share of the test images that are farther from the training images than a copy is."""
        shown: PositiveInt = 16
        """Pairs in the picture."""

    options: Options
    higher_is_better: ClassVar = {"data-copying": True, "copies": False}
    needs: ClassVar = frozenset({"features", "train"})
    has_reference: ClassVar = False

    def check(self, *, num_samples: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError without features."""
        require_features(extractor, score="data-copying")

    def bounds(self, extractor: FeatureExtractor | None) -> Mapping[str, Bounds]:
        """Return 0 and 1."""
        return dict.fromkeys(self.higher_is_better, (0.0, 1.0))

    def compute(self, context: EvaluationContext) -> MetricResult:
        """Return both scores, or raise DataError if the real images were trained on."""
        train, test, fake = (features_of(context, source, score="data-copying") for source in ("train", "real", "fake"))
        test_distances, distances = nearest(test, train), nearest(fake, train)
        closest = distances.argsort(stable=True)[: self.options.shown]
        partners = torch.cat([squared for _, squared in squared_distances(train, fake[closest])]).argmin(dim=0)
        train_prints, train_images = fingerprints(context, "train", partners)
        known = set(train_prints)
        test_prints, _ = fingerprints(context, "real")
        if share_of(test_prints, known) > 1 / 2:
            raise DataError(
                "data-copying compares with real images that were not trained on; most of these were",
                fix="evaluate on the test split: --split test",
            )
        fake_prints, fake_images = fingerprints(context, "fake", closest)
        below, above = _shares_beyond(distances, test_distances)
        scores = {
            "data-copying": float((below + (1 - below - above) / 2).mean()),
            "copies": float((above >= self.options.nearer_than).double().mean()),
        }
        details = {"identical": share_of(fake_prints, known)}
        return MetricResult(scores, details, {"data-copying": pairs(fake_images, train_images)})


def nearest(points: Tensor, others: Tensor) -> Tensor:
    """Return each point's squared distance to the nearest other point, `(N,)` float32.

    Args:
        points: `(N, D)`.
        others: `(M, D)`, of which there may be many.
    """
    distances = torch.full((len(points),), torch.inf)
    for _, squared in squared_distances(others, points):
        distances = torch.minimum(distances, squared.amin(dim=0))
    return distances


def fingerprints(context: EvaluationContext, source: Source, indices: Tensor | None = None) -> tuple[list[int], Tensor]:
    """Return a number for each image of a source that is equal for equal pixels only, and some of the images.

    Args:
        context: The evaluation.
        source: Source of the images.
        indices: Indices of the images to return, `(K,)`; none by default.

    Returns:
        The numbers, and `(K, C, H, W)` uint8.
    """
    prints: list[int] = []
    selected = set() if indices is None else set(indices.tolist())
    chosen: dict[int, Tensor] = {}
    for batch in context.batches(source):
        for image in batch:
            if len(prints) in selected:
                chosen[len(prints)] = image.clone()
            prints.append(hash(image.numpy().tobytes()))
    images = [chosen[index] for index in ([] if indices is None else indices.tolist())]
    return prints, torch.stack(images) if images else torch.empty(0)


def share_of(prints: list[int], known: set[int]) -> float:
    """Return the share of fingerprints that are known."""
    return sum(fingerprint in known for fingerprint in prints) / len(prints)


def _shares_beyond(values: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of the reference that are smaller and greater than each value, `(N,)` float64 each."""
    ordered = reference.sort().values
    smaller = torch.searchsorted(ordered, values).double()
    greater = len(ordered) - torch.searchsorted(ordered, values, right=True).double()
    return smaller / len(ordered), greater / len(ordered)


def pairs(above: Tensor, below: Tensor) -> Tensor:
    """Return a picture of pairs in rows of eight, one image above the other, on white.

    Args:
        above: `(N, C, H, W)` uint8; see `visible_channels`.
        below: `(N, C, H, W)` uint8.

    Returns:
        `(1 or 3, H', W')` uint8.
    """
    stacked = torch.cat([visible_channels(above), visible_channels(below)], dim=-2)
    return 255 - grid(255 - stacked, COLUMNS)  # whose ground is black
