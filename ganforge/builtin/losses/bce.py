"""The textbook's loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from ganforge.components import DiscriminatorOutput, Loss


class Bce(Loss):
    """Binary cross-entropy on logits.

    With sigmoid σ, BCE(x, 1) = -log σ(x) = softplus(-x) and BCE(x, 0) = -log(1 - σ(x)) = softplus(x). The
    discriminator's two terms are summed, not averaged; the generator's is the non-saturating form (Goodfellow et al.
    2014, section 3).
    """

    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(real, 1) + BCE(fake, 0), `(N,)`."""
        return softplus(-real.logits) + softplus(fake.logits)

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(fake, 1), `(N,)`."""
        return softplus(-fake.logits)
