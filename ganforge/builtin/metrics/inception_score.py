"""Inception score: confidence and variety of a classifier's predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from ganforge.builtin.metrics.inputs import logits_of, require_classes, require_images
from ganforge.components import EvaluationContext, FeatureExtractor, Metric, MetricResult
from ganforge.components.metrics import Bounds


class InceptionScore(Metric):
    """exp(mean over fakes of KL(p(y|x) ‖ p(y))): 1 at worst, the number of classes at best (Salimans et al. 2016).

    Averaged over parts of the fakes in a random order; the details hold the parts' standard deviation. No real image
    enters. It is named after its first classifier; here it uses the run's feature extractor.
    """

    class Options(Metric.Options):
        """Options of the parts."""

        splits: PositiveInt = 10
        """Number of parts."""

    options: Options
    higher_is_better: ClassVar = {"inception-score": True}
    needs: ClassVar = frozenset({"logits"})

    def check(self, *, num_samples: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError without a classifier, or if a part has fewer than two images."""
        require_classes(extractor, score="inception-score")
        self._check_count(num_samples)

    def _check_count(self, count: int) -> None:
        splits = self.options.splits
        because = f"each of {splits} parts needs two; its option splits is their number"
        require_images(2 * splits, count, score="inception-score", because=because)

    def bounds(self, extractor: FeatureExtractor | None) -> Mapping[str, Bounds]:
        """Return 1 and the number of classes, if known."""
        return {
            "inception-score": (
                1.0,
                None if extractor is None or not extractor.class_names else float(len(extractor.class_names)),
            )
        }

    def compute(self, context: EvaluationContext) -> MetricResult:
        """Return the mean over parts."""
        logits = logits_of(context, "fake", score="inception-score")
        self._check_count(len(logits))
        shuffled = logits[torch.randperm(len(logits), generator=context.rng)]
        scores = torch.stack([inception_score(part) for part in shuffled.tensor_split(self.options.splits)])
        return MetricResult({"inception-score": float(scores.mean())}, {"deviation": float(scores.std(correction=0))})


def inception_score(logits: Tensor) -> Tensor:
    """Return exp(mean KL(p(y|x) ‖ p(y))), `()` float64, of logits, `(N, K)`."""
    log_conditional = logits.double().log_softmax(dim=1)
    conditional = log_conditional.exp()
    # xlogy: 0 · log 0 is 0, for a class whose probability underflows in every row.
    divergence: Tensor = conditional * log_conditional - torch.special.xlogy(conditional, conditional.mean(dim=0))
    return divergence.sum(dim=1).mean().exp()
