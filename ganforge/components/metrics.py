"""Scores for a trained generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ganforge.components.base import Configurable, Options
from ganforge.components.features import FeatureExtractor, FeatureOutput

#: What a metric may need beside the images to compare: their features, a classifier's logits, the images trained on.
Need = Literal["features", "logits", "train"]


def _none(images: Tensor) -> FeatureOutput:
    raise LookupError("this evaluation has no feature extractor; a metric says what it needs in `needs`")


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """Hold what a metric may look at.

    real, fake: uint8, `(N, C, H, W)` and `(M, C, H, W)`, fakes quantised as files would be. real_labels, fake_labels:
    `(N,)` and `(M,)` int64, or None. rng: a generator on the CPU that belongs to the evaluation alone. train: images
    that were trained on, uint8, `(T, C, H, W)`, for metrics that need them. class_names: what the extractor's logits
    tell apart; empty where it does not classify. extract: describes any of these images; what it found it remembers.

    details: what a metric may add for people to read, by its name, as JSON can hold it. pictures: by name, uint8,
    `(C, H, W)`. shared: what a metric computed and others of the same evaluation may use.
    """

    real: Tensor
    fake: Tensor
    real_labels: Tensor | None
    fake_labels: Tensor | None
    rng: torch.Generator
    train: Tensor | None = None
    class_names: tuple[str, ...] = ()
    extract: Callable[[Tensor], FeatureOutput] = _none
    details: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Tensor] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)


class Metric(Configurable, ABC):
    """Score fakes against real images.

    better: for each score's name, whether `lower` or `higher` is better. needs: what it needs beside the images.
    has_reference: whether images of the training split, put in the place of fakes, score as well as can be.
    """

    class Options(Options):
        """Options of every metric."""

    options: Options
    better: ClassVar[Mapping[str, Literal["lower", "higher"]]]
    needs: ClassVar[frozenset[Need]] = frozenset()
    has_reference: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        self.options = options

    def check(self, *, count: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError where `count` fakes, and as many real images, are too few for this score to mean anything.

        extractor: what describes the images, where the metric needs that. It is called before anything is drawn.
        """

    @abstractmethod
    def compute(self, context: EvaluationContext) -> dict[str, float]:
        """Return named scores, one for each name in `better`."""
