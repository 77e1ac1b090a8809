"""Scores for a trained generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ganforge.interfaces.options import Configurable, Options


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """Hold what a metric may look at.

    real, fake: uint8, `(N, C, H, W)` and `(M, C, H, W)`, fakes quantised as files would be. real_labels, fake_labels:
    `(N,)` and `(M,)` int64, or None. rng: a generator on the CPU that belongs to the evaluation alone.
    """

    real: Tensor
    fake: Tensor
    real_labels: Tensor | None
    fake_labels: Tensor | None
    rng: torch.Generator


class Metric(Configurable, ABC):
    """Score fakes against real images.

    better: for each score's name, whether `lower` or `higher` is better.
    """

    class Options(Options):
        """Options of every metric."""

    options: Options
    better: ClassVar[Mapping[str, Literal["lower", "higher"]]]

    def __init__(self, options: Options) -> None:
        self.options = options

    @abstractmethod
    def compute(self, context: EvaluationContext) -> dict[str, float]:
        """Return named scores, one for each name in `better`."""
