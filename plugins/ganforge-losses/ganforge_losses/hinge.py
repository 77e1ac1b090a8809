"""A margin, as support vector machines have it."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from ganforge import DiscriminatorOutput, Loss


class Hinge(Loss):
    """D learns from real images with logits below 1 and from fakes with logits above -1, and from no others.

    Lim & Ye 2017; as Miyato et al. 2018, eq. 16 and 17, write it.
    """

    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return max(0, 1 - real) + max(0, 1 + fake), `(N,)`."""
        return relu(1 - real.logits) + relu(1 + fake.logits)

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        """Return -fake, `(N,)`."""
        return -fake.logits
