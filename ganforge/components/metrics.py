"""Interface of metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ganforge.components.base import ComponentOptions, Configurable
from ganforge.components.features import FeatureExtractor, FeatureOutput
from ganforge.components.latents import LatentDistribution
from ganforge.components.networks import Generator

#: Further input of a metric: their features, a classifier's logits, the training images, the generator.
Need = Literal["features", "logits", "train", "generator"]
#: Smallest and largest possible value of a score; None for no limit.
Bounds = tuple[float | None, float | None]
#: A set of images: the real ones, the fakes, or the training images.
Source = Literal["real", "fake", "train"]


@dataclass(frozen=True, slots=True)
class MetricResult:
    """Result of a metric.

    Attributes:
        scores: A number for each name in `higher_is_better`.
        details: Further values for readers, as JSON can hold them.
        images: Pictures by name, `(C, H, W)` uint8.
    """

    scores: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, Tensor] = field(default_factory=dict)


class EvaluationContext(ABC):
    """Inputs of a metric. Pixels come in batches and are never all in memory.

    Attributes:
        num_samples: Number of fakes, and of real images.
        num_train: Number of training images, or 0 for metrics that do not need them.
        class_names: Names of the classes that the extractor's logits stand for; may be empty.
        rng: Generator on the CPU that belongs to the metric.
        shared: Values that metrics of one evaluation share, such as distances.
        generator: The generator in evaluation mode, or None for metrics that do not need it.
        latent: Distribution of the generator's latents, or None.
    """

    num_samples: int
    num_train: int
    class_names: tuple[str, ...]
    rng: torch.Generator
    shared: dict[Any, Any]
    generator: Generator | None
    latent: LatentDistribution | None

    @abstractmethod
    def features(self, source: Source) -> FeatureOutput:
        """Return the features of all images of a source, `(N, D)` on the CPU; extracted once."""

    @abstractmethod
    def batches(self, source: Source) -> Iterator[Tensor]:
        """Yield the images of a source in order, as `(B, C, H, W)` uint8 pictures on the CPU."""

    @abstractmethod
    def condition(self, source: Source) -> Tensor | None:
        """Return the conditions of a source's images, `(N,)` int64 classes or `(N, …)`, or None."""

    @abstractmethod
    def extract(self, images: Tensor) -> FeatureOutput:
        """Return the features of further images, `(B, C, H, W)` float32 as the generator returns them."""


class Metric(Configurable, ABC):
    """Score of fakes against real images.

    Attributes:
        higher_is_better: For each score's name, whether a higher value is better.
        needs: Inputs in addition to the images.
        has_reference: Whether training images in place of the fakes give a meaningful reference score.
    """

    class Options(ComponentOptions):
        """Options of every metric."""

    options: Options
    higher_is_better: ClassVar[Mapping[str, bool]]
    needs: ClassVar[frozenset[Need]] = frozenset()
    has_reference: ClassVar[bool] = True

    def check(self, *, num_samples: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError if so few images cannot give a meaningful score; called before images are drawn.

        Args:
            num_samples: Number of fakes, and of real images.
            extractor: The feature extractor, for metrics that need one.
        """

    def bounds(self, extractor: FeatureExtractor | None) -> Mapping[str, Bounds]:
        """Return the bounds of each score that has some; intervals over seeds stay within them.

        Args:
            extractor: The feature extractor, for metrics that need one.
        """
        return {}

    @abstractmethod
    def compute(self, context: EvaluationContext) -> MetricResult:
        """Return the scores."""
