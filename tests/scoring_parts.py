"""What the tests of the metrics share: an evaluation whose images have the features that a test gives them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganforge.components import EvaluationContext, FeatureExtractor, FeatureOutput, ImageSpec, Metric


@dataclass
class Described:
    """Hold what an extractor says of some images, in place of the images: features `(N, D)`, logits `(N, K)`."""

    features: Tensor
    logits: Tensor | None = None

    def images(self) -> Tensor:
        """Return images that differ from each other, `(N, 1, 2, 2)` uint8."""
        number = torch.arange(len(self.features))
        return torch.stack([number % 256, number // 256 % 256, number // 65536, 0 * number], 1).view(-1, 1, 2, 2).byte()


def evaluation(
    real: Tensor | Described,
    fake: Tensor | Described,
    train: Tensor | Described | None = None,
    *,
    seed: int = 0,
    classes: tuple[str, ...] = (),
) -> EvaluationContext:
    """Return a context whose images have the given features; each set of images differs from the others."""
    said: dict[int, FeatureOutput] = {}

    def images_of(given: Tensor | Described, place: int) -> Tensor:
        described = given if isinstance(given, Described) else Described(given)
        images = described.images()
        images[:, :, 1, 1] = place
        said[id(images)] = FeatureOutput(described.features, described.logits)
        return images

    return EvaluationContext(
        real=images_of(real, 1),
        fake=images_of(fake, 2),
        real_labels=None,
        fake_labels=None,
        rng=torch.Generator().manual_seed(seed),
        train=None if train is None else images_of(train, 3),
        class_names=classes,
        extract=lambda images: said[id(images)],
    )


def scores(metric: type[Metric], context: EvaluationContext, **options: object) -> dict[str, float]:
    """Return what a metric says, with some of its options set."""
    return metric(metric.Options.model_validate(options)).compute(context)


def score(metric: type[Metric], real: Tensor | Described, fake: Tensor | Described, **options: object) -> float:
    """Return the only score of a metric for features, `(N, D)` and `(M, D)`."""
    (value,) = scores(metric, evaluation(real, fake), **options).values()
    return value


def normal(count: int, size: int, seed: int) -> Tensor:
    """Return standard normal numbers, `(N, D)` float32."""
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def exact(count: int, mean: Tensor, factor: Tensor, seed: int = 0) -> Tensor:
    """Return a sample whose mean is `mean`, `(D,)`, and whose covariance factorᵀ·factor, to rounding: `(N, D)` float64.

    Normal numbers are shifted to mean 0 and turned to covariance 1 before.
    """
    sample = normal(count, len(mean), seed).double()
    white = torch.linalg.qr(sample - sample.mean(0)).Q * (count - 1) ** 0.5
    return white @ factor.double() + mean.double()


class Sized(FeatureExtractor):
    """Nothing but a feature size and classes, for what is checked beforehand."""

    preprocessing = "none"

    def __init__(self, size: int, classes: int = 0) -> None:
        super().__init__(self.Options(), ImageSpec(1, 2, 2))
        self.size = size
        self.class_names = tuple(str(number) for number in range(classes))

    def forward(self, images: Tensor) -> FeatureOutput:
        """Say nothing."""
        return FeatureOutput(images.new_zeros(len(images), self.size, dtype=torch.float32))
