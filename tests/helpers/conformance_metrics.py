"""Good feature extractors and metrics, and mutants for each of their checks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ganforge.components import (
    ConditionSpec,
    EvaluationContext,
    FeatureExtractor,
    FeatureOutput,
    ImageSpec,
    Metric,
    MetricResult,
)
from ganforge.testing.stubs import StubExtractor, StubMetric
from ganforge.utils.images import normalize
from tests.helpers.conformance import ANY_TRAINING, MUTANTS, Mutant, good, mutant, variant

good("features", "plain", image=ImageSpec(1, 8, 8, ConditionSpec.classes(3)))(StubExtractor)
good("metric", "of-features")(StubMetric)


# Metrics


@good("metric", "plain")
class MeanDistance(Metric):
    """Distance of the mean images."""

    higher_is_better: ClassVar = {"mean-distance": False}

    def compute(self, context: EvaluationContext) -> MetricResult:
        real, fake = (
            torch.cat([batch.float() for batch in context.batches(source)]).mean(0) for source in ("real", "fake")
        )
        return self.result(context, float((real - fake).square().mean()))

    def result(self, context: EvaluationContext, distance: float) -> MetricResult:
        """Let a mutant return another result."""
        return MetricResult({"mean-distance": distance})


def of_metric(check: str, *neighbors: str, **members: Any) -> None:
    """Register a metric with some members replaced as a mutant."""
    MUTANTS.append(Mutant("metric", check, variant(MeanDistance, **members), neighbors))


of_metric(
    "scores-as-declared",
    *ANY_TRAINING,
    "prefers-real-images",
    result=lambda self, context, distance: MetricResult({"distance": distance}),
)
of_metric("scores-as-declared", bounds=lambda self, extractor: {"mean-distance": (None, -1.0)})
of_metric(
    "same-score-twice",
    result=lambda self, context, distance: MetricResult({"mean-distance": distance + 1e-6 * float(torch.rand(()))}),
)
of_metric("prefers-real-images", higher_is_better={"mean-distance": True})
of_metric(
    "details-and-images",
    *ANY_TRAINING,
    result=lambda self, context, distance: MetricResult({"mean-distance": distance}, {"mean": torch.ones(())}),
)
of_metric(
    "details-and-images",
    *ANY_TRAINING,
    result=lambda self, context, distance: MetricResult({"mean-distance": distance}, {}, {"mean": torch.ones(1, 8, 8)}),
)


@mutant("metric", "needs-declared", *ANY_TRAINING)
class SaysNothing(StubMetric):
    """Reads features, and does not declare it."""

    needs: ClassVar = frozenset()


@mutant("metric", "features-unchanged", "same-score-twice", *ANY_TRAINING)
class CentersInPlace(StubMetric):
    """Changes features that are remembered."""

    def compute(self, context: EvaluationContext) -> MetricResult:
        context.features("real").features.mul_(0.5)
        return super().compute(context)


@mutant("metric", "needs-declared", *ANY_TRAINING)
class ReadsTrainingImages(MeanDistance):
    """Reads training images, and does not declare it."""

    def compute(self, context: EvaluationContext) -> MetricResult:
        next(context.batches("train"))
        return super().compute(context)


@mutant("metric", "resumes-exactly")
class CountsCalls(MeanDistance):
    """Another score from the third call on, which no checkpoint holds."""

    calls = 0

    def result(self, context: EvaluationContext, distance: float) -> MetricResult:
        self.calls += 1
        return MetricResult({"mean-distance": distance * (1.001 if self.calls > 2 else 1)})


@mutant("metric", "trains")
class RaisesLater(MeanDistance):
    """Raises in its second evaluation."""

    calls = 0

    def result(self, context: EvaluationContext, distance: float) -> MetricResult:
        self.calls += 1
        if self.calls > 1:
            raise ValueError("one evaluation is enough")
        return super().result(context, distance)


@good("metric", "of-points")
class OfPoints(StubMetric):
    """Reads the coordinates of points, which are not pictures."""

    partners: ClassVar = {"data": "points", "features": "raw"}


@good("metric", "of-translations")
class OfTranslations(MeanDistance):
    """Translates the images that are conditions of the real ones."""

    partners: ClassVar = {"data": "pairs", "gen": "translator"}
    needs: ClassVar = frozenset({"generator"})

    def result(self, context: EvaluationContext, distance: float) -> MetricResult:
        condition = context.condition("real")
        assert condition is not None
        assert context.generator is not None
        assert context.latent is not None
        z = context.latent.sample(len(condition), context.generator.latent_dim, context.rng)
        context.generator(z, normalize(condition))
        return super().result(context, distance)


# Feature extractors


@good("features", "raw")
class RawImages(FeatureExtractor):
    """Numbers of the images as networks see them."""

    preprocessing: ClassVar = "none"
    raw_images: ClassVar = True

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.size = image.numel

    def forward(self, images: Tensor) -> FeatureOutput:
        assert images.dtype == torch.float32
        return FeatureOutput(images.flatten(1))


@good("features", "trained")
class Layer(FeatureExtractor):
    """One layer, and a classifier of three on top."""

    size = 6
    class_names = ("a", "b", "c")
    preprocessing: ClassVar = "pixels scaled to [0, 1]"

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer, self.head = nn.Linear(image.numel, 6), nn.Linear(6, 3)

    def forward(self, images: Tensor) -> FeatureOutput:
        features = self.changed(self.layer(self.pixels(images).flatten(1)).tanh())
        return FeatureOutput(features, self.head(features))

    def pixels(self, images: Tensor) -> Tensor:
        """Let a mutant see other pixels."""
        return images.float() / 255

    def changed(self, features: Tensor) -> Tensor:
        """Let a mutant change the features."""
        return features


def of_features(check: str, *neighbors: str, **members: Any) -> None:
    """Register a feature extractor with some members replaced as a mutant."""
    MUTANTS.append(Mutant("features", check, variant(Layer, **members), neighbors))


of_features("features-as-declared", "other-images", *ANY_TRAINING, size=7)
of_features("logits-as-declared", *ANY_TRAINING, class_names=("a", "b"))
of_features("logits-as-declared", *ANY_TRAINING, class_names=("a", "b", "b"))
of_features("preprocessing-declared", preprocessing="")
of_features(
    "features-finite",
    pixels=lambda self, images: images.float() / images.float().amax((1, 2, 3), keepdim=True),
)
of_features("images-matter-to-features", changed=lambda self, features: torch.ones_like(features))
of_features("image-by-image", changed=lambda self, features: features - features.mean(0))
of_features("image-by-image", changed=lambda self, features: features + 0.01 * torch.arange(len(features))[:, None])
of_features(
    "same-features-twice",
    "state-is-whole",
    "resumes-exactly",
    changed=lambda self, features: features + 1e-6 * torch.randn(features.shape),
)
of_features("same-features-twice", changed=lambda self, features: features * (1 + 0 * np.random.rand()))  # noqa: NPY002
of_features("pixels-unchanged", pixels=lambda self, images: images.sub_(images % 2).float() / 255)
of_features(
    "float-pictures",
    accepts_float=True,
    pixels=lambda self, images: images.float() / (1 if images.is_floating_point() else 255),
)
of_features("fingerprint-of-weights", fingerprint=lambda self: "0" * 64)
of_features("fingerprint-of-weights", fingerprint=lambda self: "one")


@mutant("features", "same-features-twice")
class Remembers(Layer):
    """Takes the images that it has seen for its scale."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.most = 0.0

    def changed(self, features: Tensor) -> Tensor:
        self.most = max(self.most, 1e-6 * float(features.abs().max()))
        return features + self.most


@mutant("features", "initialized-weights")
class Uninitialized(Layer):
    """A weight that holds what was in memory."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer.bias = nn.Parameter(torch.empty(6))


@mutant("features", "state-is-whole")
class KeepsATensor(Layer):
    """Has weights that its state dict does not hold."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.shift = torch.rand(6)

    def changed(self, features: Tensor) -> Tensor:
        return features + self.shift


@mutant("features", "other-images")
class GrayAlone(Layer):
    """Fails in forward for images with colors."""

    def pixels(self, images: Tensor) -> Tensor:
        return images.float().view(len(images), 1, *images.shape[2:]) / 255
