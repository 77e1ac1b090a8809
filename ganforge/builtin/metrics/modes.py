"""Class coverage of a generator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganforge.builtin.metrics.inputs import logits_of, require_classes
from ganforge.components import EvaluationContext, FeatureExtractor, Metric, MetricResult
from ganforge.components.metrics import Bounds

#: Tolerance of shares for rounding, far less than one image.
ROUNDING = 1e-12


class Modes(Metric):
    """Number of classes that a classifier finds among the fakes, and distance of their shares from the real images'.

    A class is reached if its share among the fakes is at least a tenth of its share among the real images; classes
    without real images do not count. The divergence is Jensen and Shannon's (Lin 1991), in nats: 0 for equal shares,
    log 2 for no class in common. The same classifier judges real images and fakes, so its mistakes are on both sides.
    The details hold the shares.
    """

    class Options(Metric.Options):
        """Options of the threshold for reached classes."""

        reached: Annotated[float, Field(gt=0, le=1)] = 0.1
        """Share that a class needs among the fakes, relative to its share among the real images."""

    options: Options
    higher_is_better: ClassVar = {"modes": True, "modes-divergence": False}
    needs: ClassVar = frozenset({"logits"})

    def check(self, *, num_samples: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError without a classifier."""
        require_classes(extractor, score="modes")

    def bounds(self, extractor: FeatureExtractor | None) -> Mapping[str, Bounds]:
        """Return 0, and the number of classes, if known, and log 2."""
        classes = extractor.class_names if extractor is not None else ()
        return {"modes": (0.0, float(len(classes)) if classes else None), "modes-divergence": (0.0, math.log(2))}

    def compute(self, context: EvaluationContext) -> MetricResult:
        """Return the number of classes and the divergence."""
        real, fake = (class_shares(logits_of(context, source, score="modes")) for source in ("real", "fake"))
        names = context.class_names or tuple(str(number) for number in range(len(real)))
        shares = {
            "fake": dict(zip(names, fake.tolist(), strict=True)),
            "real": dict(zip(names, real.tolist(), strict=True)),
        }
        reached = (real > 0) & (fake >= self.options.reached * real - ROUNDING)
        return MetricResult({"modes": float(reached.sum()), "modes-divergence": jensen_shannon(real, fake)}, shares)


def class_shares(logits: Tensor) -> Tensor:
    """Return the share of images predicted as each class, `(K,)` float64, from logits, `(N, K)`."""
    return logits.argmax(dim=1).bincount(minlength=logits.shape[1]).double() / len(logits)


def jensen_shannon(p: Tensor, q: Tensor) -> float:
    """Return the Jensen-Shannon divergence of two distributions, `(K,)`, in nats."""
    mixed, first, second = (float(torch.special.entr(shares).sum()) for shares in ((p + q) / 2, p, q))
    return max(0.0, mixed - (first + second) / 2)  # negative by rounding only
