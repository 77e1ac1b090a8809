"""DiscriminatorOutputs on their way from the discriminator to the loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ganforge.components import DiscriminatorOutput


@contextmanager
def frozen(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Compute no gradients for weights for a while."""
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def halves(judgement: DiscriminatorOutput, count: int) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
    """Return the judgements of the first `count` images and of the others."""
    labels, classes = judgement.labels, judgement.class_logits
    first, second = slice(None, count), slice(count, None)
    return (
        DiscriminatorOutput(
            judgement.logits[first],
            None if labels is None else labels[first],
            None if classes is None else classes[first],
            tuple(features[first] for features in judgement.features),
        ),
        DiscriminatorOutput(
            judgement.logits[second],
            None if labels is None else labels[second],
            None if classes is None else classes[second],
            tuple(features[second] for features in judgement.features),
        ),
    )


def widened(judgement: DiscriminatorOutput) -> DiscriminatorOutput:
    """Return a judgement in float32 or wider: losses are computed so, whatever the networks' precision is."""
    class_logits = None if judgement.class_logits is None else at_least_float32(judgement.class_logits)
    features = tuple(map(at_least_float32, judgement.features))
    return DiscriminatorOutput(at_least_float32(judgement.logits), judgement.labels, class_logits, features)


def at_least_float32(values: Tensor) -> Tensor:
    """Return low-precision numbers as float32, and others as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
