"""How sure a classifier is of each fake, and how many classes it sees in all."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from ganforge.builtin.metrics.inputs import logits_of, require_classes, require_images
from ganforge.components import EvaluationContext, FeatureExtractor, Metric


class InceptionScore(Metric):
    """exp(mean over fakes of KL(p(y|x) ‖ p(y))): 1 at worst, the number of classes at best (Salimans et al. 2016).

    Averaged over parts of the fakes, in a random order; the parts' standard deviation stands in the details. It looks
    at no real image. Named after its first classifier; here it asks whichever the experiment's features have.
    """

    class Options(Metric.Options):
        """How the fakes are divided."""

        splits: PositiveInt = 10
        """In how many parts."""

    options: Options
    better: ClassVar = {"inception-score": "higher"}
    needs: ClassVar = frozenset({"logits"})

    def check(self, *, count: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError where nothing classifies, or a part would have fewer than two images."""
        require_classes(extractor, score="inception-score")
        self._check_count(count)

    def _check_count(self, count: int) -> None:
        splits = self.options.splits
        because = f"each of {splits} parts needs two; its option splits says how many there are"
        require_images(2 * splits, count, score="inception-score", because=because)

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        """Return the mean over parts. Raises DataError where nothing classifies, or there are too few fakes."""
        logits = logits_of(context, context.fake, score="inception-score", what="fakes")
        self._check_count(len(logits))
        shuffled = logits[torch.randperm(len(logits), generator=context.rng)]
        scores = torch.stack([inception_score(part) for part in shuffled.tensor_split(self.options.splits)])
        context.details["inception-score"] = {"deviation": float(scores.std(correction=0))}
        return {"inception-score": float(scores.mean())}


def inception_score(logits: Tensor) -> Tensor:
    """Return exp(mean KL(p(y|x) ‖ p(y))) of logits, `(N, K)`: a scalar, in float64."""
    log_conditional = logits.double().log_softmax(dim=1)
    conditional = log_conditional.exp()
    # xlogy: a class whose probability underflows in every row is never there, and 0 · log 0 is 0.
    divergence: Tensor = conditional * log_conditional - torch.special.xlogy(conditional, conditional.mean(dim=0))
    return divergence.sum(dim=1).mean().exp()
