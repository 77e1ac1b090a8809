"""The critic's estimate of the Wasserstein distance, and two ways to keep the critic Lipschitz."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import PositiveFloat
from torch import Tensor

from ganforge import Discriminator, DiscriminatorOutput, Loss


class Critic(Loss):
    """E[D(real)] - E[D(fake)], which D maximises and G minimises (Arjovsky et al. 2017, eq. 2).

    That is a distance only as long as D is Lipschitz, which the losses below see to. Logits are scores here, no log
    odds: only their differences mean something.
    """

    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return fake - real, `(N,)`."""
        return fake.logits - real.logits

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        """Return -fake, `(N,)`."""
        return -fake.logits


class Wasserstein(Critic):
    """The first Wasserstein GAN: after each update D's weights are clipped (Arjovsky et al. 2017, algorithm 1).

    All of them are, biases and scales of normalising layers too, as in the authors' code.
    """

    class Options(Critic.Options):
        """How far from zero a weight may be."""

        clip: PositiveFloat = 0.01
        """Weights of the discriminator are kept in [-clip, clip]."""

    options: Options
    recommended: ClassVar[Mapping[str, Any]] = {
        "critic_steps": 5,
        "optimizer.name": "rmsprop",
        "optimizer.lr": 5e-5,
    }

    @torch.no_grad()
    def constrain(self, discriminator: Discriminator) -> None:
        """Clip all weights of the discriminator in place."""
        for weight in discriminator.parameters():
            weight.clamp_(-self.options.clip, self.options.clip)


class WassersteinGp(Critic):
    """The Wasserstein GAN with a gradient penalty instead (Gulrajani et al. 2017, eq. 3 and algorithm 1).

    The penalty is a component of its own, which this loss recommends with the rest of the paper's settings.
    """

    # The penalty's full name, so that another plugin's `gradient-penalty` is never taken for it.
    recommended: ClassVar[Mapping[str, Any]] = {
        "penalty": ["ganforge-losses/gradient-penalty"],
        "penalty.ganforge-losses/gradient-penalty.weight": 10.0,
        "critic_steps": 5,
        "optimizer.lr": 1e-4,
        "optimizer.betas": (0.0, 0.9),
    }
