"""Relativistic pairing loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from ganforge import DiscriminatorOutput, Loss


class Relativistic(Loss):
    """-log σ(D(real) - D(fake)) for D, with both exchanged for G (Jolicoeur-Martineau 2018, arXiv:1807.00734).

    Huang et al. 2024 (R3GAN) show that it converges with R1 and R2 together. Recommended weight: 0.025, which is γ/2
    for the γ of 0.05 that their training on CIFAR-10 starts with.
    """

    relative_logits: ClassVar[bool] = True
    pairs_images: ClassVar[bool] = True
    # Full names, so that `r1` of another plugin is never taken for this one.
    recommended: ClassVar[Mapping[str, Any]] = {
        "term": ["ganforge-losses/r1", "ganforge-losses/r2"],
        "term.ganforge-losses/r1.weight": 0.025,
        "term.ganforge-losses/r2.weight": 0.025,
    }

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return softplus(-(real - fake))."""
        return softplus(fake.logits - real.logits)

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return softplus(-(fake - real))."""
        return softplus(real.logits - fake.logits)
