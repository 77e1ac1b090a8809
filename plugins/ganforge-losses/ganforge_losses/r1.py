"""A zero-centred gradient penalty at real images."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from ganforge import Discriminator, Penalty
from ganforge_losses.gradients import image_gradient


class R1(Penalty):
    """|∇D(x)|² at real images (Mescheder et al. 2018, eq. 9), of which the paper takes γ/2: `weight` = γ/2."""

    class Options(Penalty.Options):
        """The options of every penalty, with the paper's weight."""

        weight: NonNegativeFloat = 5.0
        """What the penalty is multiplied by in the discriminator's loss: γ/2, with the paper's γ of 10."""

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
        """Return |∇D(x)|², `(N,)`, at real images, `(N, C, H, W)`; nothing is drawn from `rng`."""
        return image_gradient(discriminator, real, labels).square().sum(1)

    def linear_value(self, norm: float) -> float:
        """Return |w|²."""
        return norm**2
