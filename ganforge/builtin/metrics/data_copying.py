"""Whether fakes are copies of the images that the generator was trained on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from ganforge.builtin.metrics.inputs import features_of, require_features
from ganforge.builtin.metrics.pairwise import squared_distances
from ganforge.components import EvaluationContext, FeatureExtractor, Metric
from ganforge.errors import DataError

RGB, PADDING = 3, 2


class DataCopying(Metric):
    """How near fakes are to the images trained on, compared with real images that were not trained on.

    data-copying: the probability that a fake is farther from its nearest training image than a test image is from its
    own; ties count half. 0.5 where fakes are as new as test images, 0 where they are copies; above 0.5 they are far
    from everything, which is no virtue. copies: the share of fakes that are nearer to a training image than 99% of the
    test images are; 0.01 where fakes are as new as those. After the data-copying test of Meehan et al. 2020, over the
    whole feature space. A picture shows the fakes that are nearest, above their training images; the details say which
    share of the fakes is the same, pixel by pixel, as a training image.
    """

    class Options(Metric.Options):
        """What counts as a copy, and what is shown."""

        nearer_than: Annotated[float, Field(gt=0, lt=1)] = 0.99
        """A copy is nearer to a training image than this share of the test images."""
        shown: PositiveInt = 16
        """How many pairs the picture shows."""

    options: Options
    better: ClassVar = {"data-copying": "higher", "copies": "lower"}
    needs: ClassVar = frozenset({"features", "train"})
    has_reference: ClassVar = False

    def check(self, *, count: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError where there are no features."""
        require_features(extractor, score="data-copying")

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        """Return both scores. Raises DataError without images that were trained on, or without others to compare."""
        if context.train is None:
            raise DataError("data-copying compares with the images that were trained on, and they are not given")
        train = features_of(context, context.train, score="data-copying", what="training images")
        test = features_of(context, context.real, score="data-copying", what="real images")
        fake = features_of(context, context.fake, score="data-copying", what="fakes")
        known = set(fingerprints(context.train))
        if share_of(context.real, known) > 1 / 2:
            raise DataError(
                "data-copying compares with real images that were not trained on; most of these were",
                fix="evaluate on the test split: --split test",
            )
        context.details["data-copying"] = {"identical": share_of(context.fake, known)}
        test_distances, distances = nearest(test, train), nearest(fake, train)
        closest = distances.argsort(stable=True)[: self.options.shown]
        partners = torch.cat([squared for _, squared in squared_distances(train, fake[closest])]).argmin(dim=0)
        context.pictures["data-copying"] = pairs(context.fake[closest], context.train[partners])
        below, above = _shares_beyond(distances, test_distances)
        copied = above >= self.options.nearer_than
        return {
            "data-copying": float((below + (1 - below - above) / 2).mean()),
            "copies": float(copied.double().mean()),
        }


def nearest(points: Tensor, others: Tensor) -> Tensor:
    """Return each point's squared distance to the nearest of others: `(N,)` float32.

    points: `(N, D)`; others: `(M, D)`, of which there may be many.
    """
    found = torch.full((len(points),), torch.inf)
    for _, squared in squared_distances(others, points):
        found = torch.minimum(found, squared.amin(dim=0))
    return found


def fingerprints(images: Tensor) -> list[int]:
    """Return a number for each image, uint8 `(N, C, H, W)`, that is the same for the same pixels only."""
    return [hash(image.numpy().tobytes()) for image in images.cpu()]


def share_of(images: Tensor, known: Collection[int]) -> float:
    """Return the share of images, uint8 `(N, C, H, W)`, whose fingerprint is known."""
    return sum(fingerprint in known for fingerprint in fingerprints(images)) / len(images)


def _shares_beyond(values: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each value, `(N,)`, which shares of the reference are smaller, and greater: `(N,)` float64 each."""
    ordered = reference.sort().values
    smaller = torch.searchsorted(ordered, values).double()
    greater = len(ordered) - torch.searchsorted(ordered, values, right=True).double()
    return smaller / len(ordered), greater / len(ordered)


def pairs(above: Tensor, below: Tensor) -> Tensor:
    """Lay pairs of images out in rows of eight, one above the other, on white.

    above, below: uint8, `(N, C, H, W)`; returns uint8, `(1 or 3, H', W')`: of two channels the first, of four or more
    three.
    """
    above, below = (images[:, :RGB] if images.shape[1] >= RGB else images[:, :1] for images in (above, below))
    count, channels, height, width = above.shape
    columns = min(count, 8)
    rows = -(-count // columns)
    deep = 2 * height + PADDING
    picture = above.new_full((channels, rows * deep + PADDING, columns * (width + PADDING) + PADDING), 255)
    for index, pair in enumerate(zip(above, below, strict=True)):
        top, left = index // columns * deep + PADDING, index % columns * (width + PADDING) + PADDING
        picture[:, top : top + 2 * height, left : left + width] = torch.cat(pair, dim=1)
    return picture
