"""Wasserstein losses, with weight clipping and with a gradient penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import PositiveFloat
from torch import Tensor

from ganforge import DiscriminatorOutput, Loss, TrainStep


class Critic(Loss):
    """E[D(real)] - E[D(fake)], which D maximizes and G minimizes (Arjovsky et al. 2017, eq. 2).

    It is a distance only as long as D is Lipschitz. Logits are scores here, not log-odds: only differences matter.
    """

    relative_logits: ClassVar[bool] = True

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return fake - real."""
        return fake.logits - real.logits

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return -fake."""
        return -fake.logits


class Wasserstein(Critic):
    """Wasserstein GAN: D's weights are clipped after each of its updates (Arjovsky et al. 2017, algorithm 1).

    All weights are clipped, biases and scales of normalization layers included, as in the authors' code.
    """

    class Options(Critic.Options):
        """Options of the Wasserstein loss with weight clipping."""

        clip: PositiveFloat = 0.01
        """Bound of the discriminator's weights: they stay in [-clip, clip]."""

    options: Options
    recommended: ClassVar[Mapping[str, Any]] = {
        "critic_steps": 5,
        "optimizer.name": "rmsprop",
        "optimizer.lr": 5e-5,
    }

    @torch.no_grad()
    def after_step(self, step: TrainStep) -> None:
        """Clip all weights of the discriminator in place."""
        if step.phase == "disc":
            for weight in step.discriminator.parameters():
                weight.clamp_(-self.options.clip, self.options.clip)


class WassersteinGp(Critic):
    """Wasserstein GAN with a gradient penalty (Gulrajani et al. 2017, eq. 3 and algorithm 1).

    The penalty is a term, recommended by this loss together with the paper's other settings.
    """

    # The full name, so that `gradient-penalty` of another plugin is never taken for this one.
    recommended: ClassVar[Mapping[str, Any]] = {
        "term": ["ganforge-losses/gradient-penalty"],
        "term.ganforge-losses/gradient-penalty.weight": 10.0,
        "critic_steps": 5,
        "optimizer.lr": 1e-4,
        "optimizer.betas": (0.0, 0.9),
    }
