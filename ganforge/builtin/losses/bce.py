"""Binary cross-entropy, the textbook's loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from ganforge.components import DiscriminatorOutput, Loss


class Bce(Loss):
    """Binary cross-entropy on logits.

    With the sigmoid σ, BCE(x, 1) = -log σ(x) = softplus(-x) and BCE(x, 0) = -log(1 - σ(x)) = softplus(x). The two terms
    of the discriminator's loss are summed, not averaged; the generator's loss is the non-saturating form (Goodfellow et
    al. 2014, section 3).
    """

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(real, 1) + BCE(fake, 0)."""
        return softplus(-real.logits) + softplus(fake.logits)

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(fake, 1)."""
        return softplus(-fake.logits)
