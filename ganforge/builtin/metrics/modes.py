"""Which classes a generator reaches, and how far its classes are from the data's."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganforge.builtin.metrics.inputs import logits_of, require_classes
from ganforge.components import EvaluationContext, FeatureExtractor, Metric

#: By so much a share may be below what is asked for, for rounding: far less than an image.
ROUNDING = 1e-12


class Modes(Metric):
    """How many classes a classifier finds among the fakes, and how far their shares are from the real images'.

    A class is reached where its share among the fakes is at least a tenth of its share among the real images; classes
    that no real image is taken for don't count. The divergence is Jensen and Shannon's (Lin 1991), in nats: 0 for equal
    shares, log 2 for no class in common. The same classifier judges real images and fakes, so that its mistakes are on
    both sides. The shares stand in the details.
    """

    class Options(Metric.Options):
        """When a class counts as reached."""

        reached: Annotated[float, Field(gt=0, le=1)] = 0.1
        """The share that a class must have among the fakes, relative to its share among the real images."""

    options: Options
    better: ClassVar = {"modes": "higher", "modes-divergence": "lower"}
    needs: ClassVar = frozenset({"logits"})

    def check(self, *, count: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError where nothing classifies."""
        require_classes(extractor, score="modes")

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        """Return the number of classes, and the divergence. Raises DataError where nothing classifies."""
        real = class_shares(logits_of(context, context.real, score="modes", what="real images"))
        fake = class_shares(logits_of(context, context.fake, score="modes", what="fakes"))
        names = context.class_names or tuple(str(number) for number in range(len(real)))
        context.details["modes"] = {
            "fake": dict(zip(names, fake.tolist(), strict=True)),
            "real": dict(zip(names, real.tolist(), strict=True)),
        }
        reached = (real > 0) & (fake >= self.options.reached * real - ROUNDING)
        return {"modes": float(reached.sum()), "modes-divergence": jensen_shannon(real, fake)}


def class_shares(logits: Tensor) -> Tensor:
    """Return the share of images that is taken for each class, `(K,)` float64, from logits `(N, K)`."""
    return logits.argmax(dim=1).bincount(minlength=logits.shape[1]).double() / len(logits)


def jensen_shannon(one: Tensor, other: Tensor) -> float:
    """Return the Jensen-Shannon divergence of two distributions, `(K,)`, in nats."""
    mixed, first, second = (float(torch.special.entr(shares).sum()) for shares in ((one + other) / 2, one, other))
    return max(0.0, mixed - (first + second) / 2)  # rounding alone could take it below 0
