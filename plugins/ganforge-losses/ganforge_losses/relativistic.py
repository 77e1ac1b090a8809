"""Real images against fakes, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from ganforge import DiscriminatorOutput, Loss


class Relativistic(Loss):
    """The relativistic pairing GAN: -log σ(D(real) - D(fake)) for D, with the two exchanged for G.

    Jolicoeur-Martineau 2018 (arXiv:1807.00734); Huang et al. 2024, R3GAN, who show that it needs R1 and R2 together to
    converge. They weigh both by γ/2; `weight` is that factor, so `weight` = γ/2. Recommended is 0.025, from the γ of
    0.05 with which their training on CIFAR-10 begins.
    """

    needs_real: ClassVar[bool] = True
    # The penalties' full names, so that another plugin's `r1` is never taken for this one.
    recommended: ClassVar[Mapping[str, Any]] = {
        "penalty": ["ganforge-losses/r1", "ganforge-losses/r2"],
        "penalty.ganforge-losses/r1.weight": 0.025,
        "penalty.ganforge-losses/r2.weight": 0.025,
    }

    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return softplus(-(real - fake)), `(N,)`."""
        return softplus(fake.logits - real.logits)

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        """Return softplus(-(fake - real)), `(N,)`."""
        assert real is not None, "the engine gives real images to a loss that needs them"  # noqa: S101
        return softplus(real.logits - fake.logits)
