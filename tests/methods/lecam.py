"""LeCam regularization for limited data.

References:
    Tseng et al. 2021, Regularizing Generative Adversarial Networks under Limited Data, arXiv:2104.03310.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ganforge import Component, LossTerm, TrainStep, hookimpl

SETTINGS = (
    *("gen=mlp", "gen.hidden=[32]", "disc=mlp", "disc.hidden=[32]", "disc.dropout=0.0", "batch_size=8"),
    "term=lecam",
)


class LeCam(LossTerm):
    """Squared distance of the logits from the running mean of the other kind's logits (Tseng et al. 2021, eq. 4)."""

    phases: ClassVar[tuple[str, ...]] = ("disc",)

    class Options(LossTerm.Options):
        """Options of LeCam regularization."""

        weight: float = 0.3
        """Factor of the term in the loss."""
        decay: float = 0.01
        """Share by which the running means move towards those of a batch."""

    options: Options
    real_mean: Tensor
    fake_mean: Tensor

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.register_buffer("real_mean", torch.zeros(()))
        self.register_buffer("fake_mean", torch.zeros(()))

    def forward(self, step: TrainStep) -> Tensor:
        """Return the distances, in the shape of the logits."""
        real = (step.real_output.logits - self.fake_mean).relu().square()
        return real + (self.real_mean - step.fake_output.logits).relu().square()

    def after_step(self, step: TrainStep) -> None:
        """Move the running means towards the logits of the whole batch."""
        self.real_mean.lerp_(step.real_output.logits.mean(), self.options.decay)
        self.fake_mean.lerp_(step.fake_output.logits.mean(), self.options.decay)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide the LeCam term."""
    return [
        Component(kind="term", name="lecam", target=LeCam, summary="LeCam regularization.", paper="arXiv:2104.03310")
    ]
