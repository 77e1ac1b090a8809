"""A gradient penalty between real and fake images."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from ganforge import Discriminator, Penalty
from ganforge_losses.gradients import image_gradient


class GradientPenalty(Penalty):
    """(|∇D(x̂)| - 1)² with x̂ = ε·real + (1 - ε)·fake and ε uniform on [0, 1] (Gulrajani et al. 2017, eq. 3).

    `one_sided` gives max(0, |∇D(x̂)| - 1)², since a 1-Lipschitz D may well be flatter (WGAN-LP: Petzka et al. 2017,
    arXiv:1709.08894).
    """

    class Options(Penalty.Options):
        """How long the gradient should be; the paper's weight."""

        weight: NonNegativeFloat = 10.0
        """What the penalty is multiplied by in the discriminator's loss: the paper's λ."""
        target: NonNegativeFloat = 1.0
        """How long the gradient should be."""
        one_sided: bool = False
        """Whether a shorter gradient is as good."""

    options: Options

    def measure(
        self,
        discriminator: Discriminator,
        *,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None,
        rng: torch.Generator,
    ) -> Tensor:
        """Return the penalty, `(N,)`, at one point between each real and fake image, `(N, C, H, W)`."""
        share = torch.rand(len(real), 1, 1, 1, generator=rng).to(real)
        between = share * real + (1 - share) * fake
        length = torch.linalg.vector_norm(image_gradient(discriminator, between, labels), dim=1)
        excess: Tensor = length - self.options.target
        return (excess.relu() if self.options.one_sided else excess).square()

    def linear_value(self, norm: float) -> float:
        """Return (|w| - 1)², or max(0, |w| - 1)² where only a longer gradient is bad."""
        excess = norm - self.options.target
        return (max(0.0, excess) if self.options.one_sided else excess) ** 2
