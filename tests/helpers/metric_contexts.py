"""Contexts of metrics for tests: images with features that a test chooses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ganforge.components import (
    EvaluationContext,
    FeatureExtractor,
    FeatureOutput,
    Generator,
    ImageSpec,
    LatentDistribution,
    Metric,
    MetricResult,
)
from ganforge.components.metrics import Source


@dataclass
class Described:
    """Output of an extractor for some images: features, `(N, D)`, and logits, `(N, K)`."""

    features: Tensor
    logits: Tensor | None = None

    def images(self) -> Tensor:
        """Return images that differ from each other, `(N, 1, 2, 2)` uint8."""
        number = torch.arange(len(self.features))
        return torch.stack([number % 256, number // 256 % 256, number // 65536, 0 * number], 1).view(-1, 1, 2, 2).byte()


class GivenContext(EvaluationContext):
    """Context of images in memory, `images`, whose features are given or extracted."""

    def __init__(
        self,
        images: Mapping[Source, Tensor],
        outputs: Mapping[Source, FeatureOutput],
        *,
        seed: int = 0,
        classes: tuple[str, ...] = (),
        extractor: FeatureExtractor | None = None,
        generator: Generator | None = None,
        latent: LatentDistribution | None = None,
        condition: Tensor | None = None,
        batch_size: int = 7,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.outputs = outputs
        self.num_samples = len(images["fake"])
        self.num_train = len(images["train"]) if "train" in images else 0
        self.class_names = classes
        self.rng = torch.Generator().manual_seed(seed)
        self.shared = {}
        self.extractor = extractor
        self.generator = generator
        self.latent = latent
        self.fake_condition = condition

    def features(self, source: Source) -> FeatureOutput:
        """Return the given features."""
        return self.outputs[source]

    def batches(self, source: Source) -> Iterator[Tensor]:
        """Yield copies of the images."""
        yield from (batch.clone() for batch in torch.split(self.images[source], self.batch_size))

    def condition(self, source: Source) -> Tensor | None:
        """Return the condition of fakes."""
        return self.fake_condition

    def extract(self, images: Tensor) -> FeatureOutput:
        """Return what the extractor returns for images."""
        assert self.extractor is not None
        output: FeatureOutput = self.extractor(images)
        return output


def evaluation(
    real: Tensor | Described,
    fake: Tensor | Described,
    train: Tensor | Described | None = None,
    *,
    seed: int = 0,
    classes: tuple[str, ...] = (),
) -> GivenContext:
    """Return a context whose images have the given features; the images of a source differ from those of the others."""
    images: dict[Source, Tensor] = {}
    outputs: dict[Source, FeatureOutput] = {}
    sources: dict[Source, Tensor | Described | None] = {"real": real, "fake": fake, "train": train}
    for place, (source, given) in enumerate(sources.items()):
        if given is not None:
            described = given if isinstance(given, Described) else Described(given)
            images[source] = described.images()
            images[source][:, :, 1, 1] = place
            outputs[source] = FeatureOutput(described.features, described.logits)
    return GivenContext(images, outputs, seed=seed, classes=classes)


def result(metric: type[Metric], context: EvaluationContext, **options: object) -> MetricResult:
    """Return the result of a metric with some options."""
    return metric(metric.Options.model_validate(options)).compute(context)


def scores(metric: type[Metric], context: EvaluationContext, **options: object) -> dict[str, float]:
    """Return the scores of a metric with some options."""
    return dict(result(metric, context, **options).scores)


def score(metric: type[Metric], real: Tensor | Described, fake: Tensor | Described, **options: object) -> float:
    """Return the only score of a metric for features, `(N, D)` and `(M, D)`."""
    (value,) = scores(metric, evaluation(real, fake), **options).values()
    return value


def normal(count: int, size: int, seed: int) -> Tensor:
    """Return standard normal numbers, `(N, D)` float32."""
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def exact(count: int, mean: Tensor, factor: Tensor, seed: int = 0) -> Tensor:
    """Return a sample of mean `mean`, `(D,)`, and covariance factorᵀ·factor, up to rounding: `(N, D)` float64.

    Normal numbers are shifted to mean 0 and whitened before.
    """
    sample = normal(count, len(mean), seed).double()
    white: Tensor = torch.linalg.qr(sample - sample.mean(0)).Q * (count - 1) ** 0.5
    return white @ factor.double() + mean.double()


class Sized(FeatureExtractor):
    """Extractor with a feature size and classes only, for checks before an evaluation."""

    preprocessing = "none"

    def __init__(self, size: int, classes: int = 0) -> None:
        super().__init__(self.Options(), ImageSpec(1, 2, 2))
        self.size = size
        self.class_names = tuple(str(number) for number in range(classes))

    def forward(self, images: Tensor) -> FeatureOutput:
        """Return zeros."""
        return FeatureOutput(images.new_zeros(len(images), self.size, dtype=torch.float32))
