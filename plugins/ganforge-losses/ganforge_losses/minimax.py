"""The game that GANs began with."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from ganforge import DiscriminatorOutput, Loss


class Minimax(Loss):
    """V = log σ(D(real)) + log(1 - σ(D(fake))), which D maximises and G minimises (Goodfellow et al. 2014, eq. 1).

    log σ(x) = -softplus(-x) and log(1 - σ(x)) = -softplus(x). Where D is sure of the fakes, G hardly gets a gradient;
    the loss `bce` is the same for D and has the authors' remedy for G.
    """

    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return -V, which is BCE(real, 1) + BCE(fake, 0), `(N,)`."""
        return softplus(-real.logits) + softplus(fake.logits)

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        """Return log(1 - σ(D(fake))), what of V depends on G, `(N,)`."""
        return -softplus(fake.logits)
