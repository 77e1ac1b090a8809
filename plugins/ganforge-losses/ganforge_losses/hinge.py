"""Hinge loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from ganforge import DiscriminatorOutput, Loss


class Hinge(Loss):
    """Hinge loss: real logits above 1 and fake logits below -1 give the discriminator no gradient.

    Lim & Ye 2017, in the form of Miyato et al. 2018, eq. 16 and 17.
    """

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return max(0, 1 - real) + max(0, 1 + fake)."""
        return relu(1 - real.logits) + relu(1 + fake.logits)

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return -fake."""
        return -fake.logits
