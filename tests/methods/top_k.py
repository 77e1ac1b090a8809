"""Top-k training: the generator learns from its best images only.

References:
    Sinha et al. 2020, Top-k Training of GANs, arXiv:2002.06224.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ganforge import Component, LossTerm, TrainStep, hookimpl

SETTINGS = (
    *("gen=mlp", "gen.hidden=[32]", "disc=mlp", "disc.hidden=[32]", "disc.dropout=0.0", "batch_size=8"),
    "term=top-k",
)


class TopK(LossTerm):
    """Weights of the generator's loss: those of the k images with the largest logits count, the others do not."""

    phases: ClassVar[tuple[str, ...]] = ()

    class Options(LossTerm.Options):
        """Options of top-k training."""

        smallest: float = 0.5
        """Share of a batch that counts at the end of the training."""

    options: Options

    def reweight(self, step: TrainStep, values: Tensor) -> Tensor | None:
        """Return N / k for the generator's k smallest losses and 0 for the others, in the shape of the values."""
        if step.phase != "gen":
            return None
        share = 1 - (1 - self.options.smallest) * step.progress
        k = max(1, round(share * len(values)))
        best = values.topk(k, dim=0, largest=False).indices
        return torch.zeros_like(values).scatter(0, best, len(values) / k)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide top-k training."""
    return [Component(kind="term", name="top-k", target=TopK, summary="Top-k training.", paper="arXiv:2002.06224")]
