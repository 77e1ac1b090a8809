"""Minimax loss of the first GAN."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from ganforge import DiscriminatorOutput, Loss


class Minimax(Loss):
    """V = log σ(D(real)) + log(1 - σ(D(fake))), which D maximizes and G minimizes (Goodfellow et al. 2014, eq. 1).

    log σ(x) = -softplus(-x) and log(1 - σ(x)) = -softplus(x). The generator's gradient vanishes where the discriminator
    recognizes its fakes; `bce` has the same loss for D and the authors' remedy for G.
    """

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return -V, which is BCE(real, 1) + BCE(fake, 0)."""
        return softplus(-real.logits) + softplus(fake.logits)

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return log(1 - σ(D(fake))), the part of V that depends on G."""
        return -softplus(fake.logits)
